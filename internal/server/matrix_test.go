package server_test

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/server"
)

// The tests of this file are made over all operations of the document: one that
// is added without a sample of a good call fails them.

// overAll runs a test for each operation that it is about.
func overAll(t *testing.T, about func(operation) bool, test func(t *testing.T, x *tenant, op operation, good call)) {
	overAllBehind(t, nil, about, func(t *testing.T, x *tenant, _ *world, op operation, good call) { test(t, x, op, good) })
}

// overAllBehind does so with another server, on the same world, that differs in
// its options.
func overAllBehind(t *testing.T, change func(*server.Options), about func(operation) bool, test func(t *testing.T, x *tenant, other *world, op operation, good call)) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		other := w
		if change != nil {
			other = w.with(t, func(o *server.Options) {
				o.Metrics = nil
				change(o)
			})
		}
		for _, op := range operations(t) {
			if !about(op) {
				continue
			}
			t.Run(op.OperationID, func(t *testing.T) {
				make := samples()[op.OperationID]
				if make == nil {
					t.Fatal("there is no sample of a good call")
				}
				y := *x
				y.t = t
				test(t, &y, other, op, make(&y))
			})
		}
	})
}

func all(operation) bool        { return true }
func withKey(op operation) bool { return op.needsKey() }
func withBody(op operation) bool {
	return op.RequestBody != nil && op.RequestBody.Value.Content.Get("application/json") != nil
}

func answers(status int) func(operation) bool {
	return func(op operation) bool { return op.documents(status) }
}

func TestGoodCallIsAnsweredAsDocumented(t *testing.T) {
	overAll(t, all, func(t *testing.T, x *tenant, op operation, good call) {
		r := x.w.do(t, good)
		if r.status >= http.StatusBadRequest || !op.documents(r.status) {
			t.Errorf("got %d: %s", r.status, r.body)
		}
		if strings.HasPrefix(op.path, "/v1/") && r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("Cache-Control: got %q, want no-store", r.header.Get("Cache-Control"))
		}
		if r.header.Get("X-Content-Type-Options") != "nosniff" || r.header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("the headers that tame browsers are missing: %v", r.header)
		}
	})
}

func TestCallWithoutKeyIsUnauthenticated(t *testing.T) {
	overAll(t, withKey, func(t *testing.T, x *tenant, op operation, good call) {
		good.key = ""
		r := x.w.do(t, good)
		r.wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
		if got := r.header.Get("WWW-Authenticate"); got != "Bearer" {
			t.Errorf("WWW-Authenticate: got %q, want Bearer", got)
		}
	})
}

func TestCallerWithoutThePermissionIsDenied(t *testing.T) {
	overAll(t, func(op operation) bool { return op.permission() != "" }, func(t *testing.T, x *tenant, op operation, good call) {
		weak := x.keyOf("viewer")
		if good.key == x.w.owner { // the system's own: only there it is known at all
			weak = x.w.systemKeyOf(t, "viewer")
		}
		good.key = weak
		p := x.w.do(t, good).wantProblem(http.StatusForbidden, api.CodePermissionDenied)
		if p.Permission != op.permission() {
			t.Errorf("the problem names %q, the row %q", p.Permission, op.permission())
		}
	})
}

// B15: what a row says is enough, and nothing less is.
func TestCallerWithAllButThePermissionIsDenied(t *testing.T) {
	overAll(t, func(op operation) bool {
		return op.permission() != "" && !strings.HasPrefix(op.permission(), "iam.workspaces") && op.OperationID != "get-metrics"
	}, func(t *testing.T, x *tenant, op operation, good call) {
		good.key = x.keyWithAllBut(op.permission())
		p := x.w.do(t, good).wantProblem(http.StatusForbidden, api.CodePermissionDenied)
		if p.Permission != op.permission() {
			t.Errorf("the problem names %q, the row %q", p.Permission, op.permission())
		}
	})
}

