package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

func memberColumns() []column[api.Member] {
	return []column[api.Member]{
		{name: "name", text: func(m api.Member) string { return m.Name }},
		{name: "email", text: func(m api.Member) string { return m.Email }},
		{name: "id", text: func(m api.Member) string { return m.ID }},
		{name: "role", text: func(m api.Member) string { return m.Role.Name }},
		{name: "state", text: func(m api.Member) string { return m.State }},
		{name: "keys", text: func(m api.Member) string { return keyCounts(m.Keys) }},
		{name: "created_at", text: func(m api.Member) string { return when(m.CreatedAt) }},
	}
}

func invitationColumns() []column[api.Invitation] {
	return []column[api.Invitation]{
		{name: "email", text: func(i api.Invitation) string { return i.Email }},
		{name: "id", text: func(i api.Invitation) string { return i.ID }},
		{name: "role", text: func(i api.Invitation) string { return i.Role.Name }},
		{name: "state", text: func(i api.Invitation) string { return i.State }},
		{name: "invited_by", text: func(i api.Invitation) string { return actorName(i.InvitedBy) }},
		{name: "expires_at", text: func(i api.Invitation) string { return when(i.ExpiresAt) }},
	}
}

func (a *app) memberCommand() *cobra.Command {
	return a.group("member", "Members: people in a workspace, each with a seat",
		a.memberInvite(), a.memberAccept(), a.memberList(), a.memberUpdate(), a.memberRemove())
}

func (a *app) memberList() *cobra.Command {
	var state, role, search string
	var invitations bool
	cmd := a.leaf(command{
		use: "list", short: "List members, or invitations",
		examples: [2]string{"postern member list", "postern member list --invitations --state pending --json"},
		run: func(ctx context.Context, _ *cobra.Command, _ []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			query := filters("state", state, "role", role, "q", search)
			if invitations {
				return list(ctx, a, s, s.path("invitations"), query, invitationColumns())
			}
			return list(ctx, a, s, s.path("members"), query, memberColumns())
		},
	})
	fs := cmd.Flags()
	fs.BoolVar(&invitations, "invitations", false, "list invitations instead")
	fs.StringVar(&state, "state", "", "only those that are active or removed; of invitations, pending, accepted, cancelled or expired")
	fs.StringVar(&role, "role", "", "only members with this role")
	fs.StringVar(&search, "q", "", "only those with this in the name or the address")
	a.completeFlag(cmd, "role", a.roleNames)
	return cmd
}

func (a *app) memberInvite() *cobra.Command {
	var in api.CreateInvitation
	var out secretOut
	cmd := a.leaf(command{
		use: "invite EMAIL", short: "Invite a person, and show the token once",
		long: "A pending invitation holds a seat. Inviting the same address again ends the earlier invitation.",
		examples: [2]string{
			"postern member invite sam@example.com --role editor --out-token sam.token",
			"postern member invite kim@example.com --role viewer --field token",
		},
		run: func(ctx context.Context, _ *cobra.Command, args []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			if err := out.prepare(a, "token"); err != nil {
				return err
			}
			defer out.close()
			in.Email = args[0]
			made, raw, err := call[api.CreatedInvitation](ctx, s, http.MethodPost, s.path("invitations"), in)
			if err != nil {
				return err
			}
			if err := out.deliver(a, token.NewSecret(made.Token), made.ID); err != nil {
				return err
			}
			return a.showInvitation(made, raw, out.toFiles())
		},
	})
	cmd.Flags().StringVar(&in.Role, "role", "viewer", "their role: id or name")
	out.registerToken(cmd.Flags())
	a.completeFlag(cmd, "role", a.roleNames)
	return cmd
}

func (a *app) showInvitation(made api.CreatedInvitation, raw json.RawMessage, hide bool) (err error) {
	columns := invitationColumns()
	switch {
	case hide:
		raw, err = json.Marshal(struct {
			api.Invitation
			Revision int64 `json:"revision"`
		}{made.Invitation, made.Revision})
		if err != nil {
			return err
		}
	case a.global.output == formatTable:
		columns = append(columns, column[api.Invitation]{name: "token", text: func(api.Invitation) string { return made.Token }})
	}
	if err := show(a, raw, columns); err != nil {
		return err
	}
	a.next("postern member accept --token-file FILE --name NAME")
	return nil
}

func (a *app) memberAccept() *cobra.Command {
	in := secretIn{noun: "token"}
	var name, key string
	var out secretOut
	cmd := a.leaf(command{
		use: "accept", short: "Accept an invitation; the token is all that it takes",
		long: "--key-name asks for a first key of your own, whose value is shown once.",
		examples: [2]string{
			"postern member accept --token-file sam.token --name Sam --key-name laptop --out-header sam.h",
			"postern member accept --token - --name Jo < globex.token",
		},
		run: func(ctx context.Context, _ *cobra.Command, _ []string) error {
			s, err := a.openSession(ctx)
			if err != nil {
				return err
			}
			s.Key = token.Secret{} // the invitation's token is the credential
			secret, err := in.read(a.Stdin)
			if err != nil {
				return err
			}
			body := api.AcceptInvitation{Token: secret.Reveal(), Name: name}
			if key != "" {
				body.Key = &api.KeyName{Name: key}
				if err := out.prepare(a, "key.value"); err != nil {
					return err
				}
				defer out.close()
			}
			joined, raw, err := call[api.AcceptedInvitation](ctx, s, http.MethodPost, "/v1/invitations/accept", body)
			if err != nil {
				return err
			}
			return a.showJoined(joined, raw, &out)
		},
	})
	in.register(cmd.Flags())
	cmd.Flags().StringVar(&name, "name", "", "how you are to be called")
	cmd.Flags().StringVar(&key, "key-name", "", "name of a first key of your own")
	out.register(cmd.Flags())
	return cmd
}

