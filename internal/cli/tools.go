package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// buildVersion returns the version that this program was built from.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return cmp.Or(info.Main.Version, "(devel)")
}

type version struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (a *app) versionCommand() *cobra.Command {
	return a.leaf(command{
		use: "version", short: "Show the version of this program",
		examples: [2]string{"postern version", "postern version --field version"},
		run: func(context.Context, *cobra.Command, []string) error {
			raw, err := json.Marshal(version{buildVersion(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH})
			if err != nil {
				return err
			}
			return show(a, raw, []column[version]{
				{name: "version", text: func(v version) string { return v.Version }},
				{name: "go", text: func(v version) string { return v.Go }},
				{name: "platform", text: func(v version) string { return v.Platform }},
			})
		},
	})
}

func (a *app) apiCommand() *cobra.Command {
	var data string
	cmd := a.leaf(command{
		use: "api METHOD PATH", short: "Call the API directly",
		long: "A path is as in the API's documentation, such as /v1/whoami. The answer is printed as it comes.",
		examples: [2]string{
			"postern api GET /v1/whoami",
			`echo '{"name":"cron-runner","role":"viewer"}' | postern api POST /v1/workspaces/-/service_accounts -d @-`,
		},
		run: func(ctx context.Context, _ *cobra.Command, args []string) error {
			method := strings.ToUpper(args[0])
			methods := []string{http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodPut, http.MethodDelete}
			if !slices.Contains(methods, method) || !strings.HasPrefix(args[1], "/") {
				return usagef("write %s, and a path that begins with a slash", strings.Join(methods, ", "))
			}
			s, err := a.session(ctx)
			if err != nil {
				return err
			}
			var in any
			if data != "" {
				if in, err = a.apiBody(data); err != nil {
					return err
				}
			}
			_, raw, err := call[json.RawMessage](ctx, s, method, args[1], in)
			if err != nil {
				return err
			}
			return a.showJSON(raw)
		},
	})
	cmd.Flags().StringVarP(&data, "data", "d", "", "body: JSON, @FILE, or @- for stdin")
	return cmd
}

// apiBody reads the body of a call from an argument, a file or stdin.
func (a *app) apiBody(data string) (json.RawMessage, error) {
	text := []byte(data)
	if file, ok := strings.CutPrefix(data, "@"); ok {
		var err error
		if text, err = a.readInput(file); err != nil {
			return nil, err
		}
	}
	var body json.RawMessage
	if err := json.Unmarshal(text, &body); err != nil {
		return nil, usagef("the body is not JSON: %w", err)
	}
	return body, nil
}
