package attacks_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// peopleAttacks are on people who sign in, and by them.
var peopleAttacks = map[string]func(*testing.T, *world){
	"A04": everyEntryEndsWithItsPerson,
	"A11": sessionThatLostItsRole,
	"A29": sessionsAfterAChangeOfPassword,
	"B04": keysOnRoutesForPeople,
	"F03": lockThatIsForgotten,
	"F04": lockThatIsSpelledAround,
	"H04": callsOnBehalfOfAnotherSite,
	"H06": linksThatARequestChooses,
	"H09": pagesFromTheAddressOfTheAPI,
	"I09": textsWithoutABound,
	"J01": secretsThatWorkOnce,
}

const aPassword = "correct horse battery staple"

// someone is a member who has signed in.
type someone struct{ email, id, browser string }

// signedIn returns a new member of a tenant, who has signed in.
func (w *world) signedIn(b tenant, role string) someone {
	w.t.Helper()
	p := someone{email: "p" + itoa(int(keyNumber.Add(1))) + "@" + b.slug + ".example"}
	invited := w.must("POST", in(b.id, "invitations"), b.owner, body{"email": p.email, "role": role})
	a := w.must("POST", "/v1/invitations/accept", "", body{
		"token": w.values.plant(invited.str("token")), "name": "Jo", "password": aPassword,
	})
	p.id, p.browser = a.str("member.id"), w.values.plant(cookieOf(a))
	return p
}

// again signs a person in once more, and returns the cookie.
func (w *world) again(p someone) string {
	w.t.Helper()
	return w.values.plant(cookieOf(w.must("POST", "/v1/sessions", "", body{"email": p.email, "password": aPassword})))
}

// cookieOf returns the cookie that an answer sets.
func cookieOf(a answer) string {
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		if strings.HasSuffix(c.Name, "postern_session") {
			return c.Value
		}
	}
	return ""
}

// approved begins the authorization of a program, which a person approves, and returns
// the code that gets the key.
func (w *world) approved(p someone) string {
	w.t.Helper()
	begun := w.must("POST", "/v1/device/code", "", body{"name": "laptop"})
	w.must("POST", "/v1/device/approve", p.browser, body{"user_code": begun.str("user_code"), "approve": true})
	return begun.str("device_code")
}

// everyEntryEndsWithItsPerson takes a person's membership, or all of the workspace,
// away, and tries each way in that they had.
func everyEntryEndsWithItsPerson(t *testing.T, w *world) {
	for name, end := range map[string]func(b tenant, p someone){
		"removed": func(b tenant, p someone) { w.must("DELETE", in(b.id, "members/"+p.id), b.owner, nil) },
		"paused":  func(b tenant, _ someone) { w.must("POST", "/v1/workspaces/"+b.id+"/pause", w.owner, nil) },
	} {
		b := w.newTenant(name)
		p := w.signedIn(b, "admin")
		key := w.values.plant(w.must("POST", in("-", "me/keys"), p.browser, body{"name": "laptop"}).str("value"))
		device := w.approved(p)
		w.accepts(key)
		end(b, p)
		w.refuses(key, "principal_inactive", "paused")
		for _, path := range []string{"/v1/whoami", "/v1/sessions", in(b.id, "service_accounts"), in(b.id, "stream"), in(b.id, "audit_events/export")} {
			w.wants(w.call("GET", path, p.browser, nil), http.StatusUnauthorized, "unauthenticated")
		}
		w.wants(w.call("POST", in(b.id, "service_accounts"), p.browser, body{"name": "late", "role": "viewer"}), http.StatusUnauthorized, "unauthenticated")
		w.wants(w.call("POST", "/v1/device/token", "", body{"device_code": device}), http.StatusBadRequest, "access_denied")
		w.wants(w.call("POST", "/v1/sessions", "", body{"email": p.email, "password": aPassword}), http.StatusUnauthorized, "unauthenticated")
	}
}

// sessionThatLostItsRole holds a page open while its right to mint is taken away.
func sessionThatLostItsRole(t *testing.T, w *world) {
	b := w.newTenant("acme")
	p := w.signedIn(b, "admin")
	account := w.account("-", b.owner, "bot", "viewer")
	mint := func() answer {
		return w.call("POST", in("-", "service_accounts/"+account+"/keys"), p.browser, body{"name": "k" + itoa(int(keyNumber.Add(1)))})
	}
	if a := mint(); a.status != http.StatusCreated {
		t.Fatalf("%s: %d %s", a.call, a.status, a.text)
	} else {
		w.values.plant(a.str("value"))
	}
	w.must("PATCH", in("-", "members/"+p.id), b.owner, body{"role": "viewer"})
	w.wants(mint(), http.StatusForbidden, "permission_denied")
	w.must("PATCH", in("-", "members/"+p.id), b.owner, body{"role": "admin"})
	w.clock.advance(iam.StepUpLife + time.Second)
	w.wants(mint(), http.StatusForbidden, "step_up_required")
}

