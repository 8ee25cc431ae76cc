package fence

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// database is PostgreSQL with a synchronous standby: a primary, and perhaps old
// primaries that do not know yet that they are none.
type database struct {
	*kernel
	primary     *server
	downUntil   time.Duration
	partedUntil time.Duration // when there may be two primaries again
	servers     int
	past        []*server // states of the primary, the youngest last; for what loses some

	// Each of the following makes it something that Postern must not be run on,
	// or something that Postern's statements must not be.
	asynchronous bool // a failover loses what was just committed
	oldCommits   bool // an old primary completes commits
	sequence     bool // numbers are given out before, and not in the order of, commits
	renewsByRead bool // a renewal is answered by a server that cannot commit
	acksAnything bool // an acknowledgement does not look at the chain where it is written
	sharesRows   bool // a row that is there is taken over
}

// server is one PostgreSQL server.
type server struct {
	db       *database
	timeline int
	started  int
	deposed  bool
	clock    time.Duration // what its wall clock is off by
	log      []logged
	keys     map[token.Hash]iam.KeyRecord
	rows     map[string]iam.NodeRow
	busy     map[string]time.Duration // rows that somebody writes, until when
	pending  []*commit
	writer   bool     // somebody has the head row
	queue    []func() // and these wait for it
	next     int64    // with sequence: the next number
}

type logged struct {
	at      iam.Position
	payload string
	change  iam.Change
}

// commit is a transaction that waits for the standby.
type commit struct {
	apply func(*server)
	done  func(error)
}

// errVoid is the warning that a commit did not wait for the standby, as the store
// hands it on.
var errVoid = iam.Errorf(iam.Unknown, "the primary did not wait for its standby")

func newDatabase(k *kernel) *database {
	d := &database{kernel: k}
	d.primary = &server{
		db: d, timeline: 1, keys: map[token.Hash]iam.KeyRecord{}, rows: map[string]iam.NodeRow{}, busy: map[string]time.Duration{},
	}
	return d
}

func (s *server) clone() *server {
	return &server{
		db: s.db, timeline: s.timeline, started: s.started, clock: s.clock, next: s.head().Seq,
		log: slices.Clip(slices.Clone(s.log)), keys: maps.Clone(s.keys), rows: maps.Clone(s.rows), busy: map[string]time.Duration{},
	}
}

// replicate keeps what an asynchronous standby has.
func (d *database) replicate() {
	d.past = append(d.past, d.primary.clone())
	d.past = d.past[max(0, len(d.past)-6):]
	d.after(50*time.Millisecond, d.replicate)
}

// promote makes a standby the primary. Of what waited for it, some has reached it.
func (d *database) promote() {
	old := d.primary
	from := old
	if d.asynchronous && len(d.past) > 0 {
		from = d.past[d.IntN(len(d.past))]
	}
	d.servers++
	d.primary = from.clone()
	d.primary.timeline, d.primary.started = old.timeline+1, d.servers
	d.primary.clock += d.between(-2*time.Second, 2*time.Second)
	for _, c := range old.pending {
		if d.chance(0.5) {
			c.apply(d.primary)
		}
	}
	old.deposed = true
}

// restart loses what had not committed.
func (d *database) restart() {
	old := d.primary
	d.servers++
	d.primary = old.clone()
	d.primary.started = d.servers
	old.deposed = true
}

func (s *server) head() iam.Position {
	if len(s.log) == 0 {
		return iam.Position{Time: time.Unix(0, 0)}
	}
	return s.log[len(s.log)-1].at
}

func (s *server) now() time.Time {
	return time.Unix(0, int64(1_000_000*time.Hour+s.db.now+s.clock))
}

func (s *server) authority() iam.Authority {
	return iam.Authority{
		System: "simulated", Timeline: strconv.Itoa(s.timeline), Started: strconv.Itoa(s.started), Now: s.now(),
		Settings: iam.DurabilitySettings{Fsync: "on", FullPageWrites: "on", SynchronousCommit: "on", SynchronousStandbyNames: "ANY 1 (a, b)"},
	}
}

