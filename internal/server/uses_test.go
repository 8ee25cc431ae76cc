package server_test

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/server"
)

// book keeps the uses that it hears of. It is safe for concurrent use.
type book struct {
	gathering iam.Gathering // what it says of itself

	mu   sync.Mutex // guards uses
	uses []iam.Use
}

func (b *book) Touch(u iam.Use) {
	b.mu.Lock()
	defer b.mu.Unlock()
	u.Asked = slices.Clone(u.Asked)
	b.uses = append(b.uses, u)
}

func (b *book) Gathering() iam.Gathering { return b.gathering }

// take returns the uses since it was last called.
func (b *book) take() []iam.Use {
	b.mu.Lock()
	defer b.mu.Unlock()
	uses := b.uses
	b.uses = nil
	return uses
}

// counted returns the same world behind a server whose uses go into a book.
func (w *world) counted(t *testing.T) (*world, *book) {
	b := new(book)
	return w.with(t, func(o *server.Options) { o.Metrics, o.Usage = nil, b }), b
}

// told is what matters of a use in the tests below.
type told struct {
	key   string
	ok    bool
	ip    string
	agent string
	ask   string
}

func toldOf(uses []iam.Use) (all []told) {
	for _, u := range uses {
		one := told{iam.FormatID(iam.KeyPrefix, u.Key), u.OK, "", u.UserAgent, ""}
		if u.IP.IsValid() {
			one.ip = u.IP.String()
		}
		for _, p := range u.Asked {
			one.ask += p + " "
		}
		all = append(all, one)
	}
	return all
}

func wantUses(t *testing.T, b *book, want ...told) {
	t.Helper()
	if got := toldOf(b.take()); !slices.Equal(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

const agent = "Go-http-client/1.1" // of the tests' client

func TestVerificationIsAUseOfTheCallingKeyAndOfEachThatWasFound(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w, b := w.counted(t)
		x := w.tenant(t, "acme")
		verifier, other, elsewhere := x.key(x.account("verifier").ID), x.key(x.account("operator").ID), w.tenant(t, "elsewhere").keyOf("operator")
		b.take()
		caller := told{verifier.ID, true, "127.0.0.1", agent, "iam.keys:verify "}
		ask := func(permissions ...string) api.Verify {
			return api.Verify{Key: other.Value, Permissions: permissions, Source: &api.VerifySource{IP: "192.0.2.7", UserAgent: "curl/8.5 " + other.Value}}
		}
		from := func(ok bool, ask string) told { return told{other.ID, ok, "192.0.2.7", "curl/8.5 [hidden]", ask} }

		w.verify(t, verifier.Value, ask("agents:execute", "agents/x:read"))
		wantUses(t, b, caller, from(true, "agents:execute agents/x:read "))

		w.verify(t, verifier.Value, ask("agents:write"))
		wantUses(t, b, caller, from(false, "agents:write "))

		w.verify(t, verifier.Value, api.Verify{Key: elsewhere})
		w.verify(t, verifier.Value, api.Verify{Key: "nonsense"})
		wantUses(t, b, caller, caller)

		w.do(t, post("/v1/verify/batch", verifier.Value, api.VerifyBatch{Items: []api.Verify{ask(), {Key: elsewhere}, ask("agents/" + other.Value + ":read")}})).want(http.StatusOK, nil)
		wantUses(t, b, caller, from(true, ""), from(true, "agents/[hidden]:read "))

		w.do(t, post("/v1/verify", verifier.Value, `{"kee":1}`)).want(http.StatusBadRequest, nil)
		wantUses(t, b, caller)

		w.do(t, post("/v1/verify", other.Value, ask())).want(http.StatusForbidden, nil)
		wantUses(t, b, told{other.ID, false, "127.0.0.1", agent, "iam.keys:verify "})

		w.do(t, post(x.root+"/keys/"+other.ID+"/revoke", x.owner, nil)).want(http.StatusOK, nil)
		b.take()
		w.verify(t, verifier.Value, ask())
		wantUses(t, b, caller, from(false, ""))
		w.do(t, post("/v1/verify", other.Value, ask())).want(http.StatusUnauthorized, nil)
		wantUses(t, b, told{other.ID, false, "127.0.0.1", agent, "iam.keys:verify "})
	})
}

func TestUseNamesWhoseKeyItIs(t *testing.T) {
	w, b := newWorld(t, sqliteURL(t)).counted(t)
	x := w.tenant(t, "acme")
	account := x.account("operator")
	key := x.key(account.ID)
	b.take()
	w.do(t, get("/v1/whoami", key.Value)).want(http.StatusOK, nil)
	uses := b.take()
	if len(uses) != 1 || string(uses[0].Principal) != account.ID || string(uses[0].Workspace) != x.id || uses[0].IP != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("got %+v, want one of %s in %s", uses, account.ID, x.id)
	}
}