func TestOtherWorkspacesAreNotFound(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		mine, theirs := w.tenant(t, "mine"), w.tenant(t, "theirs")
		for _, op := range operations(t) {
			if !strings.Contains(op.path, "{workspace}") || op.permission() == "iam.workspaces:write" {
				continue
			}
			t.Run(op.OperationID, func(t *testing.T) {
				a, b := *mine, *theirs
				a.t, b.t = t, t
				foreign := samples()[op.OperationID](&b)
				foreign.key = a.owner
				w.do(t, foreign).wantProblem(http.StatusNotFound, api.CodeNotFound)
				if !strings.Contains(op.path, "{id}") {
					return
				}
				foreign.path = strings.Replace(foreign.path, b.root, a.root, 1)
				there := w.do(t, foreign).wantProblem(http.StatusNotFound, api.CodeNotFound)
				nowhere := w.do(t, elsewhere(op, foreign)).wantProblem(http.StatusNotFound, api.CodeNotFound)
				if there.Detail != strings.ReplaceAll(nowhere.Detail, madeUp(op, foreign), idIn(op, foreign)) {
					t.Errorf("another's: %q, nobody's: %q; want no difference", there.Detail, nowhere.Detail)
				}
			})
		}
	})
}

func TestCallerOfATenantFindsNothingOfTheSystems(t *testing.T) {
	about := func(op operation) bool {
		return strings.HasPrefix(op.permission(), "iam.workspaces") || op.OperationID == "get-metrics"
	}
	overAll(t, about, func(t *testing.T, x *tenant, op operation, good call) {
		good.key = x.owner
		x.w.do(t, good).wantProblem(http.StatusNotFound, api.CodeNotFound)
	})
}

func TestSecretInTheAddressIsRefused(t *testing.T) {
	overAll(t, all, func(t *testing.T, x *tenant, op operation, good call) {
		for _, query := range []string{"?api_key=x", "?access_token=x", "?note=" + x.owner} {
			bad := good
			bad.path += query
			x.w.do(t, bad).wantProblem(http.StatusBadRequest, api.CodeInvalidRequest)
		}
	})
}

func TestUnknownParameterIsRefused(t *testing.T) {
	// What a provider of single sign-on adds to the address is up to it.
	known := func(op operation) bool { return op.OperationID != "finish-sso" }
	overAll(t, known, func(t *testing.T, x *tenant, op operation, good call) {
		good.path += "?serch=x"
		p := x.w.do(t, good).wantProblem(http.StatusBadRequest, api.CodeUnknownField)
		if len(p.Errors) != 1 || p.Errors[0].Pointer != "serch" {
			t.Errorf("got %+v, want one error about serch", p.Errors)
		}
	})
}

func TestWronglyTypedParameterIsPointedAt(t *testing.T) {
	about := func(op operation) bool {
		return op.RequestBody == nil && op.documents(http.StatusUnprocessableEntity) && op.Parameters.GetByInAndName("query", "limit") != nil
	}
	overAll(t, about, func(t *testing.T, x *tenant, op operation, good call) {
		good.path += "?limit=many"
		p := x.w.do(t, good).wantProblem(http.StatusUnprocessableEntity, api.CodeValidationFailed)
		if len(p.Errors) != 1 || p.Errors[0].Pointer != "limit" {
			t.Errorf("got %+v, want one error about limit", p.Errors)
		}
	})
}

func TestBodyThatIsNotJSONByItsTypeIsRefused(t *testing.T) {
	overAll(t, withBody, func(t *testing.T, x *tenant, op operation, good call) {
		for _, kind := range []string{"text/plain", formType, "application/json; charset=latin1", "multipart/form-data; boundary=x"} {
			if kind == formType && takesForm(op) {
				continue
			}
			x.w.do(t, good.holding("Content-Type", kind)).wantProblem(http.StatusUnsupportedMediaType, api.CodeUnsupportedMediaType)
		}
	})
}