func sessionsAfterAChangeOfPassword(t *testing.T, w *world) {
	b := w.newTenant("acme")
	p := w.signedIn(b, "admin")
	stolen := w.again(p)
	pages := []string{in(b.id, "service_accounts"), "/v1/whoami"} // one is answered from memory, one asks the database
	for _, path := range pages {
		w.must("GET", path, stolen, nil)
	}
	w.must("PUT", "/v1/password", p.browser, body{"current": aPassword, "new": "another long password"})
	for _, path := range pages {
		w.wants(w.call("GET", path, stolen, nil), http.StatusUnauthorized, "unauthenticated")
	}
	w.wants(w.call("POST", "/v1/sessions", "", body{"email": p.email, "password": aPassword}), http.StatusUnauthorized, "unauthenticated")
	w.must("GET", "/v1/whoami", p.browser, nil)
	out := w.again(someone{email: w.signedIn(b, "viewer").email})
	w.must("DELETE", "/v1/sessions/current", out, nil)
	w.wants(w.call("GET", "/v1/whoami", out, nil), http.StatusUnauthorized, "unauthenticated")
}

// keysOnRoutesForPeople calls every route of people's accounts with an owner's key.
func keysOnRoutesForPeople(t *testing.T, w *world) {
	b := w.newTenant("acme")
	tried := 0
	for _, op := range w.operations(t) {
		if !op.people {
			continue
		}
		tried++
		path := strings.ReplaceAll(op.path, "{id}", "any")
		w.wants(w.call(op.method, path, b.owner, op.requestBody(t)), http.StatusForbidden, "permission_denied")
	}
	if tried < 10 {
		t.Errorf("only %d routes are for people", tried)
	}
}

// lockThatIsForgotten guesses at a hundred thousand names, and restarts the server.
func lockThatIsForgotten(t *testing.T, w *world) {
	b := w.newTenant("acme")
	p := w.signedIn(b, "viewer")
	guess := func(password string) answer {
		return w.call("POST", "/v1/sessions", "", body{"email": p.email, "password": password})
	}
	for range 5 {
		w.wants(guess("a wrong password"), http.StatusUnauthorized, "unauthenticated")
	}
	w.wants(guess(aPassword), http.StatusTooManyRequests, "rate_limited")
	names := 100_000
	if testing.Short() {
		names = 2_000
	}
	counted := w.bucketsOf(names)
	w.fill(slices.Sorted(maps.Keys(counted)))
	w.start()
	w.wants(guess(aPassword), http.StatusTooManyRequests, "rate_limited")
	w.clock.advance(time.Hour + time.Minute)
	if a := guess(aPassword); a.status != http.StatusCreated {
		t.Errorf("after the lock: %d %s", a.status, a.text)
	}
	for bucket := range counted { // no name is kept, and there are 2^20 buckets of each sort at most
		if !bucketForm.MatchString(bucket) {
			t.Fatalf("a guess is counted as %q", bucket)
		}
	}
	if kept := texts(t, direct(t, w.url), `SELECT bucket FROM guesses`); len(kept) > len(counted)+2 {
		t.Errorf("%d rows are kept of %d buckets", len(kept), len(counted))
	}
}

var bucketForm = regexp.MustCompile(`^(account|address):[0-9a-f]{5}$`)

// bucketsOf returns in what guesses at so many names are counted, of each from another
// address. All are told that they are locked: to hash so many passwords takes an hour.
func (w *world) bucketsOf(names int) map[string]iam.Guessing {
	w.t.Helper()
	all := &lockedStore{Store: w.store, counted: map[string]iam.Guessing{}}
	people := w.people(&iam.Service{Store: all, Fence: w.replica, Roster: w.replica, Now: w.clock.now})
	for i := range names {
		from := iam.Caller{Source: audit.Source{IP: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}).String()}}
		_, _, err := people.SignIn(w.t.Context(), from, api.SignIn{Email: "name" + itoa(i) + "@acme.example", Password: "a wrong password"})
		if !errors.Is(err, iam.RateLimited) {
			w.t.Fatalf("a locked name: %v", err)
		}
	}
	return all.counted
}

// lockedStore notes what guesses are counted in, and says that it is locked.
type lockedStore struct {
	iam.Store
	counted map[string]iam.Guessing
}

