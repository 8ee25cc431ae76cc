package iam_test

import (
	"context"
	"flag"
	"maps"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/token"
)

// Nobody can give what they do not have (B01, B02, B05, B08), whatever is called
// in whatever order.
func TestNobodyGivesWhatTheyDoNotHave(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		bound(t, 10, 40)
		succeeded, denied := map[string]int{}, map[string]int{}
		rapid.Check(t, func(rt *rapid.T) {
			g := newGame(w.in(rt))
			g.succeeded, g.denied = succeeded, denied
			rt.Repeat(g.moves())
		})
		t.Logf("succeeded: %v", succeeded)
		t.Logf("denied: %v", denied)
		if len(succeeded) == 0 || len(denied) == 0 {
			t.Error("got no call that succeeded, or none that was denied; want some of both")
		}
	})
}

// bound sets how much a property test does, a third of it where tests are to be
// short, unless the command line says so.
func bound(t *testing.T, checks, steps int) {
	t.Helper()
	if testing.Short() { // of which rapid makes a fifth of the checks, and half the steps
		checks, steps = max(1, checks/3)*5, steps*2
	}
	for name, n := range map[string]int{"rapid.checks": checks, "rapid.steps": steps} {
		f := flag.Lookup(name)
		was := f.Value.String()
		if was != f.DefValue {
			continue
		}
		if err := f.Value.Set(strconv.Itoa(n)); err != nil {
			t.Fatalf("set -%s: %v", name, err)
		}
		t.Cleanup(func() { _ = f.Value.Set(was) }) // it was read from there
	}
}

// game is a tenant in which callers of all sorts try all that there is.
type game struct {
	*world
	succeeded, denied map[string]int

	callers     []iam.Caller // as they were when their keys were made
	roles       []string     // names
	accounts    []string
	members     []iam.PrincipalID
	keyIDs      []iam.KeyID
	invitations []offer
	rotations   []iam.RotationID
}

// offer is an invitation that may be accepted.
type offer struct {
	id   iam.InvitationID
	with token.Secret
	by   iam.Caller
}

// newGame returns a new tenant with a few callers, from all there is down to
// nearly nothing.
func newGame(w *world) *game {
	w.system = w.recovered() // time passes in a game, and keys end
	g := &game{world: w.by(w.tenant(w.name("game")))}
	g.roles = []string{iam.Viewer, iam.Operator, iam.Editor, iam.Verifier, iam.Admin, iam.Owner}
	g.callers, g.members = []iam.Caller{g.owner}, []iam.PrincipalID{g.owner.Principal.ID}
	for _, permissions := range [][]string{
		{"*:*", "iam.*:*"},
		{"*:read", "agents/a*:execute", "iam.service_accounts:*", "iam.keys:*"},
		{"agents:*", "iam.roles:write", "iam.members:write", "iam.keys:write"},
	} {
		role := g.role(permissions...)
		account := g.account(role.Name)
		for _, limit := range []*[]string{nil, {permissions[len(permissions)-1], "agents/a:execute"}} {
			if limit != nil && permissions[0] == "*:read" {
				continue // wider than the role
			}
			key, shown := g.key(account, iam.NewKey{Limit: limit})
			g.callers, g.keyIDs = append(g.callers, g.caller(shown)), append(g.keyIDs, key.ID)
		}
		g.roles, g.accounts = append(g.roles, role.Name), append(g.accounts, account.Name)
	}
	m, c := g.member(iam.Editor)
	g.members, g.callers = append(g.members, m.ID), append(g.callers, c)
	return g
}

// recovered returns a new key of the first owner of all.
func (w *world) recovered() iam.Caller {
	w.clock.advance(time.Second) // it is named for the second
	_, brief := issued(w.Recover(w.t.Context(), "ops@example.com", ""))(w.t)
	_, shown := issued(w.CreateMyKey(w.t.Context(), w.caller(brief), "-", iam.NewKey{Name: w.name("key")}))(w.t)
	return w.caller(shown)
}

// look returns what every key can do, as the rows are now.
func (g *game) look() map[iam.KeyID]held {
	ws, err := g.Store.Workspace(g.t.Context(), string(g.owner.Workspace.ID))
	if err != nil {
		g.t.Fatalf("read the workspace: %v", err)
	}
	all := map[iam.KeyID]held{}
	for _, key := range g.keys(ws.ID) {
		all[key.ID] = holdOf(key, ws.Paused, g.clock.now())
	}
	return all
}

// move is something that a caller tries. It returns what was made or changed.
type move func(ctx context.Context, c iam.Caller) (iam.Receipt, error)

