package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"
)

// The commands that scripts have besides those of testscript.

// patience is how long a script waits for a server to start or to stop, on a machine
// that is as busy as can be.
const patience = 2 * time.Minute

// servers is where a script keeps the servers that run, by the names it gave them.
type servers struct{}

// process is a server that a script started.
type process struct {
	cmd    *exec.Cmd
	stdout *watched
	stderr *watched
	ended  chan error // holds how it ended, once
}

// watched keeps what is written to it, and tells of a line that says that a
// server is up.
type watched struct {
	mu    sync.Mutex // guards text
	text  bytes.Buffer
	up    *regexp.Regexp
	ready func(url string) // called for each match
}

var (
	devIsUp   = regexp.MustCompile(`API +(http\S+)/v1(?s:.*)curl`)
	serveIsUp = regexp.MustCompile(`"msg":"answering","url":"([^"]+)"`)
	serveIsOn = regexp.MustCompile(`"msg":"listening","url":"([^"]+)"`)
)

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	if m := w.up.FindStringSubmatch(w.text.String()); m != nil {
		w.ready(m[1])
	}
	return len(p), nil
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// launch starts a server and waits until it says that it answers.
func launch(cmd *exec.Cmd) (p *process, url string, err error) { return launchUntil(cmd, serveIsUp) }

// launchUntil starts a server and waits for a line that says where it is.
func launchUntil(cmd *exec.Cmd, says *regexp.Regexp) (p *process, url string, err error) {
	up := make(chan string, 1)
	say := func(url string) {
		select {
		case up <- url:
		default: // it was said before
		}
	}
	p = &process{
		cmd: cmd, ended: make(chan error, 1),
		stdout: &watched{up: devIsUp, ready: say}, stderr: &watched{up: says, ready: say},
	}
	cmd.Stdout, cmd.Stderr = p.stdout, p.stderr
	if err := cmd.Start(); err != nil {
		return p, "", err
	}
	go func() { p.ended <- cmd.Wait() }()
	select {
	case url := <-up:
		return p, url, nil
	case err := <-p.ended:
		return p, "", errors.Join(errors.New("it ended instead of answering"), err)
	case <-time.After(patience):
		return p, "", errors.Join(errors.New("it does not answer"), cmd.Process.Kill())
	}
}

// interrupt ends a server as Ctrl-C does, and returns how it ended.
func (p *process) interrupt() error {
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case err := <-p.ended:
		return err
	case <-time.After(patience):
		return errors.Join(errors.New("it does not stop"), p.cmd.Process.Kill())
	}
}

// start NAME postern ARG… starts a server in the background and waits until it
// answers. $URL is where.
func start(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start NAME COMMAND ARG…")
	}
	program, err := exec.LookPath(args[1])
	ts.Check(err)
	cmd := exec.Command(program, args[2:]...)
	cmd.Dir = ts.Getenv("WORK")
	for _, name := range []string{
		"PATH", "HOME", "TMPDIR", "POSTERN_STORE_URL", "POSTERN_SECRET_FILE", "POSTERN_LISTEN", "POSTERN_LEASE_TTL", "POSTERN_KEY_PREFIX", "POSTERN_CONTEXT",
	} {
		if value := ts.Getenv(name); value != "" {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	p, url, err := launch(cmd)
	if err != nil {
		ts.Fatalf("%v: %v\n%s%s", args, err, p.stdout, p.stderr)
	}
	running := ts.Value(servers{}).(map[string]*process)
	running[args[0]] = p
	ts.Defer(func() {
		if running[args[0]] == p {
			_ = p.interrupt() // the story is over, or has failed already
		}
	})
	ts.Setenv("URL", url)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".out"), []byte(p.stdout.String()), 0o600))
}

// stop NAME interrupts a server; what it said is in NAME.out and NAME.err. With
// ! it must end with an error.
func stop(ts *testscript.TestScript, neg bool, args []string) {
	running := ts.Value(servers{}).(map[string]*process)
	p := running[args[0]]
	if p == nil {
		ts.Fatalf("no server %s runs", args[0])
	}
	delete(running, args[0])
	err := p.interrupt()
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".out"), []byte(p.stdout.String()), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".err"), []byte(p.stderr.String()), 0o600))
	if (err != nil) != neg {
		ts.Fatalf("%s ended with %v\n%s%s", args[0], err, p.stdout, p.stderr)
	}
}

// exits CODE COMMAND ARG… runs a command that must end with a code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if neg || err != nil {
		ts.Fatalf("usage: exits CODE COMMAND ARG…")
	}
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		ended, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Check(err)
		}
		got = ended.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit %d, want %d", got, want)
	}
}

// get STATUS PATH [HEADERFILE] asks the server at $URL, with the header that a
// file holds, and prints the answer.
func get(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if neg || err != nil {
		ts.Fatalf("usage: get STATUS PATH [HEADERFILE]")
	}
	req, err := http.NewRequest(http.MethodGet, ts.Getenv("URL")+args[1], nil)
	ts.Check(err)
	if len(args) > 2 {
		name, value, _ := strings.Cut(strings.TrimSpace(ts.ReadFile(args[2])), ": ")
		req.Header.Set(name, value)
	}
	client := &http.Client{Timeout: patience}
	resp, err := client.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	_, err = io.Copy(ts.Stdout(), resp.Body)
	ts.Check(err)
	if resp.StatusCode != want {
		ts.Fatalf("GET %s: %s, want %d", args[1], resp.Status, want)
	}
}

// keep NAME [FROM PATTERN] puts what was printed last into a variable, or what a
// pattern matches of it, FROM being stdout or stderr.
func keep(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) == 1 {
		ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
		return
	}
	pattern, err := regexp.Compile(args[2])
	ts.Check(err)
	found := pattern.FindString(ts.ReadFile(args[1]))
	if found == "" {
		ts.Fatalf("nothing in %s matches %s", args[1], args[2])
	}
	ts.Setenv(args[0], found)
}

// sendSignal is signal NAME stop|continue|kill stops a server where it is, lets it go on, or ends
// it without a word.
func sendSignal(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]syscall.Signal{"stop": syscall.SIGSTOP, "continue": syscall.SIGCONT, "kill": syscall.SIGKILL}
	running := ts.Value(servers{}).(map[string]*process)
	if neg || len(args) != 2 || running[args[0]] == nil || signals[args[1]] == 0 {
		ts.Fatalf("usage: signal NAME stop|continue|kill, of a server that runs")
	}
	p := running[args[0]]
	ts.Check(p.cmd.Process.Signal(signals[args[1]]))
	if args[1] == "kill" {
		delete(running, args[0])
		<-p.ended
	}
}

// sql STATEMENT runs a statement on the PostgreSQL database at $STORE, behind
// Postern's back.
func runSQL(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: sql STATEMENT")
	}
	ctx := context.Background() // the script's own is not handed to its commands
	conn, err := pgx.Connect(ctx, ts.Getenv("STORE"))
	ts.Check(err)
	_, err = conn.Exec(ctx, args[0])
	ts.Check(errors.Join(err, conn.Close(ctx)))
}

// eventually COMMAND ARG… runs a command until it succeeds or, with !, fails.
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	for began := time.Now(); (ts.Exec(args[0], args[1:]...) != nil) != neg; time.Sleep(100 * time.Millisecond) {
		if time.Since(began) > patience {
			ts.Fatalf("%v: that does not happen", args)
		}
	}
}
