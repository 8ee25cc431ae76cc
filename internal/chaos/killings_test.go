package chaos

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
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
	program, err := Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, storeOf := range storetest.Databases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // to each other: on PostgreSQL most of the time is waited for the lease of the dead
			p := Plan{Program: program, Dir: t.TempDir(), TTL: time.Second}
			store := storeOf(t)
			header, err := initialize(t.Context(), p, store)
			if err != nil {
				t.Fatal(err)
			}
			n := alone(t, p, store)
			began := time.Now()
			l, err := Killings(t.Context(), n, header, killings(), func() time.Duration { return rand.N(60 * time.Millisecond) })
			if err != nil {
				t.Fatalf("%v\n%s", err, n.LastWords(20))
			}
			found := l.Judge()
			t.Logf("%d kills in %v: %d changes asked for, %d events, %d things; %v",
				killings(), time.Since(began).Round(time.Second), len(l.Entries), len(l.Events), len(l.Things), found)
			if !found.Clean() {
				t.Error(found)
			}
			if unheard := l.unheard(); len(l.Entries) < 4*killings() || unheard == 0 {
				t.Errorf("%d changes, of which %d were never answered: it was not killed while it wrote", len(l.Entries), unheard)
			}
		})
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
