package fence

// mutation is one thing that the protocol must not do, and what notices it.
type mutation struct {
	name string
	test string // empty: the simulator; else the held-back test that notices
}

// mutations are those of the specification that concern server nodes, in its
// order, and then some of our own.
//
// Equivalent, and therefore not among them: the head read before the row is
// written. When the renewal is sent is noted before both; the simulated database
// reads the head as the statement begins and commits milliseconds later.
var mutations = []mutation{
	{name: "no lease check"},
	{name: "renew without applying the head"},
	{name: "numbers from a SEQUENCE"},
	{name: "acknowledge before publishing"},
	{name: "acknowledge the head seen at renewal"},
	{name: "a row that two nodes share"},
	{name: "an incarnation used again", test: "TestWhatAnEarlierProcessSentDoesNotHarmALater"},
	{name: "snapshot before the row, and no head after it"},
	{name: "a late answer taken up after a fence"},
	{name: "publish without comparing"},
	{name: "the change number goes down"},
	{name: "deadline from when the answer came"},
	{name: "no margin for drift"},
	{name: "wait by the database's clock alone"},
	{name: "reap early"},
	{name: "reap by the wall clock"},
	{name: "reap whatever the counter", test: "TestARowThatWasRenewedMeanwhileIsNotRemoved"},
	{name: "reap without looking at the counter"},
	{name: "reap stamped when it was sent", test: "TestASightingCountsFromWhenItsAnswerCame"},
	{name: "no wait"},
	{name: "half the wait"},
	{name: "wait for the own TTL"},
	{name: "lease checked before the look-up only"},
	{name: "the present lease for an older state"},
	{name: "no second look at the pointer"},
	{name: "renewal answered by a server that only reads"},
	{name: "asynchronous failover"},
	{name: "an old primary that still commits"},
	{name: "fixed TTL for children"},
	{name: "an acknowledgement of one change taken for one of all"},
	{name: "acknowledge before sub-leases end"},
	{name: "a grant written down after it is sent"},
	{name: "leave without waiting for children"},

	{name: "a grant that is not looked at again", test: "TestASubLeaseThatAChangeOvertakesIsGivenAnew"},
	{name: "a sub-lease counted from its answer", test: "TestASubLeaseCountsFromItsQuestion"},
	{name: "a verifier of one workspace that nobody waits for"},
	{name: "a change looked at without those before it", test: "TestASecondRevocationWaitsForOneThatNobodyAwaits"},
	{name: "a change of another workspace that is waited for", test: "TestAChangeOfAnotherWorkspaceDoesNotWait"},
	{name: "changes that are not kept, taken to say nothing", test: "TestWhatIsNotKeptIsWaitedFor"},
	{name: "the only process does not wait for verifiers", test: "TestTheOnlyProcessWaitsForItsVerifiers"},
	{name: "a verifier never set aside", test: "TestASilentVerifierIsSetAside"},
	{name: "what is held against nobody but a process", test: "TestNobodyHoldsUpChangesAgainAndAgain"},
	{name: "an acknowledgement of another connection", test: "TestRecordsAreOfOneConnection"},
	{name: "a sub-lease given after it was closed", test: "TestAClosedVerifierAnswersNothing"},
	{name: "a sub-lease of any length", test: "TestASubLeaseIsTwoSecondsAtMost"},
	{name: "a lease counted on one clock"},
	{name: "leave without a fence"},
	{name: "leave before what is in flight has ended", test: "TestLeavingRemovesTheRowLast"},
	{name: "leave, and be renewed once more"},
	{name: "reap a bounded node as if it were strict", test: "TestAReaperRemovesOnlyWhatCannotAnswer"},
	{name: "say nothing of a bounded node"},
	{name: "confirm before a TTL of one timeline", test: "TestNothingIsConfirmedBeforeATTLOfOneTimeline"},
	{name: "another timeline goes unnoticed", test: "TestAnotherTimelineFencesANode"},
	{name: "sightings outlive a restart", test: "TestAReaperForgetsWhatItSawBeforeARestart"},
	{name: "a lease on another log"},
	{name: "acknowledge without looking at the chain"},
	{name: "a receipt of what was once set", test: "TestNoReceiptSaysQuorumOfAServerThatDoesNotWait"},
	{name: "a change of the future is passed over", test: "TestAChangeOfTheFutureMakesANodeStaleAndUnacknowledged"},
	{name: "one look for every change", test: "TestWhatIsAskedAboutOneChangeConfirmsNoLater"},
	{name: "wait for a goodbye", test: "TestLeavingDoesNotWaitForADatabaseThatIsSilent"},
}

