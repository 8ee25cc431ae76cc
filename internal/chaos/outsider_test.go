package chaos

import (
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// What is asked of a process that is stopped is answered when it goes on, and what one
// never answers that is killed has no answer: nobody waits for it.
func TestEveryQuestionToAnOutsiderEnds(t *testing.T) {
	group, err := NewGroup()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(group.Close)
	o := &Outsider{
		Door: Door{Kind: Verifier}, group: group, clock: Clock(time.Now()), log: filepath.Join(t.TempDir(), "log"),
		command: []string{"sh", "-c", "while read -r line; do echo valid; done"},
	}
	s := newSubject("key_1", make([]question, 1), Change{Reads: Valid})
	ask := func() { s.asking.Add(1); o.Ask([]*Subject{s}) }
	do := func(errs ...error) {
		t.Helper()
		for _, err := range errs {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	do(o.Start())
	ask()
	s.asking.Wait()
	do(o.Signal(syscall.SIGSTOP))
	ask()
	ask()
	if o.Owes() == 0 || !o.Room() {
		t.Errorf("a stopped process owes an answer for %v, and has room: %v", o.Owes(), o.Room())
	}
	do(o.Signal(syscall.SIGCONT))
	s.asking.Wait()
	do(o.Signal(syscall.SIGSTOP))
	ask()
	o.Kill()
	ask()
	if o.Owes() != 0 || o.Room() {
		t.Errorf("a dead process owes an answer for %v, and has room: %v", o.Owes(), o.Room())
	}
	do(o.Start())
	ask()
	var got []Code
	for _, r := range s.finish().Readings {
		got = append(got, r.Code)
	}
	if want := []Code{Valid, Valid, Valid, Silent, Silent, Valid}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	o.Close()
}
