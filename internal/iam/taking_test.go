package iam_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

// prey is the holder of a key whose power is taken, in a tenant of its own.
type prey struct {
	iam.Caller
	role   iam.Role
	parent iam.Caller // with whose key the key was made
}

// taker is a way to take power from somebody.
type taker struct {
	member   bool // from a person
	operator bool // only the deployment's operators can
	take     func(w *world, p prey) call
}

// takers are all the ways in which a key loses power (S9, S11).
func takers() map[string]taker {
	return map[string]taker{
		"key revoked": {take: func(w *world, p prey) call { return w.revoke(p.Caller) }},
		"key it was made with revoked along with all made with it": {take: func(w *world, p prey) call {
			return func(ctx context.Context, c iam.Caller) (result, error) {
				return plain(w.RevokeKey(ctx, c, "-", p.parent.Key.ID, iam.Why{Reason: "compromised", Descendants: true}))
			}
		}},
		"key paused": {take: func(w *world, p prey) call {
			return func(ctx context.Context, c iam.Caller) (result, error) {
				return plain(w.PauseKey(ctx, c, "-", p.Key.ID, iam.Why{}))
			}
		}},
		"limit narrowed": {take: func(w *world, p prey) call {
			return w.patch(p, iam.KeyPatch{Limit: &iam.Optional[[]string]{Value: &[]string{"*:read", "iam.*:read"}}})
		}},
		"networks narrowed": {take: func(w *world, p prey) call {
			return w.patch(p, iam.KeyPatch{AllowedNetworks: &iam.Optional[[]string]{Value: &[]string{"203.0.113.0/24"}}})
		}},
		"account paused": {take: func(w *world, p prey) call {
			return func(ctx context.Context, c iam.Caller) (result, error) {
				return plain(w.PauseServiceAccount(ctx, c, "-", string(p.Principal.ID), ""))
			}
		}},
		"account revoked": {take: func(w *world, p prey) call {
			return func(ctx context.Context, c iam.Caller) (result, error) {
				return plain(w.RevokeServiceAccount(ctx, c, "-", string(p.Principal.ID), ""))
			}
		}},
		"account's role changed": {take: func(w *world, p prey) call {
			role := iam.Viewer
			return func(ctx context.Context, c iam.Caller) (result, error) {
				return plain(w.UpdateServiceAccount(ctx, c, "-", string(p.Principal.ID), iam.AccountPatch{Role: &role}))
			}
		}},
		"role narrowed":             {take: narrow},
		"role of a person narrowed": {member: true, take: narrow},
		"person's role changed": {member: true, take: func(w *world, p prey) call {
			return func(ctx context.Context, c iam.Caller) (result, error) {
				return plain(w.UpdateMember(ctx, c, "-", p.Principal.ID, iam.Viewer))
			}
		}},
		"person removed": {member: true, take: func(w *world, p prey) call {
			return func(ctx context.Context, c iam.Caller) (result, error) {
				return plain(w.RemoveMember(ctx, c, "-", p.Principal.ID))
			}
		}},
		"workspace paused": {operator: true, take: func(w *world, p prey) call {
			return func(ctx context.Context, c iam.Caller) (result, error) {
				return plain(w.PauseWorkspace(ctx, c, p.Workspace.Name, ""))
			}
		}},
	}
}

func (w *world) patch(p prey, patch iam.KeyPatch) call {
	return func(ctx context.Context, c iam.Caller) (result, error) {
		return plain(w.UpdateKey(ctx, c, "-", p.Key.ID, patch))
	}
}

func narrow(w *world, p prey) call {
	return func(ctx context.Context, c iam.Caller) (result, error) {
		return plain(w.UpdateRole(ctx, c, "-", p.role.Name, iam.RolePatch{Permissions: &[]string{"*:read"}}))
	}
}

// hunt makes somebody to take power from, and returns who may.
func (w *world) hunt(way taker) (p prey, by iam.Caller) {
	w.t.Helper()
	w = w.by(w.tenant(w.name("tenant")))
	p.role = w.role("*:*", "iam.*:*")
	if way.member {
		_, p.Caller = w.member(p.role.Name)
	} else {
		p.parent = w.holder(p.role.Name)
		p.Caller = w.by(p.parent).holder(p.role.Name)
	}
	if way.operator {
		return p, w.system
	}
	return p, w.owner
}

