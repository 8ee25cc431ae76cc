package cli

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/api"
)

// drill is what a drill has found out.
type drill struct {
	Account string      `json:"account"`
	Nodes   []drillNode `json:"nodes"`
	Refused bool        `json:"refused"` // the key, which had worked before
	Receipt api.Receipt `json:"receipt"`
}

// drillNode is what one node made of it.
type drillNode struct {
	Name    string `json:"name"`
	ID      string `json:"id"`
	Outcome string `json:"outcome"`
}

func drillColumns() []column[drillNode] {
	return []column[drillNode]{
		{name: "node", text: func(x drillNode) string { return x.Name }},
		{name: "id", text: func(x drillNode) string { return x.ID }},
		{name: "outcome", text: func(x drillNode) string { return x.Outcome }},
	}
}

func (a *app) nodeDrill() *cobra.Command {
	return a.leaf(command{
		use: "drill", short: "Revoke a throw-away key and show what each node says to it",
		long: "It makes a service account drill-… with a key that can do next to nothing, uses the key, revokes the account, and\n" +
			"tries the key again. That needs iam.nodes:read, iam.service_accounts:write, iam.keys:write and *:read. The account\n" +
			"stays in the list and in the audit log, inactive. Exit 8: a node has not confirmed in time.",
		examples: [2]string{"postern node drill", "postern node drill --json"},
		run: func(ctx context.Context, _ *cobra.Command, _ []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			d, err := a.drill(ctx, s)
			if d.Receipt.ID == "" {
				return err
			}
			return errors.Join(a.showDrill(d), err)
		},
	})
}

func (a *app) showDrill(d drill) error {
	raw, err := json.Marshal(d)
	if err != nil {
		return err
	}
	if a.global.field != "" || a.global.output == formatJSON {
		return a.showJSON(raw)
	}
	var items []json.RawMessage
	for _, n := range d.Nodes {
		item, err := json.Marshal(n)
		if err != nil {
			return err
		}
		items = append(items, item)
	}
	if err := showAll(a, items, drillColumns()); err != nil || !d.Refused {
		return err
	}
	return a.say("Revoked %s. %s The key worked before, and is refused now.", d.Account, receiptWords(d.Receipt))
}

// drill makes a key, revokes it, and says what each node made of that. With an
// error there may be a receipt all the same. Whatever happens, what was made is
// revoked, or named.
func (a *app) drill(ctx context.Context, s session) (d drill, err error) {
	nodes, err := s.nodes(ctx)
	if err != nil {
		return d, err
	}
	d.Account = "drill-" + strings.ToLower(rand.Text()[:10])
	holder, err := s.makeDrillKey(ctx, d.Account)
	if err == nil {
		d.Receipt, err = s.revokeDrill(ctx, d.Account)
	}
	if d.Receipt.ID == "" {
		a.endDrill(ctx, s, d.Account)
		return d, err
	}
	after, failed := s.nodes(ctx)
	if failed != nil {
		after = nodes // all that is known
	}
	d.Nodes = outcomes(nodes, after, d.Receipt.Nodes)
	if err != nil {
		return d, err
	}
	err = holder.isRefused(ctx)
	d.Refused = err == nil
	return d, err
}

// makeDrillKey makes an account and a key of it, and returns the session of who
// holds the key, which has been used.
func (s session) makeDrillKey(ctx context.Context, name string) (holder session, err error) {
	_, _, err = call[api.CreatedServiceAccount](ctx, s, http.MethodPost, s.path(accountsPart), api.CreateServiceAccount{
		Name: name, Role: "viewer", Description: "Made by postern node drill, and revoked by it",
	})
	if err != nil {
		return s, err
	}
	hour, limit := "1h", []string{"drill:read"} // should it be left over, it is worth little, and not for long
	key, _, err := call[api.CreatedKey](ctx, s, http.MethodPost, s.path(accountsPart, name, "keys"), api.CreateKey{
		Name: "drill", ExpiresIn: &hour, Limit: &limit,
	})
	if err != nil {
		return s, err
	}
	client := *s.Client
	client.Key = postern.NewSecret(key.Value)
	holder = session{Client: &client, workspace: s.workspace, timeout: s.timeout}
	if _, _, err := call[api.Whoami](ctx, holder, http.MethodGet, "/v1/whoami", nil); err != nil {
		return s, fmt.Errorf("use the key that was just made: %w", err)
	}
	return holder, nil
}

// revokeDrill revokes the account. Where it is recorded and not confirmed, there
// is a receipt and an error.
func (s session) revokeDrill(ctx context.Context, name string) (api.Receipt, error) {
	done, _, err := call[api.ServiceAccountAnswer](ctx, s, http.MethodPost, s.path(accountsPart, name, "revoke"), api.Reason{Reason: "drill"})
	if p, ok := errors.AsType[*api.Problem](err); ok && p.Receipt != nil {
		return *p.Receipt, err
	}
	return done.Receipt, err
}

// endDrill revokes what may have been made, also when the drill was interrupted.
func (a *app) endDrill(ctx context.Context, s session, name string) {
	receipt, err := s.revokeDrill(context.WithoutCancel(ctx), name)
	if err != nil && receipt.ID == "" && !isRefused(err) { // else there is nothing, or nothing left
		a.note("The account %[1]s may be left over. To revoke it: postern sa revoke %[1]s --confirm %[1]s", name)
	}
}

// isRefused returns nil when the server does not accept the key.
func (s session) isRefused(ctx context.Context) error {
	_, _, err := call[api.Whoami](ctx, s, http.MethodGet, "/v1/whoami", nil)
	if p, ok := errors.AsType[*api.Problem](err); ok && p.Code == api.CodeUnauthenticated {
		return nil
	}
	if err != nil {
		return fmt.Errorf("try the revoked key again: %w", err)
	}
	return failf(exitFailed, "the key is revoked, and the server still accepts it: that must never be")
}

// outcomes says for each node what a receipt tells of it. A receipt tells names of
// those alone that have not confirmed; of two nodes with one name either may be
// meant. A node that was there before, that it does not name and that is not there
// after, has left or was removed meanwhile.
func outcomes(before, after []api.Node, r api.ReceiptNodes) []drillNode {
	there := map[string]bool{}
	for _, n := range after {
		there[n.ID] = true
	}
	gone := slices.DeleteFunc(slices.Clone(before), func(n api.Node) bool { return there[n.ID] })
	named := map[string][]string{} // outcomes, by the name of a node
	for _, name := range r.Expired {
		named[name] = append(named[name], "lease expired")
	}
	for _, name := range r.Bounded {
		named[name] = append(named[name], "may still answer")
	}
	for _, w := range r.Waiting {
		named[w.Name] = append(named[w.Name], "not confirmed")
	}
	var all []drillNode
	for _, n := range slices.Concat(gone, after) {
		d := drillNode{Name: n.Name, ID: n.ID, Outcome: "confirmed"}
		switch rest := named[n.Name]; {
		case len(rest) > 0:
			d.Outcome, named[n.Name] = rest[0], rest[1:]
		case !there[n.ID]:
			d.Outcome = "gone meanwhile"
		}
		all = append(all, d)
	}
	return all
}
