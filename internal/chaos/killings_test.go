package chaos

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/store/storetest"
)

// killings is how often the server is killed, on each of the databases.
func killings() int {
	if *torture {
		return 500
	}
	return 40
}

// A change and its event are one: whenever the process is killed, there is either
// both or neither, once, in the order in which the changes were made.
func TestNoAuditEventIsLostDoubledOrReorderedByAKill(t *testing.T) {
	if testing.Short() {
		t.Skip("what it starts is built without the race detector, which -short is for")
	}
	t.Parallel()
	program := built(t)
	for name, storeOf := range storetest.Databases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const lanes = 4 // most of the time is waited for the lease of the dead
			kill(t, program, storeOf, lanes, killings()/lanes)
		})
	}
}

// kill kills several servers at the same time, each on a database of its own and so
// often, and holds the log of each to what was done.
func kill(t *testing.T, program string, storeOf func(testing.TB) string, lanes, times int) {
	nodes, headers := make([]*Node, lanes), make([]string, lanes)
	for i := range lanes {
		p := Plan{Program: program, Dir: t.TempDir(), TTL: time.Second}
		store := storeOf(t)
		var err error
		if headers[i], err = initialize(t.Context(), p, store); err != nil {
			t.Fatal(err)
		}
		nodes[i] = alone(t, p, store)
	}
	began, ledgers, ends := time.Now(), make([]Ledger, lanes), make([]error, lanes)
	var killing sync.WaitGroup
	for i := range lanes {
		killing.Go(func() {
			between := func() time.Duration { return rand.N(60 * time.Millisecond) }
			ledgers[i], ends[i] = Killings(t.Context(), nodes[i], headers[i], times, between)
		})
	}
	killing.Wait()
	unheard := 0
	for i, l := range ledgers {
		if ends[i] != nil {
			t.Fatalf("%v\n%s", ends[i], nodes[i].LastWords(20))
		}
		found := l.Judge()
		t.Logf("%d kills in %v: %d changes asked for, %d events, %d things; %v",
			times, time.Since(began).Round(time.Second), len(l.Entries), len(l.Events), len(l.Things), found)
		if !found.Clean() {
			t.Error(found)
		}
		if len(l.Entries) < 4*times {
			t.Errorf("%d changes for %d kills: it was killed before it wrote", len(l.Entries), times)
		}
		unheard += l.unheard()
	}
	if unheard == 0 {
		t.Error("every change was answered: it was not killed while it wrote")
	}
}

// unheard counts the changes that nobody was told the outcome of.
func (l Ledger) unheard() (n int) {
	for _, e := range l.Entries {
		if !e.Answered {
			n++
		}
	}
	return n
}

// alone starts a server that speaks to its store directly.
func alone(t *testing.T, p Plan, store string) *Node {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{
		Name: "alone", program: p.Program, addr: fmt.Sprintf("127.0.0.1:%d", port), log: filepath.Join(p.Dir, "alone.log"),
		client: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 10}},
	}
	n.args = append([]string{"serve", "--listen", n.addr, "--store-url", store, "--node-name", n.Name}, serving(p)...)
	t.Cleanup(n.Kill)
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	return n
}
