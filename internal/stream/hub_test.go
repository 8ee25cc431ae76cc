package stream_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/stream"
)

// logbook is an audit log in memory that can be away.
type logbook struct {
	mu        sync.Mutex // guards what follows
	events    []iam.AuditEvent
	asked     int
	away      bool
	published chan struct{}
}

func newLogbook() *logbook { return &logbook{published: make(chan struct{})} }

func (b *logbook) hub() *stream.Hub {
	return stream.New(stream.Options{
		Events: b.page, Published: b.Published,
		Event: func(_ context.Context, _ iam.WorkspaceID, id iam.EventID) (iam.AuditEvent, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if i := slices.IndexFunc(b.events, func(e iam.AuditEvent) bool { return e.ID == string(id) }); i >= 0 {
				return b.events[i], nil
			}
			return iam.AuditEvent{}, iam.Errorf(iam.NotFound, "no event %s", id)
		},
	})
}

// page answers the two questions that a hub has: for the newest event, and for
// those after one.
func (b *logbook) page(_ context.Context, _ iam.WorkspaceID, _ iam.EventFilter, p iam.Page) (list iam.List[iam.AuditEvent], err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	if b.away {
		return list, errors.New("away")
	}
	if p.Sort == "" {
		list.Items = slices.Clone(b.events[max(0, len(b.events)-1):])
		return list, nil
	}
	after, err := strconv.Atoi(p.After[0])
	if err != nil {
		return list, err
	}
	list.Items = slices.Clone(b.events[min(after, len(b.events)):min(after+p.Limit, len(b.events))])
	return list, nil
}

// looks counts how often the log was asked.
func (b *logbook) looks() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked
}

func (b *logbook) Published() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.published
}

// add writes events down. Silently: nobody is told, as of a refusal.
func (b *logbook) add(n int, silently bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range n {
		seq := int64(len(b.events) + 1)
		b.events = append(b.events, iam.AuditEvent{Event: audit.Event{ID: fmt.Sprint("evt_", seq), Seq: seq}})
	}
	if !silently {
		close(b.published)
		b.published = make(chan struct{})
	}
}

func (b *logbook) goAway(away bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.away = away
}

// wants fails the test unless a reader has been told these events and no others.
func wants(t *testing.T, r *stream.Reader, from, to int64) {
	t.Helper()
	items, err := r.Take()
	if err != nil {
		t.Fatal(err)
	}
	var got []int64
	for _, it := range items {
		got = append(got, it.Event.Seq)
	}
	var want []int64
	for seq := from; seq <= to; seq++ {
		want = append(want, seq)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got the events %v, want %v", got, want)
	}
}

func join(t *testing.T, h *stream.Hub) *stream.Reader {
	t.Helper()
	r, err := h.Join(t.Context(), "ws_1", stream.Wants{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Whoever reads the log up to where it joined, and then what it is told, has each
// event once, in order, whenever it joined.
func TestReaderMissesNothingAndHearsNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newLogbook()
		h := b.hub()
		var all []*stream.Reader
		rnd := rand.New(rand.NewPCG(1, 2))
		for range 300 {
			if rnd.IntN(3) == 0 {
				all = append(all, join(t, h))
			}
			b.add(rnd.IntN(5), rnd.IntN(2) == 0)
			time.Sleep(time.Duration(rnd.IntN(40)) * time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		for i, r := range all {
			from := r.From()
			wants(t, r, from.Seq+1, int64(len(b.events)))
			if i > 0 && from.Seq < all[i-1].From().Seq {
				t.Errorf("reader %d goes on after %v, the one before it after %v", i, from, all[i-1].From())
			}
			r.Leave()
		}
	})
}

func TestWhatIsPublishedIsToldAtOnceAndAllElseWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newLogbook()
		r := join(t, b.hub())
		defer r.Leave()
		time.Sleep(10*time.Second + 400*time.Millisecond) // between two looks
		<-afterNothing(r)
		for _, tt := range []struct {
			silently bool
			within   time.Duration
		}{{false, 50 * time.Millisecond}, {true, 1100 * time.Millisecond}} {
			begun := time.Now()
			b.add(1, tt.silently)
			<-r.Ready()
			if took := time.Since(begun); took > tt.within {
				t.Errorf("silently %t: it took %v, want %v at the most", tt.silently, took, tt.within)
			}
			if items, err := r.Take(); len(items) != 1 || err != nil {
				t.Errorf("got %v, %v", items, err)
			}
		}
	})
}

