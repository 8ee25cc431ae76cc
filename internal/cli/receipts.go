package cli

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/posternhq/postern/api"
)

// longestWait is for how long the server lets a caller wait for a confirmation.
const longestWait = 90 * time.Second

// patience is for how long a command waits until every node has confirmed a
// change.
type patience struct {
	wait  time.Duration // 0: as long as --timeout allows
	async bool
}

// register adds the flags of a command that changes something.
func (p *patience) register(fs *pflag.FlagSet) {
	fs.DurationVar(&p.wait, "wait", 0, "how long to wait until every node has confirmed it, 1s to 90s; exit 8 if they have not")
	fs.BoolVar(&p.async, "async", false, "do not wait for that")
}

// session is like [app.session], for calls that wait so.
func (p *patience) session(ctx context.Context, a *app) (session, error) {
	const arriving = 5 * time.Second // for the answer to get here
	s, err := a.session(ctx)
	switch {
	case err != nil:
		return s, err
	case p.async && p.wait != 0:
		return s, usagef("--wait and --async contradict each other")
	case p.wait < 0 || p.wait > longestWait:
		return s, usagef("--wait: write a time from 1s to %v", longestWait)
	case p.async:
		s.Prefer = "respond-async"
	case p.wait > 0:
		s.Prefer = "wait=" + strconv.Itoa(int(math.Ceil(p.wait.Seconds())))
		s.timeout = max(s.timeout, p.wait+arriving)
	}
	return s, nil
}

func (a *app) receiptCommand() *cobra.Command {
	return a.group("receipt", "Receipts: on what the confirmation of a change rests", a.receiptGet())
}

func (a *app) receiptGet() *cobra.Command {
	var p patience
	cmd := a.leaf(command{
		use: "get RECEIPT", short: "Look again whether every node has confirmed a change; exit 8 if not",
		examples: [2]string{
			`postern receipt get "$(postern sa pause support-bot-prod --async --field receipt.id)" --wait 30s`,
			`postern receipt get "$(postern sa resume support-bot-prod --field receipt.id)" --json`,
		},
		run: func(ctx context.Context, _ *cobra.Command, args []string) error {
			s, err := p.session(ctx, a)
			if err != nil {
				return err
			}
			r, raw, err := call[api.Receipt](ctx, s, http.MethodGet, s.path("receipts", args[0]), nil)
			if err != nil {
				return err
			}
			if err := show(a, raw, receiptColumns()); err != nil {
				return err
			}
			if !r.Confirmed {
				return failf(exitUnconfirmed, "revision %d is recorded.%s", r.Revision, unconfirmedWords(r))
			}
			return nil
		},
	})
	cmd.Flags().DurationVar(&p.wait, "wait", 0, "how long to wait until it is confirmed, 1s to 90s")
	return cmd
}

func receiptColumns() []column[api.Receipt] {
	return []column[api.Receipt]{
		{name: "id", text: func(r api.Receipt) string { return r.ID }},
		{name: "revision", text: func(r api.Receipt) string { return strconv.FormatInt(r.Revision, 10) }},
		{name: "decided_at", text: func(r api.Receipt) string { return when(r.DecidedAt) }},
		{name: "keys_stopped", text: func(r api.Receipt) string { return strconv.FormatInt(r.KeysStopped, 10) }},
		{name: "confirmed", text: func(r api.Receipt) string {
			if !r.Confirmed {
				return "no"
			}
			return "by " + confirmedBy(r)
		}},
		{name: "expired", text: func(r api.Receipt) string { return texts(r.Nodes.Expired) }},
		{name: "bounded", text: func(r api.Receipt) string { return texts(r.Nodes.Bounded) }},
		{name: "waiting", text: func(r api.Receipt) string { return waitingFor(r) }},
		{name: "durability", text: func(r api.Receipt) string {
			if r.Durability == nil {
				return ""
			}
			return *r.Durability
		}},
	}
}

// receiptWords says on what the confirmation of a change rests.
func receiptWords(r api.Receipt) string {
	if !r.Confirmed {
		return unconfirmedWords(r)[1:]
	}
	words := "Confirmed by " + confirmedBy(r) + "."
	if len(r.Nodes.Expired) > 0 {
		words += " Waited until the leases of these had ended: " + texts(r.Nodes.Expired) + "."
	}
	if len(r.Nodes.Bounded) > 0 {
		words += " These may still answer from memory: " + texts(r.Nodes.Bounded) + "."
	}
	return words
}

func confirmedBy(r api.Receipt) string {
	return fmt.Sprintf("%d of %d nodes in %s ms", r.Nodes.Confirmed, r.Nodes.Total, millis(r.TookMS))
}

// unconfirmedWords says, after a space, who has not confirmed, for how long they
// could still answer, and how to look again.
func unconfirmedWords(r api.Receipt) string {
	words := " Not every node has confirmed it yet."
	if names := waitingFor(r); names != "" {
		words = " Not confirmed yet by " + names + "."
	}
	if r.ID == "" {
		return words
	}
	return words + " To look again: postern receipt get " + r.ID
}

// waitingFor names the nodes that have not confirmed.
func waitingFor(r api.Receipt) string {
	names := make([]string, len(r.Nodes.Waiting))
	for i, n := range r.Nodes.Waiting {
		names[i] = n.Name
		if n.LeaseLeftMS > 0 {
			names[i] += fmt.Sprintf(" (may answer from before it for %v)", time.Duration(n.LeaseLeftMS)*time.Millisecond)
		}
	}
	return texts(names)
}
