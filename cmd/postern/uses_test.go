package main

import (
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
	for name, url := range map[string]func(testing.TB) string{"SQLite": storetest.SQLite, "PostgreSQL": storetest.Postgres} {
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
