package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/store"
	"github.com/posternhq/postern/internal/store/storetest"
	"github.com/posternhq/postern/internal/token"
	"github.com/posternhq/postern/internal/usage"
)

const keysPerAccount = 100

// synthetic is a workspace that operates the deployment, with a verifier and keys
// of operators, whose texts are made from a seed.
type synthetic struct {
	now                time.Time
	workspace          iam.WorkspaceID
	operator, verifier iam.RoleID
	caller             string
	keys               []string
}

func newSynthetic(tb testing.TB, n int) *synthetic {
	tb.Helper()
	mint := token.Mint{Rand: rand.NewChaCha8([32]byte{1})}
	text := func() string {
		secret, err := mint.New(token.ServiceAccount)
		if err != nil {
			tb.Fatal(err)
		}
		return secret.Reveal()
	}
	y := &synthetic{now: time.Now(), caller: text(), keys: make([]string, n)}
	for i := range y.keys {
		y.keys[i] = text()
	}
	y.workspace = iam.WorkspaceID(y.id(iam.WorkspacePrefix))
	y.operator, y.verifier = iam.RoleID(y.id(iam.RolePrefix)), iam.RoleID(y.id(iam.RolePrefix))
	return y
}

func (y *synthetic) id(prefix string) string { return iam.NewID(prefix, y.now) }

// Changes implements replica.Feed: nothing ever changes.
func (y *synthetic) Changes(context.Context, iam.Position, int) ([]iam.Change, iam.Position, error) {
	return nil, iam.Position{Seq: 1}, nil
}

// Snapshot implements replica.Feed.
func (y *synthetic) Snapshot(_ context.Context, sink iam.Sink) (iam.Position, error) {
	at := iam.Position{Seq: 1}
	if err := sink.Workspace(iam.WorkspaceRecord{ID: y.workspace, Slug: "acme", System: true}); err != nil {
		return at, err
	}
	for id, name := range map[iam.RoleID]string{y.operator: iam.Operator, y.verifier: iam.Verifier} {
		if err := sink.Role(builtIn(id, y.workspace, name)); err != nil {
			return at, err
		}
	}
	account, err := y.putAccount(sink, "gateway", y.verifier)
	if err != nil {
		return at, err
	}
	if err := y.putKey(sink, account, y.caller); err != nil {
		return at, err
	}
	for i, text := range y.keys {
		if i%keysPerAccount == 0 {
			if account, err = y.putAccount(sink, fmt.Sprintf("bot-%d", i/keysPerAccount), y.operator); err != nil {
				return at, err
			}
		}
		if err := y.putKey(sink, account, text); err != nil {
			return at, err
		}
	}
	return at, nil
}

func builtIn(id iam.RoleID, ws iam.WorkspaceID, name string) iam.RoleRecord {
	for _, r := range iam.BuiltInRoles() {
		if r.Name == name {
			return iam.RoleRecord{ID: id, Workspace: ws, Name: name, Permissions: r.Permissions}
		}
	}
	return iam.RoleRecord{}
}

func (y *synthetic) putAccount(sink iam.Sink, name string, role iam.RoleID) (iam.PrincipalID, error) {
	id := iam.PrincipalID(y.id(iam.ServiceAccountPrefix))
	return id, sink.Principal(iam.PrincipalRecord{
		ID: id, Type: iam.ServiceAccountType, Workspace: y.workspace, Name: name, State: iam.Active, Role: role,
	})
}

func (y *synthetic) putKey(sink iam.Sink, account iam.PrincipalID, text string) error {
	return sink.Key(iam.KeyRecord{ID: iam.KeyID(y.id(iam.KeyPrefix)), Principal: account, Name: "prod", Hash: token.NewSecret(text).Hash()})
}

// loaded returns a server that knows n keys, the texts of those keys and a key
// that may verify them.
func loaded(tb testing.TB, n int) (s *Server, keys []string, caller string) {
	tb.Helper()
	y := newSynthetic(tb, n)
	r := replica.New(replica.Options{Node: "bench"})
	if err := r.Load(tb.Context(), y); err != nil {
		tb.Fatal(err)
	}
	s, err := New(Options{People: nobody{}, IAM: &iam.Service{Now: time.Now}, Replica: r, Prefixes: token.Prefixes{token.DefaultPrefix}, Secret: make([]byte, minSecret)})
	if err != nil {
		tb.Fatal(err)
	}
	return s, y.keys, y.caller
}

const connections = 16