// CountGuess implements [iam.PeopleStore].
func (s *lockedStore) CountGuess(_ context.Context, buckets map[string]iam.Guessing) (time.Time, error) {
	maps.Copy(s.counted, buckets)
	return time.Now().Add(time.Hour), nil
}

// fill counts many guesses as the store does, a thousand in one statement; the last of
// them by the store itself.
func (w *world) fill(buckets []string) {
	w.t.Helper()
	db, now := direct(w.t, w.url), itoa(int(w.clock.now().UnixMicro()))
	for some := range slices.Chunk(buckets[1:], 1000) {
		run(w.t, db, `INSERT INTO guesses (bucket, failures, last_at, locked_until) VALUES ('`+
			strings.Join(some, "', 1, "+now+", 0), ('")+`', 1, `+now+`, 0) ON CONFLICT (bucket) DO NOTHING`)
	}
	many := iam.Guessing{Free: 4, First: time.Minute, Most: time.Hour, Forget: 24 * time.Hour}
	if _, err := w.store.CountGuess(w.t.Context(), map[string]iam.Guessing{buckets[0]: many}); err != nil {
		w.t.Fatal(err)
	}
}

// lockThatIsSpelledAround spells one account in many ways, from addresses that the
// client says it has.
func lockThatIsSpelledAround(t *testing.T, w *world) {
	b := w.newTenant("acme")
	p := w.signedIn(b, "viewer")
	for i, email := range []string{p.email, strings.ToUpper(p.email), " " + p.email, p.email + "\t", "\u00a0" + p.email} {
		a := w.call("POST", "/v1/sessions", "", body{"email": email, "password": "a wrong password"},
			"X-Forwarded-For", "198.51.100."+itoa(i), "X-Real-IP", "198.51.100."+itoa(i), "Forwarded", "for=198.51.100."+itoa(i))
		w.wants(a, http.StatusUnauthorized, "unauthenticated")
	}
	w.wants(w.call("POST", "/v1/sessions", "", body{"email": p.email, "password": aPassword}, "X-Forwarded-For", "198.51.100.99"),
		http.StatusTooManyRequests, "rate_limited")
}

// callsOnBehalfOfAnotherSite sends every call that changes something as a browser does
// that another site has sent.
func callsOnBehalfOfAnotherSite(t *testing.T, w *world) {
	b := w.newTenant("acme")
	p := w.signedIn(b, "owner")
	has := w.things(b)
	for _, op := range w.operations(t) {
		if op.method == http.MethodGet || op.keysOnly {
			continue
		}
		path := op.about(t, has)
		for _, headers := range [][]string{
			{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"},
			{"Origin", "null"}, {"Origin", w.http.URL + ".evil.example"},
		} {
			w.wants(w.call(op.method, path, p.browser, op.requestBody(t), headers...), http.StatusForbidden, "cross_site")
		}
		for _, kind := range []string{"application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x"} {
			if !op.body || op.forms && strings.HasPrefix(kind, "application/x-www-form") {
				continue
			}
			a := w.call(op.method, path, p.browser, `{}`, "Content-Type", kind)
			if a.status != http.StatusUnsupportedMediaType {
				t.Errorf("%s as %s: %d %s", a.call, kind, a.status, a.text)
			}
		}
	}
	w.must("GET", "/v1/whoami", p.browser, nil)
	for _, host := range []string{"evil.example", "127.0.0.1.evil.example", "localhost.evil.example"} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", w.http.URL+"/v1/sessions/end_others", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		req.AddCookie(&http.Cookie{Name: "postern_session", Value: p.browser})
		w.wants(w.send(req), http.StatusForbidden, "cross_site")
	}
}

// linksThatARequestChooses has requests say where this server is.
func linksThatARequestChooses(t *testing.T, w *world) {
	for _, header := range []string{"X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Original-Url", "X-Forwarded-Prefix"} {
		a := w.must("POST", "/v1/device/code", "", body{"name": "laptop"}, header, "evil.example")
		if got := a.str("verification_uri"); got != origin+"/device" {
			t.Errorf("with %s the link leads to %s", header, got)
		}
	}
	begun := w.must("POST", "/v1/passkeys/options", "", body{"for": "sign_in"}, "X-Forwarded-Host", "evil.example", "Origin", "")
	if got := begun.str("public_key.rpId"); got != "localhost" {
		t.Errorf("passkeys are of %s", got)
	}
}

