package chaos

import (
	"testing"
	"testing/synctest"
)

func TestABatchOfTwoAnswersAboutOneSubjectIsSeenToBeTorn(t *testing.T) {
	s := newSubject("sa_1", make([]question, 3), Change{Reads: Valid})
	s.record(at(1), asked{}, []Code{Valid, Valid, Valid})
	s.record(at(2), asked{}, []Code{Valid, Inactive, Valid})
	torn := 0
	for _, r := range s.finish().Readings {
		if r.Torn {
			torn += r.Count
		}
	}
	if torn != 3 {
		t.Errorf("%d readings are of a torn batch, want 3", torn)
	}
}

func TestASubjectIsAcceptedOnceEnoughNodesHaveDoneSo(t *testing.T) {
	s := newSubject("key_1", make([]question, 1), Change{Reads: Valid})
	accept := func(node int, code Code) bool {
		s.record(at(node), asked{}, []Code{code})
		select {
		case <-s.accepted:
			return true
		default:
			return false
		}
	}
	first, again, stale := accept(0, Valid), accept(0, Valid), accept(1, Stale)
	if first || again || stale {
		t.Error("one node is enough")
	}
	if !accept(2, Valid) {
		t.Error("two nodes are not")
	}
}

func TestASubjectIsJudgedWhenTheLastAnswerHasCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBoard(), newSubject("key_1", make([]question, 1), Change{Reads: Valid})
		b.Put(s, warm)
		b.Put(s, hot)
		if got := b.Pick(warm, 1, func(int) int { return 0 }); got != nil {
			t.Error("it is in two places")
		}
		picked := b.Pick(hot, 1, func(int) int { return 0 })
		b.Take(s)
		done := make(chan *History, 1)
		go func() { done <- s.finish() }()
		synctest.Wait()
		select {
		case <-done:
			t.Error("it is judged while a question is on its way")
		default:
		}
		picked[0].record(at(1), asked{}, []Code{Revoked})
		picked[0].asking.Done()
		if h := <-done; len(h.Readings) != 1 {
			t.Errorf("%d readings, want the last one too", len(h.Readings))
		}
		if got := b.Pick(hot, 1, func(int) int { return 0 }); got != nil {
			t.Error("it is still asked about")
		}
	})
}
