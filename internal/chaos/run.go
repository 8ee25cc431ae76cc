package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Plan says what a run is to do.
type Plan struct {
	Program   string // the path of the program
	Outside   string // the path of the verifier in a process of its own
	Dir       string // for its files
	Seed      uint64 // of all that is left to chance here; what the machine does is not
	For       time.Duration
	Enough    func(Report) bool // ends the run before its time; nil: nothing does
	TTL       time.Duration
	Hunters   int
	Verifiers int           // for each node
	Pace      time.Duration // of each verifier, between two questions
	Outsiders int           // verifiers in processes of their own
	Recipes   string        // of gateways, the folder; empty: there are none
	Account   int           // keys of an account that is revoked as a whole
	Faults    []Fault       // each as often as it is listed, in any order, again and again
	Log       func(format string, args ...any)
}

// nodes is how many processes there are.
const nodes = 3

// Run is a deployment under load and under faults.
type Run struct {
	plan      Plan
	clock     Clock
	pair      *Pair
	nodes     []*Node
	clients   []*Client
	group     *Group // of the processes at other doors
	outsiders []*Outsider
	board     *Board
	service   *service // behind the gateways
	gateways  []*gateway
	outside   []OutsideFault // that come next; used by one storm at a time
	troubles  *Troubles
	retired   sync.WaitGroup // for the subjects that have ended and are still asked about
	enough    func()         // ends the hunting and the faults

	mu    sync.Mutex // guards what follows
	tally Tally
	odds  map[string]int // what nobody expects, and how often it was
	back  []time.Duration
	held  int // how often a node was seen to be away with the head row in its hands
}

// Start makes a deployment, and waits until all of it is ready. It must be
// closed.
func Start(ctx context.Context, plan Plan) (_ *Run, err error) {
	r := &Run{
		plan: plan, clock: Clock(time.Now()), board: newBoard(), odds: map[string]int{},
		troubles: &Troubles{Settle: 2*plan.TTL + 2*time.Second},
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	if r.group, err = NewGroup(); err != nil {
		return nil, err
	}
	if r.pair, err = StartPair(ctx); err != nil {
		return nil, err
	}
	if err := r.pair.Synchronous(ctx); err != nil {
		return nil, err
	}
	header, err := initialize(ctx, plan, r.pair.primary.url())
	if err != nil {
		return nil, err
	}
	for i := range nodes {
		n, err := newNode(fmt.Sprintf("node-%d", i+1), plan.Program, plan.Dir, r.pair.Addr(), append(serving(plan), "--gateway-listen", "unix:"+r.socket(i))...)
		if err != nil {
			return nil, err
		}
		r.nodes, r.clients = append(r.nodes, n), append(r.clients, newClient(n, header, r.clock))
		if err := n.Start(); err != nil {
			return nil, err
		}
	}
	for _, n := range r.nodes {
		if err := n.AwaitReady(ctx); err != nil {
			return nil, fmt.Errorf("%w\n%s", err, n.LastWords(20))
		}
	}
	return r, errors.Join(r.invite(ctx), r.open(ctx))
}

// serving are the flags of a server in this plan.
func serving(plan Plan) []string {
	return []string{"--secret-file", filepath.Join(plan.Dir, "secret"), "--lease-ttl", plan.TTL.String()}
}

// initialize makes the first owner, and returns the header that signs in as them.
func initialize(ctx context.Context, plan Plan, store string) (string, error) {
	file := filepath.Join(plan.Dir, "owner.h")
	cmd := exec.CommandContext(ctx, plan.Program, "init", "--workspace", "Acme", "--email", "owner@example.com",
		"--store-url", store, "--secret-file", filepath.Join(plan.Dir, "secret"), "--out-header", file)
	cmd.Dir, cmd.Env = plan.Dir, environment(plan.Dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("postern init: %w\n%s", err, out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	_, header, found := strings.Cut(strings.TrimSpace(string(text)), ": ")
	if !found {
		return "", fmt.Errorf("%s holds no header", file)
	}
	return header, nil
}

// Close ends all processes.
func (r *Run) Close() (err error) {
	for _, o := range r.outsiders {
		o.Close()
	}
	if r.group != nil {
		r.group.Close()
	}
	if r.service != nil {
		r.service.close()
	}
	for _, n := range r.nodes {
		n.Close()
	}
	if r.pair != nil {
		err = r.pair.Stop()
	}
	return err
}

// Do runs the load and the faults, for as long as planned, and returns when the
// last history is judged.
func (r *Run) Do(ctx context.Context) error {
	var faults, hunting, verifying sync.WaitGroup
	ctx, abandon := context.WithTimeout(ctx, r.plan.For+lastActs)
	defer abandon()
	var hunt context.Context
	hunt, r.enough = context.WithTimeout(ctx, r.plan.For)
	defer r.enough()
	verify, stop := context.WithCancel(ctx)
	defer stop()
	for i := range r.clients {
		for j := range r.plan.Verifiers {
			v := &verifier{door: Door{Server, i, i}, client: r.clients[i], board: r.board, random: r.random(1, i*r.plan.Verifiers+j), pace: r.plan.Pace}
			verifying.Go(func() { v.run(verify) })
		}
	}
	for i, o := range r.outsiders {
		a := &asker{outsider: o, board: r.board, random: r.random(4, i), pace: outsiderPace, odd: r.note}
		verifying.Go(func() { a.run(verify) })
	}
	for _, g := range r.gateways {
		verifying.Go(func() { g.run(verify) })
	}
	defer context.AfterFunc(ctx, r.silence)()
	for i := range r.plan.Hunters {
		h := &hunter{name: fmt.Sprintf("h%d", i+1), run: r, random: r.random(2, i)}
		hunting.Go(func() { h.hunt(hunt, ctx) })
	}
	var failed error
	faults.Go(func() {
		if failed = r.storms(hunt); failed != nil {
			abandon() // nothing gets better from here on
		}
	})
	faults.Wait()
	hunting.Wait()
	r.retired.Wait() // the verifiers go on until nothing is on the board
	stop()
	verifying.Wait()
	return failed
}

// silence ends all that nobody has an answer from, so that nobody waits for it.
func (r *Run) silence() {
	for _, o := range r.outsiders {
		o.Kill()
	}
}

// lastActs is how long after the planned time everything has to have ended.
const lastActs = time.Minute

// random returns a source of chance that is the same in each run of a seed.
func (r *Run) random(part, number int) *rand.Rand {
	return rand.New(rand.NewPCG(r.plan.Seed, uint64(part)<<32|uint64(number)))
}

// retire has a subject asked about for some time after its end, for the sake of
// nodes that were away, and then judges all that was read of it.
func (r *Run) retire(s *Subject) {
	r.board.Put(s, cold)
	r.retired.Go(func() {
		<-time.After(longest(r.plan.TTL) + time.Second)
		r.board.Take(s)
		h := s.finish()
		r.mu.Lock()
		defer r.mu.Unlock()
		h.Judge(&r.tally, r.troubles)
		if r.plan.Enough != nil && r.plan.Enough(r.report()) {
			r.enough()
		}
	})
}

// note writes down what nobody expects.
func (r *Run) note(err error) {
	text := err.Error()
	r.mu.Lock()
	r.odds[text[:min(len(text), 400)]]++
	first := len(r.odds) <= 20
	r.mu.Unlock()
	if first {
		r.plan.Log("%8.3fs unexpected: %v", r.clock.Now().Seconds(), err)
	}
}
