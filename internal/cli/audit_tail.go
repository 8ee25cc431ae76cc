package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/spf13/cobra"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/api"
)

// tail is what audit tail prints: the end of the log, or all after an event, and
// then perhaps what comes.
type tail struct {
	filter eventFilter
	lines  int
	after  string
	follow bool
	long   howLong

	query url.Values // the filter, names as ids
	out   liner[api.AuditEvent]
}

func (a *app) auditTail() *cobra.Command {
	t := tail{out: liner[api.AuditEvent]{a: a, columns: eventColumns()}}
	cmd := a.leaf(command{
		use: "tail", short: "Print the end of the audit log, oldest first, and follow it",
		long: "Each event is one line, also with --json. With --after, the id of the last event that was taken, none is missed\n" +
			"and none comes twice, whenever and wherever it is called again: up to 10 000 events back.\n" + followWords,
		examples: [2]string{
			"postern audit tail --lines 20",
			"postern audit tail --follow --json --action key.created --for 2s",
		},
		run: func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			switch {
			case t.lines < 0 || t.lines > maxPage:
				return usagef("--lines: write a number from 0 to %d", maxPage)
			case t.after != "" && cmd.Flags().Changed("lines"):
				return usagef("--after and --lines contradict each other")
			}
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			if t.query, err = t.filter.query(ctx, a, s); err != nil {
				return err
			}
			return t.run(ctx, s)
		},
	})
	fs := cmd.Flags()
	t.filter.registerExact(fs)
	fs.IntVarP(&t.lines, "lines", "n", 10, "how many events to begin with")
	fs.StringVar(&t.after, "after", "", "begin after this event instead")
	fs.BoolVarP(&t.follow, "follow", "f", false, "go on with what happens")
	t.long.register(fs)
	a.completeFlag(cmd, "actor", a.accountNames)
	a.completeFlag(cmd, "target", a.accountNames)
	return cmd
}

func (t *tail) run(ctx context.Context, s session) error {
	newest, err := s.newestEvent(ctx)
	if err != nil {
		return err
	}
	from := newest
	if t.after == "" {
		err = t.begin(ctx, s, newest.Seq)
	} else {
		from, _, err = call[api.AuditEvent](ctx, s, http.MethodGet, s.path("audit_events", t.after), nil)
	}
	if err != nil || !t.follow && from.Seq >= newest.Seq {
		return err
	}
	o := postern.StreamOptions{Topics: []string{api.TopicAudit}, LastEventID: positionAt(from)}
	return t.out.a.follow(ctx, s, t.long, o, func(_ context.Context, e postern.StreamEvent) (bool, error) {
		switch e.Name {
		case api.StreamEventReset:
			return false, errMissed(e)
		case api.StreamEventAudit:
			event, err := decode[api.AuditEvent](e)
			if err == nil && t.fits(event) {
				err = t.out.print(e.Data)
			}
			return !t.follow && event.Seq >= newest.Seq, err
		}
		return false, nil
	})
}

// positionAt returns the position of a stream whose last event was this one.
func positionAt(e api.AuditEvent) string {
	if e.Seq == 0 {
		return "0" // nothing has happened yet
	}
	return fmt.Sprint(e.Seq, ".", e.ID)
}

// begin prints the last lines of the log up to an event.
func (t *tail) begin(ctx context.Context, s session, newest int64) error {
	if t.lines == 0 {
		return nil
	}
	items, _, err := s.fetch(ctx, s.path("audit_events"), t.query, t.lines)
	if err != nil {
		return err
	}
	var all []json.RawMessage
	for _, raw := range slices.Backward(items) {
		var e api.AuditEvent
		if err := json.Unmarshal(raw, &e); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		if e.Seq > newest {
			continue // it came meanwhile, and comes again
		}
		all = append(all, raw)
	}
	return t.out.print(all...)
}

// fits reports whether a search with the same flags would find an event.
func (t *tail) fits(e api.AuditEvent) bool {
	for name, is := range map[string]string{
		"actor": e.Actor.ID, "actor_type": e.Actor.Type, "action": e.Action, "target": e.Target.ID, "outcome": e.Outcome, "source": e.Source.IP,
	} {
		if t.query.Has(name) && t.query.Get(name) != is {
			return false
		}
	}
	return true
}