// commit applies a transaction once the standby has it, and then calls done.
func (s *server) commit(apply func(*server), done func(error)) {
	c := &commit{apply, done}
	s.pending = append(s.pending, c)
	d := s.db
	d.after(d.between(500*time.Microsecond, 3*time.Millisecond), func() {
		if s.deposed && !d.oldCommits || !slices.Contains(s.pending, c) {
			return // it waits for its standby until somebody cancels that
		}
		s.pending = slices.DeleteFunc(s.pending, func(o *commit) bool { return o == c })
		apply(s)
		done(nil)
	})
}

// stopWaiting is what happens when somebody cancels the waiting of an old primary
// for its standby, again and again until it is forgotten: whoever reads there sees
// what was committed and no standby has, and the new primary has other changes of the
// same numbers.
func (s *server) stopWaiting(pace time.Duration) {
	for _, c := range s.pending {
		c.apply(s)
		s.db.after(0, func() { c.done(errVoid) })
	}
	s.pending = nil
	if s.timeline == s.db.primary.timeline-1 {
		s.db.after(s.db.about(pace), func() { s.stopWaiting(pace) })
	}
}

// lock calls do when nobody else writes a row, and holds it until release.
func (s *server) lock(incarnation string, do func()) {
	if until := s.busy[incarnation]; until > s.db.now {
		s.db.after(until-s.db.now, func() { s.lock(incarnation, do) })
		return
	}
	s.busy[incarnation] = s.db.now + 3*time.Millisecond
	do()
}

// change takes the head row, holds it for a while, and commits a change to a key,
// unless its client has given up by then: COMMIT is sent last.
func (s *server) change(key iam.KeyRecord, gone func() bool, done func(int64, error)) {
	if s.db.sequence {
		s.changeBySequence(key, done)
		return
	}
	if s.writer {
		s.queue = append(s.queue, func() { s.change(key, gone, done) })
		return
	}
	s.writer = true
	hold := s.db.between(0, 2*time.Millisecond)
	if s.db.chance(0.03) { // a process that was stopped between head+1 and COMMIT
		hold = s.db.between(0, time.Second)
	}
	s.db.after(hold, func() {
		if hold > 900*time.Millisecond || gone() {
			s.release()
			done(0, iam.Unavailable)
			return
		}
		seq := s.head().Seq + 1
		s.commit(func(to *server) { to.append(seq, key) }, func(err error) { s.release(); done(seq, err) })
	})
}

func (s *server) release() {
	s.writer = false
	if len(s.queue) > 0 {
		next := s.queue[0]
		s.queue = s.queue[1:]
		next()
	}
}

func (s *server) changeBySequence(key iam.KeyRecord, done func(int64, error)) {
	s.next++
	seq := s.next
	s.db.after(s.db.between(0, 50*time.Millisecond), func() {
		s.commit(func(to *server) { to.append(seq, key) }, func(err error) { done(seq, err) })
	})
}

// append puts a change at its place in the log.
func (s *server) append(seq int64, key iam.KeyRecord) {
	if !s.db.sequence {
		seq = s.head().Seq + 1
	}
	c := iam.Change{Keys: []iam.KeyRecord{key}}
	if seq == 1 {
		c.Workspaces, c.Roles, c.Principals = simWorkspaces, simRoles, simPrincipals
	}
	payload := fmt.Sprint(seq, key.ID, key.Paused, key.Revoked)
	last := s.head()
	at := iam.Position{Seq: seq, Chain: last.Chain.Next(seq, payload), Time: s.now()}
	if at.Time.Before(last.Time) {
		at.Time = last.Time
	}
	c.Seq, c.Time, c.Reader = seq, at.Time, iam.ReaderVersion
	s.log = append(s.log, logged{at, payload, c})
	if s.db.sequence {
		slices.SortFunc(s.log, func(a, b logged) int { return cmp.Compare(a.at.Seq, b.at.Seq) })
	}
	s.keys[key.Hash] = key
}

