package server_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/server"
)

// impatient is a fence that nobody gets past and that keeps nobody waiting. It
// notes until when they would have waited.
type impatient struct {
	mu       sync.Mutex // guards deadline
	deadline time.Time  // of the last; zero: it had none
}

// Begin implements iam.Fence.
func (f *impatient) Begin(seq int64) iam.Waiting { return iam.WaitFunc(f.wait).Begin(seq) }

func (f *impatient) wait(ctx context.Context, seq int64) (iam.Receipt, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if deadline, bounded := ctx.Deadline(); bounded { // those who go on waiting have none
		f.deadline = deadline
	}
	waiting := []iam.WaitingNode{{Name: "other", LeaseLeft: 1500 * time.Millisecond}}
	return iam.Receipt{Revision: seq, Durability: "local", Nodes: iam.ReceiptNodes{Total: 2, Confirmed: 1, Waiting: waiting}},
		iam.Errorf(iam.Unconfirmed, "revision %d is recorded", seq)
}

// left returns for how long the last one would have waited, or a negative time.
func (f *impatient) left(since time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.deadline.IsZero() {
		return -1
	}
	return f.deadline.Sub(since)
}

// prefers are the ways in which operations look at the header Prefer.
func prefers(op operation) bool { return op.Parameters.GetByInAndName("header", "Prefer") != nil }

func mayBeAccepted(op operation) bool { return op.documents(http.StatusAccepted) }

func TestEveryChangeLooksAtPrefer(t *testing.T) {
	for _, op := range operations(t) {
		changes := op.documents(http.StatusGatewayTimeout)
		if want := changes || op.OperationID == "get-receipt"; prefers(op) != want {
			t.Errorf("%s: it looks at Prefer: %t, want %t", op.OperationID, prefers(op), want)
		}
		ok := op.Responses.Status(http.StatusOK)
		if carries := changes && ok != nil && ok.Value.Content["application/json"] != nil &&
			ok.Value.Content["application/json"].Schema.Value.Properties["receipt"] != nil; carries != mayBeAccepted(op) {
			t.Errorf("%s: the answer carries a receipt: %t; it may be 202: %t", op.OperationID, carries, mayBeAccepted(op))
		}
	}
}

// A change that nobody waits for is answered at once, with a receipt that says that
// it is not confirmed, and is when it is.
func TestWhoPrefersNotToWaitLooksAgain(t *testing.T) {
	overAll(t, mayBeAccepted, func(t *testing.T, x *tenant, op operation, good call) {
		real := x.w.replica
		x.w.faults.behind(new(impatient))
		defer x.w.faults.behind(real)
		r := x.w.do(t, good.holding("Prefer", "handling=lenient;x=\"a,b\"", `Respond-Async; urgency="1"`))
		var body struct{ Receipt api.Receipt }
		r.want(http.StatusAccepted, &body)
		if got := body.Receipt; got.Confirmed || got.By != nil || got.Durability != nil || got.ID == "" || got.Revision == 0 {
			t.Errorf("got receipt %+v, want one that is not confirmed", got)
		}
		if got := r.header.Get("Preference-Applied"); got != "respond-async" {
			t.Errorf("Preference-Applied: got %q", got)
		}
		at := r.header.Get("Location")
		if !strings.HasSuffix(at, "/receipts/"+body.Receipt.ID) {
			t.Fatalf("Location: got %q, want the receipt %s", at, body.Receipt.ID)
		}
		reader := good.key
		if op.OperationID == "revoke-self" || op.OperationID == "sign-out" {
			reader = x.owner // the credential has ended already, on this node
		}
		x.confirmedLater(t, at, reader, body.Receipt, real)
	})
}

func (x *tenant) confirmedLater(t *testing.T, at, reader string, was api.Receipt, real iam.Fence) {
	t.Helper()
	var now api.Receipt
	x.w.do(t, get(at, reader)).want(http.StatusOK, &now)
	if now.Confirmed || now.By != nil || len(now.Nodes.Waiting) != 1 || now.Nodes.Waiting[0] != (api.WaitingNode{Name: "other", LeaseLeftMS: 1500}) {
		t.Errorf("got receipt %+v, want one that waits for other, which has 1500 ms left", now)
	}
	x.w.faults.behind(real)
	x.w.do(t, get(at, reader).holding("Prefer", "wait=30")).want(http.StatusOK, &now)
	if !now.Confirmed || now.By == nil || *now.By != "acked" || now.Nodes.Confirmed != 1 || now.TookMS <= 0 {
		t.Errorf("got receipt %+v, want it confirmed by the one node", now)
	}
	if now.ID != was.ID || now.Revision != was.Revision || now.DecidedAt != was.DecidedAt || now.KeysStopped != was.KeysStopped {
		t.Errorf("got receipt %+v, want that of %+v", now, was)
	}
}

