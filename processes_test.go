//go:build unix

package postern_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/posterntest"
)

// asVerifier is set where this binary is run again as a verifier of its own.
const asVerifier = "POSTERN_TEST_VERIFIER"

// cached is the control: a verifier that keeps what it accepted, as caches do.
const cached = "cached"

// TestVerifierProcess is a process of [TestWhatHasReturnedHoldsInOtherProcesses]. It
// says of each key that it is asked about how it is verified.
func TestVerifierProcess(t *testing.T) {
	mode := os.Getenv(asVerifier)
	if mode == "" {
		t.Skip("this is run by another test")
	}
	v, err := postern.New(t.Context()) // POSTERN_URL and POSTERN_KEY
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("verifier: ready")
	kept := map[string]bool{}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		key := lines.Text()
		code := verdict(v, key)
		if mode == cached && kept[key] {
			code = api.VerdictValid
		}
		kept[key] = kept[key] || code == api.VerdictValid
		fmt.Println("verifier:", code)
	}
	if err := v.Close(); err != nil {
		t.Log(err)
	}
}

// process is this binary run again, as verifiers.
type process struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers chan string
	stop    func()
}

func startVerifier(t *testing.T, mode, url, key string) *process {
	t.Helper()
	return startProcess(t, "TestVerifierProcess", asVerifier+"="+mode, "POSTERN_URL="+url, "POSTERN_KEY="+key, "GOMAXPROCS=1", "GOGC=50")
}

// startProcess runs one test in a process of its own, which ends with the caller's at
// the latest.
func startProcess(t testing.TB, test string, environ ...string) *process {
	t.Helper()
	p := &process{answers: make(chan string, 16)}
	p.cmd = exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.timeout=300s")
	p.cmd.Env = append(os.Environ(), environ...)
	p.cmd.Stderr = os.Stderr
	var out io.Reader
	var err error
	if p.in, err = p.cmd.StdinPipe(); err == nil {
		out, err = p.cmd.StdoutPipe()
	}
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.answers)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if code, ok := strings.CutPrefix(lines.Text(), "verifier: "); ok {
				p.answers <- code
			}
		}
	}()
	p.stop = sync.OnceFunc(func() {
		p.signal(syscall.SIGCONT)
		_ = p.in.Close() // it ends by that
		if err := p.cmd.Wait(); err != nil && p.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Errorf("a verifier ended: %v", err)
		}
	})
	t.Cleanup(p.stop)
	return p
}

func (p *process) signal(s os.Signal) { _ = p.cmd.Process.Signal(s) } // it may have ended

// ask puts a question, and heard returns the answer.
func (p *process) ask(key string) { _, _ = io.WriteString(p.in, key+"\n") } // heard finds out

func (p *process) heard() string {
	select {
	case code := <-p.answers:
		return code
	case <-time.After(time.Minute):
		return "nothing"
	}
}

// Verifiers in processes of their own accept nothing whose revocation has returned,
// also those that were stopped meanwhile, and those that were killed hold nobody up
// for long. A verifier that keeps its answers is found out, which says that this test
// would see it.
func TestWhatHasReturnedHoldsInOtherProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector does not watch other processes, and they are many")
	}
	t.Parallel()
	s := posterntest.NewServer(t)
	own := s.VerifierKey()
	const many = 6
	all := make([]*process, many)
	for i := range all {
		mode := "strict"
		if i == 0 {
			mode = cached
		}
		all[i] = startVerifier(t, mode, s.URL, own)
	}
	for _, p := range all {
		if got := p.heard(); got != "ready" {
			t.Fatalf("a verifier says %q", got)
		}
	}
	var accepted, after, control int
	for round := range 6 {
		id, key := s.NewAccountKey("tickets:read")
		for _, p := range all {
			p.ask(key)
		}
		for _, p := range all {
			if p.heard() == api.VerdictValid {
				accepted++
			}
		}
		stopped := all[1+round%(many-2)]
		if round%3 == 0 {
			stopped.signal(syscall.SIGSTOP)
		}
		s.Revoke(id)
		for _, p := range all {
			p.ask(key)
		}
		stopped.signal(syscall.SIGCONT)
		for i, p := range all {
			switch got := p.heard(); {
			case got == api.VerdictValid && i == 0:
				control++
			case got == api.VerdictValid:
				after++
			case got != api.VerdictRevoked && got != api.CodeStale:
				t.Fatalf("round %d: verifier %d says %q", round, i, got)
			}
		}
	}
	if after > 0 || control == 0 || accepted < many {
		t.Errorf("%d accepted before, %d after; %d by the one that keeps answers: want none after, and some by that", accepted, after, control)
	}
	// One that was killed cannot say goodbye.
	last := all[many-1]
	id, _ := s.NewAccountKey("tickets:read")
	last.signal(syscall.SIGKILL)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := s.Do(ctx, "POST", "/v1/workspaces/-/keys/"+id+"/revoke", api.Ending{Reason: "other"}, nil); err != nil {
		t.Errorf("a revocation after a verifier was killed: %v", err)
	}
}
