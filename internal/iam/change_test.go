package iam_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// fullChange has a value in every field that a change can have.
func fullChange() iam.Change {
	limit := iam.NewPermissions(iam.Grant{Type: "agents", ID: "team-", Prefix: true, Action: "*"})
	return iam.Change{
		Reader:     1,
		Workspaces: []iam.WorkspaceRecord{{ID: "ws_1", Slug: "acme", System: true, Paused: true, Reveal: true}},
		Roles: []iam.RoleRecord{{
			ID: "role_1", Workspace: "ws_1", Name: "runner", Deleted: true,
			Permissions: iam.NewPermissions(iam.Grant{Type: "*", Action: "read"}, iam.Grant{Type: iam.AnyIAM, Action: "*"}),
		}},
		Principals: []iam.PrincipalRecord{{
			ID: "sa_1", Type: iam.ServiceAccountType, Workspace: "ws_1", Name: "bot", State: iam.Paused, Role: "role_1",
		}},
		Keys: []iam.KeyRecord{{
			ID: "key_1", Principal: "sa_1", Name: "deploy", Hash: token.Hash(sha256.Sum256([]byte("x"))), Limit: &limit,
			Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")},
			Expires:  time.Date(2026, 3, 1, 9, 0, 0, 1000, time.UTC).UnixMicro(), Paused: true, Revoked: true,
		}},
	}
}

// sessionChange is one that older programs do not read.
func sessionChange() iam.Change {
	return iam.Change{Reader: 2, Keys: []iam.KeyRecord{{
		ID: "ses_1", Session: true, Principal: "mem_1", Hash: token.Hash(sha256.Sum256([]byte("x"))), Expires: 1,
	}}}
}

func TestChangeReadsBack(t *testing.T) {
	for name, want := range map[string]iam.Change{"full": fullChange(), "empty": {Reader: 1}, "with a session": sessionChange()} {
		payload, err := want.Payload()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := iam.ParseChange(payload)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(iam.Permissions.Equal), cmp.Comparer(samePrefix)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func samePrefix(a, b netip.Prefix) bool { return a == b }

// The log keeps payloads for good, and other programs read them: their text may
// gain members, with a new reader version, and nothing else may happen to it.
func TestPayloadNeverChanges(t *testing.T) {
	const want = `{"reader":1,` +
		`"workspaces":[{"id":"ws_1","slug":"acme","system":true,"paused":true,"reveal":true}],` +
		`"roles":[{"id":"role_1","workspace":"ws_1","name":"runner","permissions":["*:read","iam.*:*"],"deleted":true}],` +
		`"principals":[{"id":"sa_1","type":"service_account","workspace":"ws_1","name":"bot","state":"paused","role":"role_1"}],` +
		`"keys":[{"id":"key_1","principal":"sa_1","name":"deploy","hash":"2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",` +
		`"limit":["agents/team-*:*"],"networks":["192.0.2.0/24","2001:db8::/32"],"expires":1772355600000001,"paused":true,"revoked":true}]}`
	if got, err := fullChange().Payload(); err != nil || got != want {
		t.Errorf("got %s and error %v, want %s", got, err, want)
	}
	if got, err := (iam.Change{}).Payload(); err != nil || got != `{"reader":1}` {
		t.Errorf("empty: got %s and error %v, want {\"reader\":1}", got, err)
	}
	const session = `{"reader":2,"keys":[{"id":"ses_1","session":true,"principal":"mem_1","name":"",` +
		`"hash":"2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881","expires":1}]}`
	if got, err := sessionChange().Payload(); err != nil || got != session {
		t.Errorf("a session: got %s and error %v, want %s", got, err, session)
	}
}

// What cannot be read must not be half applied.
func TestChangeThatCannotBeReadIsAnError(t *testing.T) {
	for name, payload := range map[string]string{
		"a member of the change that nobody knows": `{"reader":1,"tenants":[]}`,
		"a member of a record that nobody knows":   `{"reader":1,"keys":[{"id":"key_1","colour":"red"}]}`,
		"a later reader version":                   fmt.Sprintf(`{"reader":%d}`, iam.ReaderVersion+1),
		"no reader version":                        `{}`,
		"a reader version of nothing":              `{"reader":0}`,
		"a permission that does not parse":         `{"reader":1,"roles":[{"id":"role_1","permissions":["agents"]}]}`,
		"a limit that does not parse":              `{"reader":1,"keys":[{"id":"key_1","limit":["*"]}]}`,
		"a network that does not parse":            `{"reader":1,"keys":[{"id":"key_1","networks":["192.0.2.0"]}]}`,
		"a hash that is too short":                 `{"reader":1,"keys":[{"id":"key_1","hash":"2d71"}]}`,
		"no JSON":                                  `reader`,
		"nothing":                                  ``,
		"more than one change":                     `{"reader":1}{"reader":1}`,
		"something after the change":               `{"reader":1} x`,
	} {
		if got, err := iam.ParseChange(payload); err == nil {
			t.Errorf("%s: got %+v, want an error", name, got)
		}
	}
}

// The vectors were computed by another program over the bytes that the contract
// names: the chain before, the number in eight bytes, the payload.
func TestChainHasTheValueThatItsContractSays(t *testing.T) {
	var ch iam.Chain
	for i, want := range []string{
		"cf56a4367c98a32221e30ccc059b8fa8306d907dc3a52bb7e111391cfa226a5c",
		"c2f99bb9938d754857e33d3c84fa7d5199ee284d3473cdac08f1e4daa11b791b",
	} {
		ch = ch.Next(int64(i+1), []string{`{"reader":1}`, `{"reader":1,"keys":[]}`}[i])
		if got := hex.EncodeToString(ch[:]); got != want {
			t.Errorf("link %d: got %s, want %s", i+1, got, want)
		}
	}
}

func TestChainTellsEveryHistoryApart(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		history := rapid.SliceOfN(rapid.StringMatching(`[ab]{0,3}`), 1, 4)
		a, b := history.Draw(rt, "one history"), history.Draw(rt, "another")
		same := strings.Join(a, "\n") == strings.Join(b, "\n")
		if got := chainOf(a) == chainOf(b); got != same {
			rt.Errorf("%q and %q: got the same chain %t, want %t", a, b, got, same)
		}
	})
}

func chainOf(history []string) (ch iam.Chain) {
	for i, payload := range history {
		ch = ch.Next(int64(i+1), payload)
	}
	return ch
}

// A key that was revoked, or whose owner has ended, stays revoked whatever its
// other times say (A20).
func TestAttackA20NoTimeMakesARevokedKeyWorkAgain(t *testing.T) {
	instant := rapid.Custom(func(rt *rapid.T) time.Time {
		return began.Add(time.Duration(rapid.Int64Range(-1e15, 1e15).Draw(rt, "ns")))
	})
	rapid.Check(t, func(rt *rapid.T) {
		key := iam.Key{CreatedAt: instant.Draw(rt, "made"), Principal: iam.Principal{State: iam.Active}}
		if rapid.Bool().Draw(rt, "has an end") {
			key.ExpiresAt = instant.Draw(rt, "end")
		}
		switch rapid.IntRange(0, 2).Draw(rt, "ended by") {
		case 0:
			key.Revoked = &iam.Revocation{At: instant.Draw(rt, "revoked")}
		case 1:
			key.Principal.State = iam.Inactive
		case 2:
			key.Principal.State = iam.Removed
		}
		if got := key.State(instant.Draw(rt, "now")); got != iam.Revoked {
			rt.Errorf("got %s, want revoked", got)
		}
	})
}