func TestWaitIsForAsLongAsTheCallerPrefers(t *testing.T) {
	overAll(t, prefers, func(t *testing.T, x *tenant, op operation, good call) {
		fence := new(impatient)
		x.w.faults.behind(fence)
		defer x.w.faults.behind(x.w.replica)
		begun := time.Now()
		r := x.w.do(t, good.holding("Prefer", "wait=7"))
		if got := fence.left(begun); op.OperationID != "get-receipt" && (got < 7*time.Second || got > 20*time.Second) {
			t.Errorf("it would have waited for %v, want 7 s", got)
		}
		if op.OperationID == "get-receipt" {
			r.want(http.StatusOK, nil)
			return
		}
		p := r.wantProblem(http.StatusGatewayTimeout, api.CodeRevocationUnconfirmed)
		if p.Receipt == nil || len(p.Receipt.Nodes.Waiting) != 1 || p.Receipt.Nodes.Waiting[0] != (api.WaitingNode{Name: "other", LeaseLeftMS: 1500}) {
			t.Errorf("got receipt %+v, want one that waits for other", p.Receipt)
		}
		if p.Receipt.ID == "" || p.Receipt.DecidedAt.IsZero() {
			t.Errorf("got receipt %+v, want its id and when it was decided", p.Receipt)
		}
	})
}

// A value that does not work everywhere yet is not shown, whatever is preferred.
func TestNothingIsMadeAsynchronously(t *testing.T) {
	about := func(op operation) bool { return op.documents(http.StatusGatewayTimeout) && !mayBeAccepted(op) }
	overAll(t, about, func(t *testing.T, x *tenant, op operation, good call) {
		x.w.faults.behind(new(impatient))
		defer x.w.faults.behind(x.w.replica)
		r := x.w.do(t, good.holding("Prefer", "respond-async, wait=2"))
		r.wantProblem(http.StatusGatewayTimeout, api.CodeRevocationUnconfirmed)
		if text := string(r.body); strings.Contains(text, "pst_") || strings.Contains(text, "token") || strings.Contains(text, "value") {
			t.Errorf("the answer shows a secret: %s", text)
		}
	})
}

func TestPreferencesAreReadAsTheStandardSays(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		account := x.account("viewer").ID
		fence := new(impatient)
		w.faults.behind(fence)
		defer w.faults.behind(w.replica)
		const none = 30
		for _, test := range []struct {
			values []string
			status int
			wait   time.Duration // seconds
		}{
			{nil, 504, none},
			{[]string{"return=minimal"}, 504, none},
			{[]string{"wait=5"}, 504, 5},
			{[]string{"WAIT = 5"}, 504, 5},
			{[]string{`wait="5"`}, 504, 5},
			{[]string{`wait="\5"; x="y;,wait=9"`}, 504, 5},
			{[]string{`x="a\",wait=9,"`, "wait=5"}, 504, 5},
			{[]string{"foo; bar", "wait=5, wait=9"}, 504, 5},
			{[]string{"wait=5", "wait=9"}, 504, 5},
			{[]string{"wait=0"}, 504, 1},
			{[]string{"wait=90"}, 504, 90},
			{[]string{"wait=91"}, 504, 90},
			{[]string{"wait=2000000000"}, 504, 90},
			{[]string{"wait=99999999999999999999"}, 504, none},
			{[]string{"wait=-1"}, 504, none},
			{[]string{"wait=1.5"}, 504, none},
			{[]string{"wait="}, 504, none},
			{[]string{"wait"}, 504, none},
			{[]string{`"wait=5`}, 504, none},
			{[]string{",,;,=", " , "}, 504, none},
			{[]string{"respond-async=no"}, 504, none},
			{[]string{"respond-async-not"}, 504, none},
			{[]string{"RESPOND-ASYNC"}, 202, -1},
			{[]string{"respond-async="}, 202, -1},
			{[]string{"a=b, respond-async"}, 202, -1},
			{[]string{"wait=5", "respond-async"}, 202, 5},
		} {
			fence.mu.Lock()
			fence.deadline = time.Time{}
			fence.mu.Unlock()
			begun := time.Now()
			c := post(x.root+"/service_accounts/"+account+"/pause", x.owner, nil)
			if test.values != nil {
				c = c.holding("Prefer", test.values...)
			}
			r := w.do(t, c)
			if r.status != test.status {
				t.Errorf("Prefer: %q: got %d, want %d", test.values, r.status, test.status)
			}
			want := test.wait * time.Second
			if got := fence.left(begun); test.wait > 0 && (got < want || got > want+time.Second) {
				t.Errorf("Prefer: %q: it would have waited for %v, want %v", test.values, got, want)
			}
		}
	})
}

