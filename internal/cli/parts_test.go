package cli

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/config"
	"github.com/posternhq/postern/internal/iam"
)

// stage is a server of which a test holds every part.
type stage struct {
	parts
	begun  chan struct{}                   // closed when the replica follows
	below  atomic.Pointer[context.Context] // that follow was given
	summed atomic.Bool                     // the last sums were written
}

func newStage(t *testing.T, h http.Handler) *stage {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	doors, err := openDoors(t.Context(), config.Config{Listen: "127.0.0.1:0"}, answers{api: h, metrics: h}, log)
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{begun: make(chan struct{})}
	s.parts = parts{
		doors: doors, log: log,
		streams: func() {},
		leave:   func(ctx context.Context, drain func(context.Context) error) error { return drain(ctx) },
		node: func(ctx context.Context) error {
			s.below.Store(&ctx)
			close(s.begun)
			<-ctx.Done()
			return nil
		},
		await:    func(ctx context.Context) { <-ctx.Done() },
		uses:     func(ctx context.Context) { <-ctx.Done() },
		tend:     func(context.Context) error { return nil },
		look:     func(context.Context) error { return nil },
		receipts: func(context.Context) error { return nil },
		notices:  func(context.Context) error { return nil },
		sums: func(_ context.Context, all bool) error {
			if all {
				s.summed.Store(true)
			}
			return nil
		},
		journal: &iam.Journal{Now: time.Now}, // in which nothing is
	}
	return s
}

// follows reports whether the replica still follows.
func (s *stage) follows() bool { return (*s.below.Load()).Err() == nil }

func (s *stage) url() string { return "http://" + s.doors.addresses()[0] }

// get asks the server, and returns the answer's status or an error.
func get(ctx context.Context, url string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

func TestStoppingAnswersWhatIsUnderWayFirst(t *testing.T) {
	asked, release, stopping := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var followed atomic.Bool
	var s *stage
	s = newStage(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(asked)
		<-release
		followed.Store(s.follows())
	}))
	s.doors.all[0].server.(*http.Server).RegisterOnShutdown(func() { close(stopping) })
	ctx, interrupt := context.WithCancel(t.Context())
	answered, ended := make(chan error, 1), make(chan error, 1)
	go func() { ended <- s.run(ctx, func(context.Context) error { return nil }) }()
	<-s.begun
	go func() { _, err := get(t.Context(), s.url()); answered <- err }()
	<-asked
	interrupt()
	<-stopping
	select {
	case err := <-ended:
		t.Fatalf("it ended, %v, while a request was under way", err)
	default:
	}
	close(release)
	if err := <-answered; err != nil {
		t.Errorf("the request under way: %v", err)
	}
	if err := <-ended; err != nil {
		t.Errorf("stopping: %v", err)
	}
	if !followed.Load() {
		t.Error("the replica had stopped following while a change could still wait for it")
	}
	if s.follows() || !s.summed.Load() {
		t.Errorf("afterwards: following %t, sums written %t; want false, true", s.follows(), s.summed.Load())
	}
	if _, err := get(t.Context(), s.url()); err == nil {
		t.Error("it still answers")
	}
}

func TestPartThatFailsStopsTheServer(t *testing.T) {
	broken := errors.New("broken")
	wants := map[string]error{"a listener": net.ErrClosed} // the others end with broken
	for name, breakIt := range map[string]func(*stage) func(context.Context) error{
		"following": func(s *stage) func(context.Context) error {
			s.node = func(context.Context) error { return broken }
			return func(context.Context) error { return nil }
		},
		"coming up": func(*stage) func(context.Context) error {
			return func(context.Context) error { return broken }
		},
		"a listener": func(s *stage) func(context.Context) error {
			return func(context.Context) error { return s.doors.all[0].listener.Close() }
		},
		"the last sums": func(s *stage) func(context.Context) error {
			s.sums = func(_ context.Context, all bool) error {
				if all {
					return broken
				}
				return nil
			}
			return func(context.Context) error { return errors.New("stop") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, http.NotFoundHandler())
			want := cmp.Or(wants[name], broken)
			if err := s.run(t.Context(), breakIt(s)); !errors.Is(err, want) {
				t.Errorf("ended with %v, want %v", err, want)
			}
		})
	}
}

func TestLocalhostIsBothLoopbacks(t *testing.T) {
	h := http.NotFoundHandler()
	doors, err := openDoors(t.Context(), config.Config{Listen: "localhost:0"}, answers{api: h, metrics: h}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := doors.close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	addresses := doors.addresses()
	if !strings.HasPrefix(addresses[0], "127.0.0.1:") {
		t.Errorf("listens on %v", addresses)
	}
	if port := addresses[0][len("127.0.0.1:"):]; len(addresses) > 1 && addresses[1] != "[::1]:"+port {
		t.Errorf("listens on %v, want one port", addresses)
	}
	if url := doors.url(config.Config{Listen: "localhost:0"}); !strings.HasPrefix(url, "http://localhost:") || strings.HasSuffix(url, ":0") {
		t.Errorf("says it is at %s", url)
	}
	for _, d := range doors.all {
		if err := d.listener.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestServerSaysAnAddressThatOthersCanUse(t *testing.T) {
	h := http.NotFoundHandler()
	for _, tt := range []struct{ listen, public, want string }{
		{"127.0.0.1:0", "", "http://127.0.0.1:"},
		{"localhost:0", "", "http://localhost:"},
		{":0", "", "http://localhost:"},
		{"0.0.0.0:0", "", "http://localhost:"},
		{"[::1]:0", "", "http://[::1]:"},
		{"127.0.0.1:0", "https://postern.internal/", "https://postern.internal"},
	} {
		cfg := config.Config{Listen: tt.listen, PublicURL: tt.public}
		doors, err := openDoors(t.Context(), cfg, answers{api: h, metrics: h}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if url := doors.url(cfg); !strings.HasPrefix(url, tt.want) || strings.HasSuffix(url, ":0") || strings.HasSuffix(url, "/") {
			t.Errorf("%s: says it is at %s, want %s", tt.listen, url, tt.want)
		}
		if err := doors.close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestAddressThatIsTakenIsSaidAndNothingStaysOpen(t *testing.T) {
	h := http.NotFoundHandler()
	log := slog.New(slog.DiscardHandler)
	first, err := openDoors(t.Context(), config.Config{Listen: "127.0.0.1:0"}, answers{api: h, metrics: h}, log)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := first.close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	taken := first.addresses()[0]
	if _, err := openDoors(t.Context(), config.Config{Listen: taken}, answers{api: h, metrics: h}, log); err == nil || !strings.Contains(err.Error(), taken) {
		t.Errorf("got %v, want an error that names %s", err, taken)
	}
	if _, err := openDoors(t.Context(), config.Config{Listen: "127.0.0.1:0", MetricsListen: taken}, answers{api: h, metrics: h}, log); err == nil {
		t.Error("the metrics' address is taken, and no error")
	}
}