// BenchmarkVerifyUsage measures what counting uses costs: calls of /v1/verify with
// random ones of some keys, by the median over pairs of the rate with counting by
// the one without. Once a second what was counted is reported, as in a node: to
// nobody, which says what counting itself costs, and to databases, which share the
// processors. With a million keys nearly each call uses one that nobody has used in
// that second.
func BenchmarkVerifyUsage(b *testing.B) {
	s, keys, caller := loaded(b, 1_000_000)
	without := listen(b, s.Handler())
	for _, v := range []struct {
		name  string
		store func(*testing.B) usage.Store
		keys  int
	}{
		{"counting,100", toNobody, 100}, {"counting,1M", toNobody, len(keys)},
		{"SQLite,100", into(storetest.SQLite), 100}, {"SQLite,1k", into(storetest.SQLite), 1_000}, {"SQLite,10k", into(storetest.SQLite), 10_000},
		{"PostgreSQL,100", into(storetest.Postgres), 100}, {"PostgreSQL,1k", into(storetest.Postgres), 1_000}, {"PostgreSQL,10k", into(storetest.Postgres), 10_000},
	} {
		b.Run(v.name, func(b *testing.B) {
			g := reporting(b, v.store(b))
			counting, err := New(Options{People: nobody{}, IAM: s.iam, Replica: s.replica, Prefixes: s.prefixes, Secret: make([]byte, minSecret), Usage: g})
			if err != nil {
				b.Fatal(err)
			}
			addresses := []string{listen(b, counting.Handler()), without}
			for b.Loop() {
				var ratios, costs []float64
				for i := range 5 {
					var rates, each [2]float64 // with and without, in turn first
					for j := range rates {
						at := (i + j) % 2
						drive(b, addresses[at], "/v1/verify", caller, keys[:v.keys], time.Second) // so that there is something to report from the start
						began, used := time.Now(), processor(b)
						rates[at] = drive(b, addresses[at], "/v1/verify", caller, keys[:v.keys], 2*time.Second)
						each[at] = float64(processor(b)-used) / (rates[at] * time.Since(began).Seconds())
						if err := g.Flush(b.Context()); err != nil { // or the other would pay for what is left
							b.Fatal(err)
						}
					}
					ratios, costs = append(ratios, rates[0]/rates[1]), append(costs, each[1]/each[0])
				}
				slices.Sort(ratios)
				slices.Sort(costs)
				b.ReportMetric(ratios[len(ratios)/2], "of-uncounted")
				b.ReportMetric(costs[len(costs)/2], "of-uncounted-by-processor")
			}
		})
	}
}

// processor returns for how long this process has had a processor: what others do on
// the machine disturbs that less than it disturbs rates. The time of a database that
// is another process is not in it.
func processor(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// discard is a store of reports that keeps nothing.
type discard struct{}

func (discard) Register(context.Context, iam.Reporter) (time.Time, error) { return time.Now(), nil }

func (discard) Report(context.Context, iam.UsageReport) (time.Time, error) { return time.Now(), nil }

func toNobody(*testing.B) usage.Store { return discard{} }

// database takes reports as in a node, of keys that it does not know.
type database struct {
	*store.Store
	service *iam.Service
}

func (d database) Report(ctx context.Context, r iam.UsageReport) (time.Time, error) {
	return d.service.Report(ctx, r)
}

func into(url func(testing.TB) string) func(*testing.B) usage.Store {
	return func(b *testing.B) usage.Store {
		rows, err := store.Open(b.Context(), url(b), store.Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			if err := rows.Close(); err != nil {
				b.Error(err)
			}
		})
		return database{rows, &iam.Service{Store: rows, Now: time.Now}}
	}
}

// reporting returns a gatherer that reports to a store until the benchmark ends.
func reporting(b *testing.B, to usage.Store) *usage.Gatherer {
	b.Helper()
	begun := time.Now()
	g, err := usage.New(usage.Options{
		Reporter: iam.Reporter{ID: "bench", Name: "bench", Kind: iam.ServerNode}, Store: to, Now: func() time.Duration { return time.Since(begun) },
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := g.Register(b.Context()); err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { g.Run(ctx) })
	b.Cleanup(func() {
		stop()
		running.Wait()
	})
	return g
}

func listen(b *testing.B, h http.Handler) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := HTTPServer(h)
	go srv.Serve(l) // ends with Close, and returns that it did
	b.Cleanup(func() { srv.Close() })
	return l.Addr().String()
}

// drive calls an address for a while over all connections, each with random keys,
// and returns the calls per second. The client does as little as it can, so that
// what is measured is the server.
func drive(b *testing.B, addr, path, caller string, keys []string, span time.Duration) float64 {
	b.Helper()
	var total sync.WaitGroup
	counts := make([]int, connections)
	begun := time.Now()
	for i := range connections {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		total.Go(func() {
			defer conn.Close()
			counts[i] = hammer(b, conn, path, caller, keys, uint64(i), begun.Add(span))
		})
	}
	total.Wait()
	n := 0
	for _, c := range counts {
		n += c
	}
	return float64(n) / time.Since(begun).Seconds()
}

func hammer(b *testing.B, conn net.Conn, path, caller string, keys []string, seed uint64, until time.Time) (n int) {
	pick := rand.New(rand.NewPCG(seed, 1))
	var out []byte
	in := make([]byte, 4096)
	for time.Now().Before(until) {
		body := fmt.Appendf(nil, `{"key":%q,"permissions":["agents:execute"],"source":{"ip":"192.0.2.7"}}`, keys[pick.IntN(len(keys))])
		out = fmt.Appendf(out[:0], "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, caller, len(body), body)
		if _, err := conn.Write(out); err != nil {
			b.Error(err)
			return n
		}
		if !readAnswer(conn, in) {
			b.Errorf("an answer is not a success: %s", in)
			return n
		}
		n++
	}
	return n
}

// readAnswer reads one answer and reports whether it says that the key is valid.
func readAnswer(conn io.Reader, buf []byte) bool {
	got := 0
	for {
		n, err := conn.Read(buf[got:])
		if err != nil {
			return false
		}
		got += n
		head := bytes.Index(buf[:got], []byte("\r\n\r\n"))
		if head < 0 {
			continue
		}
		var length int
		at := bytes.Index(buf[:head], []byte("Content-Length: "))
		if at < 0 {
			return false
		}
		if _, err := fmt.Sscanf(string(buf[at:head]), "Content-Length: %d", &length); err != nil {
			return false
		}
		if got >= head+4+length {
			return bytes.HasPrefix(buf[head+4:got], []byte(`{"valid":true`))
		}
	}
}
