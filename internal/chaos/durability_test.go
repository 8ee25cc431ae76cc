package chaos

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A standby that commits do not wait for may take over without a revocation that
// was confirmed. That is refused, in words that say what to change, unless the
// operator accepts it; then the receipts say so.
func TestAStandbyThatNothingWaitsForIsRefused(t *testing.T) {
	if testing.Short() {
		t.Skip("what it starts is built without the race detector, which -short is for")
	}
	t.Parallel()
	p, pair := Plan{Program: built(t), Dir: t.TempDir(), TTL: time.Second}, startPair(t)
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(pair.Synchronous(t.Context()))
	header, err := initialize(t.Context(), p, pair.primary.url())
	do(err)
	early := serve(t, p, pair, "early", "required")
	answers(t, early)

	do(pair.Asynchronous(t.Context()))
	refuses(t, early)
	refuses(t, serve(t, p, pair, "late", "required"))
	lenient := serve(t, p, pair, "lenient", "local")
	answers(t, lenient)
	c := newClient(lenient, header, Clock(time.Now()))
	made := c.Change(t.Context(), http.MethodPost, workspace+"service_accounts", fields{"name": "bot", "role": "operator"})
	ended := c.Change(t.Context(), http.MethodPost, workspace+"service_accounts/"+made.ID+"/revoke", fields{})
	if ended.Receipt == nil || ended.Receipt.Durability != "local" {
		t.Errorf("the receipt does not say that a failover can undo it: %d %s", ended.status, ended.text)
	}

	do(pair.Synchronous(t.Context()))
	answers(t, early)
}

func serve(t *testing.T, p Plan, pair *Pair, name, durability string) *Node {
	t.Helper()
	flags := append(serving(p), "--durability", durability)
	n, err := newNode(name, p.Program, p.Dir, pair.Addr(), flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	return n
}

// answers fails the test unless a node gets ready.
func answers(t *testing.T, n *Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := n.AwaitReady(ctx); err != nil {
		t.Fatalf("%v\n%s", err, n.LastWords(20))
	}
}

// refuses fails the test unless a node soon has ended or is not ready, stays so
// for two seconds, and has said what to change.
func refuses(t *testing.T, n *Node) {
	t.Helper()
	end := time.Now().Add(20 * time.Second)
	for since := time.Now(); time.Since(since) < 2*time.Second; {
		if n.Runs() && n.Ready(t.Context()) == nil {
			since = time.Now()
		}
		if time.Now().After(end) {
			t.Fatalf("%s goes on:\n%s", n.Name, n.LastWords(20))
		}
		_ = pause(t.Context(), 20*time.Millisecond) // the loop looks
	}
	if words := n.LastWords(100); !strings.Contains(words, "set synchronous_standby_names") {
		t.Errorf("%s does not say what to change:\n%s", n.Name, words)
	}
}
