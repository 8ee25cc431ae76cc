package main

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/store"
	"github.com/posternhq/postern/internal/store/storetest"
)

// used is how often a key was used, as the store knows.
type used struct{ ok, refused int64 }

// counting is an office whose first owner has made a key, of whose use there is
// nothing to be lost.
type counting struct {
	*office
	rows      *store.Store
	workspace iam.WorkspaceID
	key       iam.KeyID
	value     string
	begun     time.Time
}

func newCounting(t *testing.T, url string) (*counting, *server) {
	t.Helper()
	c := &counting{office: officeOn(t, url), begun: time.Now()}
	c.initialize()
	s := c.serve(url)
	s.becomes("/readyz", 200, "ok")
	s.must("/v1/workspaces/-/service_accounts", c.owner, map[string]string{"name": "bot", "role": "operator"})
	made := s.must("/v1/workspaces/-/service_accounts/bot/keys", c.owner, map[string]string{"name": "prod"})
	c.key, c.value = iam.KeyID(made.in("id").(string)), made.in("value").(string)
	who := s.call("GET", "/v1/whoami", c.owner, nil).in("principal").(map[string]any)["workspace"].(map[string]any)
	c.workspace = iam.WorkspaceID(who["id"].(string))
	var err error
	if c.rows, err = store.New(t.Context(), url, store.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.rows.Close() }) // nothing was written
	return c, s
}

// known returns how often the key was used.
func (c *counting) known() (sum used) {
	c.t.Helper()
	points, err := c.rows.UsagePoints(c.t.Context(), c.workspace, []string{string(c.key)}, c.begun.Add(-time.Hour), time.Now().Add(time.Hour), time.Minute)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, p := range points[string(c.key)] {
		sum.ok, sum.refused = sum.ok+p.OK, sum.refused+p.Refused
	}
	return sum
}

// becomes waits until so many uses are known, and returns for how long.
func (c *counting) becomes(want used) time.Duration {
	c.t.Helper()
	begun := time.Now()
	for c.known() != want {
		if time.Since(begun) > patience {
			c.t.Fatalf("%+v uses are known, want %+v", c.known(), want)
		}
		time.Sleep(20 * time.Millisecond) // the store tells nobody
	}
	return time.Since(begun)
}

// verify verifies the key n times on each server, at the same time.
func (c *counting) verify(n int, want string, servers ...*server) {
	c.t.Helper()
	var calling sync.WaitGroup
	for _, s := range servers {
		calling.Go(func() {
			for range n {
				s.knows(c.owner, c.value, want)
			}
		})
	}
	calling.Wait()
}

func TestUsesOverThreeNodesAddUpToWhatWasVerified(t *testing.T) {
	t.Parallel()
	const n = 100
	c, one := newCounting(t, storetest.Postgres(t))
	two, three := c.serve(c.store), c.serve(c.store)
	c.verify(n, "valid", one, two, three)
	took := c.becomes(used{ok: 3 * n})
	t.Logf("they were known %v after the last", took)

	c.verify(n, "valid", two)
	if err := two.interrupt(); err != nil {
		t.Fatal(err)
	}
	c.becomes(used{ok: 4 * n})
	two = c.serve(c.store)
	c.verify(n, "valid", one, two, three)
	one.must("/v1/workspaces/-/keys/"+string(c.key)+"/revoke", c.owner, nil)
	c.verify(7, "revoked", one, two, three)
	for _, s := range []*server{one, two, three} {
		if err := s.interrupt(); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := c.known(), (used{7 * n, 21}); got != want {
		t.Errorf("once all have stopped, %+v uses are known, want %+v", got, want)
	}
	if n := c.ask(`SELECT count(*) FROM usage_reporters WHERE ended_at IS NULL OR covers < ended_at`); n != 0 {
		t.Errorf("%d of the nodes that left may have used the key and not said so", n)
	}
}

// whileItMay verifies the key for as long as a server that its database has left may
// answer, and returns how often that accepted it.
func (c *counting) whileItMay(s *server) (accepted int64) {
	c.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		switch code := s.verify(c.owner, c.value); code {
		case "valid":
			accepted++
		case "stale":
			return accepted
		default:
			c.t.Fatalf("the key is %s, want valid or stale", code)
		}
	}
	c.t.Fatal("it does not say that it is stale")
	return 0
}

