package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
)

// usage is counted exactly, and what is known of it is known to be known.
var usage = []contract{
	{"WhatIsReportedIsThere", testReport},
	{"AReportIsTakenOnce", testReportTwice},
	{"ASourceSaysWhatItLastUsedTheKeyAt", testVia},
	{"WhoIsNotRegisteredReportsNothing", testReportUnregistered},
	{"AFailedReportLeavesNothing", testFailedReport},
	{"AKeyIsUsedForTheFirstTimeOnce", testFirstUse},
	{"TheLastUseIsTheLastWhateverTheOrder", testLastUse},
	{"UseIsSeenInItsWorkspaceOnly", testUseElsewhere},
	{"SourcesThatAreTooManyAreSummed", testManySources},
	{"AsksThatAreTooManyAreSummed", testManyAsks},
	{"TextsOfAnySortAreCounted", testOddTexts},
	{"ReportsAtOnceAreAllCounted", testConcurrentReports},
	{"UnusedKeysAreThoseNotAcceptedSince", testUnusedSince},
	{"RatesAreOfTheLastTenSeconds", testRates},
	{"AVerifierIsWaitedForWhereItAcceptsKeys", testVerifierReports},
	{"AVerifierIsListedUntilItLeavesOrIsLongGone", testVerifiersListed},
}

// A verifier outside the server that has not reported may have accepted anything of
// its scope, until it has not been heard of for long; and it ends nobody else.
func testVerifierReports(t *testing.T, open Open) {
	u := newCounting(t, open)
	const far = "ws_elsewhere"
	told := func(ws iam.WorkspaceID) iam.Evidence {
		return must[iam.Evidence](t, "evidence")(u.s.Evidence(t.Context(), ws, u.key.ID, u.key.ID))
	}
	silent := func(ws iam.WorkspaceID, name string) bool { return slices.Contains(told(ws).Silent, name) }
	for _, r := range []iam.Reporter{
		{ID: "v1", Name: "tickets", Kind: iam.VerifierNode, Workspace: u.ws.ID}, {ID: "v2", Name: "edge", Kind: iam.VerifierNode},
	} {
		must[time.Time](t, "register")(u.s.Register(t.Context(), r))
	}
	u.register("r1", "n1") // the server begins anew, which ends no verifier
	u.now = u.now.Add(time.Minute)
	for _, test := range []struct {
		ws    iam.WorkspaceID
		name  string
		there bool
	}{{u.ws.ID, "tickets", true}, {far, "tickets", false}, {u.ws.ID, "edge", true}, {far, "edge", true}, {u.ws.ID, "n1", true}} {
		if got := silent(test.ws, test.name); got != test.there {
			t.Errorf("%s is silent for %s: %t, want %t", test.name, test.ws, got, test.there)
		}
	}
	began := u.now
	u.now = u.now.Add(iam.VerifierGone - 2*time.Minute) // v1 was heard of so long ago and a minute more; v2 is now
	u.send(iam.UsageReport{Reporter: "v2", Number: 1, Covers: u.now})
	u.tend()
	if !silent(u.ws.ID, "tickets") || silent(u.ws.ID, "edge") {
		t.Errorf("after %v: silent are %v", u.now.Sub(began), told(u.ws.ID).Silent)
	}
	u.now = u.now.Add(time.Minute + time.Second)
	u.tend()
	if e := told(u.ws.ID); slices.Contains(e.Silent, "tickets") || !e.UnknownUntil.Equal(u.now) {
		t.Errorf("when it is gone: silent are %v, unknown until %v; want until %v", e.Silent, e.UnknownUntil, u.now)
	}
	if e := told(far); !e.UnknownUntil.IsZero() || !slices.Contains(e.Silent, "edge") {
		t.Errorf("elsewhere: %+v, want no more than that edge is silent", e)
	}
	must[time.Time](t, "register")(u.s.Register(t.Context(), iam.Reporter{ID: "v1", Name: "tickets", Kind: iam.VerifierNode, Workspace: u.ws.ID}))
	if e := told(u.ws.ID); !e.KnownTo.IsZero() {
		t.Errorf("when it is back, all is known to %v", e.KnownTo)
	}
}