func TestBodyBeyondTheBoundIsRefused(t *testing.T) {
	overAll(t, withBody, func(t *testing.T, x *tenant, op operation, good call) {
		most := 1 << 20
		if op.OperationID == "report-replica-use" {
			most = 16 << 20 // of many keys at once
		}
		good.body = `{"a":"` + strings.Repeat("x", most) + `"}`
		x.w.do(t, good).wantProblem(http.StatusRequestEntityTooLarge, api.CodeTooLarge)
	})
}

func TestBodyThatIsNoJSONIsRefused(t *testing.T) {
	overAll(t, withBody, func(t *testing.T, x *tenant, op operation, good call) {
		for _, body := range []string{`{"a":`, `{} {}`, "\"\xff\"", strings.Repeat("[", 40)} {
			good.body = body
			r := x.w.do(t, good)
			if r.status != http.StatusBadRequest && r.status != http.StatusUnprocessableEntity {
				t.Errorf("%q: got %d, want a refusal: %s", body, r.status, r.body)
			}
		}
	})
}

func TestUnknownMemberIsRefused(t *testing.T) {
	overAll(t, withBody, func(t *testing.T, x *tenant, op operation, good call) {
		good.body = withMember(bodyOf(t, good), `"is_system":true`)
		p := x.w.do(t, good).wantProblem(http.StatusBadRequest, api.CodeUnknownField)
		if len(p.Errors) != 1 || !strings.HasSuffix(p.Errors[0].Pointer, "/is_system") {
			t.Errorf("got %+v, want one error about is_system", p.Errors)
		}
	})
}

func TestWronglyTypedBodyIsRefused(t *testing.T) {
	overAll(t, withBody, func(t *testing.T, x *tenant, op operation, good call) {
		good.body = `"text"`
		x.w.do(t, good).wantProblem(http.StatusUnprocessableEntity, api.CodeValidationFailed)
	})
}

func TestBodyWhereNoneIsTakenIsRefused(t *testing.T) {
	overAll(t, func(op operation) bool { return op.RequestBody == nil }, func(t *testing.T, x *tenant, op operation, good call) {
		good.body = `{}`
		x.w.do(t, good).wantProblem(http.StatusBadRequest, api.CodeInvalidRequest)
	})
}

func TestTwoCredentialsAreRefused(t *testing.T) {
	overAll(t, withKey, func(t *testing.T, x *tenant, op operation, good call) {
		bearer := "Bearer " + good.key
		for name, bad := range map[string]call{
			"twice":          good.holding("Authorization", bearer, bearer),
			"two in one":     good.holding("Authorization", bearer+", "+bearer),
			"with X-API-Key": good.holding("X-Api-Key", good.key),
			"with a session": good.holding("Cookie", "postern_session=x; postern_session="+good.key),
		} {
			t.Run(name, func(t *testing.T) {
				x.w.do(t, bad).wantProblem(http.StatusBadRequest, api.CodeInvalidRequest)
			})
		}
	})
}

func TestStaleNodeAnswersNothingThatNeedsAKey(t *testing.T) {
	about := func(op operation) bool { return op.needsKey() || op.OperationID == "get-readiness" }
	empty := func(o *server.Options) { o.Replica = replica.New(replica.Options{}) }
	overAllBehind(t, empty, about, func(t *testing.T, x *tenant, stale *world, op operation, good call) {
		r := stale.do(t, good)
		if r.header.Get("Retry-After") == "" {
			t.Error("there is no Retry-After")
		}
		if op.OperationID == "get-readiness" {
			r.want(http.StatusServiceUnavailable, nil)
			return
		}
		p := r.wantProblem(http.StatusServiceUnavailable, api.CodeStale)
		if p.Valid == nil || *p.Valid {
			t.Errorf("valid: got %v, want false", p.Valid)
		}
	})
}

