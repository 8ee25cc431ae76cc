package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/posternhq/postern/internal/cli"
)

// examplesInOrder is the order in which the commands' examples make sense, one
// after the other, in one folder.
var examplesInOrder = []string{
	"", "dev", "version", "completion", "config show", "config check", "bench",
	devRuns,
	"sa create", "sa list", "sa get", "sa update",
	"key create", "key list", "key get", "key extend", "key verify", "key usage", "key watch", "sa permissions", "sa impact", "role suggest", "key pause", "key resume", "check", "sa pause", "sa resume", "receipt get",
	"context add", "context list", "context use", "context show", "whoami", "node list", "node drill", "doctor",
	"role create", "role list", "role get", "role update", "role impact", "role delete", "permission register", "permission list",
	"workspace create", "workspace list", "workspace get", "workspace update", "workspace pause", "workspace resume",
	"member invite", "member accept", "member list", "member update", "member remove", "seat",
	"api", "audit list", "audit tail", "audit get", "audit export",
	"key rotate", "rotation list", "rotation get", "rotation update", "rotation try-without", "rotation cancel", "rotation finish", "key revoke", "sa revoke", "context remove",
	"login", "logout",
	"init", "setup-link", "serve", "recover",
}

// devRuns stands where a development server is started, which runs to the end.
const devRuns = "(postern dev)"

// prepared is what the examples find in their folder.
var prepared = map[string]string{
	"postern.toml":     "listen = \"localhost:0\"\n[store]\nurl = \"sqlite:acme.db\"\n",
	"permissions.json": `[{"type": "agents", "title": "Agents", "actions": ["deploy"]}]`,
}

func TestEveryExampleOfTheHelpRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("one command after another, as the stories have them too")
	}
	t.Parallel()
	examples := map[string][]string{}
	collect(t, cli.Root(), examples)
	dir := t.TempDir()
	for name, text := range prepared {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var person *browser
	for _, name := range examplesInOrder {
		if name == devRuns {
			p := runServer(t, dir, "postern dev")
			person = openLink(t, p.stdout.String(), consoleLink, nil)
			t.Cleanup(func() { _ = p.interrupt() }) // what it is there for has been judged
			continue
		}
		if examples[name] == nil {
			t.Errorf("there is no command %q", name)
		}
		for _, line := range examples[name] {
			if name == "login" {
				person.approves(dir, line)
				continue
			}
			runExample(t, dir, line)
		}
		delete(examples, name)
	}
	for name := range examples {
		t.Errorf("postern %s is not in examplesInOrder", name)
	}
}

// collect gathers the examples of commands. A group has those of its commands.
func collect(t *testing.T, cmd *cobra.Command, into map[string][]string) {
	name := strings.TrimSpace(strings.TrimPrefix(cmd.CommandPath(), "postern"))
	var lines, below []string
	for line := range strings.SplitSeq(cmd.Example, "\n") {
		lines = append(lines, strings.TrimSpace(line))
	}
	for _, c := range cmd.Commands() {
		if !c.Hidden {
			collect(t, c, into)
			below = append(below, c.Example)
		}
	}
	if below == nil || !cmd.HasParent() {
		into[name] = lines
		return
	}
	for _, line := range lines {
		if !slices.ContainsFunc(below, func(examples string) bool { return strings.Contains(examples, line) }) {
			t.Errorf("the example %q of the group %s is none of its commands'", line, name)
		}
	}
}

// lasts reports whether a command runs until it is interrupted.
func lasts(line string) bool {
	return strings.HasPrefix(line, "postern dev") || strings.HasPrefix(line, "postern serve")
}

func runExample(t *testing.T, dir, line string) {
	t.Helper()
	if lasts(line) {
		p := runServer(t, dir, line)
		if err := p.interrupt(); err != nil {
			t.Errorf("%s: %v\n%s%s", line, err, p.stdout, p.stderr)
		}
		return
	}
	cmd := shell(dir, line)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", line, err, out)
	}
}

func runServer(t *testing.T, dir, line string) *process {
	t.Helper()
	p, _, err := launch(shell(dir, "exec "+line))
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", line, err, p.stdout, p.stderr)
	}
	return p
}

// shell runs a line as a person would, in a folder and with a home of its own.
func shell(dir, line string) *exec.Cmd {
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Join(dir, "home"), "POSTERN_LISTEN=localhost:0"}
	return cmd
}