func (u *counting) tend() {
	u.t.Helper()
	if err := u.s.TendUsage(u.t.Context()); err != nil {
		u.t.Fatalf("tend: %v", err)
	}
}

// counting is a reporter of a world, and the time.
type counting struct {
	*world
	reporter string
	now      time.Time
	number   int64
}

// newCounting returns a world whose reporter is registered. It is mid-morning.
func newCounting(t *testing.T, open Open) *counting {
	t.Helper()
	u := &counting{reporter: "r1", now: time.Date(2026, 3, 4, 10, 20, 30, 0, time.UTC)}
	u.world = newWorld(t, func(t *testing.T, _ func() time.Time) iam.Store {
		return open(t, func() time.Time { return u.now })
	})
	u.register("r1", "n1")
	return u
}

func (u *counting) register(id, name string) {
	u.t.Helper()
	now := must[time.Time](u.t, "register")(u.s.Register(u.t.Context(), iam.Reporter{ID: id, Name: name, Kind: iam.ServerNode}))
	equal(u.t, "time of registering", now, u.now)
}

// use is how the world's key was used at a time from one source.
func (u *counting) use(at time.Time, ok, refused int64) iam.KeyUse {
	use := iam.KeyUse{
		Key: u.key.ID, Principal: u.account.ID, Workspace: u.ws.ID, Minutes: []iam.UsePoint{{At: at.Truncate(time.Minute), OK: ok, Refused: refused}},
		Sources: []iam.SourceUse{{IP: "192.0.2.7", UserAgent: "curl/8.5", First: at, Last: at, OK: ok, Refused: refused}},
		Asks:    []iam.AskUse{{Ask: "agents:execute", Last: at, OK: ok, Refused: refused}},
	}
	if ok > 0 {
		use.LastOK, use.Sources[0].LastOK = at, at
	}
	if refused > 0 {
		use.LastRefused = at
	}
	return use
}

// report reports uses under the next number.
func (u *counting) report(uses ...iam.KeyUse) (first []iam.KeyID) {
	u.t.Helper()
	u.number++
	return u.send(iam.UsageReport{Reporter: u.reporter, Number: u.number, Keys: uses})
}

func (u *counting) send(r iam.UsageReport) (first []iam.KeyID) {
	u.t.Helper()
	now, err := u.s.Report(u.t.Context(), r, func(_ iam.NoteTx, keys []iam.Key) error {
		first = nil // it may run again
		for _, k := range keys {
			first = append(first, k.ID)
		}
		return nil
	})
	if err != nil {
		u.t.Fatalf("report %d: %v", r.Number, err)
	}
	equal(u.t, "time of the report", now, u.now)
	return first
}

// repeat sends a report that was taken before.
func (u *counting) repeat(r iam.UsageReport) {
	u.t.Helper()
	now, err := u.s.Report(u.t.Context(), r, nil)
	isKind(u.t, "a report that was taken before", err, iam.ErrReported)
	equal(u.t, "time of the report", now, u.now)
}

// points returns how a subject was used in all the time there is.
func (u *counting) points(subject string, step time.Duration) []iam.UsePoint {
	u.t.Helper()
	found := must[map[string][]iam.UsePoint](u.t, "points")(u.s.UsagePoints(
		u.t.Context(), u.ws.ID, []string{subject}, u.now.AddDate(-2, 0, 0), u.now.AddDate(0, 0, 1), step))
	return found[subject]
}

func (u *counting) sources() []iam.KeySource {
	u.t.Helper()
	return must[[]iam.KeySource](u.t, "sources")(u.s.UsageSources(u.t.Context(), u.ws.ID, u.key.ID))
}

func (u *counting) asks() []iam.AskTotal {
	u.t.Helper()
	return must[[]iam.AskTotal](u.t, "asks")(u.s.Asks(u.t.Context(), u.ws.ID, u.account.ID, u.now.AddDate(-2, 0, 0)))
}

