package attacks_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
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
	cmd  *exec.Cmd
	url  string
	said buffer
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
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	p := &process{url: "http://" + address}
	p.cmd = command(context.Background(), dir, "serve", "--listen", address, "--store-url", store, "--secret-file", filepath.Join(dir, "secret"))
	p.cmd.Env = append(p.cmd.Env, "POSTERN_LEASE_TTL=2s") // for which the first change after a kill waits
	p.cmd.Stdout, p.cmd.Stderr = &p.said, &p.said
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	p.wait(t, "/healthz")
	return p
}

// wait returns when the server answers a path with 200.
func (p *process) wait(t *testing.T, path string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
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
	_ = p.cmd.Wait()
}
