package fence

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

// A simulated verifier outside the server is a machine without a node: it follows
// one of the others over connections of its own.

// follower is what such a machine runs.
type follower struct {
	*machine
	parent   *machine
	id       string // of the connection; empty: there is none
	cutUntil time.Duration
	verifier *Verifier
	replica  *replica.Replica
}

// newFollower returns a machine whose verifier follows a node.
func (w *world) newFollower(n int) *follower {
	f := &follower{
		machine: &machine{world: w, name: fmt.Sprint("verifier-", n), ttl: longestGrant, wentBack: -time.Hour, slept: -time.Hour},
	}
	f.begin()
	return f
}

// begin starts a process.
func (f *follower) begin() {
	p := f.newProc(f.name)
	f.proc, f.flights, f.id = p, 0, ""
	f.scope = []iam.WorkspaceID{"", "ws_sim", "ws_other"}[f.IntN(3)]
	f.replica = replica.New(replica.Options{
		Now: func() time.Time { return time.Unix(0, int64(p.Now().Wall)) }, Clock: p.Now,
		Publishing: func() { f.hesitate() },
	})
	f.verifier = NewVerifier(f.replica, &stream{f, p}, p)
	ctx := p.life()
	for _, part := range f.verifier.parts() {
		p.spawn(func() { part(ctx) })
	}
	for range 2 {
		p.spawn(func() { f.verify(ctx, f.replica.Answer) })
	}
}

// sees returns the scope of a machine.
func (m *machine) sees() replica.Scope {
	if m.scope == "" {
		return replica.AnyWorkspace()
	}
	return replica.OneWorkspace(m.scope)
}

// stream is the way of one process to its parent.
type stream struct {
	*follower
	proc *proc
}

// latency is how long something takes from one end to the other.
func (s *stream) latency() time.Duration {
	if s.faults && s.proc.chance(0.005) {
		return s.proc.between(0, 1500*time.Millisecond)
	}
	return s.proc.between(300*time.Microsecond, 3*time.Millisecond)
}

func (s *stream) lost() bool {
	p := s.proc
	return p.now < s.cutUntil || p.dead || s.faults && p.chance(0.002)
}

// tell has the parent's process do something, which may be late, or never come there.
func (s *stream) tell(do func(n *Node)) {
	m := s.parent
	s.proc.after(s.latency(), func() {
		if s.lost() || m.proc == nil {
			return
		}
		n := m.node
		m.proc.spawn(func() { do(n) })
	})
}

// ask has the parent's process do something and returns when its answer comes.
func (s *stream) ask(ctx context.Context, do func(n *Node) error) error {
	p, r := s.proc, s.proc.current
	step, answer := r.step, iam.Errorf(iam.Unavailable, "no answer")
	s.tell(func(n *Node) {
		err := do(n)
		p.after(s.latency(), func() {
			if !s.lost() && r.step == step {
				answer = err
				r.goOn(step)()
			}
		})
	})
	p.after(min(patience, left(ctx, patience)), r.goOn(step))
	r.park()
	return answer
}

// connect makes a connection when there is none, to one node or another.
func (s *stream) connect(ctx context.Context) error {
	if s.id != "" {
		return nil
	}
	if s.parent == nil || s.parent.proc == nil || s.proc.chance(0.5) {
		s.parent = s.machines[s.proc.IntN(len(s.machines))]
	}
	id := fmt.Sprint(s.name, " ", s.proc.Uint64())
	err := s.ask(ctx, func(n *Node) error { n.Children().Enter(id, entrant(s.name, s.sees())); return nil })
	if err == nil {
		s.id = id
	}
	return err
}

func (s *stream) Renew(ctx context.Context, p replica.Ping) (g replica.Grant, err error) {
	if err := s.connect(ctx); err != nil {
		return replica.Grant{}, err
	}
	id := s.id
	var given replica.Grant
	err = s.ask(ctx, func(n *Node) error {
		var err error
		given, err = n.Children().Renew(id, p)
		return err
	})
	if err != nil {
		if s.proc.chance(0.3) || errors.Is(err, replica.ErrNoFollower) {
			s.id = "" // it tries another connection
		}
		return replica.Grant{}, err
	}
	return given, nil
}

func (s *stream) Acknowledge(at iam.Position) error {
	if s.id == "" || s.proc.chance(0.2) {
		return iam.Unavailable // a question has to
	}
	id := s.id
	s.tell(func(n *Node) { n.Children().Acknowledge(id, at) })
	return nil
}

func (s *stream) Changes(ctx context.Context, after iam.Position, _ int) ([]iam.Change, iam.Position, error) {
	if err := s.connect(ctx); err != nil {
		return nil, after, err
	}
	var changes []iam.Change
	var at iam.Position
	err := s.ask(ctx, func(n *Node) (err error) {
		changes, at, err = n.replica.View().After(after, s.sees())
		return err
	})
	if err != nil {
		return nil, after, err
	}
	return changes, at, nil
}

func (s *stream) Snapshot(ctx context.Context, sink iam.Sink) (iam.Position, error) {
	if err := s.connect(ctx); err != nil {
		return iam.Position{}, err
	}
	var at iam.Position
	kept := new(keptSink)
	err := s.ask(ctx, func(n *Node) (err error) {
		at, err = n.replica.View().Pour(s.sees(), kept)
		return err
	})
	if err != nil {
		return iam.Position{}, err
	}
	for _, put := range kept.puts {
		if err := put(sink); err != nil {
			return iam.Position{}, err
		}
	}
	return at, nil
}

// keptSink keeps a snapshot while it travels.
type keptSink struct{ puts []func(iam.Sink) error }

func (k *keptSink) keep(put func(iam.Sink) error) error { k.puts = append(k.puts, put); return nil }

func (k *keptSink) Workspace(r iam.WorkspaceRecord) error {
	return k.keep(func(to iam.Sink) error { return to.Workspace(r) })
}

func (k *keptSink) Role(r iam.RoleRecord) error {
	return k.keep(func(to iam.Sink) error { return to.Role(r) })
}

func (k *keptSink) Principal(r iam.PrincipalRecord) error {
	return k.keep(func(to iam.Sink) error { return to.Principal(r) })
}

func (k *keptSink) Key(r iam.KeyRecord) error {
	return k.keep(func(to iam.Sink) error { return to.Key(r) })
}

// told wakes the verifiers that follow a node which has published something.
func (m *machine) told() {
	for _, f := range m.followers {
		if f.parent != m || f.proc.dead {
			continue
		}
		p := f.proc
		p.after(p.between(300*time.Microsecond, 5*time.Millisecond), func() {
			if p == f.proc && !p.dead && p.now >= p.pausedUntil && !p.chance(0.1) {
				f.replica.Kick()
				p.wakeSleepers()
			}
		})
	}
}

// trouble does something to a verifier, and plans the next.
func (w *world) trouble() {
	f := w.followers[w.IntN(len(w.followers))]
	switch n := w.IntN(100); {
	case n < 30:
		f.pause()
	case n < 40:
		f.suspend()
	case n < 60:
		f.cutUntil = w.now + f.short(4*time.Second)
	case n < 75:
		f.drift()
	case n < 80:
		f.setClock()
	case n < 90:
		f.id = "" // the connection breaks
	default:
		f.proc.kill()
		f.begin()
	}
	w.after(w.about(time.Second), w.trouble)
}
