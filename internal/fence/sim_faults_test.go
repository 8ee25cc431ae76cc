package fence

import (
	"context"
	"time"
)

// fault does something to the world, and plans the next.
func (w *world) fault() {
	m := w.machines[w.IntN(len(w.machines))]
	kinds := []struct {
		weight int
		name   string
		happen func(*machine)
	}{
		{22, "pause", (*machine).pause},
		{4, "suspend", (*machine).suspend},
		{20, "cut", (*machine).cut},
		{6, "slowDown", (*machine).slowDown},
		{12, "crash", (*machine).crash},
		{8, "leave", (*machine).leave},
		{10, "drift", (*machine).drift},
		{5, "setClock", (*machine).setClock},
		{3, "restartDatabase", (*machine).restartDatabase},
		{3, "failOver", (*machine).failOver},
		{5, "setDatabaseClock", (*machine).setDatabaseClock},
	}
	n := w.IntN(98)
	for _, k := range kinds {
		if n -= k.weight; n < 0 {
			if m.proc != nil {
				w.tell("%s: %s", m.name, k.name)
				k.happen(m)
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
			o.db.old, o.db.strandedTill = old, m.proc.now+m.between(4*time.Second, 12*time.Second)
		}
	}
}
