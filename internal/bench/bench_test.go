package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A process that is measured is this very program.
func TestMain(m *testing.M) {
	if os.Getenv(measuredVariable) == "" {
		os.Exit(m.Run())
	}
	if err := Measured(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

const measuredVariable = "POSTERN_TEST_MEASURED"

func self(ctx context.Context) (*exec.Cmd, error) {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), measuredVariable+"=1")
	return cmd, nil
}

// tiny is a plan that measures everything, for next to no time.
func tiny(t *testing.T) Plan {
	t.Helper()
	p, err := NewPlan(true, []int{100, 300}, []int{1, 3}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.pairs, p.span, p.sweep, p.inProcess = 1, 20*time.Millisecond, 5*time.Millisecond, time.Millisecond
	return p
}

func TestReportHasTheFiguresByTheirNames(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	var said []string
	report, err := Run(t.Context(), Options{Plan: tiny(t), Command: self, Progress: func(s string) { said = append(said, s) }, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Ratios  map[string]*float64
		Bytes   *float64         `json:"bytes_per_key"`
		Batch   *float64         `json:"batch_keys_per_second_per_core"`
		Doors   []map[string]any `json:"doors"`
		Sizes   []map[string]any `json:"sizes"`
		Machine map[string]any   `json:"machine"`
		Failed  int              `json:"failed_calls"`
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"verify_http", "verify_http_cpu", "verify_fast", "verify_sdk", "ext_authz"} {
		if got.Ratios[name] == nil || *got.Ratios[name] <= 0 {
			t.Errorf("ratio %s: got %v, want one", name, got.Ratios[name])
		}
	}
	if flat, there := got.Ratios["flat_10m"]; flat != nil || !there {
		t.Error("flat_10m is not null, and nothing was measured with 10M keys")
	}
	if got.Bytes == nil || got.Batch == nil || *got.Batch <= 0 || got.Failed != 0 || got.Machine["cpus"] == nil {
		t.Errorf("got %s, want bytes per key, keys of batches, a machine and no failed calls", text)
	}
	if want := 1 + len(sweptDoors) + len(sweptDoors) + len(sweptDoors); len(got.Doors) != want || len(got.Sizes) != 2 {
		t.Errorf("got %d doors and %d sizes, want %d (each with 1, 3 and 16 connections, and batches) and 2", len(got.Doors), len(got.Sizes), want)
	}
	if len(said) < 8 {
		t.Errorf("the progress was %q, want each step", said)
	}
	if picture := Plot(report); !strings.HasPrefix(picture, "<svg ") || !strings.Contains(picture, doorFast) || strings.Contains(picture, "NaN") {
		t.Errorf("the picture is %s", picture)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("a run left %v, %v", left, err)
	}
}

func TestQuickPlanFits(t *testing.T) {
	p, err := NewPlan(true, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if p.pairs < 5 || !slices.Equal(p.Keys, []int{1_000, 1_000_000, 10_000_000}) || p.within == 0 || p.within >= 50*time.Second {
		t.Errorf("got %+v, want five pairs, 1k to 10M keys and an end before 50 s", p)
	}
	if took := p.Estimate(); took > 35*time.Second {
		t.Errorf("its measurements take %v, want at most 35 s, so that keys can be loaded", took)
	}
	if full, err := NewPlan(false, nil, nil, nil); err != nil || full.pairs < p.pairs || full.within != 0 {
		t.Errorf("got %+v, %v; want a longer plan without an end", full, err)
	}
}

func TestWhatHasNoTimeLeftIsLeftOutAndNamed(t *testing.T) {
	p := tiny(t)
	p.Only, p.within = []string{PartSizes}, time.Nanosecond
	report, err := Run(t.Context(), Options{Plan: p, Command: self, Progress: func(string) {}, Now: time.Now})
	if err != nil || len(report.Notes) != 1 || len(report.Sizes) != 1 {
		t.Errorf("got %+v, %v; want a note and only the first size", report, err)
	}
}

func TestWrongPlansAreRefused(t *testing.T) {
	for name, wrong := range map[string]struct {
		keys, connections []int
		only              []string
	}{
		"no keys":              {keys: []int{0}},
		"too many keys":        {keys: []int{MaxKeys + 1}},
		"no connections":       {connections: []int{0}},
		"too many connections": {connections: []int{MaxConnections + 1}},
		"a part nobody knows":  {only: []string{"everything"}},
	} {
		if _, err := NewPlan(true, wrong.keys, wrong.connections, wrong.only); err == nil {
			t.Errorf("%s: the plan was taken", name)
		}
	}
	for text, want := range map[string]int{"1": 1, "10k": 10_000, "20M": 20_000_000, "": 0, "0": 0, "-1": 0, "21M": 0, "1G": 0, "k": 0, "1.5M": 0, "99999999999999999999": 0} {
		if got, err := ParseCount(text); got != want || err == nil != (want > 0) {
			t.Errorf("%q: got %d, %v; want %d", text, got, err, want)
		}
	}
}

// What is not the answer that a good key gets never counts as a call.
func TestOnlyGoodAnswersCount(t *testing.T) {
	var n atomic.Int64
	for name, answer := range map[string]http.HandlerFunc{
		"refused":      func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"valid":false}`) },
		"another door": http.NotFound,
		"stale": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `{"valid":true}`, http.StatusServiceUnavailable)
		},
		"without a length": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"valid":true}`)
			w.(http.Flusher).Flush()
		},
		"broken off": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		l := driven(t, answer)
		if l.calls != 0 || l.failed == 0 || l.why == nil {
			t.Errorf("%s: %d calls and %d failed (%v), want none and some", name, l.calls, l.failed, l.why)
		}
	}
	every := driven(t, func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1)%2 == 0 {
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = io.WriteString(w, `{"valid":true}`)
	})
	if every.calls == 0 || every.failed == 0 {
		t.Errorf("%d calls and %d failed, want some of each", every.calls, every.failed)
	}
}

