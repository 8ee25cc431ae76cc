package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/store"
	"github.com/posternhq/postern/internal/store/storetest"
)

func (w *witness) tend() {
	w.t.Helper()
	if err := w.s.TendUsage(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// rows returns how many rows a table has, where a condition holds.
func (w *witness) rows(table, where string) (n int) {
	w.t.Helper()
	if err := raw(w.t, w.url).QueryRowContext(w.t.Context(), `SELECT COUNT(*) FROM `+table+` WHERE `+where).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// tally is how often a subject was used in each minute.
type tally map[time.Time]iam.UsePoint

func (c tally) add(at time.Time, ok, refused int64) {
	p := c[at]
	c[at] = iam.UsePoint{At: at, OK: p.OK + ok, Refused: p.Refused + refused}
}

// by returns the tally in wider steps.
func (c tally) by(step time.Duration) tally {
	wide := tally{}
	for at, p := range c {
		wide.add(at.Truncate(step), p.OK, p.Refused)
	}
	return wide
}

func (c tally) since(at time.Time) tally {
	kept := maps.Clone(c)
	maps.DeleteFunc(kept, func(t time.Time, _ iam.UsePoint) bool { return t.Before(at) })
	return kept
}

// book is what was reported of some subjects, and the reports themselves.
type book struct {
	*witness
	reporters []string
	sent      []iam.UsageReport
	tallies   map[string]tally
}

// record sends a report, again if it was sent before.
func (b *book) record(r iam.UsageReport) {
	if err := b.send(b.t.Context(), r); err != nil {
		b.t.Fatal(err)
	}
}

func (b *book) send(ctx context.Context, r iam.UsageReport) error {
	_, err := b.s.Report(ctx, r, func(iam.NoteTx, []iam.Key) error { return nil })
	if errors.Is(err, iam.ErrReported) {
		return nil
	}
	return err
}

// use is a key's in a minute, in no wider step than it was told.
func (b *book) use(key string, at time.Time, ok, refused int64) iam.KeyUse {
	at = at.Truncate(time.Minute)
	for _, subject := range []string{key, string(b.account.ID), string(b.ws.ID)} {
		if b.tallies[subject] == nil {
			b.tallies[subject] = tally{}
		}
		b.tallies[subject].add(at, ok, refused)
	}
	return iam.KeyUse{
		Key: iam.KeyID(key), Principal: b.account.ID, Workspace: b.ws.ID, LastOK: at, Minutes: []iam.UsePoint{{At: at, OK: ok, Refused: refused}},
	}
}

// agrees fails the test unless every step says what was reported.
func (b *book) agrees(fail func(format string, args ...any)) {
	from := b.now.AddDate(0, 0, -34)
	subjects := []string{string(b.key.ID), string(b.account.ID), string(b.ws.ID)}
	for step, since := range map[time.Duration]time.Time{
		time.Minute: b.now.AddDate(0, 0, -3).Truncate(time.Minute).Add(time.Minute), time.Hour: from, 24 * time.Hour: from,
	} {
		found, err := b.s.UsagePoints(b.t.Context(), b.ws.ID, subjects, since, b.now.Add(time.Hour), step)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, subject := range subjects {
			got := tally{}
			for _, p := range found[subject] {
				got[p.At] = p
			}
			if want := b.tallies[subject].by(step).since(since.Truncate(step)); !maps.Equal(got, want) {
				fail("by %v since %v, as of %v: %s was used %v, want %v", step, since, b.now, subject, got, want)
			}
		}
	}
}

// at returns the uses of some keys, each at some time ago.
func (b *book) at(rt *rapid.T, ago *rapid.Generator[int]) iam.UsageReport {
	id := rapid.SampledFrom(b.reporters).Draw(rt, "reporter")
	b.numbers[id]++
	r := iam.UsageReport{Reporter: id, Number: b.numbers[id]}
	for key := range rapid.IntRange(1, 3).Draw(rt, "keys") {
		name := string(b.key.ID)
		if key > 0 {
			name = fmt.Sprint("key_", key)
		}
		at := b.now.Add(-time.Duration(ago.Draw(rt, "minutes ago")) * time.Minute)
		r.Keys = append(r.Keys, b.use(name, at, rapid.Int64Range(0, 5).Draw(rt, "ok"), 1))
	}
	b.sent = append(b.sent, r)
	return r
}

// atOnce runs all of what can fail at the same time.
func (b *book) atOnce(all ...func(context.Context) error) {
	var work sync.WaitGroup
	for _, do := range all {
		work.Go(func() {
			if err := do(b.t.Context()); err != nil {
				b.t.Error(err)
			}
		})
	}
	work.Wait()
}

// Whatever is reported, by whom, however late and however often, and whenever it is
// summed, by one node or two at the same time: minutes, hours and days say the same.
func TestMinutesHoursAndDaysAgree(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		w := newWitness(t, url)
		other := w.s // on SQLite there is one node
		if strings.HasPrefix(url, "postgres") {
			other = open(t, url, store.Options{Now: func() time.Time { return w.now }})
		}
		w.s.TendSlowly(5)
		other.TendSlowly(3)
		b, db := &book{witness: w, reporters: []string{"a", "b", "c"}, tallies: map[string]tally{}}, raw(t, url)
		for _, r := range b.reporters {
			b.register(r)
		}
		anyTime := rapid.OneOf(rapid.IntRange(0, 10), rapid.IntRange(50, 90), rapid.IntRange(0, 2500))
		revive := func() { disturb(t, db, `UPDATE usage_reporters SET ended_at = NULL`) } // or they are forgotten in the end, and their numbers with them
		rapid.Check(t, func(rt *rapid.T) {
			rt.Repeat(map[string]func(*rapid.T){
				"report": func(rt *rapid.T) { b.record(b.at(rt, anyTime)) },
				"report while two tend": func(rt *rapid.T) {
					r := b.at(rt, rapid.OneOf(rapid.IntRange(55, 80), anyTime)) // just before and after it is late, and folded
					b.atOnce(w.s.TendUsage, other.TendUsage, func(ctx context.Context) error { return b.send(ctx, r) })
					revive()
				},
				"report again": func(rt *rapid.T) {
					if len(b.sent) > 0 {
						b.record(rapid.SampledFrom(b.sent).Draw(rt, "report"))
					}
				},
				"time": func(rt *rapid.T) {
					m := rapid.OneOf(rapid.IntRange(1, 3), rapid.IntRange(30, 200), rapid.IntRange(1000, 2000)).Draw(rt, "minutes")
					b.now = b.now.Add(time.Duration(m) * time.Minute)
				},
				"tend": func(*rapid.T) {
					b.tend()
					revive()
				},
				"look": func(rt *rapid.T) { b.agrees(rt.Fatalf) },
			})
		})
	})
}

// A minute that is reported when its hour and its day have been summed long ago is
// in all three.
func TestALateReportIsCountedInHourAndDay(t *testing.T) {
	eachWitness(t, func(t *testing.T, w *witness) {
		b := &book{witness: w, tallies: map[string]tally{}}
		b.register("a")
		report := func(at time.Time) {
			b.numbers["a"]++
			b.record(iam.UsageReport{Reporter: "a", Number: b.numbers["a"], Keys: []iam.KeyUse{b.use(string(b.key.ID), at, 2, 1)}})
			b.agrees(t.Errorf)
		}
		first := w.now
		report(first)
		for range 5 {
			w.now = w.now.Add(7 * time.Hour)
			report(w.now)
			w.tend()
			b.agrees(t.Errorf)
			report(first)                       // where there was use
			report(first.Add(20 * time.Minute)) // in an hour where there was
			report(w.now.Add(-61 * time.Minute))
			report(w.now.Add(-3 * time.Hour)) // in an hour where there was none
			w.tend()
			b.agrees(t.Errorf)
		}
		if n := w.rows("usage_points", "step = 86400000000"); n == 0 {
			t.Error("no day was summed: the test says nothing of days")
		}
	})
}

func TestUseIsKeptAsLongAsThePolicySays(t *testing.T) {
	const day = 24 * time.Hour
	eachWitness(t, func(t *testing.T, w *witness) {
		w.s.TendSlowly(3)
		w.ws.Policy.UsageDays = 20
		if _, err := w.s.Change(t.Context(), iam.First{}, func(tx iam.Tx) (iam.Change, error) {
			return iam.Change{}, tx.UpdateWorkspace(t.Context(), w.ws)
		}); err != nil {
			t.Fatal(err)
		}
		w.register("a")
		other := iam.KeyUse{Principal: "sa_other", Workspace: "ws_other"}
		began := w.now
		for n := range 60 { // days
			w.now = began.Add(time.Duration(n) * day)
			for i := range 3 {
				id := fmt.Sprint(i)
				w.use("a", fmt.Sprint("once-", n, "-", i), w.now, w.now)
				other.Key, other.LastOK = iam.KeyID("key_"+id), w.now
				other.Minutes = []iam.UsePoint{{At: w.now, OK: 1}}
				other.Asks = []iam.AskUse{{Ask: "a:b", Last: w.now, OK: 1}}
				w.report("a", iam.UsageReport{Keys: []iam.KeyUse{other}})
			}
			w.tend()
		}
		w.tend()
		mine := fmt.Sprintf("subject_id IN ('%s', '%s', '%s') AND ", w.old.ID, w.account.ID, w.ws.ID)
		for _, kept := range []struct {
			what, table, where string
			least, most        int
		}{
			{"minutes", "usage_points", "step = 60000000", 3 * 6, 5 * 8},
			{"hours of 35 days", "usage_points", "step = 3600000000 AND subject_id = 'key_1'", 35, 37},
			{"hours by policy", "usage_points", mine + "step = 3600000000", 3 * 19, 3 * 22},
			{"days by policy", "usage_points", mine + "step = 86400000000", 3 * 19, 3 * 22},
			{"days of who has no policy", "usage_points", "step = 86400000000 AND subject_id = 'key_1'", 58, 60},
			{"asks of who has no policy", "usage_asks", "key_id = 'key_1'", 60, 60},
			{"sources", "usage_sources", "others = 0", 3 * 20, 3 * 22},
			{"last uses", "usage_last", "1 = 1", 4, 4},
		} {
			if n := w.rows(kept.table, kept.where); n < kept.least || n > kept.most {
				t.Errorf("%s: %d rows, want %d to %d", kept.what, n, kept.least, kept.most)
			}
		}
	})
}

// The store grows with the keys that are in use and the time, not with how often
// they are used.
func TestTheStoreGrowsWithKeysNotWithUse(t *testing.T) {
	grown := func(t *testing.T, url string, uses int64) (rows []int) {
		w := newWitness(t, url)
		w.register("a")
		for n := range int64(100) {
			k := iam.KeyUse{Principal: w.account.ID, Workspace: w.ws.ID, LastOK: w.now}
			k.Minutes = []iam.UsePoint{{At: w.now.Add(-time.Minute), OK: uses / 100}, {At: w.now, Refused: uses / 100}}
			k.Sources = []iam.SourceUse{{IP: "192.0.2.7", First: w.now, Last: w.now, LastOK: w.now, OK: uses / 100, Refused: uses / 100}}
			k.Asks = []iam.AskUse{{Ask: "agents:read", Last: w.now, OK: uses / 100, Refused: uses / 100}}
			for id := range 10 {
				k.Key = iam.KeyID(fmt.Sprint("key_", id))
				w.report("a", iam.UsageReport{Keys: []iam.KeyUse{k}})
			}
			if uses == 100 && n == 0 {
				break // they are one report
			}
		}
		w.tend()
		for _, table := range []string{"usage_reporters", "usage_points", "usage_last", "usage_sources", "usage_asks", "events"} {
			rows = append(rows, w.rows(table, "1 = 1"))
		}
		return rows
	}
	for name, database := range map[string]func(testing.TB) string{"SQLite": storetest.SQLite, "PostgreSQL": storetest.Postgres} {
		t.Run(name, func(t *testing.T) {
			few, many := grown(t, database(t), 100), grown(t, database(t), 100_000)
			if !slices.Equal(few, many) {
				t.Errorf("rows after 100 uses %v, after 100 000 %v; want the same", few, many)
			}
		})
	}
}

// Of two processes that end a reporter, and of one that ends it while it joins, all
// leave it as it is.
func TestAReporterThatJoinsIsNotEnded(t *testing.T) {
	m := meet(t)
	db := raw(t, m.url)
	m.joinAs(t, "1", "r")
	if _, err := m.Leave(t.Context(), "1"); err != nil {
		t.Fatal(err)
	}
	hold, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hold.ExecContext(t.Context(), `SELECT 1 FROM usage_reporters WHERE id = 'r' FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	const waiting = `SELECT COUNT(*) = %d FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`
	var work sync.WaitGroup
	work.Go(func() { m.joinAs(t, "2", "r") })
	untilYes(t, db, fmt.Sprintf(waiting, 1))
	work.Go(func() { // it finds no row of r
		if err := m.store.TendUsage(t.Context()); err != nil {
			t.Error(err)
		}
	})
	untilYes(t, db, fmt.Sprintf(waiting, 2))
	if err := hold.Commit(); err != nil {
		t.Fatal(err)
	}
	work.Wait()
	var joins int
	var ended sql.NullInt64
	if err := db.QueryRowContext(t.Context(), `SELECT joins, ended_at FROM usage_reporters WHERE id = 'r'`).Scan(&joins, &ended); err != nil {
		t.Fatal(err)
	}
	if joins != 2 || ended.Valid {
		t.Errorf("joined %d times, ended %v; want 2, and not ended", joins, ended)
	}
}

// However joins, leaves and looks meet: who has a node may accept keys, and who has
// none and has not said all is found to have ended.
func TestEndsOfReportersMeetJoins(t *testing.T) {
	m := meet(t)
	db := raw(t, m.url)
	var joining, tending sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		tending.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := m.store.TendUsage(t.Context()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for r := range 3 {
		nodes := openNodes(t, m.store)
		joining.Go(func() {
			for n := range 60 {
				incarnation, reporter := fmt.Sprint(r, "-", n), fmt.Sprint("r", r)
				row := iam.NodeRow{Incarnation: incarnation, Name: "a", Kind: iam.ServerNode, Reporter: reporter, TTL: time.Second}
				if err := nodes.Join(t.Context(), row); err != nil {
					t.Error(err)
					return
				}
				var ended bool
				err := db.QueryRowContext(t.Context(), `SELECT ended_at IS NOT NULL FROM usage_reporters WHERE id = $1`, reporter).Scan(&ended)
				if err != nil || ended {
					t.Errorf("%s is a node, and has ended: %t, %v", reporter, ended, err)
				}
				if _, err := nodes.Leave(t.Context(), incarnation); err != nil {
					t.Error(err)
				}
			}
		})
	}
	joining.Wait()
	close(stop)
	tending.Wait()
	if err := m.store.TendUsage(t.Context()); err != nil {
		t.Fatal(err)
	}
	var open int
	if err := db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM usage_reporters WHERE ended_at IS NULL OR covers >= ended_at`).Scan(&open); err != nil || open != 0 {
		t.Errorf("%d reporters, %v, are not known to have ended without a word; want none", open, err)
	}
}

// On PostgreSQL what a node did not report is unknown up to when it is found gone.
func TestANodeThatGoesWithoutAWordLeavesItsUseUnknown(t *testing.T) {
	m := meet(t)
	now := morning
	s := open(t, m.url, store.Options{Now: func() time.Time { return now }})
	w := &witness{t: t, s: s, seeded: seed(t, s), numbers: map[string]int64{}, url: m.url}
	for _, id := range []string{"a", "b", "early"} {
		w.register(id)
	}
	m.joinAs(t, "1", "a")
	m.joinAs(t, "2", "b")
	w.covers("a", now)
	w.covers("b", now)
	w.tend()
	w.known("one has not joined yet", time.Time{}, time.Time{})
	now = now.Add(2 * time.Minute)
	w.covers("b", now)
	w.tend()
	w.known("who never joined has ended, and nothing of it is lost", morning, time.Time{}, "node a")
	if _, err := m.Leave(t.Context(), "1"); err != nil {
		t.Fatal(err)
	}
	gone := now
	w.tend()
	w.known("a is gone", now, gone)
	w.report("b", iam.UsageReport{Last: true})
	if _, err := m.Leave(t.Context(), "2"); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Minute)
	m.joinAs(t, "3", "c")
	w.numbers["c"] = 0
	w.covers("c", now)
	w.tend()
	w.known("b left, with a word", now, gone)
	m.join(t, "4") // of a release that does not count
	e := w.evidence()
	if !e.KnownTo.IsZero() || !slices.Contains(e.Silent, "a") {
		t.Errorf("with a node that does not count: known to %v, silent %q; want nothing, and its name", e.KnownTo, e.Silent)
	}
}

// When the clock has been set back, what is used now was added up before.
func TestUseIsInHoursAndDaysWhenTheClockIsSetBack(t *testing.T) {
	eachWitness(t, func(t *testing.T, w *witness) {
		b := &book{witness: w, tallies: map[string]tally{}}
		b.register("a")
		began := w.now
		for _, at := range []time.Duration{0, 30 * time.Hour, 2 * time.Hour, 31 * time.Hour} {
			w.now = began.Add(at)
			b.numbers["a"]++
			b.record(iam.UsageReport{Reporter: "a", Number: b.numbers["a"], Keys: []iam.KeyUse{b.use(string(b.key.ID), w.now, 2, 1)}})
			b.tend()
		}
		b.agrees(t.Errorf)
	})
}