// afterNothing returns a closed channel when a reader has nothing to take.
func afterNothing(r *stream.Reader) <-chan struct{} {
	done := make(chan struct{})
	select {
	case <-r.Ready():
		panic("the reader was told of something that did not happen")
	default:
		close(done)
	}
	return done
}

// Nobody asks the store more often for many readers than for one, and nobody asks
// when there are none.
func TestReadersShareTheLooksAtTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newLogbook()
		h := b.hub()
		var all []*stream.Reader
		for range 1000 {
			all = append(all, join(t, h))
		}
		time.Sleep(5 * time.Second)
		before := b.looks()
		for range 100 {
			b.add(1, false)
			time.Sleep(time.Millisecond) // quicker than anybody looks
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if asked := b.looks() - before; asked > 20 {
			t.Errorf("the store was asked %d times in 1.1 s", asked)
		}
		for _, r := range all {
			wants(t, r, 1, 100)
			r.Leave()
		}
		before = b.looks()
		b.add(1, false)
		time.Sleep(time.Minute)
		if b.looks() != before || h.Readers() != 0 {
			t.Errorf("with no reader the store was asked %d times, of %d readers", b.looks()-before, h.Readers())
		}
	}) // which waits for all goroutines
}

func TestReaderThatDoesNotTakeIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newLogbook()
		h := b.hub()
		slow, quick := join(t, h), join(t, h)
		defer slow.Leave()
		defer quick.Leave()
		for i := range int64(6) {
			b.add(200, false)
			time.Sleep(time.Second)
			wants(t, quick, 200*i+1, 200*i+200)
		}
		for range 2 {
			if items, err := slow.Take(); !errors.Is(err, stream.ErrSlow) || items != nil {
				t.Errorf("got %d items, %v", len(items), err)
			}
		}
	})
}

func TestReadersHearWhatHappenedWhileTheStoreWasAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newLogbook()
		h := b.hub()
		r := join(t, h)
		defer r.Leave()
		b.goAway(true)
		before := b.looks()
		for range 60 {
			b.add(1, false)
			time.Sleep(time.Second)
		}
		if asked := b.looks() - before; asked > 70 {
			t.Errorf("a store that is away was asked %d times in a minute", asked)
		}
		if _, err := h.Join(t.Context(), "ws_1", stream.Wants{}); err == nil {
			t.Error("a reader joined that does not know where the log is")
		}
		b.goAway(false)
		time.Sleep(3 * time.Second)
		wants(t, r, 1, 60)
	})
}

func TestPositionsAreWrittenInOneWay(t *testing.T) {
	id := iam.NewID(iam.EventPrefix, time.Now())
	for text, want := range map[string]bool{
		"0": true, "1." + id: true, "9223372036854775807." + id: true,
		"": false, "1": false, "0." + id: false, "-1." + id: false, "+1." + id: false, "01." + id: false, "1." + id + " ": false,
		"1.evt_": false, "9223372036854775808." + id: false, "1." + id + "." + id: false, "." + id: false, id: false,
	} {
		p, ok := stream.ParsePosition(text)
		if ok != want || ok && p.String() != text {
			t.Errorf("%q: got %+v, %t, want %t", text, p, ok, want)
		}
	}
}

func FuzzParsePosition(f *testing.F) {
	f.Add("0")
	f.Add("17." + iam.NewID(iam.EventPrefix, time.Unix(0, 0)))
	f.Fuzz(func(t *testing.T, text string) {
		if p, ok := stream.ParsePosition(text); ok && p.String() != text {
			t.Errorf("%q reads as %v", text, p)
		}
	})
}