// pagesFromTheAddressOfTheAPI looks for anything that a browser would show as a page, or
// run, where data lies that others have written.
func pagesFromTheAddressOfTheAPI(t *testing.T, w *world) {
	b := w.newTenant("acme")
	w.must("POST", in("-", "service_accounts"), b.owner, body{
		"name": "bot", "role": "viewer", "description": `<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`,
	})
	has := w.things(b)
	for _, op := range w.operations(t) {
		if op.method != http.MethodGet || op.id == "follow" {
			continue
		}
		for _, accept := range []string{"text/html", "image/svg+xml", "*/*"} {
			a := w.call("GET", op.about(t, has), b.owner, nil, "Accept", accept)
			kind := a.header.Get("Content-Type")
			if a.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s may be taken for something else", a.call)
			}
			if strings.Contains(kind, "svg") || strings.Contains(kind, "html") && !strings.HasPrefix(a.call, "GET /docs") {
				t.Errorf("%s is %s", a.call, kind)
			}
		}
	}
}

// textsWithoutABound sends every text of every body at a length that no screen shows.
func textsWithoutABound(t *testing.T, w *world) {
	b := w.newTenant("acme")
	p := w.signedIn(b, "owner")
	has := w.things(b)
	invited := w.must("POST", in("-", "invitations"), b.owner, body{"email": "new@acme.example", "role": "viewer"})
	works := map[string]body{ // where what the other tests send would be refused for another reason
		"accept-invitation": {"token": w.values.plant(invited.str("token")), "name": "Jo"},
		"change-password":   {"current": aPassword, "new": "another long password"},
	}
	for _, op := range w.operations(t) {
		good, isObject := op.requestBody(t).(body)
		if with, known := works[op.id]; known {
			good = with
		}
		if !op.body || !isObject || strings.HasPrefix(op.id, "verify") {
			continue
		}
		if len(good) == 0 { // an action, which may say why
			good = body{"reason": "", "note": ""}
		}
		caller := b.owner
		if op.people {
			caller = p.browser
		}
		w.refusesLong(op, op.about(t, has), caller, good)
	}
}

// refusesLong sends a body that would be taken, with each of its texts in turn too long.
func (w *world) refusesLong(op operation, path, caller string, good body) {
	w.t.Helper()
	for name, value := range good {
		if _, isText := value.(string); !isText {
			continue
		}
		bad := maps.Clone(good)
		maps.DeleteFunc(bad, func(_ string, v any) bool { return v == "" })
		bad[name] = strings.Repeat("x y", 7_000)
		a := w.call(op.method, path, caller, bad)
		if a.status < 400 || a.status >= 500 {
			w.t.Errorf("%s answers %d to 21000 characters as %s", a.call, a.status, name)
		}
		if len(a.text) > 4096 {
			w.t.Errorf("%s answers %d bytes to a long %s", a.call, len(a.text), name)
		}
	}
}

// secretsThatWorkOnce uses each of them many times at once.
func secretsThatWorkOnce(t *testing.T, w *world) {
	b := w.newTenant("acme")
	p := w.signedIn(b, "admin")
	invited := w.must("POST", in("-", "invitations"), b.owner, body{"email": "new@acme.example", "role": "viewer"})
	keyed := w.must("POST", in("-", "invitations"), b.owner, body{"email": "keyed@acme.example", "role": "viewer"})
	w.accept(w.values.plant(keyed.str("token")), "Keyed")
	link, err := w.service.MemberSetupLink(t.Context(), "keyed@acme.example")
	if err != nil {
		t.Fatal(err)
	}
	for name, use := range map[string]func(n int) answer{
		"invitation": func(n int) answer {
			return w.call("POST", "/v1/invitations/accept", "", body{"token": w.values.plant(invited.str("token")), "name": "N" + itoa(n), "password": aPassword})
		},
		"setup link": func(int) answer {
			return w.call("POST", "/v1/setup", "", body{"token": w.values.plant(link.Reveal()), "owner": body{"password": aPassword}})
		},
		"device": func() func(int) answer {
			code := token.NewSecret(w.approved(p))
			return func(int) answer { // who asks over HTTP is told to slow down, whatever else there is to say
				if _, _, err := w.service.UseDevice(t.Context(), iam.Caller{}, code); err != nil {
					return answer{status: http.StatusBadRequest}
				}
				return answer{status: http.StatusOK}
			}
		}(),
	} {
		const tries = 24
		statuses := make([]int, tries)
		var all sync.WaitGroup
		for n := range tries {
			all.Go(func() { statuses[n] = use(n).status })
		}
		all.Wait()
		good := slices.DeleteFunc(slices.Clone(statuses), func(s int) bool { return s < 200 || s > 299 })
		if len(good) != 1 {
			t.Errorf("%s: %d of %d uses at once succeeded (%v), want 1", name, len(good), tries, statuses)
		}
		if slices.ContainsFunc(statuses, func(s int) bool { return s >= 500 }) {
			t.Errorf("%s: %v, want no failure of ours", name, statuses)
		}
	}
}