// changesAfter is what store.Changes does.
func (s *server) changesAfter(after iam.Position, limit int) ([]iam.Change, iam.Position, error) {
	from := int(after.Seq)
	if s.db.sequence {
		from, _ = slices.BinarySearchFunc(s.log, after.Seq+1, func(l logged, seq int64) int { return cmp.Compare(l.at.Seq, seq) })
	} else if from > len(s.log) || from > 0 && s.log[from-1].at.Chain != after.Chain {
		return nil, after, fmt.Errorf("%w: change %d is not in the log", iam.Diverged, after.Seq)
	}
	var changes []iam.Change
	for _, l := range s.log[from:min(from+limit, len(s.log))] {
		changes, after = append(changes, l.change), l.at
	}
	return changes, after, nil
}

func (s *server) roll() iam.Roll {
	rows := slices.SortedFunc(maps.Values(s.rows), func(a, b iam.NodeRow) int { return cmp.Compare(a.Incarnation, b.Incarnation) })
	return iam.Roll{Authority: s.authority(), Nodes: rows}
}

// client is the connections of one process. It is a [Database].
type client struct {
	*proc
	db        *database
	cutUntil  time.Duration // nothing comes through
	slowUntil time.Duration
	slowness  time.Duration // how much longer than usual messages take until then
	stumbles  float64       // how likely it is that the process is stopped before or after a call
	renewing  *wire
	acking    *wire
	feed      *wire
	pool      *wire
	hear      func() // set while somebody listens
}

// wire is a connection that is made again after it was lost.
type wire struct {
	*link
	old          *server
	strandedTill time.Duration // new connections reach the old primary
}

// link goes on to reach the server that it was made to, for as long as it lasts.
type link struct {
	to     *server
	proved string // incarnation and change, as store.Nodes keeps them
	seq    int64
}

func newClient(p *proc, d *database) *client {
	return &client{proc: p, db: d, renewing: &wire{}, acking: &wire{}, feed: &wire{}, pool: &wire{}}
}

func (c *client) all() []*wire { return []*wire{c.renewing, c.acking, c.feed, c.pool} }

// latency is how long a message takes: mostly a millisecond, at times seconds.
func (c *client) latency() time.Duration {
	d := c.between(300*time.Microsecond, 3*time.Millisecond)
	switch x := c.Float64(); {
	case x > 0.995:
		d = c.between(100*time.Millisecond, 1500*time.Millisecond)
	case x > 0.98:
		d = c.between(3*time.Millisecond, 100*time.Millisecond)
	}
	if c.proc.now < c.slowUntil {
		d *= c.slowness
	}
	return d
}

// lost reports whether a message is.
func (c *client) lost() bool { return c.proc.now < c.cutUntil || c.chance(0.002) }

// dial connects a wire that is not connected.
func (c *client) dial(w *wire) {
	if w.link != nil {
		return
	}
	w.link = &link{to: c.db.primary}
	if w.old != nil && c.proc.now < w.strandedTill {
		w.to = w.old
	}
}

// call has a server do something, and returns when its answer comes or ctx ends.
func call[T any](ctx context.Context, c *client, w *wire, op func(s *server, answer func(T, error))) (T, error) {
	c.stumble()
	c.dial(w)
	r, l, s := c.current, w.link, w.to
	step, answered := r.step, false
	var value T
	err := iam.Errorf(iam.Unavailable, "no answer")
	if !c.lost() {
		c.after(c.latency(), func() {
			if s == c.db.primary && c.proc.now < c.db.downUntil || c.proc.dead {
				return
			}
			op(s, func(v T, e error) {
				if c.proc.dead || c.lost() {
					return
				}
				c.after(c.latency(), func() {
					if r.step == step {
						value, err, answered = v, e, true
						r.goOn(step)()
					}
				})
			})
		})
	}
	c.after(min(5*time.Second, left(ctx, 5*time.Second)), r.goOn(step))
	r.park()
	if !answered && w.link == l {
		w.link = nil
	}
	c.stumble()
	return value, err
}