func driven(t *testing.T, answer http.HandlerFunc) *load {
	t.Helper()
	s := httptest.NewUnstartedServer(answer)
	s.Config.ErrorLog = nil
	s.Start()
	defer s.Close()
	to := &target{name: "test", network: "tcp", address: s.Listener.Addr().String(), speak: speakHTTP, asks: verifyCalls("/", "caller", []byte("k1k2"), 2)}
	l, err := drive(t.Context(), to, 2, 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestDoorThatNobodyAnswersIsAnError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	to := &target{name: "test", network: "tcp", address: l.Addr().String(), speak: speakHTTP, asks: verifyCalls("/", "caller", []byte("k"), 1)}
	if l, err := drive(t.Context(), to, 1, time.Second); err == nil {
		t.Errorf("got %+v, want an error", l)
	}
}

// A run that is interrupted ends, and so does what it measures.
func TestInterruptedRunLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	ctx, stop := context.WithCancel(t.Context())
	p := tiny(t)
	p.span = time.Minute
	var cmds []*exec.Cmd
	var guard sync.Mutex // guards cmds
	begin := func(ctx context.Context) (*exec.Cmd, error) {
		guard.Lock()
		defer guard.Unlock()
		cmd, err := self(context.WithoutCancel(ctx)) // it ends because it is told to
		cmds = append(cmds, cmd)
		return cmd, err
	}
	_, err := Run(ctx, Options{Plan: p, Command: begin, Now: time.Now, Progress: func(s string) {
		if strings.HasPrefix(s, "measuring "+PartVerify) {
			stop()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if len(cmds) != 1 || cmds[0].ProcessState == nil || !cmds[0].ProcessState.Success() {
		t.Errorf("what was measured has not ended: %v", cmds)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
}

func TestQuantilesAreWithinAStep(t *testing.T) {
	var ts times
	for i := range 1000 {
		ts.add(time.Duration(i+1) * time.Microsecond)
	}
	for share, want := range map[float64]time.Duration{0.5: 500 * time.Microsecond, 0.99: 990 * time.Microsecond, 1: time.Millisecond} {
		if got := ts.quantile(share); got < want || float64(got) > 1.07*float64(want) {
			t.Errorf("%v: got %v, want %v or at most 7 %% more", share, got, want)
		}
	}
	if got := new(times).quantile(0.5); got != 0 {
		t.Errorf("of nothing: got %v, want 0", got)
	}
	if got := median([]float64{3, 1, 2}); got != 2 {
		t.Errorf("median: got %v, want 2", got)
	}
}

func TestSocketsAreMadeWhereverTemporaryFilesAre(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep", 25))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	folder, err := socketFolder()
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", filepath.Join(folder, "gateway.sock"))
	if err != nil {
		t.Fatalf("no socket in %s: %v", folder, err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