// spoiled are the mutations of the simulated database, or of the statements that
// are sent to it.
var spoiled = map[string]func(*database){
	"numbers from a SEQUENCE":                      func(d *database) { d.sequence = true },
	"a row that two nodes share":                   func(d *database) { d.sharesRows = true },
	"renewal answered by a server that only reads": func(d *database) { d.renewsByRead = true },
	"asynchronous failover":                        func(d *database) { d.asynchronous = true; d.replicate() },
	"an old primary that still commits":            func(d *database) { d.oldCommits = true },
	"acknowledge without looking at the chain":     func(d *database) { d.acksAnything = true },
}

// patch puts one piece of code in the place of another, which must stand in the
// file exactly once.
type patch struct{ file, old, new string }

var patches = []patch{
	{"replica/lease.go", `	return s.lease.standing(now)
`, `	if mutant("no lease check") && s.lease.Strict > 0 {
		return everything
	}
	return s.lease.standing(now)
`},
	{"replica/lease.go", `		case old.epoch != epoch:
`, `		case old.epoch != epoch && !mutant("a late answer taken up after a fence"):
`},
	{"replica/lease.go", `	return max(i.Monotonic-earlier.Monotonic, i.Wall-earlier.Wall)
`, `	if mutant("a lease counted on one clock") {
		return i.Monotonic - earlier.Monotonic
	}
	return max(i.Monotonic-earlier.Monotonic, i.Wall-earlier.Wall)
`},
	{"replica/state.go", `		if c.Seq != seq+1 {
`, `		if mutant("numbers from a SEQUENCE") {
			seq = c.Seq - 1
		}
		if c.Seq != seq+1 {
`},
	{"replica/replica.go", `	if !r.current.CompareAndSwap(old, next) {
`, `	if mutant("publish without comparing") {
		r.current.Store(next)
	} else if !r.current.CompareAndSwap(old, next) {
`},
	{"replica/follow.go", `		if current, err := r.advance(old, changes, at); current {
			return true, err
		}
`, `		if mutant("the change number goes down") {
			next, err := from.after(changes, at)
			if err != nil {
				return true, err
			}
			next.lease, next.epoch = old.lease, old.epoch
			if r.publish(old, next) {
				return true, nil
			}
			continue
		}
		if current, err := r.advance(old, changes, at); current {
			return true, err
		}
`},
	{"replica/follow.go", `		if !old.follows(from) {
			return false, nil
		}
`, `		if !old.follows(from) && !mutant("the change number goes down") {
			return false, nil
		}
`},
	{"replica/view.go", `	return r.current.Load() == v.state && r.standing(v.state, r.read()) != nothing
`, `	if mutant("the present lease for an older state") {
		return r.standing(r.current.Load(), r.read()) != nothing
	}
	return (r.current.Load() == v.state || mutant("no second look at the pointer")) && r.standing(v.state, r.read()) != nothing
`},
	{"replica/view.go", `		encode(v)
		if r.Still(v) {
`, `		before := r.Still(v)
		encode(v)
		if mutant("lease checked before the look-up only") && before {
			return nil
		}
		if r.Still(v) {
`},
	{"fence/renew.go", `	if err := n.apply(ctx, answer.Head); err != nil {
		return err
	}
	if err := n.sameLog(ctx, answer.Head); err != nil {
		return err
	}
	return n.replica.Extend(was.Epoch, n.lease(sent, answer), answer.Head.Seq)
`, `	if mutant("acknowledge the head seen at renewal") {
		_ = n.db.Ack(ctx, row.incarnation, answer.Head)
	}
	least := answer.Head.Seq
	if mutant("renew without applying the head") {
		least = 0
	} else if err := n.apply(ctx, answer.Head); err != nil {
		return err
	}
	if mutant("a lease on another log") {
		return n.replica.Extend(was.Epoch, n.lease(sent, answer), least)
	}
	if err := n.sameLog(ctx, answer.Head); err != nil {
		return err
	}
	if mutant("deadline from when the answer came") {
		sent = n.clock.Now()
	}
	return n.replica.Extend(was.Epoch, n.lease(sent, answer), least)
`},
	{"fence/wait.go", `	if stillKeeps(roll.Settings, row.durability, n.local) != nil {
`, `	if stillKeeps(roll.Settings, row.durability, n.local) != nil && !mutant("a receipt of what was once set") {
`},
	{"fence/wait.go", `		if !w.receipt.Confirmed && w.seq <= seq {
`, `		if !w.receipt.Confirmed && (w.seq <= seq || mutant("one look for every change")) {
`},
	{"fence/join.go", `	case leaving:
`, `	case leaving && !mutant("leave, and be renewed once more"):
`},
	{"fence/renew.go", `	if leaving {
		return errLeaving
	}
	sent := n.clock.Now()`, `	if leaving && !mutant("leave, and be renewed once more") {
		return errLeaving
	}
	sent := n.clock.Now()`},
	{"fence/follow.go", `	failed := n.catchUp(limited)
`, `	if mutant("acknowledge before publishing") {
		if _, at, err := n.db.Changes(limited, n.replica.Position(), 1000); err == nil {
			_ = n.db.Ack(limited, n.me().incarnation, at)
		}
	}
	failed := n.catchUp(limited)
`},
	{"fence/join.go", `	if err := n.writeRow(ctx, incarnation); err != nil {
		return fmt.Errorf("join: %w", err)
	}
`, `	was, sent := n.replica.Standing(), n.clock.Now()
	if err := n.writeRow(ctx, incarnation); err != nil {
		return fmt.Errorf("join: %w", err)
	}
	if mutant("snapshot before the row, and no head after it") {
		n.mu.Lock()
		n.row = member{incarnation: incarnation, durability: durability}
		n.mu.Unlock()
		return n.replica.Extend(was.Epoch, n.lease(sent, iam.Renewal{Time: n.replica.Position().Time}), 0)
	}
`},
	{"fence/join.go", `	return hex.EncodeToString(id[:]), nil
`, `	if mutant("a row that two nodes share") {
		return "shared " + string('0'+(n.name[len(n.name)-1]-'0')/2), nil
	}
	if mutant("an incarnation used again") {
		return n.name, nil
	}
	return hex.EncodeToString(id[:]), nil
`},
	{"fence/lease.go", `		Sent: sent, Strict: n.ttl * 4 / 5, Bounded: (n.ttl + n.bounded) * 4 / 5, Time: answer.Time,
	}
`, `		Sent: sent, Strict: n.ttl * 4 / 5, Bounded: (n.ttl + n.bounded) * 4 / 5, Time: answer.Time,
	}.Without(mutant("no margin for drift"))
`},
	{"fence/wait.go", `	passed := min(local, remote)
`, `	passed := min(local, remote)
	if mutant("wait by the database's clock alone") {
		passed = remote
	}
	if mutant("half the wait") {
		passed *= 2
	}
`},
	{"fence/wait.go", `	for _, row := range roll.Nodes {
		switch {
`, `	for _, row := range roll.Nodes {
		if mutant("wait for the own TTL") {
			row.TTL = n.ttl
		}
		switch {
`},
	{"fence/wait.go", `			nodes.Bounded = append(nodes.Bounded, row.Name)
`, `			if !mutant("say nothing of a bounded node") {
				nodes.Bounded = append(nodes.Bounded, row.Name)
			}
`},
	{"fence/wait.go", `	if settled && len(nodes.Waiting) == 0 {
`, `	settled = settled || mutant("confirm before a TTL of one timeline")
	if settled && len(nodes.Waiting) == 0 || mutant("no wait") {
`},
	{"fence/reap.go", `		if now.Monotonic-s.since.Monotonic >= row.Lingers() && row.Incarnation != n.row.incarnation {
`, `		silence, lingers := now.Monotonic-s.since.Monotonic, row.Lingers()
		if mutant("reap early") {
			lingers /= 3
		}
		if mutant("reap by the wall clock") {
			silence = now.Wall - s.since.Wall
		}
		if mutant("reap a bounded node as if it were strict") {
			lingers = row.TTL
		}
		if silence >= lingers && row.Incarnation != n.row.incarnation {
`},
	{"fence/reap.go", `		if !known || s.counter != row.Counter {
			s = sighting{counter: row.Counter, since: now}
		}
`, `		if mutant("reap without looking at the counter") && known {
			s.counter = row.Counter
		}
		if !known || s.counter != row.Counter {
			s = sighting{counter: row.Counter, since: now}
			if mutant("reap stamped when it was sent") {
				s.since = n.view.asked
			}
		}
`},
	{"fence/reap.go", `	roll, err := n.db.All(limited)
`, `	n.view.asked = n.clock.Now()
	roll, err := n.db.All(limited)
`},
	{"fence/reap.go", `	seen      map[string]sighting
}
`, `	seen      map[string]sighting
	asked     replica.Instant
}
`},
	{"fence/renew.go", `	} else if !row.authority.Same(answer.Authority) {
`, `	} else if !row.authority.Same(answer.Authority) && !mutant("another timeline goes unnoticed") {
`},
	{"fence/reap.go", `		if before.Started != a.Started {
`, `		if before.Started != a.Started && !mutant("sightings outlive a restart") {
`},
	{"replica/follow.go", `		if !passing(err) {
			r.stopFrom(from, err)
		}
`, `		if !passing(err) && !mutant("a change of the future is passed over") {
			r.stopFrom(from, err)
		}
`},
	{"fence/leave.go", `	ctx, cancel := n.clock.Limit(ctx, farewell)
`, `	patience := farewell
	if mutant("wait for a goodbye") {
		patience = time.Hour
	}
	ctx, cancel := n.clock.Limit(ctx, patience)
`},
	{"fence/children.go", `		length := min(p.Wanted, longestGrant, v.Strict(now))
`, `		length := min(p.Wanted, longestGrant, v.Strict(now))
		if mutant("a sub-lease of any length") {
			length = min(p.Wanted, v.Strict(now))
		}
		if mutant("fixed TTL for children") && length > 0 {
			length = min(p.Wanted, longestGrant)
		}
`},
	{"fence/settle.go", `	if c.blocked(v, c.pending) {
`, `	if c.blocked(v, c.pending) && !mutant("acknowledge before sub-leases end") {
`},
	{"fence/children.go", `type child struct {
`, `type child struct {
	late []subLease
`},
	{"fence/children.go", `	ch.given = append(ch.given, given)
`, `	if mutant("a grant written down after it is sent") {
		ch.given = append(ch.given, ch.late...)
		ch.late = []subLease{given}
		return given, nil
	}
	ch.given = append(ch.given, given)
`},
	{"fence/children.go", `		if c.replica.Still(v) {
`, `		if c.replica.Still(v) || mutant("a grant that is not looked at again") {
`},
	{"fence/leave.go", `	if err := n.children.Leave(ctx); err != nil {
`, `	if mutant("leave without waiting for children") {
		n.log.Debug("nobody is waited for")
	} else if err := n.children.Leave(ctx); err != nil {
`},
	{"fence/settle.go", `	return v.Touches(ch.Scope, base, at.Position.Seq)
`, `	if mutant("a verifier of one workspace that nobody waits for") {
		if _, all := ch.Scope.Workspace(); !all {
			return false
		}
	}
	if mutant("a change looked at without those before it") {
		base = max(base, at.Position.Seq-1)
	}
	if mutant("a change of another workspace that is waited for") {
		return base < at.Position.Seq
	}
	return v.Touches(ch.Scope, base, at.Position.Seq)
`},
	{"replica/tail.go", `len(s.tail) == 0 || s.tail[0].from.Seq > after {
`, `(len(s.tail) == 0 || s.tail[0].from.Seq > after) && !mutant("changes that are not kept, taken to say nothing") {
`},
	{"fence/alone.go", `	over := a.settled.Position.Seq >= seq
`, `	over := a.settled.Position.Seq >= seq || mutant("the only process does not wait for verifiers")
`},
	{"fence/children.go", `	case ch.setAside(now), len(ch.given) >= mostGiven:
`, `	case ch.setAside(now) && !mutant("a verifier never set aside"), len(ch.given) >= mostGiven:
`},
	{"fence/conduct.go", `	of := c.conducts[whose]
`, `	if mutant("what is held against nobody but a process") {
		whose += fmt.Sprint(c.clock.Now())
	}
	of := c.conducts[whose]
`},
	{"fence/conduct.go", `import (
`, `import (
	"fmt"
`},
	{"fence/children.go", `	if at.Seq > ch.acked {
`, `	if mutant("an acknowledgement of another connection") {
		for _, other := range c.open {
			other.epoch, other.acked = ch.epoch, max(other.acked, at.Seq)
		}
	}
	if at.Seq > ch.acked {
`},
	{"fence/children.go", `func (c *Children) Acknowledge(id string, at iam.Position) { _ = c.hear(id, at) }
`, `func (c *Children) Acknowledge(id string, at iam.Position) {
	if mutant("an acknowledgement of one change taken for one of all") {
		at = c.replica.View().Position()
	}
	_ = c.hear(id, at)
}
`},
	{"fence/child.go", `	if v.ended() {
`, `	if v.ended() && !mutant("a sub-lease given after it was closed") {
`},
	{"fence/child.go", `	length := g.For * 4 / 5
`, `	if mutant("a sub-lease counted from its answer") {
		sent = v.clock.Now()
	}
	length := g.For * 4 / 5
`},
	{"fence/leave.go", `	n.replica.Fence()
	if err := drain(ctx); err != nil {
		return fmt.Errorf("leave: %w", err)
	}
`, `	if !mutant("leave without a fence") {
		n.replica.Fence()
	}
	if !mutant("leave before what is in flight has ended") {
		if err := drain(ctx); err != nil {
			return fmt.Errorf("leave: %w", err)
		}
	}
`},
}

// helpers are what the patches need, as files of their packages.
var helpers = map[string]string{
	"fence/mutant_overlay.go":   "package fence\n" + mutantSource,
	"replica/mutant_overlay.go": "package replica\n" + mutantSource + withoutSource,
}

const mutantSource = `
import "os"

var chosen = os.Getenv("POSTERN_MUTATION")

func mutant(name string) bool { return chosen == name }
`

// withoutSource stands in package replica, whose type it is about.
const withoutSource = `
func (l Lease) Without(margin bool) Lease {
	if margin {
		l.Strict, l.Bounded = l.Strict*5/4, l.Bounded*5/4
	}
	return l
}
`
