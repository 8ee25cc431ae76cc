package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// patience is how long a node may need to be ready after everything is mended.
	// Whoever needs longer does not recover by itself.
	patience = 15 * time.Second
	// slowRecovery is how long is worth a line.
	slowRecovery = 2 * time.Second
	// calm is for how long nothing is done, beyond what counts as settling.
	calm = 3 * time.Second
	// together is how many storms there are from one calm to the next.
	together = 5
)

// storms makes faults until ctx ends: all of the plan, in any order, two at once
// where that is possible, with calms in between. It returns when the last fault
// is mended and every node is ready again.
func (r *Run) storms(ctx context.Context) error {
	random := r.random(3, 0)
	var deck []Fault
	for n := 0; ctx.Err() == nil; n++ {
		if n > 0 && n%together == 0 {
			_ = pause(ctx, r.troubles.Settle+calm) // its end is the loop's
		}
		for len(deck) < 2 {
			more := append([]Fault(nil), r.plan.Faults...)
			random.Shuffle(len(more), func(i, j int) { more[i], more[j] = more[j], more[i] })
			deck = append(deck, more...)
		}
		used, err := r.storm(ctx, deck, random)
		if err != nil {
			return err
		}
		deck = deck[used:]
		if random.IntN(2) == 0 || n%together == together-1 {
			if err := r.awaitAll(ctx); err != nil {
				return err
			}
		}
	}
	return r.awaitAll(ctx)
}

// storm makes the next fault or two, beside some of verifiers outside, and returns
// how many.
func (r *Run) storm(ctx context.Context, deck []Fault, random *rand.Rand) (used int, err error) {
	if ctx.Err() != nil {
		return 0, nil
	}
	beside := make(chan error, 1)
	nearby := rand.New(rand.NewPCG(random.Uint64(), random.Uint64()))
	go func() { beside <- r.pester(ctx, nearby) }() // is waited for
	defer func() { err = errors.Join(err, <-beside) }()
	targets := random.Perm(len(r.nodes))
	one, other := deck[0], deck[1]
	if one.Node == nil || other.Node == nil {
		return 1, r.strike(ctx, one, targets[0], random)
	}
	var failed error
	var second sync.WaitGroup
	chance := rand.New(rand.NewPCG(random.Uint64(), random.Uint64()))
	second.Go(func() { failed = r.strike(ctx, other, targets[1], chance) })
	err = r.strike(ctx, one, targets[0], random)
	second.Wait()
	if err == nil {
		err = failed
	}
	return 2, err
}

// strike makes one fault.
func (r *Run) strike(ctx context.Context, f Fault, target int, random *rand.Rand) (err error) {
	where := database
	if f.Node != nil {
		where = target
	}
	defer r.troubles.Begin(f.Kind, where, r.clock)()
	r.plan.Log("%8.3fs %s%s", r.clock.Now().Seconds(), f.Kind, r.whom(where))
	if f.Node != nil {
		err = f.Node(ctx, r, r.nodes[target], random)
	} else {
		err = f.Database(ctx, r, random)
	}
	if err != nil {
		return fmt.Errorf("%s%s: %w", f.Kind, r.whom(where), err)
	}
	return nil
}

func (r *Run) whom(where int) string {
	if where == database {
		return ""
	}
	return ": " + r.nodes[where].Name
}

// awaitAll waits until every node is ready, and notes how long that took.
func (r *Run) awaitAll(ctx context.Context) error {
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	begun := r.clock.Now()
	for _, n := range r.nodes {
		if err := n.AwaitReady(limited); err != nil {
			return fmt.Errorf("%v after everything is mended, %w\n%s", patience, err, n.LastWords(40))
		}
		if took := r.clock.Now() - begun; took > slowRecovery {
			r.plan.Log("%8.3fs %s was not ready for %v after everything was mended", r.clock.Now().Seconds(), n.Name, took)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.back = append(r.back, r.clock.Now()-begun)
	return nil
}
