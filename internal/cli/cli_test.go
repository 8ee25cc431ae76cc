package cli_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/cli"
)

var update = flag.Bool("update", false, "rewrite golden files")

// each calls fn for a command and all below it.
func each(cmd *cobra.Command, fn func(*cobra.Command)) {
	fn(cmd)
	for _, c := range cmd.Commands() {
		if !c.Hidden {
			each(c, fn)
		}
	}
}

func TestGoldenHelpOfEveryCommand(t *testing.T) {
	var all bytes.Buffer
	each(cli.Root(), func(cmd *cobra.Command) {
		args := append(strings.Fields(cmd.CommandPath())[1:], "--help")
		fmt.Fprintf(&all, "$ postern %s\n", strings.Join(args, " "))
		if code := (cli.Program{Args: args, Stdout: &all, Stderr: &all}).Run(t.Context()); code != 0 {
			t.Errorf("postern %v: exit %d", args, code)
		}
		fmt.Fprintln(&all)
	})
	const path = "testdata/help.golden"
	if *update {
		if err := os.WriteFile(path, all.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), all.String()); d != "" {
		t.Errorf("the help changed; run make generate when that is wanted (-file +now):\n%s", d)
	}
}

func TestEveryHelpLeadsWithTwoExamples(t *testing.T) {
	each(cli.Root(), func(cmd *cobra.Command) {
		if n := len(strings.Split(cmd.Example, "\n")); n != 2 {
			t.Errorf("%s has %d examples, want 2", cmd.CommandPath(), n)
		}
	})
}

// Attack E05: keys do not belong where every user of the machine reads them.
func TestSecretsInArgumentsAreRefusedAndNotRepeated(t *testing.T) {
	token := "inv_" + strings.Repeat("Ab3", 11)
	for name, args := range map[string][]string{
		"as an argument":          {"key", "verify", testKey},
		"as a flag's value":       {"key", "verify", "--key", testKey},
		"behind an equals sign":   {"key", "verify", "--key=" + testKey},
		"within a text":           {"sa", "create", "bot", "--description", "uses " + testKey},
		"of another deployment":   {"api", "GET", "/v1/keys/acme_usr_" + testKey[7:]},
		"that lost its end":       {"context", "show", testKey[:30]},
		"in a variable's clothes": {"api", "POST", "/v1/verify", "-d", `{"key":"` + testKey + `"}`},
		"an invitation's token":   {"member", "accept", "--token", token},
		"an unknown command":      {testKey},
		"asking for help":         {"help", testKey},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			r := w.run(args...)
			r.wants(t, 2, "looks like a secret")
			for _, said := range []string{testKey[7:15], token[4:12]} {
				if strings.Contains(r.stdout+r.stderr, said) {
					t.Errorf("it is repeated:\n%s%s", r.stdout, r.stderr)
				}
			}
			if len(w.heard) != 0 {
				t.Errorf("the server heard %v", w.lines())
			}
		})
	}
}

func TestKeyFlagTakesNoValueWhateverItLooksLike(t *testing.T) {
	newWorld(t).run("key", "verify", "--key", "hunter2").wants(t, 2, "a secret is no argument")
}

func TestWrongUseIsSaidAndExits2(t *testing.T) {
	for want, args := range map[string][]string{
		"there is no command postern brew":            {"brew"},
		"did you mean create?":                        {"sa", "creat"},
		"needs NAME":                                  {"sa", "create"},
		"one argument too many":                       {"seat", "now"},
		"unknown flag: --colour":                      {"seat", "--colour"},
		"-o: write table, json, jsonl, csv":           {"seat", "-o", "xml"},
		"contradict":                                  {"seat", "--json", "-o", "csv"},
		"--field prints one field":                    {"seat", "--json", "--field", "used"},
		"--max":                                       {"sa", "list", "--max", "-1"},
		"--timeout":                                   {"seat", "--timeout", "0s"},
		"--expires: write never, a while such as 90d": {"key", "create", "bot", "--expires", "soon", "--json"},
		"write GET, POST, PATCH, PUT, DELETE":         {"api", "BREW", "/v1/pot"},
		"begins with a slash":                         {"api", "GET", "v1/whoami"},
		"the body is not JSON":                        {"api", "POST", "/v1/x", "-d", "{"},
		"say what to change":                          {"sa", "update", "bot"},
		"there is no such setting":                    {"workspace", "update", "--policy", "seats=4"},
		"--policy: write NAME=VALUE":                  {"workspace", "update", "--policy", "seat_limit"},
		"--as ACCOUNT or --key -, and --permission":   {"check", "--permission", "tickets:read"},
		"say which file":                              {"permission", "register"},
		"give --key - or --key-file FILE":             {"key", "verify"},
		"give --key - or --key-file, not both":        {"key", "verify", "--key", "-", "--key-file", "x"},
		"name the same file":                          {"key", "create", "bot", "--out-env", "x", "--out-header", "x"},
		"a context's name has":                        {"context", "add", "../x", "--key", "-"},
	} {
		t.Run(want, func(t *testing.T) {
			w := newWorld(t)
			w.answer("GET /v1/workspaces/-/service_accounts/bot/keys", list[api.Key]())
			w.run(args...).wants(t, 2, want)
			for _, line := range w.lines() {
				if !strings.HasPrefix(line, "GET ") {
					t.Errorf("the server heard %s", line)
				}
			}
		})
	}
}

