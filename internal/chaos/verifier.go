package chaos

import (
	"context"
	"math/rand/v2"
	"time"
)

// verifier asks one node, one question after the other, about what is on the
// board: mostly about what was just changed, by turns one key and a batch.
type verifier struct {
	node   int
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

// pick chooses where there is most to be seen. What is cold must stay so, also on
// a node that was away for long, and is asked about now and then; more would only
// keep the machine busy.
func (v *verifier) pick(n int) []*Subject {
	order := []heat{hot, warm}
	switch dice := v.random.IntN(20); {
	case dice == 0:
		order = []heat{cold}
	case dice < 5:
		order = []heat{warm, hot}
	}
	for _, h := range order {
		if picked := v.board.Pick(h, n, v.random.IntN); picked != nil {
			return picked
		}
	}
	return nil
}

func (v *verifier) single(ctx context.Context) {
	for _, s := range v.pick(1) {
		q := s.questions[v.random.IntN(len(s.questions))]
		a := v.client.Verify(ctx, q)
		s.record(v.node, a, a.codes)
		s.asking.Done()
	}
}

func (v *verifier) batch(ctx context.Context) {
	picked := v.pick(batchSubjects)
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
		s.record(v.node, a, rest[:len(s.questions)])
		rest = rest[len(s.questions):]
	}
	for _, s := range picked {
		s.asking.Done()
	}
}