// Each call is one use of its key, with what its row needs as the ask: accepted,
// unless the caller may not.
func TestEveryCallIsOneUseOfItsKey(t *testing.T) {
	overAllBehind(t, func(o *server.Options) { o.Usage = new(book) }, withKey, func(t *testing.T, x *tenant, other *world, op operation, good call) {
		b := other.options.Usage.(*book)
		b.take()
		other.do(t, good)
		uses := toldOf(b.take())
		if forPeople(op) {
			if len(uses) > 0 {
				t.Errorf("got %+v, want no use of any key", uses)
			}
			return
		}
		verifies := op.OperationID == "verify" || op.OperationID == "verify-batch"
		if wants := 1; len(uses) != wants && !verifies {
			t.Fatalf("got %+v, want one use", uses)
		}
		ask := ""
		if p := op.permission(); p != "" {
			ask = p + " "
		}
		if u := uses[0]; !u.ok || u.ip != "127.0.0.1" || u.agent != agent || u.ask != ask {
			t.Errorf("got %+v, want one that is accepted, for %q", u, ask)
		}
		if op.permission() == "" {
			return
		}
		good.key = x.keyOf("viewer")
		if good.key == x.w.owner {
			good.key = x.w.systemKeyOf(t, "viewer")
		}
		b.take()
		if r := other.do(t, good); r.status != http.StatusForbidden {
			return // what it asks about is not found, or it may read it
		}
		if uses := toldOf(b.take()); len(uses) != 1 || uses[0].ok || uses[0].ask != ask {
			t.Errorf("refused: got %+v, want one use that is refused, for %q", uses, ask)
		}
	})
}

func TestCallThatFailsIsNoUseOfAKeyThatIsNotKnown(t *testing.T) {
	w, b := newWorld(t, sqliteURL(t)).counted(t)
	x := w.tenant(t, "acme")
	revoked := x.key(x.account("operator").ID)
	w.do(t, post(x.root+"/keys/"+revoked.ID+"/revoke", x.owner, nil)).want(http.StatusOK, nil)
	b.take()
	for _, key := range []string{"", "nonsense", "pst_sa_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA000000"} {
		w.do(t, get("/v1/whoami", key)).want(http.StatusUnauthorized, nil)
		w.do(t, post("/v1/verify", key, api.Verify{Key: x.owner})).want(http.StatusUnauthorized, nil)
	}
	wantUses(t, b)
	w.do(t, get("/v1/whoami", revoked.Value)).want(http.StatusUnauthorized, nil)
	wantUses(t, b, told{revoked.ID, false, "127.0.0.1", agent, ""})
}

func TestStaleNodeCountsNothing(t *testing.T) {
	w := newWorld(t, sqliteURL(t))
	x := w.tenant(t, "acme")
	b := new(book)
	w = w.with(t, func(o *server.Options) { o.Metrics, o.Usage = nil, b })
	w.do(t, post("/v1/verify", x.owner, api.Verify{Key: x.owner, MinRevision: 1 << 40})).want(http.StatusServiceUnavailable, nil)
	wantUses(t, b)
	w = w.with(t, func(o *server.Options) { o.Metrics, o.Door = nil, overtaken{o.Replica} })
	w.do(t, post("/v1/verify", x.owner, api.Verify{Key: x.owner})).want(http.StatusServiceUnavailable, nil)
	w.do(t, get("/v1/whoami", x.owner)).want(http.StatusServiceUnavailable, nil)
	wantUses(t, b)
}

// overtaken is a door that lets nothing out of what was encoded.
type overtaken struct{ *replica.Replica }

// Answer implements [server.Door].
func (d overtaken) Answer(_ context.Context, encode func(replica.View)) error {
	encode(d.View())
	return iam.Stale
}

// A download looks at its key again and again, and is one use that counts when it
// begins.
func TestExportIsOneUse(t *testing.T) {
	w, b := newWorld(t, sqliteURL(t)).counted(t)
	x := w.tenant(t, "acme")
	for range 20 {
		x.account("viewer")
	}
	b.take()
	w.do(t, get(x.root+"/audit_events/export", x.owner)).want(http.StatusOK, nil)
	if uses := toldOf(b.take()); len(uses) != 1 || !uses[0].ok || uses[0].ask != "iam.audit:export " {
		t.Errorf("got %+v, want one use", uses)
	}
}

func sqliteURL(t *testing.T) string { return "sqlite:" + t.TempDir() + "/postern.db" }
