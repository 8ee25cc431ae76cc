package usage

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

func TestUseIsReportedWithAllThatIsKnownOfIt(t *testing.T) {
	b := newBench(t, nil)
	b.clock.advance(61 * time.Second)
	b.Touch(use(1, "b:write", "a/x:read"))
	b.clock.advance(time.Second)
	refused := use(1)
	refused.OK, refused.IP = false, netip.Addr{}
	b.Touch(refused)
	b.flush(t)
	first, second, minute := epoch.Add(61*time.Second), epoch.Add(62*time.Second), epoch.Add(time.Minute)
	want := iam.KeyUse{
		Key: keyText(1), Principal: "sa_1", Workspace: "ws_1", LastOK: first, LastRefused: second,
		Minutes: []iam.UsePoint{{At: minute, OK: 1, Refused: 1}},
		Sources: []iam.SourceUse{
			{IP: "192.0.2.7", UserAgent: "curl/8.5", First: first, Last: first, LastOK: first, OK: 1},
			{UserAgent: "curl/8.5", First: second, Last: second, Refused: 1},
		},
		Asks: []iam.AskUse{{Ask: "a/x:read b:write", Last: first, OK: 1}, {Last: second, Refused: 1}},
	}
	if got := b.ledger.taken[0].Keys; len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// The same is told of what is reported at once, and of what waits for its report.
func TestUseAtAGatewayIsToldApart(t *testing.T) {
	b := newBench(t, nil)
	atGateway := use(1)
	atGateway.Gateway = true
	for range 2 {
		for _, u := range []iam.Use{use(1), atGateway, atGateway} {
			b.Touch(u)
		}
		b.gather()
	}
	b.flush(t)
	reports := slices.DeleteFunc(slices.Clone(b.ledger.taken), func(r iam.UsageReport) bool { return len(r.Keys) == 0 })
	if len(reports) != 2 {
		t.Fatalf("got %d reports, want one of a side and one of what waited", len(reports))
	}
	for i, r := range reports {
		told := map[string]int64{}
		for _, s := range r.Keys[0].Sources {
			told[s.Via] += s.OK
		}
		if want := (map[string]int64{"": 1, iam.Gateway: 2}); !maps.Equal(told, want) {
			t.Errorf("report %d: got %v, want %v", i+1, told, want)
		}
	}
}

func TestMinutesAreExactAcrossTheirBoundary(t *testing.T) {
	b := newBench(t, nil)
	for _, step := range []time.Duration{time.Minute - 1, 1, 59 * time.Second, time.Second} { // the last of 9:00, the first and another of 9:01, the first of 9:02
		b.clock.advance(step)
		b.Touch(use(1))
	}
	b.flush(t)
	minutes := b.ledger.taken[0].Keys[0].Minutes
	want := []iam.UsePoint{{At: epoch, OK: 1}, {At: epoch.Add(time.Minute), OK: 2}, {At: epoch.Add(2 * time.Minute), OK: 1}}
	if !reflect.DeepEqual(minutes, want) {
		t.Errorf("got %v, want %v", minutes, want)
	}
}

// Many count while another reports to a store that fails, or takes a report and
// its answer is lost.
func TestEveryUseCountsOnceWhateverTheStoreDoes(t *testing.T) {
	const workers, keys = 8, 50
	each := 20_000
	if testing.Short() {
		each = 4_000
	}
	for name, limits := range map[string]Limits{"room": {}, "none": {Keys: 16, Details: 16, Texts: 4, Points: 8}} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, func(o *Options) { o.Limits = limits })
			luck := rand.New(rand.NewPCG(1, 2))
			b.ledger.ends(func() outcome { return outcome(luck.IntN(int(outcomes))) })
			var want [workers][keys][2]int64
			var counting, reporting sync.WaitGroup
			done := make(chan struct{})
			for w := range workers {
				counting.Go(func() {
					pick := rand.New(rand.NewPCG(uint64(w), 3))
					for range each {
						u := use(pick.IntN(keys), fmt.Sprintf("a/%d:read", pick.IntN(300)))
						u.OK, u.UserAgent = pick.IntN(3) > 0, fmt.Sprint(pick.IntN(300))
						b.Touch(u)
						want[w][u.Key[7]][outcomeOf(u)]++
					}
				})
			}
			reporting.Go(func() {
				for {
					_ = b.Flush(t.Context()) // it fails again and again
					b.clock.advance(7 * time.Second)
					select {
					case <-done:
						return
					default:
					}
				}
			})
			counting.Wait()
			close(done)
			reporting.Wait()
			b.ledger.ends(func() outcome { return takes })
			if err := b.Finish(t.Context()); err != nil {
				t.Fatal(err)
			}
			for key := range keys {
				var sum [2]int64
				for w := range workers {
					sum[0], sum[1] = sum[0]+want[w][key][0], sum[1]+want[w][key][1]
				}
				if ok, refused := b.ledger.total(keyText(key)); ok != sum[0] || refused != sum[1] {
					t.Errorf("key %d: got %d accepted, %d refused, want %v", key, ok, refused, sum)
				}
			}
			if got, want := b.Gathering().Counted, int64(workers*each); got != want {
				t.Errorf("it says that it counted %d, want %d", got, want)
			}
		})
	}
}

