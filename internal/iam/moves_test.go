package iam_test

import (
	"context"
	"fmt"
	"time"

	"pgregory.net/rapid"

	"github.com/posternhq/postern/internal/iam"
)

// pool is what roles and limits are drawn from.
var pool = []string{
	"*:*", "*:read", "*:execute", "agents:*", "agents:read", "agents:execute", "agents/a:execute", "agents/a*:execute",
	"agents/a*:*", "agents/ab:read", "agents/*:write", "tools:write", "tools/b:*", "iam.*:*", "iam.*:read", "iam.*:write",
	"iam.keys:*", "iam.keys:write", "iam.keys:verify", "iam.roles:write", "iam.members:write", "iam.service_accounts:write",
	"iam.service_accounts:*", "iam.settings:read", "iam.audit:export", "iam.owners:write",
}

func drawGiven(rt *rapid.T) []string {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(pool), 1, 3, rapid.ID[string]).Draw(rt, "permissions")
}

// drawLimit returns a limit, or none.
func drawLimit(rt *rapid.T) *[]string {
	if rapid.Bool().Draw(rt, "limited") {
		limit := drawGiven(rt)
		return &limit
	}
	return nil
}

func drawNetworks(rt *rapid.T) *[]string {
	return rapid.SampledFrom([]*[]string{
		nil, nil, {"192.0.2.0/24"}, {"203.0.113.0/24"}, {"192.0.2.7", "2001:db8::/32"}, {"0.0.0.0/0"},
	}).Draw(rt, "networks")
}

func drawExpiry(rt *rapid.T) *iam.Expiry {
	return rapid.SampledFrom([]*iam.Expiry{nil, {In: time.Hour}, {In: 48 * time.Hour}, {}}).Draw(rt, "expiry")
}

// pick draws one of what there is. The move does not count when there is none.
func pick[T any](rt *rapid.T, what string, from []T) T {
	if len(from) == 0 {
		rt.Skip("there is no " + what)
	}
	return rapid.SampledFrom(from).Draw(rt, what)
}

func (g *game) createRole(rt *rapid.T) {
	in := iam.NewRole{Name: g.name("role"), Permissions: drawGiven(rt)}
	if g.try("create role", pick(rt, "caller", g.callers), nil, func(ctx context.Context, c iam.Caller) (iam.Receipt, error) {
		d, err := g.CreateRole(ctx, c, "-", in)
		return d.Receipt, err
	}) {
		g.roles = append(g.roles, in.Name)
	}
}

func (g *game) updateRole(rt *rapid.T) {
	name, permissions := pick(rt, "role", g.roles), drawGiven(rt)
	g.try("update role", pick(rt, "caller", g.callers), nil, func(ctx context.Context, c iam.Caller) (iam.Receipt, error) {
		d, err := g.UpdateRole(ctx, c, "-", name, iam.RolePatch{Permissions: &permissions})
		return d.Receipt, err
	})
}

func (g *game) deleteRole(rt *rapid.T) {
	name := pick(rt, "role", g.roles)
	g.try("delete role", pick(rt, "caller", g.callers), nil, func(ctx context.Context, c iam.Caller) (iam.Receipt, error) {
		d, err := g.DeleteRole(ctx, c, "-", name)
		return d.Receipt, err
	})
}

func (g *game) createAccount(rt *rapid.T) {
	in := iam.NewServiceAccount{Name: g.name("bot"), Role: pick(rt, "role", g.roles)}
	if g.try("create account", pick(rt, "caller", g.callers), nil, func(ctx context.Context, c iam.Caller) (iam.Receipt, error) {
		d, err := g.CreateServiceAccount(ctx, c, "-", in)
		return d.Receipt, err
	}) {
		g.accounts = append(g.accounts, in.Name)
	}
}