func (a *app) showJoined(joined api.AcceptedInvitation, raw json.RawMessage, out *secretOut) error {
	if joined.Key != nil {
		if err := out.deliver(a, token.NewSecret(joined.Key.Value), joined.Key.ID); err != nil {
			return err
		}
	}
	if a.global.field != "" || a.global.output != formatTable {
		if out.toFiles() {
			joined.Key.Value = ""
			var err error
			if raw, err = json.Marshal(joined); err != nil {
				return err
			}
		}
		return a.showJSON(raw)
	}
	member, err := json.Marshal(joined.Member)
	if err != nil {
		return err
	}
	columns := memberColumns()
	if joined.Key != nil && !out.toFiles() {
		columns = append(columns, column[api.Member]{name: "value", text: func(api.Member) string { return joined.Key.Value }})
	}
	if err := show(a, member, columns); err != nil {
		return err
	}
	a.next("postern context add NAME --server URL --key-file FILE")
	return nil
}

func (a *app) memberUpdate() *cobra.Command {
	var in api.UpdateMember
	cmd := a.leaf(command{
		use: "update MEMBER", short: "Give a member another role",
		examples: [2]string{"postern member update sam@example.com --role viewer", "postern member update Sam --role editor --json"},
		run: func(ctx context.Context, _ *cobra.Command, args []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			if in.Role == "" {
				return usagef("say which role: --role ROLE")
			}
			id, err := s.memberID(ctx, args[0])
			if err != nil {
				return err
			}
			_, raw, err := call[api.UpdatedMember](ctx, s, http.MethodPatch, s.path("members", id), in)
			if err != nil {
				return err
			}
			return show(a, raw, memberColumns())
		},
	})
	cmd.Flags().StringVar(&in.Role, "role", "", "their new role: id or name")
	a.completeFlag(cmd, "role", a.roleNames)
	return cmd
}

func (a *app) memberRemove() *cobra.Command {
	var p patience
	cmd := a.leaf(command{
		use: "remove MEMBER", short: "Remove a member and stop their own keys, or take an invitation back",
		long: "The accounts that they made, and those accounts' keys, go on.",
		examples: [2]string{
			"postern member remove sam@example.com --confirm sam@example.com",
			"postern member remove kim@example.com --json",
		},
		run: func(ctx context.Context, _ *cobra.Command, args []string) error {
			s, err := p.session(ctx, a)
			if err != nil {
				return err
			}
			invitation, err := s.pendingInvitation(ctx, args[0])
			if err != nil {
				return err
			}
			if invitation != "" {
				out, raw, err := call[api.InvitationAnswer](ctx, s, http.MethodDelete, s.path("invitations", invitation), nil)
				if err != nil {
					return err
				}
				return a.ended(raw, "Took back the invitation of", out.Invitation.Email, out.Receipt)
			}
			return a.removeMember(ctx, s, args[0])
		},
	})
	p.register(cmd.Flags())
	return cmd
}

// pendingInvitation returns the id of the invitation that a reference names, if
// that is what it names.
func (s session) pendingInvitation(ctx context.Context, ref string) (string, error) {
	if isID(iam.InvitationPrefix, ref) {
		return ref, nil
	}
	query := url.Values{"q": {ref}, "state": {string(iam.Pending)}}
	found, err := find(ctx, s, s.path("invitations"), query, func(i api.Invitation) bool { return strings.EqualFold(i.Email, ref) })
	if err != nil || len(found) == 0 {
		return "", err
	}
	return found[0].ID, nil
}

func (a *app) removeMember(ctx context.Context, s session, ref string) error {
	id, err := s.memberID(ctx, ref)
	if err != nil {
		return err
	}
	member, _, err := call[api.Member](ctx, s, http.MethodGet, s.path("members", id), nil)
	if err != nil {
		return err
	}
	if err := a.confirm(ctx, "remove", member.Email); err != nil {
		return err
	}
	out, raw, err := call[api.RemovedMember](ctx, s, http.MethodDelete, s.path("members", id), nil)
	if err != nil {
		return err
	}
	return a.ended(raw, "Removed", out.Member.Email, out.Receipt)
}

func (a *app) seatCommand() *cobra.Command {
	return a.leaf(command{
		use: "seat", short: "Count the seats; service accounts take none",
		examples: [2]string{"postern seat", "postern seat --field used"},
		run: func(ctx context.Context, _ *cobra.Command, _ []string) error {
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			_, raw, err := call[api.Seats](ctx, s, http.MethodGet, s.path("seats"), nil)
			if err != nil {
				return err
			}
			return show(a, raw, []column[api.Seats]{
				{name: "used", text: func(x api.Seats) string { return strconv.FormatInt(x.Used, 10) }},
				{name: "pending", text: func(x api.Seats) string { return strconv.FormatInt(x.Pending, 10) }},
				{name: "limit", text: func(x api.Seats) string {
					if x.Limit == nil {
						return "none"
					}
					return strconv.FormatInt(*x.Limit, 10)
				}},
			})
		},
	})
}
