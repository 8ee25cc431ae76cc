package chaos

import (
	"context"
	"errors"
	"math/rand/v2"
	"syscall"
	"time"
)

// Fault is one way in which things go wrong for a while. It has ended, and what
// it did is mended, when its function returns. Of the two functions it has one.
type Fault struct {
	Kind     string
	Node     onNode // may run beside one on another node
	Database onDatabase
}

type (
	onNode     func(ctx context.Context, r *Run, n *Node, random *rand.Rand) error
	onDatabase func(ctx context.Context, r *Run, random *rand.Rand) error
)

// Faults are all that this package knows.
func Faults() []Fault {
	return []Fault{
		{Kind: "stopped (SIGSTOP, SIGCONT)", Node: stopped},
		{Kind: "killed (SIGKILL) and started", Node: killed},
		{Kind: "left (SIGTERM) and started", Node: left},
		{Kind: "cut off from the database", Node: cutOff(Weather{HoldUp: true, HoldDown: true})},
		{Kind: "half-open: the database hears nothing", Node: cutOff(Weather{HoldUp: true})},
		{Kind: "half-open: the node hears nothing", Node: cutOff(Weather{HoldDown: true})},
		{Kind: "connections refused", Node: cutOff(Weather{Refuse: true})},
		{Kind: "connections reset", Node: resets},
		{Kind: "slow connections", Node: slow},
		{Kind: "stopped between head+1 and COMMIT", Database: betweenHeadAndCommit(stopped)},
		{Kind: "cut off between head+1 and COMMIT", Database: betweenHeadAndCommit(cutOff(Weather{HoldUp: true, HoldDown: true}))},
		{Kind: "database crashed (immediate restart)", Database: crash},
		{Kind: "failover, the old primary stopped", Database: failover(oldStopped)},
		{Kind: "failover, the old primary cut off", Database: failover(oldCutOff)},
		{Kind: "failover, a node stays with the old primary", Database: failover(oldKept)},
	}
}

// CutOffs are those in which a node without a lease check is sure to be wrong, and with
// it all doors that rest on its word: it goes on while the others wait for its lease to
// end.
func CutOffs() []Fault {
	return []Fault{{Kind: "cut off from the database", Node: cutOff(Weather{HoldUp: true, HoldDown: true})}}
}

// longest is for how long a node is away at most: long enough for its lease to be
// over, its row to be gone, and the others to have gone on.
func longest(ttl time.Duration) time.Duration { return 3 * ttl }

// while waits for some time of up to the longest, and at least a third of a TTL.
func (r *Run) while(ctx context.Context, random *rand.Rand) {
	least := r.plan.TTL / 3
	_ = pause(ctx, least+time.Duration(random.Int64N(int64(longest(r.plan.TTL)-least)))) // what was done is undone at once
}

func stopped(ctx context.Context, r *Run, n *Node, random *rand.Rand) error {
	if err := n.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	r.while(ctx, random)
	return n.Signal(syscall.SIGCONT)
}

func killed(ctx context.Context, r *Run, n *Node, random *rand.Rand) error {
	n.Kill()
	r.while(ctx, random)
	return n.Start()
}

func left(ctx context.Context, r *Run, n *Node, random *rand.Rand) error {
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if err := n.Leave(patience); err != nil {
		return err
	}
	r.while(ctx, random)
	return n.Start()
}

// cutOff keeps a node from its database. When it is over, what was kept back
// arrives after all, or the connections break.
func cutOff(w Weather) onNode {
	return func(ctx context.Context, r *Run, n *Node, random *rand.Rand) error {
		n.Proxy.Turn(w)
		if w.Refuse {
			n.Proxy.Reset()
		}
		r.while(ctx, random)
		if random.IntN(2) == 0 {
			n.Proxy.Reset()
		}
		n.Proxy.Turn(Weather{})
		return nil
	}
}

func resets(ctx context.Context, r *Run, n *Node, random *rand.Rand) error {
	for range 3 + random.IntN(8) {
		n.Proxy.Reset()
		if pause(ctx, time.Duration(random.Int64N(int64(r.plan.TTL/4)))) != nil {
			return nil // it is over
		}
	}
	return nil
}

func slow(ctx context.Context, r *Run, n *Node, random *rand.Rand) error {
	n.Proxy.Turn(Weather{Delay: time.Duration(1+random.IntN(100)) * time.Millisecond, Piece: 64 << random.IntN(8)})
	r.while(ctx, random)
	n.Proxy.Turn(Weather{})
	return nil
}

// betweenHeadAndCommit does something to a node at the moment at which it has the
// head row and has not committed: it holds the row itself until a node waits for
// it, does it, and lets the row go.
func betweenHeadAndCommit(then onNode) onDatabase {
	return func(ctx context.Context, r *Run, random *rand.Rand) error {
		ctx = context.WithoutCancel(ctx) // it takes seconds
		release, err := r.holdHead(ctx)
		if err != nil {
			return err
		}
		defer release()
		n, pid, err := r.nextInLine(ctx)
		if n == nil || err != nil {
			return err
		}
		watched := make(chan error, 1)
		go func() { // ends within two seconds
			_ = pause(ctx, 20*time.Millisecond) // until it has happened to the node
			release()
			watched <- r.seeHead(ctx, pid)
		}()
		return errors.Join(then(ctx, r, n, random), <-watched)
	}
}
