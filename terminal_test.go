package postern_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// terminal is one shell that runs the commands of pages, and the servers that they
// start in others.
type terminal struct {
	home    string
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	servers []*foreground // that run, the last one started last
	url     string        // of the server at the usual address
}

// foreground is a program that keeps its terminal.
type foreground struct {
	cmd   *exec.Cmd
	lines chan string // that it prints
}

// mark ends the output of a command; its exit code follows.
const mark = "--8<-- the exit code is "

// openTerminal starts a shell in an empty home, until the test ends.
func openTerminal(t *testing.T, programs, address string) *terminal {
	t.Helper()
	home := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	term := &terminal{home: home, command: exec.CommandContext(ctx, "sh"), url: "http://" + address}
	term.command.Dir = home
	term.command.Env = []string{
		"HOME=" + home, "PATH=" + programs + ":" + os.Getenv("PATH"), "TMPDIR=" + t.TempDir(), "LC_ALL=C.UTF-8", "POSTERN_LISTEN=" + address,
	}
	in, errIn := term.command.StdinPipe()
	out, errOut := term.command.StdoutPipe()
	if err := errors.Join(errIn, errOut); err != nil {
		t.Fatal(err)
	}
	term.in, term.out = in, bufio.NewReader(out)
	if err := term.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for len(term.servers) > 0 {
			if err := term.stop(); err != nil {
				t.Error(err)
			}
		}
		_ = term.in.Close()     // the shell ends by that
		_ = term.command.Wait() // with the last command's code
		cancel()
	})
	return term
}

// servers are what runs until it is stopped.
var servers = regexp.MustCompile(`^(?:\w+=\S+ )*(?:postern (?:dev|serve)\b|make run$)`)

// do runs a step, and says what is wrong with how it went.
func (term *terminal) do(s step, mayFail bool) error {
	s.command = strings.Replace(s.command, "go run ./examples/", "", 1) // they were built with the program
	switch {
	case s.stop:
		return term.stop()
	case servers.MatchString(s.command):
		return term.serve(s)
	}
	printed, code, err := term.run(s.command)
	if err == nil && code != 0 && !mayFail {
		err = fmt.Errorf("exit code %d, after\n%s", code, strings.Join(printed, "\n"))
	}
	if err == nil {
		err = s.check(printed)
	}
	return err
}

// run runs a command in the shell, and returns what it printed.
func (term *terminal) run(command string) (printed []string, code int, err error) {
	_, err = fmt.Fprintf(term.in, "{ %s\n} </dev/null 2>&1\ncode=$?; printf '\\n%s%%d\\n' $code; (exit $code)\n", command, mark)
	if err != nil {
		return nil, 0, fmt.Errorf("the shell has ended: %w", err)
	}
	for {
		line, err := term.out.ReadString('\n')
		if err != nil {
			return printed, 0, fmt.Errorf("the shell has ended after\n%s", strings.Join(printed, "\n"))
		}
		line = strings.TrimSuffix(line, "\n")
		if _, err := fmt.Sscanf(line, mark+"%d", &code); err == nil {
			return withoutLastEmpty(printed), code, nil
		}
		printed = append(printed, line)
	}
}

// withoutLastEmpty undoes the end of a line before the mark, which output that ends
// its last line does not need.
func withoutLastEmpty(lines []string) []string {
	if n := len(lines); n > 0 && lines[n-1] == "" {
		return lines[:n-1]
	}
	return lines
}

// serve starts a server with the shell's variables, and waits until it printed what
// the page says, and is ready.
func (term *terminal) serve(s step) error {
	environment, _, err := term.run("env")
	if err != nil {
		return err
	}
	command := strings.Replace(s.command, "make run", "postern dev", 1)
	f := &foreground{cmd: exec.Command("sh", "-c", "exec env "+command), lines: make(chan string)}
	f.cmd.Dir, f.cmd.Env = term.home, environment
	out, err := f.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	f.cmd.Stderr = f.cmd.Stdout
	if err := f.cmd.Start(); err != nil {
		return err
	}
	term.servers = append(term.servers, f)
	go func() { // ends with the program
		defer close(f.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			f.lines <- lines.Text()
		}
	}()
	if err := f.await(s); err != nil {
		return err
	}
	go func() { // ends with the program, too
		for range f.lines { // what it prints later is nobody's
		}
	}()
	return term.ready(command)
}

// await reads until a server printed what the page says or, when that says nothing,
// until it says that it answers.
func (f *foreground) await(s step) error {
	var printed []string
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	for {
		select {
		case line, more := <-f.lines:
			if !more {
				return fmt.Errorf("it ended, after\n%s", strings.Join(printed, "\n"))
			}
			printed = append(printed, line)
			saysAll := s.output != nil && s.check(printed) == nil
			if saysAll || s.output == nil && (strings.Contains(line, "answering") || strings.Contains(line, "curl -H")) {
				return nil
			}
		case <-limit.C:
			return fmt.Errorf("it did not print what it should:\n%w", errors.Join(s.check(printed), errors.New("after 30 s")))
		}
	}
}

// ready asks the server at the usual address whether it is. One that listens
// elsewhere has said that it answers.
func (term *terminal) ready(command string) error {
	if strings.Contains(command, "--listen") {
		return nil
	}
	answer, err := http.Get(term.url + "/readyz")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s is not ready: %s", command, answer.Status)
	}
	return nil
}

// stop ends the server that was started last, as Ctrl-C does, and waits for it.
func (term *terminal) stop() error {
	if len(term.servers) == 0 {
		return errors.New("nothing runs that could be stopped")
	}
	f := term.servers[len(term.servers)-1]
	term.servers = slices.Delete(term.servers, len(term.servers)-1, len(term.servers))
	if err := f.cmd.Process.Signal(syscall.SIGINT); err != nil {
		return fmt.Errorf("stop %s: %w", f.cmd, err)
	}
	if err := f.cmd.Wait(); err != nil && f.cmd.ProcessState.ExitCode() != 130 {
		return fmt.Errorf("%s ended: %w", f.cmd, err)
	}
	return nil
}

// build builds the program and the examples once, and returns the folder that they
// are in.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", dir, "./cmd/postern", "./examples/...").CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return dir
}

// freeAddress returns an address on localhost that nothing listens on. Its port is
// below those that a machine gives to whoever asks for any: no other test gets it
// before what the documentation starts listens there.
func freeAddress(t testing.TB) string {
	t.Helper()
	const least, most = 10_000, 20_000
	for range 100 {
		port := strconv.Itoa(least + rand.IntN(most-least))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			return "localhost:" + port
		}
	}
	t.Fatal("no port is free")
	return ""
}