func TestTooManyCallsAreRefused(t *testing.T) {
	once := server.Rate{Burst: 1, Window: time.Hour}
	strict := func(o *server.Options) { o.Limits = server.Limits{Management: once, Acceptance: once, Polling: once} }
	counted := func(op operation) bool {
		return op.documents(http.StatusTooManyRequests) && !strings.HasPrefix(op.path, "/v1/replica") // which has limits of its own
	}
	overAllBehind(t, strict, counted, func(t *testing.T, x *tenant, limited *world, op operation, good call) {
		spend := get("/v1/whoami", good.key)
		if !op.needsKey() {
			spend = post(op.path, "", `{}`)
		}
		if !op.needsKey() && op.method == http.MethodGet {
			spend = get(op.path, "")
		}
		limited.do(t, spend) // the one that there is, unless a test before this one had it
		r := limited.do(t, good)
		r.wantProblem(http.StatusTooManyRequests, api.CodeRateLimited)
		if r.header.Get("Retry-After") == "" || !strings.Contains(r.header.Get("RateLimit"), ";r=0;") {
			t.Errorf("the refusal does not say when to come back: %v", r.header)
		}
	})
}

func TestFailureOfTheStoreIsOursAndSaysNothing(t *testing.T) {
	overAll(t, answers(http.StatusInternalServerError), func(t *testing.T, x *tenant, op operation, good call) {
		x.w.faults.set(func() error { return errors.New("secret words of a driver") }, nil, nil)
		defer x.w.faults.set(nil, nil, nil)
		r := x.w.do(t, good)
		p := r.wantProblem(http.StatusInternalServerError, api.CodeInternal)
		if strings.Contains(string(r.body), "secret words") {
			t.Errorf("the answer repeats the error: %s", r.body)
		}
		if log := x.w.log.String(); !strings.Contains(log, p.RequestID) || !strings.Contains(log, "secret words") {
			t.Error("the log does not say what failed under the request's id")
		}
	})
}

func TestStoreThatCannotBeAskedIsUnavailable(t *testing.T) {
	overAll(t, answers(http.StatusInternalServerError), func(t *testing.T, x *tenant, op operation, good call) {
		x.w.faults.set(func() error { return iam.Errorf(iam.Unavailable, "the store cannot be asked") }, nil, nil)
		defer x.w.faults.set(nil, nil, nil)
		r := x.w.do(t, good)
		r.wantProblem(http.StatusServiceUnavailable, api.CodeUnavailable)
		if r.header.Get("Retry-After") == "" {
			t.Error("there is no Retry-After")
		}
	})
}

func TestLostCommitIsUnknown(t *testing.T) {
	overAll(t, answers(http.StatusGatewayTimeout), func(t *testing.T, x *tenant, op operation, good call) {
		x.w.faults.set(nil, func() error { return iam.Errorf(iam.Unknown, "the connection was lost") }, nil)
		defer x.w.faults.set(nil, nil, nil)
		x.w.do(t, good).wantProblem(http.StatusServiceUnavailable, api.CodeOutcomeUnknown)
	})
}

func TestUnconfirmedChangeSaysWhatIsRecorded(t *testing.T) {
	overAll(t, answers(http.StatusGatewayTimeout), func(t *testing.T, x *tenant, op operation, good call) {
		x.w.faults.set(nil, nil, func() error { return iam.Errorf(iam.Unconfirmed, "not every node is known to have heard") })
		defer x.w.faults.set(nil, nil, nil)
		p := x.w.do(t, good).wantProblem(http.StatusGatewayTimeout, api.CodeRevocationUnconfirmed)
		if p.Receipt == nil || p.Receipt.Confirmed || p.Revision == 0 {
			t.Errorf("got receipt %+v, revision %d; want an unconfirmed receipt and the revision", p.Receipt, p.Revision)
		}
	})
}

func TestSameCallAtTheSameTimeIsInProgress(t *testing.T) {
	about := func(op operation) bool {
		return op.method == http.MethodPost && op.Parameters.GetByInAndName("header", "Idempotency-Key") != nil
	}
	overAll(t, about, func(t *testing.T, x *tenant, op operation, good call) {
		good = good.holding("Idempotency-Key", "once")
		began, end := make(chan bool), make(chan bool)
		var first sync.Once
		x.w.faults.set(nil, func() error {
			first.Do(func() { close(began); <-end })
			return nil
		}, nil)
		defer x.w.faults.set(nil, nil, nil)
		var done sync.WaitGroup
		done.Go(func() { x.w.do(t, good) })
		<-began
		x.w.do(t, good).wantProblem(http.StatusConflict, api.CodeIdempotencyInProgress)
		close(end)
		done.Wait()
	})
}

