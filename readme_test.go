package postern_test

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestReadme runs the console blocks of README.md from top to bottom, in one
// empty home, and compares what they print with what stands there. In what
// stands there "…" is anything. A block that shows no output checks only that
// its commands succeed.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	build(t, filepath.Join(home, "bin", "postern"))
	address := freeAddress(t)
	readme := strings.ReplaceAll(string(text), "localhost:7070", address)
	steps := consoleSteps(readme)
	if len(steps) < 10 {
		t.Fatalf("README.md has %d commands in console blocks", len(steps))
	}
	for _, s := range steps {
		if s.command == "make run" {
			s.check(t, startDev(t, home, address))
			continue
		}
		cmd := shell(t.Context(), home, s.command)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil {
			t.Fatalf("$ %s\n%v\n%s%s", s.command, err, stdout.String(), stderr.String())
		}
		s.check(t, stdout.String())
	}
}

// step is a command of a console block and what it is said to print.
type step struct {
	command string
	output  []string
}

func consoleSteps(markdown string) (steps []step) {
	inBlock := false
	for line := range strings.Lines(markdown) {
		line = strings.TrimSuffix(line, "\n")
		command, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case line == "```console":
			inBlock = true
		case strings.HasPrefix(line, "```"):
			inBlock = false
		case inBlock && isCommand:
			steps = append(steps, step{command: command})
		case inBlock && line != "":
			last := &steps[len(steps)-1]
			last.output = append(last.output, line)
		}
	}
	return steps
}

// check compares what was printed with what stands in the README, line by line
// and in order; lines that the README leaves out are passed over.
func (s step) check(t *testing.T, printed string) {
	t.Helper()
	rest := strings.Split(strings.TrimSpace(printed), "\n")
	for _, want := range s.output {
		form := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(words(want)), "…", ".*") + "$")
		found := false
		for len(rest) > 0 && !found {
			found = form.MatchString(words(rest[0]))
			rest = rest[1:]
		}
		if !found {
			t.Errorf("$ %s\nREADME.md says it prints\n%s\nit printed\n%s", s.command, want, printed)
		}
	}
}

// words are a line's words: columns move with the length of what is in them.
func words(line string) string { return strings.Join(strings.Fields(line), " ") }

func build(t *testing.T, path string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./cmd/postern").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
}

// freeAddress returns an address on localhost that nothing listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return "localhost:" + port
}

func shell(ctx context.Context, home, command string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Dir = home
	cmd.Env = []string{"HOME=" + home, "PATH=" + filepath.Join(home, "bin") + ":" + os.Getenv("PATH")}
	return cmd
}

// startDev runs what `make run` runs, until the test ends, and returns what it
// printed once it was ready.
func startDev(t *testing.T, home, address string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	cmd := shell(ctx, home, "exec postern dev --listen "+address)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was interrupted
	})
	var printed strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		printed.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "curl -H @bot.h") {
			break
		}
	}
	resp, err := http.Get("http://" + address + "/readyz")
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("it printed\n%s\nand is not ready: %v", printed.String(), err)
	}
	return printed.String()
}