func (u *counting) read() iam.Key {
	u.t.Helper()
	return must[iam.Key](u.t, "key")(u.s.Key(u.t.Context(), u.ws.ID, u.key.ID))
}

func testReport(t *testing.T, open Open) {
	u := newCounting(t, open)
	use := u.use(u.now, 5, 1)
	use.Minutes = append(use.Minutes, iam.UsePoint{At: u.now.Add(-time.Minute).Truncate(time.Minute), OK: 2})
	use.Sources = append(use.Sources,
		iam.SourceUse{IP: "2001:db8::1", First: u.now.Add(-time.Minute), Last: u.now.Add(-time.Second), OK: 1},
		iam.SourceUse{Others: true, First: u.now, Last: u.now, OK: 1, LastOK: u.now.Add(-time.Second)})
	use.Asks = append(use.Asks, iam.AskUse{Last: u.now, OK: 1}, iam.AskUse{Ask: "agents/…:read", Others: true, Last: u.now, Refused: 9})
	u.report(use, iam.KeyUse{
		Key: "key_2", Principal: u.account.ID, Workspace: u.ws.ID, Minutes: []iam.UsePoint{{At: u.now.Truncate(time.Minute), OK: 10}},
	})
	minute := u.now.Truncate(time.Minute)
	for subject, want := range map[string][]iam.UsePoint{
		string(u.key.ID):     {{At: minute.Add(-time.Minute), OK: 2}, {At: minute, OK: 5, Refused: 1}},
		string(u.account.ID): {{At: minute.Add(-time.Minute), OK: 2}, {At: minute, OK: 15, Refused: 1}},
		string(u.ws.ID):      {{At: minute.Add(-time.Minute), OK: 2}, {At: minute, OK: 15, Refused: 1}},
		"key_3":              nil,
	} {
		equal(t, "minutes of "+subject, u.points(subject, time.Minute), want)
	}
	equal(t, "hours", u.points(string(u.key.ID), time.Hour), []iam.UsePoint{{At: u.now.Truncate(time.Hour), OK: 7, Refused: 1}})
	equal(t, "days", u.points(string(u.key.ID), 24*time.Hour), []iam.UsePoint{{At: u.now.Truncate(24 * time.Hour), OK: 7, Refused: 1}})
	source := iam.SourceUse{IP: "192.0.2.7", UserAgent: "curl/8.5", First: u.now, Last: u.now, LastOK: u.now, OK: 5, Refused: 1}
	source.Via, use.Sources[1].Via = iam.ServerNode, iam.ServerNode
	equal(t, "sources", u.sources(), []iam.KeySource{
		{SourceUse: source, Node: "n1"}, {SourceUse: use.Sources[1], Node: "n1"}, {SourceUse: use.Sources[2]},
	})
	equal(t, "asks", u.asks(), []iam.AskTotal{
		{Ask: "agents/…:read", Others: true, Last: u.now, Refused: 9}, {Ask: "agents:execute", Last: u.now, OK: 5, Refused: 1}, {Last: u.now, OK: 1},
	})
	from := audit.Source{IP: "192.0.2.7", UserAgent: "curl/8.5", Node: "n1"}
	want := &iam.LastUse{At: u.now, Source: from, Key: u.key.ID, KeyName: u.key.Name}
	equal(t, "last use of the key", u.read().LastUse, want)
	account := must[iam.ServiceAccount](t, "account")(u.s.ServiceAccount(t.Context(), u.ws.ID, u.account.Name))
	equal(t, "last use of the account", account.LastUse, want)
}

