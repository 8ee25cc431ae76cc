package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/posternhq/postern/api"
)

func eventColumns() []column[api.AuditEvent] {
	return []column[api.AuditEvent]{
		{name: "at", text: func(e api.AuditEvent) string { return when(e.At) }},
		{name: "actor", text: func(e api.AuditEvent) string { return actorName(e.Actor) }},
		{name: "action", text: func(e api.AuditEvent) string { return e.Action }},
		{name: "target", text: func(e api.AuditEvent) string {
			return strings.TrimSpace(e.Target.Type + " " + actorName(api.Actor{Name: e.Target.Name, State: e.Target.State}))
		}},
		{name: "outcome", text: func(e api.AuditEvent) string { return e.Outcome }},
		{name: "reason", text: func(e api.AuditEvent) string { return e.Reason }},
		{name: "key", text: func(e api.AuditEvent) string {
			if e.Key == nil {
				return ""
			}
			return e.Key.Name
		}, detail: true},
		{name: "source", text: func(e api.AuditEvent) string { return strings.TrimSpace(e.Source.IP + " " + e.Source.UserAgent) }, detail: true},
		{name: "before", text: func(e api.AuditEvent) string { return fields(e.Before) }, detail: true},
		{name: "after", text: func(e api.AuditEvent) string { return fields(e.After) }, detail: true},
		{name: "request_id", text: func(e api.AuditEvent) string { return e.RequestID }, detail: true},
		{name: "id", text: func(e api.AuditEvent) string { return e.ID }},
	}
}

func fields(m map[string]any) string {
	var all []string
	for _, name := range sortedKeys(m) {
		all = append(all, fmt.Sprintf("%s=%v", name, m[name]))
	}
	return strings.Join(all, ", ")
}

// eventFilter is the flags that narrow a search of the audit log.
type eventFilter struct {
	from, to, actor, actorType, action, target, outcome, source, search string
}

func (f *eventFilter) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.from, "from", "", "from this time on, or from a while ago such as 7d")
	fs.StringVar(&f.to, "to", "", "until before this time, or a while ago")
	f.registerExact(fs)
	fs.StringVar(&f.search, "q", "", "with words that begin so")
}

// registerExact registers those that can be held against an event on its own.
func (f *eventFilter) registerExact(fs *pflag.FlagSet) {
	fs.StringVar(&f.actor, "actor", "", "what this account or member did")
	fs.StringVar(&f.actorType, "actor-type", "", "what a member, a service_account, the system or anonymous did")
	fs.StringVar(&f.action, "action", "", "this action, such as key.created")
	fs.StringVar(&f.target, "target", "", "what was done to this account or member, or to anything by its id")
	fs.StringVar(&f.outcome, "outcome", "", "done or refused")
	fs.StringVar(&f.source, "source", "", "from this address")
}

// query turns the flags into a query, names into ids.
func (f *eventFilter) query(ctx context.Context, a *app, s session) (url.Values, error) {
	from, err := a.ago("from", f.from)
	if err != nil {
		return nil, err
	}
	to, err := a.ago("to", f.to)
	if err != nil {
		return nil, err
	}
	actor, err := s.eventParty(ctx, f.actor)
	if err != nil {
		return nil, err
	}
	target, err := s.eventParty(ctx, f.target)
	if err != nil {
		return nil, err
	}
	return filters("from", from, "to", to, "actor", actor, "actor_type", f.actorType, "action", f.action,
		"target", target, "outcome", f.outcome, "source", f.source, "q", f.search), nil
}

// eventParty returns the id of whom a filter names. What has the shape of an id
// is one, also of what is no longer there.
func (s session) eventParty(ctx context.Context, ref string) (string, error) {
	if prefix, _, ok := strings.Cut(ref, "_"); ref == "" || ok && len(prefix) >= 2 && len(prefix) <= 4 {
		return ref, nil
	}
	return s.principalID(ctx, ref)
}

func (a *app) auditCommand() *cobra.Command {
	return a.group("audit", "The audit log: who did what, and who was refused",
		a.auditList(), a.auditTail(), a.auditExport(), a.auditGet())
}

func (a *app) auditList() *cobra.Command {
	var f eventFilter
	cmd := a.leaf(command{
		use: "list", short: "Search the audit log, newest first",
		examples: [2]string{
			"postern audit list --max 20",
			"postern audit list --target support-bot-prod --from 7d --outcome done --json",
		},
		run: func(ctx context.Context, _ *cobra.Command, _ []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			query, err := f.query(ctx, a, s)
			if err != nil {
				return err
			}
			return list(ctx, a, s, s.path("audit_events"), query, eventColumns())
		},
	})
	f.register(cmd.Flags())
	a.completeFlag(cmd, "actor", a.accountNames)
	a.completeFlag(cmd, "target", a.accountNames)
	return cmd
}

