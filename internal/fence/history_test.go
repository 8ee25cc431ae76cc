package fence_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/posternhq/postern/internal/fence"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/store/storetest"
	"github.com/posternhq/postern/internal/token"
)

// historySeed decides what clients ask and what fails. When things happen is up
// to the machine, so that the same seed is a similar run and not the same.
var historySeed = flag.Uint64("history-seed", 0, "what the clients of random histories do; 0: something else each time")

const (
	linearProcesses = 3
	linearClients   = 6
	hotKeys         = 4
	burst           = 30 // verifications after each change
	linearTTL       = time.Second
)

// recorder has clients change and verify keys on several nodes, and writes down
// what they hear.
type recorder struct {
	t     *testing.T
	all   []*process
	owner iam.Caller
	begun time.Time
	lasts time.Duration  // until then clients go on
	least map[string]int // and then for as long as there is less than this

	mu    sync.Mutex // guards what follows
	hot   [hotKeys]*heard
	keys  []*heard
	count map[string]int
}

// heard is a key, and what was heard of it.
type heard struct {
	id   iam.KeyID
	hash token.Hash

	mu      sync.Mutex // guards what follows
	changes rune
	history []porcupine.Operation
}

func (r *recorder) now() int64 { return int64(time.Since(r.begun)) }

func (r *recorder) counted(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count[what]++
}