func testVia(t *testing.T, open Open) {
	u := newCounting(t, open)
	must[time.Time](t, "register")(u.s.Register(t.Context(), iam.Reporter{ID: "v1", Name: "tickets", Kind: iam.VerifierNode, Workspace: u.ws.ID}))
	at := func(second int, via string) iam.KeyUse {
		use := u.use(u.now.Add(time.Duration(second)*time.Second), 1, 0)
		use.Sources[0].Via = via
		return use
	}
	u.now = u.now.Add(time.Minute)
	told := func(what, want string) {
		t.Helper()
		got := u.sources()
		if len(got) != 1 || got[0].Node+"/"+got[0].Via != want {
			t.Errorf("%s: got %+v, want one of %s", what, got, want)
		}
	}
	u.report(at(1, ""))
	told("a server", "n1/server")
	u.report(at(3, iam.Gateway), at(2, ""))
	told("its gateway, after the server", "n1/gateway")
	u.report(at(2, ""))
	told("the server, which tells of it late", "n1/gateway")
	u.report(at(4, iam.Gateway), at(5, ""))
	told("the server, after its gateway", "n1/server")
	u.send(iam.UsageReport{Reporter: "v1", Number: 1, Keys: []iam.KeyUse{at(6, "")}})
	told("a verifier", "tickets/verifier")
	if e := must[iam.Evidence](t, "evidence")(u.s.Evidence(t.Context(), u.ws.ID, u.key.ID, "key_none")); len(e.OldSources) != 1 || e.OldSources[0].Via != iam.VerifierNode {
		t.Errorf("the evidence has the sources %+v, want one of a verifier", e.OldSources)
	}
}

func testReportTwice(t *testing.T, open Open) {
	u := newCounting(t, open)
	r := iam.UsageReport{Reporter: "r1", Number: 1, Keys: []iam.KeyUse{u.use(u.now, 3, 0)}}
	u.send(r)
	u.repeat(r)
	r.Number = 2
	u.send(r)
	r.Number = 1
	u.repeat(r)
	equal(t, "minutes", u.points(string(u.key.ID), time.Minute), []iam.UsePoint{{At: u.now.Truncate(time.Minute), OK: 6}})
	if got := u.sources()[0].OK; got != 6 {
		t.Errorf("%d uses from the source, want 6", got)
	}
}

func testReportUnregistered(t *testing.T, open Open) {
	u := newCounting(t, open)
	_, err := u.s.Report(t.Context(), iam.UsageReport{Reporter: "r2", Number: 1, Keys: []iam.KeyUse{u.use(u.now, 3, 0)}}, nil)
	isKind(t, "a report of nobody", err, iam.NotFound)
	equal(t, "minutes", u.points(string(u.key.ID), time.Minute), []iam.UsePoint(nil))
}

func testFailedReport(t *testing.T, open Open) {
	u, boom := newCounting(t, open), errors.New("boom")
	r := iam.UsageReport{Reporter: "r1", Number: 1, Covers: u.now, Keys: []iam.KeyUse{u.use(u.now, 3, 0)}}
	_, err := u.s.Report(t.Context(), r, func(iam.NoteTx, []iam.Key) error { return boom })
	if !errors.Is(err, boom) {
		t.Errorf("error %v, want first's own", err)
	}
	if u.points(string(u.key.ID), time.Minute) != nil || u.sources() != nil || u.asks() != nil || u.read().LastUse != nil {
		t.Error("something of the report is there")
	}
	equal(t, "keys that were used for the first time, when it is sent again", u.send(r), []iam.KeyID{u.key.ID})
	equal(t, "minutes", u.points(string(u.key.ID), time.Minute), []iam.UsePoint{{At: u.now.Truncate(time.Minute), OK: 3}})
}

func testFirstUse(t *testing.T, open Open) {
	u := newCounting(t, open)
	other := u.newKey("other")
	u.change(func(tx iam.Tx) error { return tx.InsertKey(t.Context(), other) })
	equal(t, "refused only", u.report(u.use(u.now, 0, 1)), []iam.KeyID(nil))
	equal(t, "accepted", u.report(u.use(u.now, 1, 0)), []iam.KeyID{u.key.ID})
	both := u.use(u.now, 1, 0)
	both.Key = other.ID
	equal(t, "one of two for the first time", u.report(u.use(u.now, 1, 0), both), []iam.KeyID{other.ID})
	equal(t, "neither", u.report(u.use(u.now, 1, 0), both), []iam.KeyID(nil))
	unknown := u.use(u.now, 1, 0)
	unknown.Key = "key_nobody_has"
	equal(t, "no key of this store", u.report(unknown), []iam.KeyID(nil))
}