// stumble stops the process at times, just where it is.
func (c *client) stumble() {
	if !c.chance(c.stumbles) {
		return
	}
	c.stopFor(time.Duration(c.Float64() * c.Float64() * float64(5*time.Second)))
	r := c.current
	c.after(0, r.goOn(r.step))
	r.park()
}

func (c *client) Changes(ctx context.Context, after iam.Position, limit int) ([]iam.Change, iam.Position, error) {
	type found struct {
		changes []iam.Change
		at      iam.Position
	}
	f, err := call(ctx, c, c.feed, func(s *server, answer func(found, error)) {
		changes, at, err := s.changesAfter(after, limit)
		answer(found{changes, at}, err)
	})
	return f.changes, f.at, err
}

func (c *client) Snapshot(ctx context.Context, sink iam.Sink) (iam.Position, error) {
	type found struct {
		keys []iam.KeyRecord
		at   iam.Position
	}
	f, err := call(ctx, c, c.feed, func(s *server, answer func(found, error)) {
		keys := slices.SortedFunc(maps.Values(s.keys), func(a, b iam.KeyRecord) int { return cmp.Compare(a.ID, b.ID) })
		f := found{keys, s.head()}
		took := time.Millisecond
		if c.chance(0.3) {
			took = c.between(0, 6*time.Second)
		}
		c.after(took, func() { answer(f, nil) })
	})
	if err != nil || f.at.Seq == 0 {
		return f.at, err
	}
	return f.at, pour(sink, f.keys)
}

// pour streams a snapshot.
func pour(sink iam.Sink, keys []iam.KeyRecord) error {
	for _, w := range simWorkspaces {
		if err := sink.Workspace(w); err != nil {
			return err
		}
	}
	for _, r := range simRoles {
		if err := sink.Role(r); err != nil {
			return err
		}
	}
	for _, p := range simPrincipals {
		if err := sink.Principal(p); err != nil {
			return err
		}
	}
	for _, k := range keys {
		if err := sink.Key(k); err != nil {
			return err
		}
	}
	return nil
}

type none = struct{}

func (c *client) Join(ctx context.Context, row iam.NodeRow) error {
	_, err := call(ctx, c, c.renewing, func(s *server, answer func(none, error)) {
		if _, taken := s.rows[row.Incarnation]; taken && !c.db.sharesRows {
			answer(none{}, fmt.Errorf("incarnation %s is taken", row.Incarnation))
			return
		}
		s.commit(func(to *server) {
			if _, taken := to.rows[row.Incarnation]; !taken {
				to.rows[row.Incarnation] = row
			}
		}, func(err error) { answer(none{}, err) })
	})
	return err
}

// Renew reads the head as the statement begins, and commits later.
func (c *client) Renew(ctx context.Context, incarnation string) (iam.Renewal, error) {
	return call(ctx, c, c.renewing, func(s *server, answer func(iam.Renewal, error)) {
		r := iam.Renewal{Authority: s.authority(), Head: s.head()}
		r.Time = r.Now
		if r.Head.Time.After(r.Now) {
			r.Time = r.Head.Time
		}
		if c.db.renewsByRead {
			answer(r, nil)
			return
		}
		s.lock(incarnation, func() {
			if _, there := s.rows[incarnation]; !there {
				answer(r, iam.Errorf(iam.NotFound, "no row"))
				return
			}
			s.commit(func(to *server) {
				if row, there := to.rows[incarnation]; there {
					row.Counter++
					to.rows[incarnation] = row
				}
			}, func(err error) { answer(r, err) })
		})
	})
}

