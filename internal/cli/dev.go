package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/config"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

const (
	devContext   = "dev"
	devEmail     = "dev@localhost"
	devWorkspace = "Development"
	devKeyPrefix = "dev-context-" // begins the names of the context's keys
)

func (a *app) devCommand() *cobra.Command {
	cmd := a.leaf(command{
		use: "dev", short: "Run a throw-away server, with the commands signed in and an API to try keys on",
		examples: [2]string{"postern dev", "postern dev --store-url sqlite:trial.db"},
		run: func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			cfg, err := a.loadConfig(cmd)
			if err != nil {
				return err
			}
			if cfg.TLSCert != "" {
				return usagef("postern dev speaks plain HTTP, to this machine: use postern serve for TLS")
			}
			demo := new(demo)
			return a.serve(ctx, cfg.Config, mode{missing: makeMissing, around: demo.around, up: func(ctx context.Context, n running) error {
				return a.devUp(ctx, n, demo)
			}})
		},
	})
	a.configFlags(cmd, map[string]string{"store.url": "sqlite:postern-dev.db", "log.level": "warn"})
	return cmd
}

// devUp signs the commands in and prints what there is.
func (a *app) devUp(ctx context.Context, n running, d *demo) error {
	if err := n.ready(ctx); err != nil {
		return err
	}
	key, err := a.devKey(ctx, n)
	if err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	d.open(n.client(key))
	if err := a.keepKey(ctx, devContext, key); err != nil {
		return err
	}
	current, err := a.putContext(devContext, storedContext{Server: n.url}, false)
	if err != nil {
		return err
	}
	console, err := a.devConsole(ctx, n)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(a.Stdout, devWords(n, console, current))
	return err
}

// devConsole returns where the console is, with a link that signs in whoever has
// nothing to sign in with yet.
func (a *app) devConsole(ctx context.Context, n running) (string, error) {
	link, err := n.service.MemberSetupLink(ctx, devEmail)
	if errors.Is(err, iam.AlreadyMember) {
		return n.url, nil
	}
	return setupURL(n.url, link), err
}

func devWords(n running, console string, current bool) string {
	var b strings.Builder
	line := func(name, value, remark string) {
		fmt.Fprint(&b, strings.TrimRight(fmt.Sprintf("  %-10s %-36s %s", name, value, remark), " ")+"\n")
	}
	b.WriteString("Postern, development mode\n")
	line("Console", console, "")
	line("API", n.url+"/v1", "")
	line("Demo API", n.url+demoPath, "needs "+demoPermission)
	line("Data", dataWords(n.cfg), "delete it to start over")
	line("CLI", fmt.Sprintf("signed in as %s, context %q", devEmail, devContext), "")
	b.WriteString("Try, in another terminal:\n")
	if !current {
		b.WriteString("  export POSTERN_CONTEXT=" + devContext + "\n")
	}
	b.WriteString(`  postern sa create support-bot-prod --role operator --description "Owner: Support Platform"
  postern key create support-bot-prod --out-header bot.h
  curl -H @bot.h ` + n.url + demoPath + "\n")
	return b.String()
}

// dataWords says where a development server keeps its data.
func dataWords(cfg config.Config) string {
	path, ok := cfg.SQLitePath()
	if !ok {
		return config.MaskURL(cfg.StoreURL)
	}
	if filepath.IsLocal(path) {
		return "./" + path
	}
	return path
}

// client returns a client of this very process.
func (n running) client(key token.Secret) *postern.Client {
	return &postern.Client{Server: "http://" + n.addresses[0], Key: key, UserAgent: "postern-dev", PlainHTTP: true}
}

// devKey makes a new key for the context, and ends those of earlier starts.
func (a *app) devKey(ctx context.Context, n running) (token.Secret, error) {
	name := devKeyPrefix + a.Now().UTC().Format("20060102-150405.000000")
	if !n.initialized {
		_, key, err := n.service.Initialize(ctx, iam.Initialization{Workspace: devWorkspace, Email: devEmail, KeyName: name})
		return key, err
	}
	recovered, recovery, err := n.service.Recover(ctx, devEmail, "")
	if errors.Is(err, iam.NotFound) {
		return token.Secret{}, usagef("%s was not made by postern dev: name another store with --store-url", config.MaskURL(n.cfg.StoreURL))
	} else if err != nil {
		return token.Secret{}, err
	}
	s := session{Client: n.client(recovery), workspace: "-", timeout: a.global.timeout}
	made, _, err := call[api.CreatedKey](ctx, s, http.MethodPost, s.path(refMe, "keys"), api.CreateKey{Name: name})
	if err != nil {
		return token.Secret{}, err
	}
	key := token.NewSecret(made.Value)
	s.Client = n.client(key)
	return key, endDevKeys(ctx, s, made.ID, string(recovered.Value.ID))
}

// endDevKeys revokes the key that made this start's key, and those of earlier
// starts.
func endDevKeys(ctx context.Context, s session, kept, recovery string) error {
	keys, err := find(ctx, s, s.path(refMe, "keys"), url.Values{}, func(k api.Key) bool {
		ours := k.ID == recovery || strings.HasPrefix(k.Name, devKeyPrefix)
		return ours && k.ID != kept && k.State != string(iam.Revoked)
	})
	if err != nil {
		return err
	}
	for _, k := range keys {
		path := s.path("keys", k.ID) + "/revoke"
		if _, _, err := call[api.KeyAnswer](ctx, s, http.MethodPost, path, api.Ending{Reason: "superseded"}); err != nil {
			return err
		}
	}
	return nil
}