// over reports whether clients have done enough, or the machine is too slow for that.
func (r *recorder) over() bool {
	const most = 45 * time.Second
	passed := time.Since(r.begun)
	if passed < r.lasts || passed > most {
		return passed > most
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for what, least := range r.least {
		if r.count[what] < least {
			return false
		}
	}
	return true
}

// client changes a key, asks many nodes about many keys, and begins again.
func (r *recorder) client(ctx context.Context, random *rand.Rand) {
	for !r.over() {
		p, slot := r.all[random.IntN(len(r.all))], random.IntN(hotKeys)
		r.mu.Lock()
		k := r.hot[slot]
		r.mu.Unlock()
		if k == nil {
			k = r.create(ctx, p, slot)
		} else {
			r.change(ctx, p, k, slot, [...]string{"pause", "resume", "pause", "resume", "revoke"}[random.IntN(5)])
		}
		for range burst {
			r.verify(ctx, random.IntN(len(r.all)), r.pick(random, k))
		}
	}
}

// pick returns the key that was just changed, or another.
func (r *recorder) pick(random *rand.Rand, k *heard) *heard {
	r.mu.Lock()
	defer r.mu.Unlock()
	if other := r.hot[random.IntN(hotKeys)]; other != nil && random.IntN(3) > 0 || k == nil {
		return other
	}
	return k
}

func (r *recorder) create(ctx context.Context, p *process, slot int) *heard {
	r.mu.Lock()
	name := fmt.Sprint("key ", r.count["create"])
	r.count["create"]++
	r.mu.Unlock()
	call := r.now()
	patient, cancel := context.WithTimeout(ctx, 3*linearTTL)
	defer cancel()
	done, secret, err := p.service.CreateKey(patient, r.owner, "-", "bot", iam.NewKey{Name: name})
	if err != nil {
		return nil // nobody has its value, so that nobody can ask
	}
	k := &heard{id: done.Value.ID, hash: secret.Hash()}
	k.add(step{what: "create"}, call, r.now(), nil)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hot[slot] = k
	r.keys = append(r.keys, k)
	return k
}

// add writes a change down: both its steps, or the first when nobody knows.
func (k *heard) add(in step, call, ret int64, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.changes++
	in.change = k.changes
	if in.lost = err != nil; in.lost {
		ret = never
	}
	k.history = append(k.history, porcupine.Operation{Input: in, Call: call, Return: ret})
	if !in.lost {
		in.last = true
		k.history = append(k.history, porcupine.Operation{Input: in, Call: call, Return: ret})
	}
}

func (r *recorder) change(ctx context.Context, p *process, k *heard, slot int, what string) {
	if what == "revoke" {
		r.mu.Lock()
		r.hot[slot] = nil
		r.mu.Unlock()
	}
	patient, cancel := context.WithTimeout(ctx, 3*linearTTL)
	defer cancel()
	call := r.now()
	var err error
	switch what {
	case "pause":
		_, err = p.service.PauseKey(patient, r.owner, "-", k.id, iam.Why{})
	case "resume":
		_, err = p.service.ResumeKey(patient, r.owner, "-", k.id, iam.Why{})
	case "revoke":
		_, err = p.service.RevokeKey(patient, r.owner, "-", k.id, iam.Why{})
	}
	switch {
	case err == nil:
		r.counted(what)
		k.add(step{what: what}, call, r.now(), nil)
	case errors.Is(err, iam.Unknown) || errors.Is(err, iam.Unconfirmed):
		r.counted("lost")
		k.add(step{what: what}, call, 0, err)
	default: // nothing was done, and what the refusal was decided by need not have reached every node
		r.counted("refused")
	}
}

func (r *recorder) verify(ctx context.Context, node int, k *heard) {
	if k == nil {
		return
	}
	call := r.now()
	code := r.all[node].verdict(ctx, k.hash).Code
	if code == replica.Stale {
		r.counted("stale")
		return // which tells nothing
	}
	r.counted("verify")
	k.mu.Lock()
	defer k.mu.Unlock()
	k.history = append(k.history, porcupine.Operation{Input: step{what: "verify", node: node}, Output: code, Call: call, Return: r.now()})
}

// forgetful is a store whose answer to a COMMIT is lost now and then.
type forgetful struct {
	iam.Store
	lost func() bool
}

func (f forgetful) Change(ctx context.Context, first iam.First, fn func(iam.Tx) (iam.Change, error)) (iam.Commit, error) {
	commit, err := f.Store.Change(ctx, first, fn)
	if err == nil && f.lost() {
		return iam.Commit{}, iam.Errorf(iam.Unknown, "the connection went away")
	}
	return commit, err
}

// weather makes the ways to the database slow, and cuts nodes off from it.
type weather struct {
	mu     sync.Mutex // guards what follows
	random *rand.Rand
	cut    [linearProcesses]time.Time // until when
}

func (w *weather) meet(node int) func(context.Context, string) error {
	return func(ctx context.Context, call string) error {
		w.mu.Lock()
		delay := time.Duration(w.random.Float64() * w.random.Float64() * float64(30*time.Millisecond))
		if w.random.IntN(400) == 0 {
			w.cut[node] = time.Now().Add(time.Duration(w.random.Int64N(int64(linearTTL * 3 / 2))))
		}
		cut := time.Now().Before(w.cut[node])
		w.mu.Unlock()
		if cut {
			return iam.Errorf(iam.Unavailable, "cut off")
		}
		if call != "changes" {
			return nil
		}
		select {
		case <-time.After(delay):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (w *weather) chance(n int) func() bool {
	return func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.random.IntN(n) == 0
	}
}

// record has clients at work for a while, and until they have done at least so
// much. spoil and spoiled take a guard away, or are nil.
func record(t *testing.T, lasts time.Duration, least map[string]int, spoil func(*fence.Options), spoiled func(node int, p *process)) *recorder {
	t.Helper()
	seed := *historySeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-history-seed %d", seed)
	r := &recorder{t: t, lasts: lasts, least: least, count: map[string]int{}}
	w := &weather{random: rand.New(rand.NewPCG(seed, 0))}
	url := storetest.Postgres(t)
	for i := range linearProcesses {
		o := fence.Options{Name: fmt.Sprint("node-", i), TTL: linearTTL}
		if spoil != nil {
			spoil(&o)
		}
		r.all = append(r.all, startProcess(t, url, o))
	}
	for _, p := range r.all {
		p.ready(t)
	}
	r.owner = r.all[0].initialize(t)
	r.all[0].account(t, r.owner, "bot", iam.Operator)
	for i, p := range r.all {
		p.service.Store = forgetful{p.store, w.chance(50)}
		p.gate.set(w.meet(i))
		if spoiled != nil {
			spoiled(i, p)
		}
	}
	var clients sync.WaitGroup
	r.begun = time.Now()
	for i := range linearClients {
		clients.Go(func() { r.client(t.Context(), rand.New(rand.NewPCG(seed, uint64(i)+1))) })
	}
	clients.Wait()
	t.Logf("%d keys: %v", len(r.keys), r.count)
	return r
}

// illegal returns a history that cannot have been, or nil.
func (r *recorder) illegal(t *testing.T) []porcupine.Operation {
	t.Helper()
	for _, k := range r.keys {
		if judge(t, k.history) == porcupine.Illegal {
			return k.history
		}
	}
	return nil
}

// Random histories of several clients over three nodes are such that every
// change that returned had taken effect everywhere.
func TestHistoriesAreThoseOfOneKey(t *testing.T) {
	lasts := 5 * time.Second
	if testing.Short() {
		lasts /= 2
	}
	least := map[string]int{"create": 3, "pause": 5, "resume": 5, "revoke": 3, "verify": 1000}
	r := record(t, lasts, least, nil, nil)
	if history := r.illegal(t); history != nil {
		t.Errorf("this cannot have been:\n%s", told(history))
	}
	for what, n := range least {
		if r.count[what] < n {
			t.Errorf("%s: got %d, want at least %d, or this shows nothing", what, r.count[what], n)
		}
	}
}

// hasty is a fence that does not wait.
type hasty struct{}

func (hasty) Begin(seq int64) iam.Waiting {
	return iam.WaitFunc(func(context.Context, int64) (iam.Receipt, error) {
		return iam.Receipt{Confirmed: true}, nil
	}).Begin(seq)
}

// The same clients, on nodes of which a guard was taken away, until some of them
// have done something: all may begin on the node that is cut off, and wait there.
func TestHistoriesWithoutAGuardAreFoundOut(t *testing.T) {
	least := map[string]int{"pause": 3, "verify": 300}
	t.Run("nobody waits", func(t *testing.T) {
		r := record(t, 1500*time.Millisecond, least, nil, func(_ int, p *process) { p.service.Fence = hasty{} })
		if r.illegal(t) == nil {
			t.Error("nothing was noticed")
		}
	})
	t.Run("nobody looks at the lease", func(t *testing.T) {
		noLease := func(o *fence.Options) { o.Replica = replica.New(replica.Options{}) }
		r := record(t, 3*time.Second, least, noLease, func(node int, p *process) {
			if node == 2 {
				p.gate.set(func(context.Context, string) error { return iam.Errorf(iam.Unavailable, "cut off") })
			}
		})
		if r.illegal(t) == nil {
			t.Error("nothing was noticed")
		}
	})
}
