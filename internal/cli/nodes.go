package cli

import (
	"cmp"
	"context"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
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
		{name: "lag", text: lag},
		{name: "lease_left", text: leaseLeft},
		{name: "follows", text: follows},
		{name: "workspace", text: func(x api.Node) string { return *cmp.Or(x.Workspace, new("")) }, detail: true},
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

// lag says how many changes a node has not confirmed.
func lag(x api.Node) string {
	if x.Lag == nil {
		return ""
	}
	return strconv.FormatInt(*x.Lag, 10)
}

// leaseLeft says for how long a node may still answer if it is not heard of again.
func leaseLeft(x api.Node) string {
	switch {
	case x.LeaseLeftMS != nil:
		return (time.Duration(*x.LeaseLeftMS) * time.Millisecond).Round(100 * time.Millisecond).String()
	case x.Kind == iam.VerifierNode:
		return ""
	}
	return "not needed"
}

// follows says which node a verifier follows, and what is amiss with it.
func follows(x api.Node) string {
	switch {
	case x.Follows == nil:
		return ""
	case x.SetAside != nil && *x.SetAside:
		return *x.Follows + ", set aside"
	case x.LeaseLeftMS != nil && *x.LeaseLeftMS == 0:
		return *x.Follows + ", cut off"
	}
	return *x.Follows
}

func (a *app) nodeList() *cobra.Command {
	return a.leaf(command{
		use: "list", short: "List the nodes; * is the one that answers",
		long: "LAG is how many changes a node has not confirmed. LEASE LEFT is for how long it may answer if nothing more is\n" +
			"heard of it: at 0s it is dead or cut off. A node that is alone, on SQLite, needs no lease. A verifier outside the\n" +
			"server follows a node; when that is not the one that answers, its lag and its lease are not known here, and empty.",
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
