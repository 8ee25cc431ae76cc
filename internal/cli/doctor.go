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

func (a *app) doctorCommand() *cobra.Command {
	return a.leaf(command{
		use: "doctor", short: "Look for what keeps the commands from working; exit 1 when there is something",
		examples: [2]string{"postern doctor", "postern doctor --json"},
		run: func(ctx context.Context, _ *cobra.Command, _ []string) error {
			findings := a.examine(ctx)
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
}

// examine looks at one thing after the other, and ends where the next depends on
// what failed.
func (a *app) examine(ctx context.Context) []finding {
	findings := []finding{a.examineFiles()}
	s, err := a.openSession(ctx)
	if err != nil {
		return append(findings, finding{"server", false, err.Error()})
	}
	add := func(check string, err error, well string) bool {
		f := finding{check, err == nil, well}
		if err != nil {
			f.Words = explain(err)
		}
		findings = append(findings, f)
		return err == nil
	}
	keyless := s
	keyless.Client = &postern.Client{Server: s.Server, UserAgent: s.UserAgent}
	_, _, err = call[json.RawMessage](ctx, keyless, http.MethodGet, "/healthz", nil)
	if !add("server", err, s.Server+" answers") {
		return findings
	}
	_, _, err = call[json.RawMessage](ctx, keyless, http.MethodGet, "/readyz", nil)
	if _, ok := errors.AsType[*postern.AnswerError](err); ok {
		err = errors.New("it does not answer verifications; its log says why, and a store that is empty needs postern init")
	}
	add("ready", err, "it answers verifications")
	if s.Key.IsZero() {
		add("key", errors.New("there is none for this server: postern context add --help"), "")
		return findings
	}
	me, _, err := call[api.Whoami](ctx, s, http.MethodGet, "/v1/whoami", nil)
	add("key", err, fmt.Sprintf("it is %s of %s, and ends %s", me.Principal.Name, me.Principal.Workspace.Slug, whenOr(me.Key.ExpiresAt, "never")))
	return findings
}

// examineFiles looks at who may read the file with keys.
func (a *app) examineFiles() finding {
	dir, err := a.configDir()
	if err != nil {
		return finding{"contexts", false, explain(err)}
	}
	path := filepath.Join(dir, keysFile)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return finding{"contexts", true, "no key is kept in a file"}
	case err != nil:
		return finding{"contexts", false, err.Error()}
	case info.Mode().Perm()&0o077 != 0:
		return finding{"contexts", false, path + " can be read by others: chmod 600 " + path}
	}
	return finding{"contexts", true, path + " is readable by you alone"}
}