func TestChangeOfWhatChangedSinceIsRefused(t *testing.T) {
	overAll(t, answers(http.StatusPreconditionFailed), func(t *testing.T, x *tenant, op operation, good call) {
		x.w.do(t, good.holding("If-Match", `"1"`)).wantProblem(http.StatusPreconditionFailed, api.CodePreconditionFailed)
		for _, tag := range []string{`W/"1"`, `1`, `"x"`, `"01"`, `"-1"`, `"1", "2"`, ``} {
			x.w.do(t, good.holding("If-Match", tag)).wantProblem(http.StatusBadRequest, api.CodeInvalidRequest)
		}
		if r := x.w.do(t, good.holding("If-Match", `*`)); r.status != http.StatusOK {
			t.Errorf("If-Match: *: got %d, want 200: %s", r.status, r.body)
		}
	})
}

func TestIfMatchIsNeverPassedOver(t *testing.T) {
	about := func(op operation) bool {
		return op.method != http.MethodGet && !op.documents(http.StatusPreconditionFailed) && op.documents(http.StatusGatewayTimeout)
	}
	overAll(t, about, func(t *testing.T, x *tenant, op operation, good call) {
		x.w.do(t, good.holding("If-Match", `"1"`)).wantProblem(http.StatusBadRequest, api.CodeInvalidRequest)
	})
}

func bodyOf(t *testing.T, c call) string {
	t.Helper()
	text, err := json.Marshal(c.body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// withMember adds a member to the last object of a text.
func withMember(text, member string) string {
	end := strings.LastIndexByte(text, '}')
	comma := ","
	if text[end-1] == '{' {
		comma = ""
	}
	return text[:end] + comma + member + text[end:]
}

// idIn returns the id that a call has in its path.
func idIn(op operation, c call) string {
	params, _ := match(op.path, c.path)
	return params["id"]
}

// madeUp returns an id like that of a call, of nothing that exists.
func madeUp(op operation, c call) string {
	prefix, _, _ := strings.Cut(idIn(op, c), "_")
	return prefix + "_01jn8x0c2vf3hs5r6tq7w8y9za"
}

// elsewhere returns the call on nothing that exists.
func elsewhere(op operation, c call) call {
	c.path = strings.Replace(c.path, idIn(op, c), madeUp(op, c), 1)
	return c
}

// systemKeyOf returns the value of a key of a new account of the system workspace.
func (w *world) systemKeyOf(t *testing.T, role string) string {
	t.Helper()
	x := &tenant{t: t, w: w, owner: w.owner, root: "/v1/workspaces/-", made: new(atomic.Int64)}
	var made api.CreatedServiceAccount
	name := strings.ToLower(rand.Text())
	w.do(t, post(x.root+"/service_accounts", x.owner, api.CreateServiceAccount{Name: name, Role: role})).want(http.StatusCreated, &made)
	return x.key(made.ID).Value
}

// keyWithAllBut returns the value of a key that holds every permission of the
// administration that a custom role can hold, but one.
func (x *tenant) keyWithAllBut(permission string) string {
	x.t.Helper()
	var held []string
	for _, p := range []string{
		"iam.service_accounts:read", "iam.service_accounts:write", "iam.keys:read", "iam.keys:write", "iam.keys:verify",
		"iam.members:read", "iam.members:write", "iam.roles:read", "iam.roles:write", "iam.audit:read", "iam.audit:export",
		"iam.settings:read", "iam.settings:write", "iam.webhooks:read", "iam.webhooks:write", "iam.nodes:read", "*:*",
	} {
		if p != permission {
			held = append(held, p)
		}
	}
	return x.keyOf(x.role(held...).Name)
}