func (a *app) auditGet() *cobra.Command {
	return a.leaf(command{
		use: "get EVENT", short: "Show an event of the audit log",
		examples: [2]string{
			`postern audit get "$(postern audit list --max 1 --field id)"`,
			`postern audit get "$(postern audit list --max 1 --action key.created --field id)" --json`,
		},
		run: func(ctx context.Context, _ *cobra.Command, args []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			_, raw, err := call[api.AuditEvent](ctx, s, http.MethodGet, s.path("audit_events", args[0]), nil)
			if err != nil {
				return err
			}
			return show(a, raw, eventColumns())
		},
	})
}

func (a *app) auditExport() *cobra.Command {
	var f eventFilter
	var format, out string
	cmd := a.leaf(command{
		use: "export", short: "Write the audit log out, to stdout or a file",
		long: "A file takes its place only when all of the log is in it.",
		examples: [2]string{
			"postern audit export --format csv --out audit.csv",
			"postern audit export --from 30d --actor-type service_account",
		},
		run: func(ctx context.Context, _ *cobra.Command, _ []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			query, err := f.query(ctx, a, s)
			if err != nil {
				return err
			}
			p := &progress{a: a, to: a.Stdout, began: a.Now()}
			if len(query) == 0 && a.Terminal(a.Stderr) {
				newest, err := s.newestEvent(ctx)
				if err != nil {
					return err
				}
				p.total = newest.Seq // their numbers have no gaps
			}
			query.Set("format", format)
			body, err := s.Open(ctx, http.MethodGet, s.path("audit_events", "export")+"?"+query.Encode(), nil)
			if err != nil {
				return err
			}
			defer body.Close()
			return a.export(body, p, out)
		},
	})
	f.register(cmd.Flags())
	cmd.Flags().StringVar(&format, "format", formatLines, "jsonl or csv")
	cmd.Flags().StringVar(&out, "out", "", "file to write to")
	return cmd
}

// newestEvent returns the last event of the log, or none of an empty one.
func (s session) newestEvent(ctx context.Context) (newest api.AuditEvent, err error) {
	items, _, err := s.fetch(ctx, s.path("audit_events"), url.Values{}, 1)
	if err != nil || len(items) == 0 {
		return newest, err
	}
	if err := json.Unmarshal(items[0], &newest); err != nil {
		return newest, fmt.Errorf("read the answer: %w", err)
	}
	return newest, nil
}

// export copies an export to where it is to go.
func (a *app) export(body io.Reader, p *progress, out string) error {
	var file *replacement
	if out != "" {
		var err error
		if file, err = newReplacement(out); err != nil {
			return failf(exitUsage, "%w", err)
		}
		defer file.discard()
		if _, err := file.temp.Seek(0, io.SeekStart); err != nil {
			return err
		}
		p.to = file.temp
	}
	length, err := io.Copy(p, body)
	if err != nil {
		return errors.Join(errors.New("the export was broken off, and is not complete"), err)
	}
	if file != nil {
		if err := file.finish(length); err != nil {
			return fmt.Errorf("write %s: %w", out, err)
		}
		a.note("%d lines written to %s.", p.lines, out)
	}
	return nil
}

// progress passes on what is written and says how far it is: often at a terminal,
// now and then elsewhere.
type progress struct {
	a     *app
	to    io.Writer
	lines int64
	total int64 // about how many lines there will be; 0: nobody knows
	began time.Time
	said  time.Time
}

const (
	sayOften = time.Second
	saySome  = 10 * time.Second
)

func (p *progress) Write(b []byte) (int, error) {
	p.lines += int64(bytes.Count(b, []byte{'\n'}))
	every := saySome
	if p.a.Terminal(p.a.Stderr) {
		every = sayOften
	}
	if now := p.a.Now(); now.Sub(p.began) >= every && now.Sub(p.said) >= every {
		p.said = now
		p.a.note("%s", p.words(now))
	}
	return p.to.Write(b)
}

func (p *progress) words(now time.Time) string {
	took := now.Sub(p.began)
	words := fmt.Sprintf("%d events in %s", p.lines, took.Round(time.Second))
	if left := p.total - p.lines; left > 0 && p.lines > 0 {
		words += fmt.Sprintf(", about %s left", (took * time.Duration(left) / time.Duration(p.lines)).Round(time.Second))
	}
	return words
}
