package fence

import (
	"context"
	"time"
)

// sorts is how many sorts of world there are.
const sorts = 5

// misfortunes are what can happen, and how likely each is in the five sorts of
// world that there are: one with a bit of everything, one in which clocks are
// wrong and the network fails, one in which processes come and go, one in which
// the database does, and one in which there are two primaries again and again.
var misfortunes = []struct {
	name    string
	happen  func(*machine)
	weights [sorts]int
}{
	{"pause", (*machine).pause, [sorts]int{22, 10, 15, 10, 5}},
	{"suspend", (*machine).suspend, [sorts]int{4, 10, 2, 2, 1}},
	{"cut", (*machine).cut, [sorts]int{20, 40, 10, 15, 20}},
	{"slow", (*machine).slowDown, [sorts]int{6, 5, 10, 10, 10}},
	{"crash", (*machine).crash, [sorts]int{12, 2, 20, 5, 1}},
	{"leave", (*machine).leave, [sorts]int{8, 2, 30, 5, 1}},
	{"drift", (*machine).drift, [sorts]int{10, 20, 2, 2, 2}},
	{"set the clock", (*machine).setClock, [sorts]int{5, 8, 2, 2, 1}},
	{"restart the database", (*machine).restartDatabase, [sorts]int{3, 0, 2, 15, 0}},
	{"fail over", (*machine).failOver, [sorts]int{3, 0, 2, 15, 0}},
	{"part", (*machine).part, [sorts]int{2, 0, 1, 3, 20}},
	{"set the database's clock", (*machine).setDatabaseClock, [sorts]int{5, 3, 2, 15, 1}},
}

// fault does something to the world, and plans the next.
func (w *world) fault() {
	m := w.machines[w.IntN(len(w.machines))]
	all := 0
	for _, f := range misfortunes {
		all += f.weights[w.sort]
	}
	n := w.IntN(all)
	for _, f := range misfortunes {
		if n -= f.weights[w.sort]; n < 0 {
			if m.proc != nil {
				w.tell("%s: %s", m.name, f.name)
				f.happen(m)
			}
			break
		}
	}
	w.after(w.about(400*time.Millisecond), w.fault)
}

// short returns a duration up to most, mostly a short one.
func (w *world) short(most time.Duration) time.Duration {
	return time.Duration(w.Float64() * w.Float64() * float64(most))
}

// pause stops a process; its clocks go on.
func (m *machine) pause() { m.proc.stopFor(m.short(8 * time.Second)) }

// oneAtATime is how long one clock of a machine may be trusted after the other
// has been wrong: a machine that sleeps and whose wall clock is set back before it
// has renewed its lease is beyond what is promised.
const oneAtATime = 20 * time.Second

// suspend stops a machine, and its monotonic clock with it.
func (m *machine) suspend() {
	p := m.proc
	if p.now < p.pausedUntil || p.now-m.wentBack < oneAtATime {
		return
	}
	d := m.short(8 * time.Second)
	rate := p.monotonic.rate
	p.monotonic.set(p.now, 0)
	p.stopFor(d)
	m.slept = p.now + d
	m.after(d, func() { p.monotonic.set(p.now, rate) })
}

// cut cuts a machine off from the database.
func (m *machine) cut() { m.db.cutUntil = m.proc.now + m.short(10*time.Second) }

func (m *machine) slowDown() {
	m.db.slowUntil, m.db.slowness = m.proc.now+m.short(5*time.Second), 2+time.Duration(m.IntN(100))
}

// crash kills a process, and starts another later.
func (m *machine) crash() {
	m.proc.kill()
	m.proc = nil
	m.after(m.between(0, 3*time.Second), m.start)
}

// leave ends a process in order, and starts another later.
func (m *machine) leave() {
	p, db, node := m.proc, m.db, m.node
	if m.chance(0.5) {
		m.slowDown()
	}
	p.spawn(func() {
		ctx, cancel := p.Limit(p.life(), 5*time.Second)
		defer cancel()
		_ = node.Leave(ctx, func(ctx context.Context) error { // the row may stay
			for m.flights > 0 && ctx.Err() == nil {
				p.Sleep(ctx, time.Millisecond, nil)
			}
			return ctx.Err()
		})
		p.Sleep(p.life(), m.between(0, 2*time.Second), nil)
		m.after(0, func() {
			if m.proc == p && m.db == db {
				m.crash()
			}
		})
	})
}

// drift has the clocks of a machine run at another rate.
func (m *machine) drift() {
	p := m.proc
	if p.monotonic.rate == 0 {
		return
	}
	rate := m.rate()
	p.monotonic.set(p.now, rate)
	p.wall.set(p.now, rate)
}

// setClock sets the wall clock of a machine.
func (m *machine) setClock() {
	p := m.proc
	if p.monotonic.rate == 0 {
		return
	}
	step := m.between(-10*time.Second, 10*time.Second)
	if m.chance(0.2) {
		step *= 10_000
	}
	if step < 0 && p.now-m.slept < oneAtATime {
		return
	}
	if step < 0 {
		m.wentBack = p.now
	}
	p.wall.shown += step
}

func (m *machine) setDatabaseClock() {
	m.world.db.primary.clock += m.between(-10*time.Second, 10*time.Second)
}

// restartDatabase restarts PostgreSQL where it stands.
func (m *machine) restartDatabase() {
	d := m.world.db
	d.restart()
	d.downUntil = m.proc.now + m.short(3*time.Second)
}

// failOver makes the standby the primary. Some go on to talk to the old one.
func (m *machine) failOver() {
	d := m.world.db
	old := d.primary
	d.promote()
	d.downUntil = m.proc.now + m.short(3*time.Second)
	for _, o := range m.machines {
		if o.proc != nil && m.chance(0.5) {
			for _, w := range o.db.all() {
				w.old, w.strandedTill = old, m.now+m.between(4*time.Second, 12*time.Second)
			}
		}
	}
}

// part makes the standby the primary too, unless that was a moment ago. What wants
// to change goes to the old one for a while, and somebody cancels its waiting for
// standbys, so that it shows changes for which the new one has others of the same
// numbers. This machine reads there, and perhaps acknowledges there, but has its lease
// from the new one.
func (m *machine) part() {
	d := m.world.db
	if m.now < d.partedUntil {
		return
	}
	d.partedUntil = m.now + 12*time.Second
	old := d.primary
	d.promote()
	for _, o := range m.machines {
		if o.proc != nil {
			for _, w := range o.db.all() {
				w.link, w.old = nil, nil
			}
			o.db.strand(old, o.db.pool, m.between(0, 8*time.Second))
		}
	}
	m.db.strand(old, m.db.feed, 12*time.Second)
	if m.chance(0.5) {
		m.db.strand(old, m.db.acking, 12*time.Second)
	}
	pace := m.about(500 * time.Millisecond)
	m.after(m.between(time.Second, 8*time.Second), func() { old.stopWaiting(pace) })
}

// strand has a connection lead to an old primary for a while.
func (c *client) strand(old *server, w *wire, d time.Duration) {
	w.link, w.old, w.strandedTill = nil, old, c.proc.now+d
	c.after(d, func() {
		if w.link != nil && w.to == old {
			w.link = nil
		}
	})
}
