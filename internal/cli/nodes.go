package cli

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/posternhq/postern/api"
)

const nodesPart = "nodes"

func (a *app) nodeCommand() *cobra.Command {
	return a.group("node", "The processes that answer verifications", a.nodeList(), a.nodeDrill())
}

func nodeColumns() []column[api.Node] {
	return []column[api.Node]{
		{name: "name", text: func(x api.Node) string {
			if x.Self {
				return x.Name + " *"
			}
			return x.Name
		}},
		{name: "id", text: func(x api.Node) string { return x.ID }, detail: true},
		{name: "kind", text: func(x api.Node) string { return x.Kind }},
		{name: "version", text: func(x api.Node) string { return x.Version }},
		{name: "consistency", text: func(x api.Node) string { return x.Consistency }},
		{name: "revision", text: func(x api.Node) string { return strconv.FormatInt(x.Revision, 10) }},
		{name: "lag", text: func(x api.Node) string { return strconv.FormatInt(x.Lag, 10) }},
		{name: "lease_left", text: func(x api.Node) string { return leaseLeft(x.LeaseLeftMS) }},
		{name: "requests_per_second", text: func(x api.Node) string { return perSecond(x.RequestsPerSecond) }},
		{name: "last_contact", text: func(x api.Node) string { return when(x.LastContact) }},
	}
}

// perSecond says how often keys are used at a node.
func perSecond(rate *float64) string {
	if rate == nil {
		return ""
	}
	return strconv.FormatFloat(*rate, 'f', 1, 64)
}

// leaseLeft says for how long a node may still answer if it is not heard of again.
func leaseLeft(ms *int64) string {
	if ms == nil {
		return "not needed"
	}
	return (time.Duration(*ms) * time.Millisecond).Round(100 * time.Millisecond).String()
}

func (a *app) nodeList() *cobra.Command {
	return a.leaf(command{
		use: "list", short: "List the nodes; * is the one that answers",
		long: "LAG is how many changes a node has not confirmed. LEASE LEFT is for how long it may answer if nothing more is\n" +
			"heard of it: at 0s it is dead or cut off. A node that is alone, on SQLite, needs no lease.",
		examples: [2]string{"postern node list", "postern node list --json"},
		run: func(ctx context.Context, _ *cobra.Command, _ []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			return list(ctx, a, s, s.path(nodesPart), url.Values{}, nodeColumns())
		},
	})
}
