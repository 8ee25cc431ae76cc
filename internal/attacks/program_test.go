package attacks_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/cli"
)

// asProgram makes this test binary the command postern, so that a test can start
// it as a process of its own, and kill it.
const asProgram = "RUN_AS_POSTERN"

func runProgram() {
	os.Exit(cli.Program{
		Args: os.Args[1:], Environ: os.Environ(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}.Run(context.Background()))
}

// program runs postern to its end, in an empty home, and returns what it said.
func program(t *testing.T, dir, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := command(t.Context(), dir, args...)
	var out, err bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &err
	_ = cmd.Run() // the code says how it ended
	return cmd.ProcessState.ExitCode(), out.String(), err.String()
}

func command(ctx context.Context, dir string, args ...string) *exec.Cmd {
	self, _ := os.Executable() // on Linux it never fails
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Dir = dir
	cmd.Env = []string{asProgram + "=1", "HOME=" + dir, "XDG_CONFIG_HOME=" + filepath.Join(dir, "config"), "PATH=" + os.Getenv("PATH")}
	return cmd
}

// process is a running server.
type process struct {
	cmd   *exec.Cmd
	url   string
	said  buffer
	ended chan struct{} // closed when it has
}

// serve starts postern serve on a free port and waits until it is ready.
func serve(t *testing.T, dir, store string) *process {
	t.Helper()
	p := startServer(t, dir, store)
	p.wait(t, "/readyz")
	return p
}

// startServer starts postern serve on a free port and waits until it answers,
// ready or not.
func startServer(t *testing.T, dir, store string) *process {
	t.Helper()
	p, err := launch(t, dir, store)
	if err != nil {
		t.Fatal(err)
	}
	p.wait(t, "/healthz")
	return p
}

// launch starts postern serve on a port that is free, which the system chooses,
// with more settings, and waits until it says where it listens.
func launch(t *testing.T, dir, store string, more ...string) (*process, error) {
	t.Helper()
	p := &process{ended: make(chan struct{})}
	p.cmd = command(context.Background(), dir, append([]string{
		"serve", "--listen", "127.0.0.1:0", "--store-url", store, "--secret-file", filepath.Join(dir, "secret"),
	}, more...)...)
	p.cmd.Env = append(p.cmd.Env, "POSTERN_LEASE_TTL=2s") // for which the first change after a kill waits
	p.cmd.Stdout, p.cmd.Stderr = &p.said, &p.said
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { defer close(p.ended); _ = p.cmd.Wait() }() // that it ended is all there is to know
	t.Cleanup(p.kill)
	tick, tooLong := time.NewTicker(10*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for {
		if m := listensAt.FindStringSubmatch(p.said.text()); m != nil {
			p.url = m[1]
			return p, nil
		}
		select {
		case <-tick.C:
			continue
		case <-p.ended:
		case <-tooLong:
			p.kill()
		}
		return nil, fmt.Errorf("the server does not listen: %s", p.said.text())
	}
}

// listensAt is what a server says when it listens.
var listensAt = regexp.MustCompile(`"msg":"listening","url":"([^"]+)"`)

// patience is how long a server may take to start, to answer or to end.
const patience = 30 * time.Second

// wait returns when the server answers a path with 200.
func (p *process) wait(t *testing.T, path string) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		resp, err := http.Get(p.url + path)
		if err != nil {
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return
		}
	}
	p.kill()
	t.Fatalf("the server does not answer %s: %s", path, p.said.text())
}

// get returns the status of a GET with a key, or without one.
func get(t *testing.T, url, key string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// kill ends the process as a power failure would.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
}
