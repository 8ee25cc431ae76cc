package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
)

// Subject is one key, or the keys of one account that are changed as one, and
// their history so far. It is safe for concurrent use.
type Subject struct {
	questions []question // one for each key
	asking    sync.WaitGroup

	mu       sync.Mutex    // guards what follows
	history  History       // of which only Changes are the hunter's alone
	accepted chan struct{} // closed when enough nodes have accepted the keys, or one of them
	seen     []int         // the nodes that have
}

func newSubject(name string, questions []question, made Change) *Subject {
	return &Subject{
		questions: questions, accepted: make(chan struct{}),
		history: History{Subject: name, Changes: []Change{made}},
	}
}

// record adds what a door said of the subject's keys.
func (s *Subject) record(d Door, a asked, codes []Code) {
	count := map[Code]int{}
	for _, code := range codes {
		count[code]++
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for code, n := range count {
		r := Reading{Door: d, Begun: a.begun, Ended: a.ended, Code: code, Count: n, Torn: len(count) > 1 && !a.apart}
		s.history.Readings = append(s.history.Readings, r)
	}
	if count[Valid] > 0 && !slices.Contains(s.seen, d.Node) {
		s.seen = append(s.seen, d.Node)
		if len(s.seen) == witnesses {
			close(s.accepted)
		}
	}
}

// changed adds a call that was made.
func (s *Subject) changed(c Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.history.Changes = append(s.history.Changes, c)
}

// finish waits for the last questions to be answered, and returns all.
func (s *Subject) finish() *History {
	s.asking.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return &s.history
}

// heat says how much there is to be seen of a subject at the moment.
type heat uint8

const (
	cold heat = iota // it has ended, and nothing may revive it
	warm             // something is done to it
	hot              // something was taken or given just now
)

// Board is where hunters put up what verifiers are to ask about. It is safe for
// concurrent use.
type Board struct {
	mu      sync.Mutex // guards what follows
	at      [hot + 1][]*Subject
	changed chan struct{} // closed when something is put up
}

func newBoard() *Board { return &Board{changed: make(chan struct{})} }

// Put shows a subject at a heat, and nowhere else.
func (b *Board) Put(s *Subject, h heat) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.remove(s)
	b.at[h] = append(b.at[h], s)
	close(b.changed)
	b.changed = make(chan struct{})
}

// Take takes a subject down. Nobody begins to ask about it from then on.
func (b *Board) Take(s *Subject) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.remove(s)
}

func (b *Board) remove(s *Subject) {
	for h := range b.at {
		b.at[h] = slices.DeleteFunc(b.at[h], func(other *Subject) bool { return other == s })
	}
}

// Pick chooses up to n subjects at a heat, or nothing. The caller calls Done of
// their asking when it has recorded what it read of them.
func (b *Board) Pick(h heat, n int, from func(int) int) (picked []*Subject) {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.at[h]
	if len(all) == 0 {
		return nil
	}
	first := from(len(all))
	for i := range min(n, len(all)) {
		s := all[(first+i)%len(all)]
		s.asking.Add(1)
		picked = append(picked, s)
	}
	return picked
}

// choose picks where there is most to be seen. What is cold must stay so, also at a
// door that was away for long, and is asked about now and then; more would only keep
// the machine busy.
func (b *Board) choose(n int, random *rand.Rand) []*Subject {
	order := []heat{hot, warm}
	switch dice := random.IntN(20); {
	case dice == 0:
		order = []heat{cold}
	case dice < 5:
		order = []heat{warm, hot}
	}
	for _, h := range order {
		if picked := b.Pick(h, n, random.IntN); picked != nil {
			return picked
		}
	}
	return nil
}

// Await waits until something is put up.
func (b *Board) Await(ctx context.Context) error {
	b.mu.Lock()
	changed, empty := b.changed, len(b.at[cold])+len(b.at[warm])+len(b.at[hot]) == 0
	b.mu.Unlock()
	if !empty {
		return nil
	}
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("nothing to ask about: %w", ctx.Err())
	}
}
