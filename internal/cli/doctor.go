package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/api"
)

// finding is what the doctor says about one thing.
type finding struct {
	Check string `json:"check"`
	OK    bool   `json:"ok"`
	Words string `json:"words"`
}

func good(check, words string) finding { return finding{check, true, words} }

func bad(check string, err error) finding { return finding{check, false, explain(err)} }

func (a *app) doctorCommand() *cobra.Command {
	cmd := a.leaf(command{
		use: "doctor", short: "Look for what keeps commands and servers from working; exit 1 when there is something",
		long: "It looks at the server that commands speak to and at its nodes and, where a store is named as for postern serve,\n" +
			"at the database and the root secret too. It changes nothing.",
		examples: [2]string{"postern doctor", "postern doctor --json"},
		run: func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			findings := a.examine(ctx, cmd)
			var items []json.RawMessage
			well := true
			for _, f := range findings {
				raw, err := json.Marshal(f)
				if err != nil {
					return err
				}
				items, well = append(items, raw), well && f.OK
			}
			err := showAll(a, items, []column[finding]{
				{name: "ok", text: func(f finding) string {
					if f.OK {
						return "ok"
					}
					return "NO"
				}},
				{name: "check", text: func(f finding) string { return f.Check }},
				{name: "words", text: func(f finding) string { return f.Words }},
			})
			if err == nil && !well {
				err = errNo
			}
			return err
		},
	})
	a.configFlags(cmd, nil)
	return cmd
}

// examine looks at the store, if one is named, and at the server that commands
// speak to, if there is one.
func (a *app) examine(ctx context.Context, cmd *cobra.Command) []finding {
	var findings []finding
	cfg, err := a.readConfig(cmd)
	switch {
	case err != nil:
		findings = []finding{bad("settings", err)}
	case cfg.Given("store.url"):
		findings = examineStore(ctx, cfg.Config)
	}
	if err == nil && cfg.GatewayListen != "" {
		findings = append(findings, examineGateway(ctx, cfg.Config))
	}
	s, err := a.openSession(ctx)
	if err != nil && findings != nil && exitCode(ctx, err) == exitSignIn {
		return findings // on the machine of a server nobody need be signed in
	}
	findings = append(findings, a.examineFiles())
	if err != nil {
		return append(findings, bad("server", err))
	}
	return append(findings, examineServer(ctx, s)...)
}

// examineServer looks at one thing after the other, and ends where the next
// depends on what failed.
func examineServer(ctx context.Context, s session) []finding {
	var findings []finding
	add := func(check string, err error, well string) bool {
		f := good(check, well)
		if err != nil {
			f = bad(check, err)
		}
		findings = append(findings, f)
		return err == nil
	}
	keyless := s
	keyless.Client = &postern.Client{Server: s.Server, UserAgent: s.UserAgent}
	_, _, err := call[json.RawMessage](ctx, keyless, http.MethodGet, "/healthz", nil)
	if !add("server", err, s.Server+" answers") {
		return findings
	}
	_, _, err = call[json.RawMessage](ctx, keyless, http.MethodGet, "/readyz", nil)
	if _, ok := errors.AsType[*postern.AnswerError](err); ok {
		err = errors.New("it does not answer verifications. Its log says why; on its machine, with its settings, so does postern doctor. An empty store needs postern init")
	}
	ready := add("ready", err, "it answers verifications")
	if s.Key.IsZero() {
		add("key", errors.New("there is none for this server: postern context add --help"), "")
		return findings
	}
	me, _, err := call[api.Whoami](ctx, s, http.MethodGet, "/v1/whoami", nil)
	if add("key", err, fmt.Sprintf("it is %s of %s, and ends %s", me.Principal.Name, me.Principal.Workspace.Slug, whenOr(heldKey(me).ExpiresAt, "never"))) && ready {
		findings = append(findings, examineNodes(ctx, s)...)
	}
	return findings
}

// examineFiles looks at who may read the file with keys.
func (a *app) examineFiles() finding {
	dir, err := a.configDir()
	if err != nil {
		return bad("contexts", err)
	}
	path := filepath.Join(dir, keysFile)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return good("contexts", "no key is kept in a file")
	case err != nil:
		return bad("contexts", err)
	case info.Mode().Perm()&0o077 != 0:
		return finding{"contexts", false, path + " can be read by others: chmod 600 " + path}
	}
	return good("contexts", path+" is readable by you alone")
}
