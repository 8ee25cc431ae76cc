package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"
)

// asker asks one outsider about what is on the board, whether or not it has answered
// what it was asked before: what a stopped process is asked after a revocation has
// returned, it answers first of all when it goes on.
type asker struct {
	outsider *Outsider
	board    *Board
	random   *rand.Rand
	pace     time.Duration // between two batches, on average
	odd      func(error)   // is told what nobody expects
}

func (a *asker) run(ctx context.Context) {
	for a.board.Await(ctx) == nil {
		if a.outsider.Owes() > longestSilence {
			a.odd(fmt.Errorf("%v has said nothing for %v", a.outsider.Door, longestSilence))
			_ = a.outsider.Signal(syscall.SIGKILL) // so that nobody waits for it
		}
		if a.outsider.Room() {
			a.once()
		}
		if pause(ctx, a.pace/2+time.Duration(a.random.Int64N(int64(a.pace)))) != nil {
			return
		}
	}
}

const (
	askedSubjects  = 8                // of one heat in one batch, at most
	longestSilence = 30 * time.Second // of an outsider, far beyond what is done to any
)

// once asks about what is on the board and, now and then, about much of what has ended:
// who was cut off before the end of some key, and can still answer, accepts it for as
// long as that.
func (a *asker) once() {
	picked := a.board.choose(askedSubjects, a.random)
	if a.random.IntN(4) == 0 {
		picked = append(picked, a.board.Pick(cold, askedSubjects, a.random.IntN)...)
	}
	if len(picked) > 0 {
		a.outsider.Ask(picked)
	}
}