func (g *game) changeAccount(rt *rapid.T) {
	name, role := pick(rt, "account", g.accounts), pick(rt, "role", g.roles)
	g.try("change account", pick(rt, "caller", g.callers), nil, func(ctx context.Context, c iam.Caller) (iam.Receipt, error) {
		d, err := g.UpdateServiceAccount(ctx, c, "-", name, iam.AccountPatch{Role: &role})
		return d.Receipt, err
	})
}

func (g *game) turnAccount(rt *rapid.T) {
	name := pick(rt, "account", g.accounts)
	turn := rapid.SampledFrom([]string{"pause", "resume", "pause", "resume", "revoke"}).Draw(rt, "turn")
	g.try(turn+" account", pick(rt, "caller", g.callers), nil, func(ctx context.Context, c iam.Caller) (iam.Receipt, error) {
		change := g.PauseServiceAccount
		switch turn {
		case "resume":
			change = g.ResumeServiceAccount
		case "revoke":
			change = g.RevokeServiceAccount
		}
		d, err := change(ctx, c, "-", name, "")
		return d.Receipt, err
	})
}

func (g *game) createKey(rt *rapid.T) {
	account := pick(rt, "account", g.accounts)
	in := iam.NewKey{Name: g.name("key"), Limit: drawLimit(rt), AllowedNetworks: drawNetworks(rt), Expiry: drawExpiry(rt)}
	g.try("create key", pick(rt, "caller", g.callers), nil, func(ctx context.Context, c iam.Caller) (iam.Receipt, error) {
		d, shown, err := g.CreateKey(ctx, c, "-", account, in)
		if err == nil {
			g.add(d.Value.ID, g.verify(shown).Caller())
		}
		return d.Receipt, err
	})
}

// add lets a key that was made take part.
func (g *game) add(id iam.KeyID, c iam.Caller) {
	c.Source, c.RequestID = whence, g.name("req")
	g.callers, g.keyIDs = append(g.callers, c), append(g.keyIDs, id)
}

func (g *game) createMyKey(rt *rapid.T) {
	in := iam.NewKey{Name: g.name("key"), Limit: drawLimit(rt), AllowedNetworks: drawNetworks(rt)}
	g.try("create my key", pick(rt, "caller", g.callers), nil, func(ctx context.Context, c iam.Caller) (iam.Receipt, error) {
		d, shown, err := g.CreateMyKey(ctx, c, "-", in)
		if err == nil {
			g.add(d.Value.ID, g.verify(shown).Caller())
		}
		return d.Receipt, err
	})
}

func (g *game) patchKey(rt *rapid.T) {
	id, patch := pick(rt, "key", g.keyIDs), iam.KeyPatch{Expiry: drawExpiry(rt)}
	if rapid.Bool().Draw(rt, "patch limit") {
		patch.Limit = &iam.Optional[[]string]{Value: drawLimit(rt)}
	}
	if rapid.Bool().Draw(rt, "patch networks") {
		patch.AllowedNetworks = &iam.Optional[[]string]{Value: drawNetworks(rt)}
	}
	g.try("patch key", pick(rt, "caller", g.callers), nil, func(ctx context.Context, c iam.Caller) (iam.Receipt, error) {
		d, err := g.UpdateKey(ctx, c, "-", id, patch)
		return d.Receipt, err
	})
}

func (g *game) turnKey(rt *rapid.T) {
	id, resume := pick(rt, "key", g.keyIDs), rapid.Bool().Draw(rt, "resume")
	if !resume {
		g.try("pause key", pick(rt, "caller", g.callers), nil, func(ctx context.Context, c iam.Caller) (iam.Receipt, error) {
			d, err := g.PauseKey(ctx, c, "-", id, iam.Why{})
			return d.Receipt, err
		})
		return
	}
	g.try("resume key", pick(rt, "caller", g.callers), []iam.KeyID{id}, func(ctx context.Context, c iam.Caller) (iam.Receipt, error) {
		d, err := g.ResumeKey(ctx, c, "-", id, iam.Why{})
		return d.Receipt, err
	})
}