func TestGroupWithoutACommandShowsItsHelpAndExits2(t *testing.T) {
	r := newWorld(t).run("sa")
	r.wants(t, 2, "postern sa create", "Commands:")
	if r.stdout != "" {
		t.Errorf("stdout %q, want nothing", r.stdout)
	}
}

func TestEveryAnswerHasItsExitCode(t *testing.T) {
	for _, tt := range []struct {
		status int
		code   string
		want   int
	}{
		{400, api.CodeInvalidRequest, 2}, {400, api.CodeUnknownField, 2}, {422, api.CodeValidationFailed, 2},
		{413, api.CodeTooLarge, 2}, {415, api.CodeUnsupportedMediaType, 2}, {405, api.CodeMethodNotAllowed, 2},
		{404, api.CodeNotFound, 3}, {410, api.CodeGone, 3},
		{401, api.CodeUnauthenticated, 4},
		{403, api.CodePermissionDenied, 5}, {422, api.CodePolicyViolation, 5},
		{409, api.CodeNameTaken, 6}, {409, api.CodeRoleInUse, 6}, {409, api.CodeSeatLimitReached, 6},
		{409, api.CodeLastOwner, 6}, {409, api.CodePrincipalInactive, 6}, {409, api.CodeKeyRevoked, 6},
		{409, api.CodeAlreadyMember, 6}, {409, api.CodeValueAlreadyIssued, 6}, {412, api.CodePreconditionFailed, 6},
		{429, api.CodeRateLimited, 7}, {503, api.CodeStale, 7}, {503, api.CodeUnavailable, 7}, {503, api.CodeOutcomeUnknown, 7},
		{504, api.CodeRevocationUnconfirmed, 8},
		{500, api.CodeInternal, 1},
	} {
		t.Run(tt.code, func(t *testing.T) {
			w := newWorld(t)
			w.answer("GET "+W+"seats", &api.Problem{Status: tt.status, Code: tt.code, Title: "Title", Detail: "these words"})
			w.run("seat").wants(t, tt.want, "these words")
		})
	}
}

func TestServerThatIsNotThereExits7(t *testing.T) {
	w := newWorld(t)
	w.server.Close()
	w.run("seat").wants(t, 7, "connection refused")
}

func TestServerThatDoesNotAnswerInTimeExits7(t *testing.T) {
	w := newWorld(t)
	stuck := make(chan struct{})
	defer close(stuck)
	w.server.Config.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stuck })
	w.run("seat", "--timeout", "50ms").wants(t, 7, "longer than --timeout")
}

func TestInterruptExits130AndSaysNothing(t *testing.T) {
	w := newWorld(t)
	ctx, interrupt := context.WithCancel(t.Context())
	w.server.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		interrupt()
		<-r.Context().Done()
	})
	if r := w.runUntil(ctx, "seat"); r.code != 130 || r.stderr != "" {
		t.Errorf("exit %d, said %q; want 130 and nothing", r.code, r.stderr)
	}
}

func TestUnconfirmedRevocationNamesWhoIsWaitedFor(t *testing.T) {
	w := newWorld(t)
	w.answer("GET "+W+"service_accounts/bot", account("bot"))
	w.answer("POST "+W+"service_accounts/"+accountID+"/revoke", &api.Problem{
		Status: 504, Code: api.CodeRevocationUnconfirmed, Detail: "not every node has confirmed", Revision: 7,
		Receipt: &api.Receipt{Nodes: api.ReceiptNodes{Waiting: []api.WaitingNode{{Name: "node-b", LeaseLeftMS: 3000}}}},
	})
	w.run("sa", "revoke", "bot", "--confirm", "bot").wants(t, 8, "recorded as revision 7", "node-b", "3s")
}

func TestProblemPointsAtTheField(t *testing.T) {
	w := newWorld(t)
	w.answer("POST "+W+"roles", &api.Problem{Status: 422, Code: api.CodeValidationFailed, Detail: "first is wrong", Errors: []api.ProblemField{
		{Pointer: "/permissions/0", Code: "not_a_permission", Detail: "first is wrong"},
		{Pointer: "/name", Code: "too_long", Detail: "is longer than 64 characters"},
	}})
	w.run("role", "create", "x").wants(t, 2, "/permissions/0: first is wrong", "/name: is longer than 64 characters")
}
