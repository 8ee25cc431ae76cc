package chaos

import (
	"context"
	"math/rand/v2"
	"time"
)

// verifier asks one node, one question after the other, about what is on the
// board: mostly about what was just changed, by turns one key and a batch.
type verifier struct {
	door   Door
	client *Client
	board  *Board
	random *rand.Rand
	pace   time.Duration // between two questions
}

// The most that is asked in one batch.
const (
	batchSubjects = 24
	batchKeys     = 400
)

func (v *verifier) run(ctx context.Context) {
	for v.board.Await(ctx) == nil {
		v.once(ctx)
		if pause(ctx, v.pace) != nil {
			return
		}
	}
}

func (v *verifier) once(ctx context.Context) {
	if v.random.IntN(2) == 0 {
		v.single(ctx)
	} else {
		v.batch(ctx)
	}
}

func (v *verifier) single(ctx context.Context) {
	for _, s := range v.board.choose(1, v.random) {
		q := s.questions[v.random.IntN(len(s.questions))]
		a := v.client.Verify(ctx, q)
		s.record(v.door, a, a.codes)
		s.asking.Done()
	}
}

func (v *verifier) batch(ctx context.Context) {
	picked := v.board.choose(batchSubjects, v.random)
	if len(picked) == 0 {
		return
	}
	var questions []question
	asks := picked
	for i, s := range picked {
		if len(questions)+len(s.questions) > batchKeys {
			asks = picked[:i]
			break
		}
		questions = append(questions, s.questions...)
	}
	a := v.client.VerifyBatch(ctx, questions)
	rest := a.codes
	for _, s := range asks {
		s.record(v.door, a, rest[:len(s.questions)])
		rest = rest[len(s.questions):]
	}
	for _, s := range picked {
		s.asking.Done()
	}
}