// may asks the replica whether the holder of a key may make accounts.
func (w *world) may(p prey) bool {
	return w.verifyHash(w.row(p.Caller).Hash, iam.WriteAccounts).Code == replica.Valid
}

// S9, S11, A06, A07, A10, A11: once a call that takes power has returned, no
// node allows what was taken, and the rows do not either.
func TestPowerIsGoneWhenTheCallThatTakesItReturns(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		for name, way := range takers() {
			t.Run(name, func(t *testing.T) {
				w := w.in(t)
				p, by := w.hunt(way)
				if !w.may(p) {
					t.Fatal("the key does not work before")
				}
				w.succeed(way.take(w, p), by)
				if w.may(p) {
					t.Error("the key may still make accounts, as the replica has it")
				}
				_, err := w.making()(t.Context(), p.Caller)
				wantRefused(t, err)
			})
		}
	})
}

// A call of a key that gets its turn after power was taken from it finds that out.
func TestChangeQueuedBehindWhateverTakesItsPowerIsRefused(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		for name, way := range takers() {
			t.Run(name, func(t *testing.T) {
				w := w.in(t)
				p, by := w.hunt(way)
				head := w.head()
				queued := w.behind(way.take(w, p), by, w.making(), p.Caller)
				wantRefused(t, queued.err)
				if got := w.head(); got != head+1 {
					t.Errorf("got revision %d, want %d: that of the taking alone", got, head+1)
				}
			})
		}
	})
}

// wantRefused fails the test unless an error says that a caller may not, or no
// longer.
func wantRefused(t tb, err error) {
	t.Helper()
	if kind := kindOf(err); kind != iam.Unauthenticated && kind != iam.PermissionDenied {
		t.Errorf("got error %v, want unauthenticated or permission_denied", err)
	}
}

// The replica stands still. Until it has moved on the key works, and the call
// that takes its power has not returned: the two cannot both be.
func TestTakingPowerWaitsForAReplicaThatStandsStill(t *testing.T) {
	for name, way := range takers() {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				p, by := w.hunt(way)
				w.unfollow()
				ended := w.start(way.take(w, p), by)
				time.Sleep(time.Minute) // of the bubble's: whatever would give up has
				synctest.Wait()
				running(t, ended, "while the replica stands still")
				if !w.may(p) {
					t.Fatal("the replica has moved on, so that this test shows nothing")
				}
				w.follow()
				if o := <-ended; o.err != nil || !o.receipt.Confirmed {
					t.Errorf("got %+v and error %v, want a confirmed receipt", o.receipt, o.err)
				}
				if w.may(p) {
					t.Error("the key may still make accounts")
				}
			})
		})
	}
}

// A23: what has an end is over at that moment, whether or not anything runs.
func TestExpiryNeedsNoJob(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		_, shown := w.key(w.account(iam.Admin), iam.NewKey{Expiry: &iam.Expiry{In: time.Hour}})
		c := w.caller(shown)
		_, early := w.invitation(iam.Viewer)
		_, late := w.invitation(iam.Viewer)
		w.clock.advance(time.Hour - time.Microsecond)
		w.succeed(w.making(), c)
		w.clock.advance(time.Microsecond)
		if got := w.verify(shown).Code; got != replica.Expired {
			t.Errorf("at its end the key is %s, want expired", got)
		}
		_, err := w.making()(t.Context(), c)
		wantKind(t, err, iam.Unauthenticated)
		if got := w.row(c).State(w.clock.now()); got != iam.Expired {
			t.Errorf("at its end the row is %s, want expired", got)
		}

		w.clock.advance(7*24*time.Hour - time.Hour - time.Microsecond)
		issued(w.AcceptInvitation(t.Context(), w.anonymous(), iam.Acceptance{Token: early, Name: "Early"}))(t)
		w.clock.advance(time.Microsecond)
		_, _, err = w.AcceptInvitation(t.Context(), w.anonymous(), iam.Acceptance{Token: late, Name: "Late"})
		wantKind(t, err, iam.Gone)
	})
}

// making returns a call that makes an account that may do nothing but read.
func (w *world) making() call {
	name := w.name("bot")
	return func(ctx context.Context, c iam.Caller) (result, error) {
		return plain(w.CreateServiceAccount(ctx, c, "-", iam.NewServiceAccount{Name: name, Role: iam.Viewer}))
	}
}