func (c *client) Ack(ctx context.Context, incarnation string, at iam.Position) error {
	seq := at.Seq
	c.dial(c.acking)
	l := c.acking.link
	_, err := call(ctx, c, c.acking, func(s *server, answer func(none, error)) {
		_, there := s.rows[incarnation]
		switch {
		case !there:
			answer(none{}, iam.Errorf(iam.NotFound, "no row"))
			return
		case c.db.acksAnything:
		case seq > int64(len(s.log)):
			answer(none{}, errors.New("no such change here"))
			return
		case seq > 0 && s.log[seq-1].at.Chain != at.Chain:
			answer(none{}, iam.Diverged)
			return
		}
		s.commit(func(to *server) {
			if row, there := to.rows[incarnation]; there {
				row.Acked = max(row.Acked, seq)
				to.rows[incarnation] = row
			}
		}, func(err error) {
			if err == nil {
				l.proved, l.seq = incarnation, seq
			}
			answer(none{}, err)
		})
	})
	return err
}

func (c *client) Lagging(ctx context.Context, incarnation string, seq int64) (iam.Roll, error) {
	c.dial(c.acking)
	l := c.acking.link
	return call(ctx, c, c.acking, func(s *server, answer func(iam.Roll, error)) {
		if l.proved == incarnation && l.seq >= seq {
			answer(s.roll(), nil)
			return
		}
		if _, there := s.rows[incarnation]; !there {
			answer(iam.Roll{}, iam.Errorf(iam.NotFound, "no row"))
			return
		}
		s.commit(func(*server) {}, func(err error) {
			if err != nil {
				answer(iam.Roll{}, err)
				return
			}
			l.proved, l.seq = incarnation, seq
			answer(s.roll(), nil)
		})
	})
}

func (c *client) All(ctx context.Context) (iam.Roll, error) {
	return call(ctx, c, c.renewing, func(s *server, answer func(iam.Roll, error)) { answer(s.roll(), nil) })
}

func (c *client) Reap(ctx context.Context, incarnation string, counter int64) (bool, error) {
	return c.remove(ctx, incarnation, func(row iam.NodeRow) bool { return row.Counter == counter })
}

func (c *client) Leave(ctx context.Context, incarnation string) (bool, error) {
	return c.remove(ctx, incarnation, func(iam.NodeRow) bool { return true })
}

func (c *client) Trim(context.Context, int64) error { return nil }

func (c *client) remove(ctx context.Context, incarnation string, matches func(iam.NodeRow) bool) (removed bool, err error) {
	return call(ctx, c, c.renewing, func(s *server, answer func(bool, error)) {
		s.lock(incarnation, func() {
			if row, there := s.rows[incarnation]; !there || !matches(row) {
				answer(false, nil)
				return
			}
			s.commit(func(to *server) { delete(to.rows, incarnation) }, func(err error) { answer(true, err) })
		})
	})
}

// Listen tells of most changes.
func (c *client) Listen(ctx context.Context, heard func()) error {
	c.hear = heard
	for ctx.Err() == nil {
		c.Sleep(ctx, time.Minute, nil)
	}
	return ctx.Err()
}

// notify tells a process of a change, perhaps.
func (c *client) notify() {
	if c.hear == nil || c.lost() || c.chance(0.1) {
		return
	}
	c.after(c.latency(), func() {
		if !c.proc.dead && c.proc.now >= c.pausedUntil {
			c.hear()
			c.wakeSleepers()
		}
	})
}

// change commits a change to a key, as a call of the API does.
func (c *client) change(ctx context.Context, key iam.KeyRecord) (int64, error) {
	over := false
	defer func() { over = true }()
	return call(ctx, c, c.pool, func(s *server, answer func(int64, error)) {
		s.change(key, func() bool { return over }, answer)
	})
}