func testLastUse(t *testing.T, open Open) {
	u := newCounting(t, open)
	at := func(minutes int, ip string, ok int64) iam.KeyUse {
		use := u.use(u.now.Add(time.Duration(minutes)*time.Minute), ok, 1-ok)
		use.Sources[0].IP = ip
		return use
	}
	last := func(want string) {
		t.Helper()
		if got := u.read().LastUse; got == nil || got.Source.IP != want {
			t.Errorf("last used from %+v, want %s", got, want)
		}
	}
	u.report(at(0, "192.0.2.1", 0))
	if got := u.read().LastUse; got != nil {
		t.Errorf("last use %+v of a key that was never accepted", got)
	}
	u.report(at(2, "192.0.2.2", 1))
	last("192.0.2.2")
	u.report(at(1, "192.0.2.1", 1)) // late
	last("192.0.2.2")
	u.report(at(4, "192.0.2.4", 0)) // refused
	last("192.0.2.2")
	u.register("r2", "n2")
	u.reporter, u.number = "r2", 0
	u.report(at(3, "192.0.2.3", 1))
	last("192.0.2.3")
	equal(t, "node", u.read().LastUse.Source.Node, "n2")
	e := must[iam.Evidence](t, "evidence")(u.s.Evidence(t.Context(), u.ws.ID, "key_none", u.key.ID))
	equal(t, "first use", e.NewFirstOK, u.now.Add(time.Minute))
	equal(t, "last use", e.NewLastOK, u.now.Add(3*time.Minute))
}

func testUseElsewhere(t *testing.T, open Open) {
	u := newCounting(t, open)
	u.report(u.use(u.now, 3, 0))
	mine := u.ws.ID
	u.ws, _, _ = u.workspace("other")
	for _, subject := range []string{string(u.key.ID), string(u.account.ID), string(mine)} {
		if got := u.points(subject, time.Minute); got != nil {
			t.Errorf("%s was used, as another workspace sees it: %v", subject, got)
		}
	}
	e := must[iam.Evidence](t, "evidence")(u.s.Evidence(t.Context(), u.ws.ID, u.key.ID, u.key.ID))
	if u.sources() != nil || u.asks() != nil || e.OldSources != nil || !e.OldLastOK.IsZero() {
		t.Errorf("seen from another workspace: sources %v, asks %v, evidence %+v", u.sources(), u.asks(), e)
	}
}

func testManySources(t *testing.T, open Open) {
	const each, rounds = 90, 4
	u := newCounting(t, open)
	for round := range rounds {
		use := u.use(u.now, 0, 0)
		use.Sources = nil
		for i := range each {
			use.Sources = append(use.Sources, iam.SourceUse{
				IP: fmt.Sprintf("192.0.%d.%d", round, i), First: u.now, Last: u.now.Add(time.Duration(i)), LastOK: u.now, OK: 2, Refused: 1,
			})
		}
		u.report(use)
		u.now = u.now.Add(time.Hour)
	}
	all := u.sources()
	if len(all) != 101 {
		t.Fatalf("%d sources, want 100 and the others", len(all))
	}
	kept := map[string]bool{}
	for _, s := range all[:100] {
		kept[s.IP] = true
		if s.OK != 2 || s.Refused != 1 || s.Others {
			t.Errorf("source %+v, want 2 and 1", s)
		}
	}
	for i := range each {
		if ip := fmt.Sprintf("192.0.%d.%d", rounds-1, i); !kept[ip] {
			t.Errorf("%s was used last, and is not told apart any more", ip)
		}
	}
	others := all[100]
	const summed = each*rounds - 100
	if !others.Others || others.IP != "" || others.OK != 2*summed || others.Refused != summed {
		t.Errorf("others %+v, want %d and %d of nobody", others, 2*summed, summed)
	}
	equal(t, "others since", others.First, u.now.Add(-rounds*time.Hour))
	if others.LongestGap < time.Hour {
		t.Errorf("longest gap of the others %v, want at least the hour in which none of them was heard of", others.LongestGap)
	}
	use := u.use(u.now, 0, 0)
	use.Sources = []iam.SourceUse{{Others: true, First: u.now, Last: u.now, OK: 7}}
	u.report(use)
	if all := u.sources(); len(all) != 101 || all[100].OK != 2*summed+7 {
		t.Errorf("%d sources with others %+v, want %d uses of others", len(all), all[len(all)-1], 2*summed+7)
	}
}