// The sides change places as often as they can, so that many find that the one
// that they were about to enter is no longer live.
func TestNoUseIsLostWhenSidesChangePlaces(t *testing.T) {
	const workers, each = 4, 100_000
	b := newBench(t, intoSink)
	var counting sync.WaitGroup
	for w := range workers {
		counting.Go(func() {
			for range each {
				b.Touch(use(w))
			}
		})
	}
	done := make(chan struct{})
	go func() {
		counting.Wait()
		close(done)
	}()
	for looking := true; looking; {
		b.gather()
		select {
		case <-done:
			looking = false
		default:
		}
	}
	b.gather()
	if got := b.Gathering().Counted; got != workers*each {
		t.Errorf("counted %d, want %d", got, workers*each)
	}
}

func outcomeOf(u iam.Use) int {
	if u.OK {
		return 0
	}
	return 1
}

func TestProcessThatWasStoppedForMinutesCountsEachInItsOwn(t *testing.T) {
	b := newBench(t, nil)
	for range 5 { // nobody looks meanwhile
		b.Touch(use(1))
		b.clock.advance(time.Minute)
	}
	b.flush(t)
	minutes := b.ledger.sums[keyText(1)].minutes
	for i := range 5 {
		if at := epoch.Add(time.Duration(i) * time.Minute); minutes[at].OK != 1 {
			t.Errorf("at %v: got %d, want 1", at, minutes[at].OK)
		}
	}
}

func TestLatestHundredSourcesAreToldApart(t *testing.T) {
	b := newBench(t, nil)
	b.ledger.ends(func() outcome { return fails })
	for i := range 250 {
		b.clock.advance(time.Millisecond)
		u := use(1)
		u.UserAgent = fmt.Sprint(i)
		b.Touch(u)
		if i%50 == 49 {
			_ = b.Flush(t.Context()) // so that all are gathered; the store takes none
		}
	}
	b.ledger.ends(func() outcome { return takes })
	b.flush(t)
	told := map[string]bool{}
	var others int64
	for of, u := range b.ledger.sums[keyText(1)].sources {
		if of.others {
			others = u.OK
		} else {
			told[of.agent] = true
		}
	}
	// The first report holds the first 50, and the next one what was counted until
	// that failed; of the 150 that waited together, the latest 100 are told apart.
	for i := range 250 {
		if want := i < 100 || i >= 150; told[fmt.Sprint(i)] != want {
			t.Errorf("source %d is told apart: %v, want %v", i, !want, want)
		}
	}
	if others != 50 {
		t.Errorf("the others were used %d times, want 50", others)
	}
}

func TestAsksThatAreTooManyAreToldWithoutTheirIDs(t *testing.T) {
	b := newBench(t, nil)
	for i := range 150 {
		b.clock.advance(time.Millisecond)
		b.Touch(use(1, fmt.Sprintf("docs/d%d:read", i), fmt.Sprintf("docs/e%d:read", i), "bots:execute"))
	}
	b.flush(t)
	asks := b.ledger.sums[keyText(1)].asks
	if got := asks[asked{"bots:execute docs/…:read", true}]; got.OK != 50 || len(asks) != 101 {
		t.Errorf("got %d asks, and %d uses of those without ids; want 101 and 50", len(asks), got.OK)
	}
	if got := asks[asked{"bots:execute docs/d0:read docs/e0:read", false}]; got.OK != 1 {
		t.Errorf("the first ask counts %d times, want once", got.OK)
	}
}

func TestAskIsTheSameInAnyOrder(t *testing.T) {
	words := []string{"a:read", "b/x:read", "b/y:read", "c:write"}
	for _, tt := range []struct {
		general bool
		want    string
	}{{false, "a:read b/x:read b/y:read c:write"}, {true, "a:read b/…:read c:write"}} {
		for range 20 {
			rand.Shuffle(len(words), func(i, j int) { words[i], words[j] = words[j], words[i] })
			if got := string(appendAsk(nil, words, tt.general)); got != tt.want {
				t.Errorf("%v: got %q, want %q", words, got, tt.want)
			}
		}
	}
	var many []string
	for i := range 64 {
		many = append(many, fmt.Sprintf("%s%02d:read", strings.Repeat("t", 200), 63-i))
	}
	got := strings.Fields(string(appendAsk(nil, many, false)))
	if slices.Sort(many); !slices.Equal(got, many) {
		t.Errorf("64 long permissions: got %v", got)
	}
}

func TestTouchAllocatesNothingInTheSteadyState(t *testing.T) {
	b := newBench(t, nil)
	u := use(1, "docs/a:read", "bots:execute")
	b.Touch(u)
	if got := testing.AllocsPerRun(1000, func() { b.Touch(u) }); got != 0 {
		t.Errorf("it allocates %v times, want 0", got)
	}
	for i := range 300 { // more asks than are told apart
		b.Touch(use(1, fmt.Sprintf("docs/%d:read", i)))
	}
	u = use(1, "docs/new:read")
	if got := testing.AllocsPerRun(1000, func() { b.Touch(u) }); got != 0 {
		t.Errorf("with an ask that is not told apart it allocates %v times, want 0", got)
	}
}