func (g *game) revokeKey(rt *rapid.T) {
	c := pick(rt, "caller", g.callers)
	id, why := pick(rt, "key", g.keyIDs), iam.Why{Descendants: rapid.Bool().Draw(rt, "descendants")}
	if rapid.IntRange(0, 9).Draw(rt, "self") == 0 {
		g.try("revoke self", c, nil, func(ctx context.Context, c iam.Caller) (iam.Receipt, error) {
			d, err := g.RevokeSelf(ctx, c, why)
			return d.Receipt, err
		})
		return
	}
	g.try(fmt.Sprintf("revoke key, descendants %t", why.Descendants), c, nil, func(ctx context.Context, c iam.Caller) (iam.Receipt, error) {
		d, err := g.RevokeKey(ctx, c, "-", id, why)
		return d.Receipt, err
	})
}

func (g *game) invite(rt *rapid.T) {
	if len(g.invitations) > 0 && rapid.IntRange(0, 3).Draw(rt, "cancel") == 0 {
		offered := pick(rt, "invitation", g.invitations)
		g.try("cancel invitation", pick(rt, "caller", g.callers), nil, func(ctx context.Context, c iam.Caller) (iam.Receipt, error) {
			d, err := g.CancelInvitation(ctx, c, "-", offered.id)
			return d.Receipt, err
		})
		return
	}
	in := iam.NewInvitation{Email: g.name("p") + "@example.com", Role: pick(rt, "role", g.roles)}
	g.try("invite", pick(rt, "caller", g.callers), nil, func(ctx context.Context, c iam.Caller) (iam.Receipt, error) {
		d, shown, err := g.Invite(ctx, c, "-", in)
		if err == nil {
			g.invitations = append(g.invitations, offer{d.Value.ID, shown, c})
		}
		return d.Receipt, err
	})
}

// accept uses an invitation. Whoever invited gives what the new key holds.
func (g *game) accept(rt *rapid.T) {
	offered := pick(rt, "invitation", g.invitations)
	g.try("accept", offered.by, nil, func(ctx context.Context, _ iam.Caller) (iam.Receipt, error) {
		d, shown, err := g.AcceptInvitation(ctx, g.anonymous(), iam.Acceptance{Token: offered.with, Name: "New", KeyName: "first"})
		if err == nil {
			g.members = append(g.members, d.Value.Member.ID)
			g.add(d.Value.Key.ID, g.verify(shown).Caller())
		}
		return d.Receipt, err
	})
}

func (g *game) changeMember(rt *rapid.T) {
	id, role := pick(rt, "member", g.members), pick(rt, "role", append(g.roles, "remove"))
	g.try("change member", pick(rt, "caller", g.callers), nil, func(ctx context.Context, c iam.Caller) (iam.Receipt, error) {
		if role == "remove" {
			d, err := g.RemoveMember(ctx, c, "-", id)
			return d.Receipt, err
		}
		d, err := g.UpdateMember(ctx, c, "-", id, role)
		return d.Receipt, err
	})
}

func (g *game) turnWorkspace(rt *rapid.T) {
	for _, turn := range []func(context.Context, iam.Caller, string, string) (iam.Done[iam.Workspace], error){
		g.PauseWorkspace, g.ResumeWorkspace,
	} {
		g.try("turn workspace", g.system, nil, func(ctx context.Context, c iam.Caller) (iam.Receipt, error) {
			d, err := turn(ctx, c, string(g.owner.Workspace.ID), "")
			return d.Receipt, err
		})
		if rapid.IntRange(0, 3).Draw(rt, "stay") == 0 {
			return
		}
	}
}

func (g *game) timePasses(rt *rapid.T) {
	g.clock.advance(rapid.SampledFrom([]time.Duration{time.Minute, time.Hour, 50 * time.Hour}).Draw(rt, "time"))
	g.alike(g.look())
}