// Two servers of one name are two that count. What one of them accepts while its
// database is away is known once it is back, and by the other's reports meanwhile
// nothing is lost. One that has to end without its database says what that costs.
func TestUsesOfAnOutageAreKnownOnceItIsOver(t *testing.T) {
	t.Parallel()
	const n = 50
	c, one := newCounting(t, storetest.Postgres(t))
	way := c.path()
	two := c.serve(way.url) // both are called as their machine is
	two.becomes("/readyz", 200, "ok")
	if nodes, names := c.ask(`SELECT count(*) FROM nodes`), c.ask(`SELECT count(DISTINCT name) FROM usage_reporters`); nodes != 2 || names != 1 {
		t.Fatalf("there are %d nodes of %d names, want 2 of one", nodes, names)
	}
	c.verify(n, "valid", one, two)
	want := int64(2 * n)
	c.becomes(used{ok: want})
	for accepted := int64(0); accepted == 0; { // a slow machine may need more than one try
		way.close()
		accepted = c.whileItMay(two)
		c.verify(n, "valid", one)
		c.becomes(used{ok: want + n})
		way.open()
		two.becomes("/readyz", 200, "ok")
		want += n + accepted
		c.becomes(used{ok: want})
		t.Logf("%d uses of the outage are known", accepted)
	}
	way.close()
	accepted := c.whileItMay(two)
	if err := two.interrupt(); err == nil || !strings.Contains(two.words(), "uses since the last report are lost") {
		t.Errorf("it ends with %v, and says:\n%s", err, two.words())
	}
	if err := one.interrupt(); err != nil {
		t.Error(err)
	}
	if got := c.known(); got.ok != want {
		t.Errorf("%d uses are known, want %d and none of the %d that were lost", got.ok, want, accepted)
	}
}

// source is what an answer says of where a key was used.
type source struct {
	IP        string  `json:"ip"`
	UserAgent string  `json:"user_agent"`
	Node      string  `json:"node"`
	OK        int64   `json:"ok"`
	Refused   int64   `json:"refused"`
	LastOK    *string `json:"last_ok"`
}

// sources returns where a key was used from, as a server says.
func (c *counting) sources(s *server) []source {
	c.t.Helper()
	h := s.call("GET", "/v1/workspaces/-/keys/"+string(c.key)+"/usage?step=1m", c.owner, nil)
	var u struct {
		Sources []source `json:"sources"`
	}
	if err := json.Unmarshal([]byte(h.text), &u); err != nil || h.status != 200 && h.in("code") != "stale" {
		c.t.Fatalf("%d %s: %v", h.status, h.text, err)
	}
	return u.Sources
}

// Whoever still uses a key that was revoked is found by it on every server, with
// the node that it was seen by.
func TestWhoStillUsesARevokedKeyIsNamedOnEveryNode(t *testing.T) {
	t.Parallel()
	c, one := newCounting(t, storetest.Postgres(t))
	gate := c.serve(c.store, "--node-name", "gate-2")
	ask := func(s *server, from, agent, want string) {
		t.Helper()
		question := map[string]any{"key": c.value, "workspace": "any", "source": map[string]string{"ip": from, "user_agent": agent}}
		if got := s.must("/v1/verify", c.owner, question).in("code"); got != want {
			t.Errorf("the key is %v, want %s", got, want)
		}
	}
	gate.becomes("/readyz", 200, "ok")
	ask(one, "192.0.2.1", "deploy/2", "valid")
	one.must("/v1/workspaces/-/keys/"+string(c.key)+"/revoke", c.owner, nil)
	for range 3 {
		ask(gate, "198.51.100.9", "old-cron/1.0", "revoked")
	}
	asked := time.Now()
	for _, s := range []*server{one, gate} {
		for {
			all := c.sources(s)
			slices.SortFunc(all, func(a, b source) int { return cmp.Compare(b.Refused, a.Refused) }) // two servers' times may differ by more than lies between the uses
			if len(all) == 2 && all[0].Refused == 3 {
				want := source{IP: "198.51.100.9", UserAgent: "old-cron/1.0", Node: "gate-2", Refused: 3}
				if all[0] != want || all[1].OK != 1 || all[1].Refused != 0 || all[1].LastOK == nil || all[1].Node == "gate-2" {
					t.Errorf("got %+v; want first %+v, then the use before it was revoked", all, want)
				}
				break
			}
			if time.Since(asked) > patience {
				t.Fatalf("the key's sources are %+v", all)
			}
			time.Sleep(20 * time.Millisecond) // a server tells of nothing by itself
		}
		t.Logf("it was known %v after the last", time.Since(asked))
	}
}

func TestUsesOnSQLiteOutliveARestart(t *testing.T) {
	t.Parallel()
	const n = 100
	url := storetest.SQLite(t)
	c, s := newCounting(t, url)
	c.verify(n, "valid", s)
	c.becomes(used{ok: n})
	c.verify(n, "valid", s)
	if err := s.interrupt(); err != nil {
		t.Fatal(err)
	}
	if got := c.known(); got.ok != 2*n {
		t.Errorf("after it stopped %d uses are known, want %d", got.ok, 2*n)
	}
	s = c.serve(url)
	c.verify(n, "valid", s)
	c.becomes(used{ok: 3 * n})
}

// What a process counted since its last report is lost with it, and no more.
func TestProcessThatIsKilledLosesNoMoreThanTheLastReport(t *testing.T) {
	for name, url := range storetest.Databases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const n = 50
			url := url(t)
			c, s := newCounting(t, url)
			c.verify(n, "valid", s)
			c.becomes(used{ok: n})
			c.verify(n, "valid", s)
			if err := s.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			<-s.ended
			s = c.serve(url)
			s.becomes("/readyz", 200, "ok")
			before := c.known()
			if before.ok < n || before.ok > 2*n {
				t.Errorf("%d uses are known, want %d to %d", before.ok, n, 2*n)
			}
			c.verify(n, "valid", s)
			c.becomes(used{ok: before.ok + n})
		})
	}
}