func testManyAsks(t *testing.T, open Open) {
	const each, rounds = 90, 4
	u := newCounting(t, open)
	for round := range rounds {
		use := u.use(u.now, 0, 0)
		use.Asks = nil
		for i := range each {
			use.Asks = append(use.Asks, iam.AskUse{
				Ask: fmt.Sprintf("agents/a%d-%d:read type%d:read", round, i, i%3), Last: u.now.Add(time.Duration(round) * time.Second), OK: 2, Refused: 1,
			})
		}
		u.report(use)
	}
	apart, others, ok := 0, map[string]int64{}, int64(0)
	for _, a := range u.asks() {
		ok += a.OK
		if a.OK != 2*a.Refused {
			t.Errorf("ask %+v, want twice as many accepted as refused", a)
		}
		if a.Others {
			others[a.Ask] = a.OK
		} else {
			apart++
		}
	}
	if apart != 100 || len(others) != 3 || ok != 2*each*rounds {
		t.Errorf("%d asks apart, others %v, %d accepted; want 100, 3 and %d", apart, others, ok, 2*each*rounds)
	}
	if others["agents/…:read type1:read"] == 0 {
		t.Errorf("others %v, want them without ids", others)
	}
	use := u.use(u.now, 0, 0)
	use.Asks = nil
	for i := range 300 {
		use.Asks = append(use.Asks, iam.AskUse{Ask: fmt.Sprintf("type%03d/…:read", i), Others: true, Last: u.now.Add(time.Minute), OK: 2, Refused: 1})
	}
	u.report(use)
	all, rest := u.asks(), iam.AskTotal{}
	for _, a := range all {
		if a.Ask == iam.AnyAsk {
			rest = a
		}
	}
	if len(all) != 201 || rest.OK < 2*200 || !rest.Others {
		t.Errorf("%d asks, of which %+v is of any; want 201 and at least 400", len(all), rest)
	}
}

// What a client writes is stored, whatever it is, and holds no report up.
func testOddTexts(t *testing.T, open Open) {
	u := newCounting(t, open)
	odd := []string{"\x00", "\xff\xfe", string(make([]byte, 20_000)), "Ünïcödé " + string([]rune{0x10ffff}), "'; --"}
	use := u.use(u.now, 1, 0)
	for _, text := range odd {
		use.Sources = append(use.Sources, iam.SourceUse{IP: text, UserAgent: text, First: u.now, Last: u.now, OK: 1})
		use.Asks = append(use.Asks, iam.AskUse{Ask: text, Last: u.now, OK: 1})
	}
	u.report(use)
	u.report(use)
	ok := int64(0)
	for _, s := range u.sources() {
		ok += s.OK
	}
	asked := int64(0)
	for _, a := range u.asks() {
		asked += a.OK
	}
	if want := int64(2 * (1 + len(odd))); ok != want || asked != want {
		t.Errorf("%d uses by source and %d by ask, want %d", ok, asked, want)
	}
}

