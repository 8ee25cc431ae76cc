package iam_test

import (
	"context"
	"iter"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// change is one of the methods of [iam.Service] that change something, together
// with what must be true of it. Tests that say "every" go over all of them.
type change struct {
	caller origin
	needs  string  // the permission that it takes; empty: a credential that works is enough
	gives  string  // the first permission that its result holds; empty: it gives none
	shows  bool    // a secret
	ends   bool    // the caller's own key
	writes []event // its audit events
	ready  func(w *world, c iam.Caller) call
}

// origin says whose key a change is made with.
type origin int

const (
	byAccount  origin = iota // a service account of the tenant
	byMember                 // a person of the tenant
	byOperator               // a service account of the system workspace
	byNobody                 // no key; c is who made what the call rests on
)

// call makes a change that was made ready, as c.
type call func(ctx context.Context, c iam.Caller) (result, error)

// result is the end of a change, whatever it is about.
type result struct {
	value    any
	revision int64
	receipt  iam.Receipt
	shown    token.Secret
}

func plain[T any](d iam.Done[T], err error) (result, error) {
	return result{d.Value, d.Revision, d.Receipt, token.Secret{}}, err
}

func secret[T any](d iam.Done[T], s token.Secret, err error) (result, error) {
	return result{d.Value, d.Revision, d.Receipt, s}, err
}

// event is what an audit event must say. The value anything stands for one that a
// test cannot know.
type event struct {
	action, target string // target: its type
	before, after  audit.Fields
	reason         string
}

const anything = "<any>"

// changes returns every method that changes something, by name.
func changes() map[string]change {
	all := map[string]change{}
	for _, some := range []map[string]change{
		accountChanges(), accountEnds(), newKeyChanges(), keyChanges(), keyEnds(),
		rotationStarts(), rotationEnds(), invitationChanges(), memberChanges(), roleChanges(), workspaceChanges(),
	} {
		maps.Copy(all, some)
	}
	return all
}

// others are the methods that neither change rows nor take a permission of the
// caller's workspace.
var others = []string{
	"MyKeys", "Self", "Overview", "SelfRotations", "Workspaces", "WriteSums", "Receipt", "AwaitReceipts", "WriteReceipts", "NoticeExpiries", "Report", "ReportWithin",
	"AdvanceRotations",      // which has tests of its own
	"Initialize", "Recover", // Postern's own, which have tests of their own
	// of people who sign in, which no key does: they have tests of their own
	"SignIn", "EndSignIn", "EndOtherSignIns", "StepUp", "SignIns", "CurrentSignIn", "Place",
	"ChangePassword", "AddPasskey", "RenamePasskey", "RemovePasskey", "Passkeys",
	"FirstSetupLink", "MemberSetupLink", "UseSetupLink", "Device", "AnswerDevice", "UseDevice",
}

// A method that is not listed is not tested by those tests that say "every".
func TestEveryMethodIsListed(t *testing.T) {
	listed := map[string]int{}
	for _, names := range []iter.Seq[string]{maps.Keys(changes()), maps.Keys(readings()), slices.Values(others)} {
		for name := range names {
			listed[name]++
		}
	}
	service := reflect.TypeFor[*iam.Service]()
	for i := range service.NumMethod() {
		name := service.Method(i).Name
		if listed[name] != 1 {
			t.Errorf("%s is %d times in changes, readings and others, want once", name, listed[name])
		}
		delete(listed, name)
	}
	for name := range listed {
		t.Errorf("%s is listed, and Service does not have it", name)
	}
}

// eachChange runs a test for every change, all in one world.
func eachChange(t *testing.T, test func(w *world, ch change)) {
	eachWorld(t, func(t *testing.T, w *world) {
		for name, ch := range changes() {
			t.Run(name, func(t *testing.T) { test(w.in(t), ch) })
		}
	})
}

// admin returns a caller that may make a change and can be revoked without
// anything else ending, and who can revoke it.
func (w *world) admin(ch change) (c, revoker iam.Caller) {
	w.t.Helper()
	switch ch.caller {
	case byOperator:
		return w.by(w.system).holder(iam.Admin), w.system
	case byMember:
		_, c := w.member(iam.Admin)
		return c, w.owner
	}
	return w.holder(iam.Admin), w.owner
}

func accountChanges() map[string]change {
	return map[string]change{
		"CreateServiceAccount": {
			needs: "iam.service_accounts:write", gives: "*:execute",
			writes: []event{{action: "service_account.created", target: "service_account", after: audit.Fields{
				"name": anything, "description": "answers tickets", "owner": "Support", "role": "operator",
				"metadata": audit.Fields{"team": "7"}, "state": "active",
			}}},
			ready: func(w *world, _ iam.Caller) call {
				in := iam.NewServiceAccount{
					Name: w.name("bot"), Description: "answers tickets", Owner: "Support", Role: iam.Operator,
					Metadata: map[string]string{"team": "7"},
				}
				return func(ctx context.Context, c iam.Caller) (result, error) {
					return plain(w.CreateServiceAccount(ctx, c, "-", in))
				}
			},
		},
		"UpdateServiceAccount": {
			needs: "iam.service_accounts:write", gives: "*:delete",
			writes: []event{{action: "service_account.role_changed", target: "service_account",
				before: audit.Fields{"role": "operator", "owner": ""}, after: audit.Fields{"role": "editor", "owner": "Support"},
			}},
			ready: func(w *world, _ iam.Caller) call {
				name, role, owner := w.account(iam.Operator).Name, iam.Editor, "Support"
				return func(ctx context.Context, c iam.Caller) (result, error) {
					return plain(w.UpdateServiceAccount(ctx, c, "-", name, iam.AccountPatch{Role: &role, Owner: &owner}))
				}
			},
		},
	}
}

func accountEnds() map[string]change {
	return map[string]change{
		"PauseServiceAccount": {
			needs: "iam.service_accounts:write",
			writes: []event{{action: "service_account.paused", target: "service_account", reason: "holidays",
				before: audit.Fields{"state": "active"}, after: audit.Fields{"state": "paused"},
			}},
			ready: func(w *world, _ iam.Caller) call {
				name := w.account(iam.Operator).Name
				return func(ctx context.Context, c iam.Caller) (result, error) {
					return plain(w.PauseServiceAccount(ctx, c, "-", name, "holidays"))
				}
			},
		},
		"ResumeServiceAccount": {
			needs: "iam.service_accounts:write", gives: "*:execute",
			writes: []event{{action: "service_account.resumed", target: "service_account", reason: "back",
				before: audit.Fields{"state": "paused"}, after: audit.Fields{"state": "active"},
			}},
			ready: func(w *world, _ iam.Caller) call {
				name := w.account(iam.Operator).Name
				made(w.PauseServiceAccount(w.t.Context(), w.owner, "-", name, ""))(w.t)
				return func(ctx context.Context, c iam.Caller) (result, error) {
					return plain(w.ResumeServiceAccount(ctx, c, "-", name, "back"))
				}
			},
		},
		"RevokeServiceAccount": {
			needs: "iam.service_accounts:write",
			writes: []event{{action: "service_account.revoked", target: "service_account", reason: "no longer needed",
				before: audit.Fields{"state": "active"}, after: audit.Fields{"state": "inactive", "keys_stopped": int64(1)},
			}},
			ready: func(w *world, _ iam.Caller) call {
				account := w.account(iam.Operator)
				w.key(account, iam.NewKey{})
				return func(ctx context.Context, c iam.Caller) (result, error) {
					return plain(w.RevokeServiceAccount(ctx, c, "-", account.Name, "no longer needed"))
				}
			},
		},
	}
}

func newKeyChanges() map[string]change {
	return map[string]change{
		"CreateKey": {
			shows: true, needs: "iam.keys:write", gives: "agents:execute",
			writes: []event{{action: "key.created", target: "key", after: audit.Fields{
				"name": "deploy", "principal": anything, "hint": anything, "limit": []string{"agents:execute"},
				"allowed_networks": []string{"192.0.2.0/24"}, "expires_at": "2026-03-02T09:00:00.000000Z",
				"metadata": audit.Fields{"env": "prod"}, "paused": false, "revoked": false,
			}}},
			ready: func(w *world, _ iam.Caller) call {
				account := w.account(iam.Operator)
				in := iam.NewKey{
					Name: "deploy", Expiry: &iam.Expiry{In: 24 * time.Hour}, Limit: &[]string{"agents:execute"},
					AllowedNetworks: &[]string{"192.0.2.0/24"}, Metadata: map[string]string{"env": "prod"},
				}
				return func(ctx context.Context, c iam.Caller) (result, error) {
					return secret(w.CreateKey(ctx, c, "-", account.Name, in))
				}
			},
		},
		"CreateMyKey": {
			shows: true, caller: byMember, gives: "*:read",
			writes: []event{{action: "key.created", target: "key", after: audit.Fields{
				"name": anything, "principal": anything, "hint": anything, "limit": []string{"*:read"}, "allowed_networks": nil,
				"expires_at": "2026-05-30T09:00:00.000000Z", "metadata": nil, "paused": false, "revoked": false,
			}}},
			ready: func(w *world, _ iam.Caller) call {
				in := iam.NewKey{Name: w.name("key"), Limit: &[]string{"*:read"}}
				return func(ctx context.Context, c iam.Caller) (result, error) { return secret(w.CreateMyKey(ctx, c, "-", in)) }
			},
		},
	}
}

// freshKey returns the id of a new key of an operator's account.
func (w *world) freshKey() iam.KeyID {
	w.t.Helper()
	key, _ := w.key(w.account(iam.Operator), iam.NewKey{})
	return key.ID
}

func keyChanges() map[string]change {
	return map[string]change{
		"UpdateKey": {
			needs: "iam.keys:write", gives: "*:execute",
			writes: []event{{action: "key.updated", target: "key",
				before: audit.Fields{"expires_at": "2027-03-01T09:00:00.000000Z", "name": anything},
				after:  audit.Fields{"expires_at": nil, "name": "renamed"},
			}},
			ready: func(w *world, _ iam.Caller) call {
				id, name := w.freshKey(), "renamed"
				return func(ctx context.Context, c iam.Caller) (result, error) {
					return plain(w.UpdateKey(ctx, c, "-", id, iam.KeyPatch{Name: &name, Expiry: &iam.Expiry{}}))
				}
			},
		},
		"PauseKey": {
			needs: "iam.keys:write",
			writes: []event{{action: "key.paused", target: "key", reason: "unused: looks idle",
				before: audit.Fields{"paused": false}, after: audit.Fields{"paused": true},
			}},
			ready: func(w *world, _ iam.Caller) call {
				id := w.freshKey()
				return func(ctx context.Context, c iam.Caller) (result, error) {
					return plain(w.PauseKey(ctx, c, "-", id, iam.Why{Reason: "unused", Note: "looks idle"}))
				}
			},
		},
		"ResumeKey": {
			needs: "iam.keys:write", gives: "*:execute",
			writes: []event{{action: "key.resumed", target: "key",
				before: audit.Fields{"paused": true}, after: audit.Fields{"paused": false},
			}},
			ready: func(w *world, _ iam.Caller) call {
				id := w.freshKey()
				made(w.PauseKey(w.t.Context(), w.owner, "-", id, iam.Why{}))(w.t)
				return func(ctx context.Context, c iam.Caller) (result, error) {
					return plain(w.ResumeKey(ctx, c, "-", id, iam.Why{}))
				}
			},
		},
	}
}

func keyEnds() map[string]change {
	return map[string]change{
		"RevokeKey": {
			needs: "iam.keys:write",
			writes: []event{{action: "key.revoked", target: "key", reason: "superseded",
				before: audit.Fields{"revoked": false}, after: audit.Fields{"revoked": true},
			}},
			ready: func(w *world, _ iam.Caller) call {
				id := w.freshKey()
				return func(ctx context.Context, c iam.Caller) (result, error) {
					return plain(w.RevokeKey(ctx, c, "-", id, iam.Why{Reason: "superseded"}))
				}
			},
		},
		"RevokeSelf": {
			ends: true,
			writes: []event{{action: "key.revoked", target: "key", reason: "compromised",
				before: audit.Fields{"revoked": false}, after: audit.Fields{"revoked": true},
			}},
			ready: func(w *world, _ iam.Caller) call {
				return func(ctx context.Context, c iam.Caller) (result, error) {
					return plain(w.RevokeSelf(ctx, c, iam.Why{Reason: "compromised"}))
				}
			},
		},
	}
}

func invitationChanges() map[string]change {
	return map[string]change{
		"Invite": {
			shows: true, needs: "iam.members:write", gives: "*:read",
			writes: []event{{action: "member.invited", target: "invitation", after: audit.Fields{
				"email": anything, "role": "viewer", "expires_at": "2026-03-08T09:00:00.000000Z",
			}}},
			ready: func(w *world, _ iam.Caller) call {
				in := iam.NewInvitation{Email: w.name("jo") + "@example.com", Role: iam.Viewer}
				return func(ctx context.Context, c iam.Caller) (result, error) { return secret(w.Invite(ctx, c, "-", in)) }
			},
		},
		"CancelInvitation": {
			needs:  "iam.members:write",
			writes: []event{{action: "invitation.cancelled", target: "invitation"}},
			ready: func(w *world, _ iam.Caller) call {
				inv, _ := w.invitation(iam.Viewer)
				return func(ctx context.Context, c iam.Caller) (result, error) {
					return plain(w.CancelInvitation(ctx, c, "-", inv.ID))
				}
			},
		},
		"AcceptInvitation": {
			shows: true, caller: byNobody,
			writes: []event{
				{action: "member.joined", target: "member", after: audit.Fields{
					"name": "Jo Park", "email": anything, "role": "viewer", "state": "active",
				}},
				{action: "key.created", target: "key", after: audit.Fields{
					"name": "laptop", "principal": anything, "hint": anything, "limit": nil, "allowed_networks": nil,
					"expires_at": "2026-05-30T09:00:00.000000Z", "metadata": nil, "paused": false, "revoked": false,
				}},
			},
			ready: func(w *world, c iam.Caller) call {
				_, invitation := w.by(c).invitation(iam.Viewer)
				return func(ctx context.Context, c iam.Caller) (result, error) {
					nobody := w.anonymous()
					nobody.RequestID, nobody.Idempotency = c.RequestID, c.Idempotency
					return secret(w.AcceptInvitation(ctx, nobody, iam.Acceptance{Token: invitation, Name: "Jo Park", KeyName: "laptop"}))
				}
			},
		},
	}
}

func memberChanges() map[string]change {
	return map[string]change{
		"UpdateMember": {
			needs: "iam.members:write", gives: "*:delete",
			writes: []event{{action: "member.role_changed", target: "member",
				before: audit.Fields{"role": "viewer"}, after: audit.Fields{"role": "editor"},
			}},
			ready: func(w *world, _ iam.Caller) call {
				m, _ := w.member(iam.Viewer)
				return func(ctx context.Context, c iam.Caller) (result, error) {
					return plain(w.UpdateMember(ctx, c, "-", m.ID, iam.Editor))
				}
			},
		},
		"RemoveMember": {
			needs: "iam.members:write",
			writes: []event{{action: "member.removed", target: "member",
				before: audit.Fields{"state": "active"}, after: audit.Fields{"state": "removed", "keys_stopped": int64(1)},
			}},
			ready: func(w *world, _ iam.Caller) call {
				m, _ := w.member(iam.Viewer)
				return func(ctx context.Context, c iam.Caller) (result, error) {
					return plain(w.RemoveMember(ctx, c, "-", m.ID))
				}
			},
		},
	}
}

func roleChanges() map[string]change {
	return map[string]change{
		"CreateRole": {
			needs: "iam.roles:write", gives: "agents:execute",
			writes: []event{{action: "role.created", target: "role", after: audit.Fields{
				"name": anything, "title": "Runner", "description": "runs agents", "permissions": []string{"agents:execute", "agents:read"},
			}}},
			ready: func(w *world, _ iam.Caller) call {
				in := iam.NewRole{
					Name: w.name("runner"), Title: "Runner", Description: "runs agents",
					Permissions: []string{"agents:read", "agents:execute"},
				}
				return func(ctx context.Context, c iam.Caller) (result, error) { return plain(w.CreateRole(ctx, c, "-", in)) }
			},
		},
		"UpdateRole": {
			needs: "iam.roles:write", gives: "agents:execute",
			writes: []event{{action: "role.updated", target: "role",
				before: audit.Fields{"permissions": []string{"agents:read"}},
				after:  audit.Fields{"permissions": []string{"agents:execute", "agents:read"}},
			}},
			ready: func(w *world, _ iam.Caller) call {
				role := w.role("agents:read")
				return func(ctx context.Context, c iam.Caller) (result, error) {
					return plain(w.UpdateRole(ctx, c, "-", role.Name, iam.RolePatch{Permissions: &[]string{"agents:read", "agents:execute"}}))
				}
			},
		},
		"DeleteRole": {
			needs: "iam.roles:write",
			writes: []event{{action: "role.deleted", target: "role", before: audit.Fields{
				"name": anything, "title": anything, "description": "", "permissions": []string{"agents:read"},
			}}},
			ready: func(w *world, _ iam.Caller) call {
				role := w.role("agents:read")
				return func(ctx context.Context, c iam.Caller) (result, error) {
					return plain(w.DeleteRole(ctx, c, "-", role.Name))
				}
			},
		},
		"ReplaceCatalogue": {
			needs: "iam.roles:write",
			writes: []event{{action: "permissions.updated", target: "permissions",
				before: audit.Fields{"agents": []string{"train"}}, after: audit.Fields{"tools": []string{"call", "list"}},
			}},
			ready: func(w *world, _ iam.Caller) call {
				set := func(ctx context.Context, c iam.Caller, typ string, actions ...string) (iam.Done[iam.Catalogue], error) {
					return w.ReplaceCatalogue(ctx, c, "-", []iam.PermissionType{{Type: typ, Title: "Things", Actions: actions}})
				}
				made(set(w.t.Context(), w.owner, "agents", "train"))(w.t)
				return func(ctx context.Context, c iam.Caller) (result, error) {
					return plain(set(ctx, c, "tools", "call", "list"))
				}
			},
		},
	}
}

func workspaceChanges() map[string]change {
	turned := func(action, before, after string) []event {
		e := event{action: action, target: "workspace", reason: "unpaid",
			before: audit.Fields{"state": before}, after: audit.Fields{"state": after},
		}
		return []event{e, e} // in the log of the system workspace, and in the tenant's own
	}
	created := event{action: "workspace.created", target: "workspace", after: audit.Fields{
		"name": "New", "slug": anything, "state": "active", "policy": anything,
	}}
	return map[string]change{
		"CreateWorkspace": {
			shows: true, caller: byOperator, needs: "iam.workspaces:write",
			writes: []event{created, created, {action: "member.invited", target: "invitation", after: audit.Fields{
				"email": "first@example.com", "role": "owner", "expires_at": "2026-03-08T09:00:00.000000Z",
			}}},
			ready: func(w *world, _ iam.Caller) call {
				in := iam.NewWorkspace{Name: "New", Slug: w.name("tenant"), OwnerEmail: "first@example.com"}
				return func(ctx context.Context, c iam.Caller) (result, error) { return secret(w.CreateWorkspace(ctx, c, in)) }
			},
		},
		"PauseWorkspace": {
			caller: byOperator, needs: "iam.workspaces:write", writes: turned("workspace.paused", "active", "paused"),
			ready: func(w *world, _ iam.Caller) call {
				slug := w.name("tenant")
				w.tenant(slug)
				return func(ctx context.Context, c iam.Caller) (result, error) {
					return plain(w.PauseWorkspace(ctx, c, slug, "unpaid"))
				}
			},
		},
		"ResumeWorkspace": {
			caller: byOperator, needs: "iam.workspaces:write", writes: turned("workspace.resumed", "paused", "active"),
			ready: func(w *world, _ iam.Caller) call {
				slug := w.name("tenant")
				w.tenant(slug)
				made(w.PauseWorkspace(w.t.Context(), w.system, slug, ""))(w.t)
				return func(ctx context.Context, c iam.Caller) (result, error) {
					return plain(w.ResumeWorkspace(ctx, c, slug, "unpaid"))
				}
			},
		},
		"UpdateWorkspace": {
			needs: "iam.settings:write",
			writes: []event{{action: "workspace.updated", target: "workspace",
				before: audit.Fields{"name": anything}, after: audit.Fields{"name": anything},
			}},
			ready: func(w *world, _ iam.Caller) call {
				name := w.name("Renamed")
				return func(ctx context.Context, c iam.Caller) (result, error) {
					return plain(w.UpdateWorkspace(ctx, c, "-", iam.WorkspacePatch{Name: &name}))
				}
			},
		},
	}
}