// try has a caller try something and holds the end to the rules. given are the
// keys that the move is to give all that they hold.
func (g *game) try(name string, c iam.Caller, given []iam.KeyID, try move) bool {
	before, head := g.look(), g.replica.Position().Seq
	receipt, err := try(g.t.Context(), c)
	after := g.look()
	g.alike(after)
	if err != nil {
		if kindOf(err) == iam.PermissionDenied {
			g.denied[name]++
		}
		if kindOf(err) == "" {
			g.t.Errorf("%s: got error %v, want one that the caller may hear", name, err)
		}
		if seq := g.replica.Position().Seq; seq != head || !maps.EqualFunc(before, after, sameRow) {
			g.t.Errorf("%s failed (%v) and changed something: revision %d, was %d", name, err, seq, head)
		}
		return false
	}
	g.succeeded[name]++
	if !receipt.Confirmed {
		g.t.Errorf("%s: got %+v, want a confirmed receipt", name, receipt)
	}
	if c.System {
		return true // who operates the deployment pauses and resumes what they do not hold
	}
	by := before[c.Key.ID]
	if name == "accept" {
		by = by.gave()
	}
	g.rules(name, by, before, after)
	for _, id := range given {
		if got, max := after[id].could, by.does; !got.within(max) {
			g.t.Errorf("%s gave a key %s, which the caller does not hold", name, got.missing(max))
		}
	}
	return true
}

func sameRow(a, b held) bool { return text(a.row) == text(b.row) }

// rules fails the test when a call that succeeded broke one.
func (g *game) rules(name string, by held, before, after map[iam.KeyID]held) {
	if !by.works || !by.from[0] {
		g.t.Errorf("%s: a key that does not work succeeded: %s", name, text(by.row))
	}
	activeOwner := false
	for id, is := range after {
		was := before[id]
		if max := was.does | by.does; !is.does.within(max) {
			g.t.Errorf("%s: a key can now %s, which neither it nor the caller could:\n%s\nby %s",
				name, is.does.missing(max), text(is.row), text(by.row))
		}
		if (was.row.ID == "" || is.longer(was)) && !is.could.within(by.does) {
			g.t.Errorf("%s: a key was made, or works longer, that can %s, which the caller cannot:\n%s\nby %s",
				name, is.could.missing(by.does), text(is.row), text(by.row))
		}
		if is.could&owners != 0 && (is.row.Principal.Type != iam.MemberType || !is.isOwner) {
			g.t.Errorf("%s: somebody who is no owner holds power over owners: %s", name, text(is.row))
		}
		if was.isOwner && !sameRow(was, is) && by.does&owners == 0 && id != by.row.ID {
			g.t.Errorf("%s: somebody who is no owner acted on one:\n%s\nby %s", name, text(is.row), text(by.row))
		}
		if role := powerOf(is.row.Principal.Role.Permissions.Strings()); !is.could.within(role) {
			g.t.Errorf("%s: a limit widens: %s", name, text(is.row))
		}
		activeOwner = activeOwner || is.isOwner && is.row.Principal.State == iam.Active
	}
	if !activeOwner {
		g.t.Errorf("%s: no owner is left", name)
	}
}

// alike fails the test unless the replica says of each key what the rows say.
func (g *game) alike(rows map[iam.KeyID]held) {
	for _, h := range rows {
		v := g.verifyHash(h.row.Hash, concrete...)
		var says power
		for i := range concrete {
			if v.Allows(i) {
				says |= 1 << i
			}
		}
		want := h.does
		if !h.from[0] {
			want = 0
		}
		if says != want || (v.Code == replica.Stale) {
			g.t.Errorf("the replica says %s and allows %b, the rows %b: %s", v.Code, says, want, text(h.row))
		}
		if h.works && !v.Effective().Equal(h.row.Effective()) {
			g.t.Errorf("effective: got %v of the replica, want %v of the row", v.Effective().Strings(), h.row.Effective().Strings())
		}
	}
}

// moves are all that may be tried.
func (g *game) moves() map[string]func(*rapid.T) {
	all := map[string]func(*rapid.T){}
	for name, act := range map[string]func(*game, *rapid.T){
		"create role": (*game).createRole, "update role": (*game).updateRole, "delete role": (*game).deleteRole,
		"create account": (*game).createAccount, "change account": (*game).changeAccount, "turn account": (*game).turnAccount,
		"create key": (*game).createKey, "create my key": (*game).createMyKey, "patch key": (*game).patchKey,
		"turn key": (*game).turnKey, "revoke key": (*game).revokeKey,
		"rotate": (*game).rotate, "turn rotation": (*game).turnRotation, "advance rotations": (*game).advanceRotations,
		"invite": (*game).invite, "accept": (*game).accept, "change member": (*game).changeMember,
		"turn workspace": (*game).turnWorkspace, "time passes": (*game).timePasses,
	} {
		all[name] = func(rt *rapid.T) { act(g, rt) }
	}
	return all
}