// Reporters that report the same keys at once, each in an order of its own, all
// come through, and every use is counted once.
func testConcurrentReports(t *testing.T, open Open) {
	const reporters, rounds, keys = 4, 8, 30
	u := newCounting(t, open)
	var wg sync.WaitGroup
	var mu sync.Mutex // guards first
	first := map[iam.KeyID]int{}
	for r := range reporters {
		id := fmt.Sprint("r", r)
		u.register(id, id)
		wg.Go(func() {
			for round := range rounds {
				var uses []iam.KeyUse
				for k := range keys {
					use := u.use(u.now, 1, 1)
					use.Key = iam.KeyID(fmt.Sprint("key_", (k*(r*2+1)+r)%keys))
					if k == 0 {
						use.Key = u.key.ID
					}
					use.Sources[0].IP = fmt.Sprint(r, round, k)
					uses = append(uses, use)
				}
				report := iam.UsageReport{Reporter: id, Number: int64(round + 1), Keys: uses}
				_, err := u.s.Report(t.Context(), report, func(_ iam.NoteTx, keys []iam.Key) error {
					mu.Lock()
					defer mu.Unlock()
					for _, k := range keys {
						first[k.ID]++
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	equal(t, "workspace", u.points(string(u.ws.ID), time.Minute), []iam.UsePoint{
		{At: u.now.Truncate(time.Minute), OK: reporters * rounds * keys, Refused: reporters * rounds * keys},
	})
	equal(t, "keys that were used for the first time", first, map[iam.KeyID]int{u.key.ID: 1})
	equal(t, "key", u.points(string(u.key.ID), time.Minute), []iam.UsePoint{
		{At: u.now.Truncate(time.Minute), OK: reporters * rounds, Refused: reporters * rounds},
	})
}

func testUnusedSince(t *testing.T, open Open) {
	u := newCounting(t, open)
	never, refused, young := u.newKey("never"), u.newKey("refused"), u.newKey("young")
	young.CreatedAt = u.now.Add(-time.Minute)
	u.change(func(tx iam.Tx) error {
		return errors.Join(tx.InsertKey(t.Context(), never), tx.InsertKey(t.Context(), refused), tx.InsertKey(t.Context(), young))
	})
	only := u.use(u.now, 0, 1)
	only.Key = refused.ID
	u.report(u.use(u.now.Add(-time.Minute), 1, 0), only)
	check(t, expectations[iam.KeyFilter]{
		{iam.KeyFilter{}, []string{"never", "prod", "refused", "young"}},
		{iam.KeyFilter{UnusedSince: u.now.Add(-time.Minute)}, []string{"never", "refused"}},
		{iam.KeyFilter{UnusedSince: u.now.Add(-time.Minute + time.Microsecond)}, []string{"never", "prod", "refused", "young"}},
		{iam.KeyFilter{UnusedSince: u.now, Query: "rod"}, []string{"prod"}},
	}, func(f iam.KeyFilter) (iam.List[iam.Key], error) {
		return u.s.Keys(t.Context(), u.ws.ID, f, everything)
	}, func(k iam.Key) string { return k.Name })
}

func testRates(t *testing.T, open Open) {
	u := newCounting(t, open)
	rates := func(when string, want ...iam.UseRate) {
		t.Helper()
		equal(t, when, must[[]iam.UseRate](t, "rates")(u.s.UseRates(t.Context())), append([]iam.UseRate{}, want...))
	}
	of := func(perSecond float64) iam.UseRate {
		return iam.UseRate{Reporter: "r1", Node: "n1", PerSecond: perSecond}
	}
	rates("before anything was used")
	u.report(u.use(u.now, 20, 10))
	rates("at the beginning of a window", of(3))
	u.now = u.now.Add(5 * time.Second)
	u.report(u.use(u.now, 10, 0))
	rates("in the middle of it", of(4))
	u.repeat(iam.UsageReport{Reporter: "r1", Number: u.number, Keys: []iam.KeyUse{u.use(u.now, 10, 0)}})
	rates("after a report that was taken before", of(4))
	u.now = u.now.Add(10 * time.Second)
	rates("in the next window, half of what was before", of(2))
	u.report(u.use(u.now, 10, 0))
	rates("with more in it", of(3))
	u.now = u.now.Add(20 * time.Second)
	rates("when nothing was used for long")
}