// Without a preference a change has so long; a caller may prefer longer.
func TestWaitMayBeLongerThanIsUsual(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		account := x.account("viewer").ID
		brief := w.with(t, func(o *server.Options) { o.Metrics, o.Limits.Change = nil, 500*time.Millisecond })
		pause := post(x.root+"/service_accounts/"+account+"/pause", x.owner, nil)
		w.faults.behind(never{})
		defer w.faults.behind(w.replica)
		brief.do(t, pause).wantProblem(http.StatusGatewayTimeout, api.CodeRevocationUnconfirmed)
		begun := time.Now()
		brief.do(t, pause.holding("Prefer", "wait=1")).wantProblem(http.StatusGatewayTimeout, api.CodeRevocationUnconfirmed)
		if took := time.Since(begun); took < time.Second {
			t.Errorf("it waited for %v, want a second", took)
		}
		if r := brief.do(t, pause.holding("Prefer", "respond-async, wait=1")); r.status != http.StatusAccepted {
			t.Errorf("got %d after a second, want 202", r.status)
		}
		w.faults.behind(w.replica)
		if r := brief.do(t, pause.holding("Prefer", "respond-async, wait=30")); r.status != http.StatusOK || r.header.Get("Location") != "" {
			t.Errorf("got %d, Location %q; want 200 and none, for it was confirmed in time", r.status, r.header.Get("Location"))
		}
	})
}

func TestReceiptIsForItsMakerAndForAuditors(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x, y := w.tenant(t, "acme"), w.tenant(t, "globex")
		maker, other, auditor := x.keyOf("admin"), x.key(x.account("viewer").ID), x.keyOf("admin")
		var made api.ServiceAccountAnswer
		w.do(t, post(x.root+"/service_accounts/"+x.account("viewer").ID+"/revoke", maker, nil)).want(http.StatusOK, &made)
		at := "/receipts/" + made.Receipt.ID
		role := x.role("iam.keys:write", "tickets:read")
		blind := x.key(x.account(role.ID).ID).Value
		for name, test := range map[string]struct {
			call   call
			status int
		}{
			"its maker":                    {get(x.root+at, maker), 200},
			"its maker, of its own":        {get("/v1/workspaces/-"+at, maker), 200},
			"an auditor":                   {get(x.root+at, auditor), 200},
			"another, without":             {get(x.root+at, blind), 404},
			"another workspace's owner":    {get("/v1/workspaces/-"+at, y.owner), 404},
			"the same, there":              {get(x.root+at, y.owner), 404},
			"whoever operates":             {get("/v1/workspaces/-"+at, w.owner), 404},
			"the same, there, operating":   {get(x.root+at, w.owner), 404},
			"its maker, with another's id": {get(x.root+"/receipts/"+other.ID, maker), 404},
		} {
			if r := w.do(t, test.call); r.status != test.status {
				t.Errorf("%s: got %d, want %d: %s", name, r.status, test.status, r.body)
			}
		}
		x.blindMakerReads(t, blind)
	})
}

// blindMakerReads holds that no permission is needed to read what one did oneself.
func (x *tenant) blindMakerReads(t *testing.T, key string) {
	t.Helper()
	var made api.KeyAnswer
	x.w.do(t, post(x.root+"/keys/"+x.key(x.account("viewer").ID).ID+"/revoke", key, nil)).want(http.StatusOK, &made)
	var got api.Receipt
	x.w.do(t, get(x.root+"/receipts/"+made.Receipt.ID, key)).want(http.StatusOK, &got)
	if got.ID != made.Receipt.ID || !got.Confirmed || got.KeysStopped != 1 || *got.By != *made.Receipt.By || got.TookMS != made.Receipt.TookMS {
		t.Errorf("got %+v, want what was answered: %+v", got, made.Receipt)
	}
}
