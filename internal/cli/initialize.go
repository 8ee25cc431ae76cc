package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/config"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// firstKeyName is what the first owner's first key is called.
const firstKeyName = "first"

// madeKey is a key that was made on the store itself.
type madeKey struct {
	Workspace string   `json:"workspace"`
	Owner     string   `json:"owner"`
	KeyID     string   `json:"key_id"`
	Hint      string   `json:"hint"`
	ExpiresAt api.Time `json:"expires_at"`
	Value     string   `json:"value,omitempty"`
}

func madeKeyColumns() []column[madeKey] {
	return []column[madeKey]{
		{name: "workspace", text: func(m madeKey) string { return m.Workspace }},
		{name: "owner", text: func(m madeKey) string { return m.Owner }},
		{name: "key", text: func(m madeKey) string { return m.Hint }},
		{name: "expires_at", text: func(m madeKey) string { return when(m.ExpiresAt) }},
		{name: "value", text: func(m madeKey) string { return m.Value }},
	}
}

func (a *app) initCommand() *cobra.Command {
	var in iam.Initialization
	var out secretOut
	cmd := a.leaf(command{
		use: "init", short: "Make the system workspace, its owner and the owner's first key, on an empty store",
		long: "--workspace is the name of the system workspace, whose members operate the deployment. It runs once; on SQLite,\n" +
			"while no server runs. Where the root secret is missing it is made: beside the SQLite file, or as --secret-file says.",
		examples: [2]string{
			"postern init --workspace Acme --email owner@example.com --out-header owner.h",
			"postern init --workspace Acme --email owner@example.com --store-url sqlite:acme.db --field value",
		},
		run: func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			in.Workspace, in.KeyName = a.global.workspace, firstKeyName
			if in.Workspace == "" || in.Email == "" {
				return usagef("say what to make: --workspace NAME --email EMAIL")
			}
			return a.onStore(ctx, cmd, &out, minting{fresh: true, mint: func(ctx context.Context, s *iam.Service) (madeKey, token.Secret, error) {
				done, secret, err := s.Initialize(ctx, in)
				made := done.Value
				return describeKey(made.Workspace.Name, made.Owner.Person.Email, made.Key), secret, err
			}})
		},
	})
	cmd.Flags().StringVar(&in.Email, "email", "", "address of the owner")
	out.register(cmd.Flags())
	a.configFlags(cmd, nil)
	return cmd
}

func (a *app) recoverCommand() *cobra.Command {
	var email string
	var out secretOut
	cmd := a.leaf(command{
		use: "recover", short: "Make a key that lasts an hour for an owner that exists, on the store itself",
		long: "For when no owner has a key that works. On SQLite it runs while no server runs. It stands in the audit log.\n" +
			"Without --workspace, the owner is one of the system workspace.",
		examples: [2]string{
			"postern recover --email owner@example.com --out-header owner.h",
			"postern recover --email owner@example.com --store-url sqlite:acme.db --field value",
		},
		run: func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			if email == "" {
				return usagef("say whose: --email EMAIL")
			}
			return a.onStore(ctx, cmd, &out, minting{mint: func(ctx context.Context, s *iam.Service) (madeKey, token.Secret, error) {
				done, secret, err := s.Recover(ctx, email, a.global.workspace)
				return describeKey(a.global.workspace, email, done.Value), secret, err
			}})
		},
	})
	cmd.Flags().StringVar(&email, "email", "", "address of the owner")
	out.register(cmd.Flags())
	a.configFlags(cmd, nil)
	return cmd
}

func describeKey(workspace, owner string, k iam.Key) madeKey {
	return madeKey{Workspace: workspace, Owner: owner, KeyID: string(k.ID), Hint: k.Hint, ExpiresAt: api.NewTime(k.ExpiresAt)}
}

// minting is how a command makes a key on the store itself.
type minting struct {
	fresh bool // the store is empty, and is made where it is missing; else it is there
	mint  func(context.Context, *iam.Service) (madeKey, token.Secret, error)
}

// onStore makes a key on the store itself and shows its value once.
func (a *app) onStore(ctx context.Context, cmd *cobra.Command, out *secretOut, m minting) error {
	cfg, err := a.loadConfig(cmd)
	if err != nil {
		return err
	}
	if a.global.field != "" || a.global.output == formatCSV || out.env != "" || out.header != "" {
		if err := out.prepare(a, "value"); err != nil {
			return err
		}
	}
	defer out.close()
	if !m.fresh {
		if err := mustExist(cfg.Config); err != nil {
			return err
		}
	}
	made, secret, err := a.mintOnStore(ctx, cfg.Config, m)
	if err != nil {
		return err
	}
	if err := out.deliver(a, secret, made.KeyID); err != nil {
		return err
	}
	return a.showMadeKey(cfg.Config, made, secret, out.toFiles(), m.fresh)
}

// mintOnStore makes a key on the store itself. On SQLite nobody else has the store
// meanwhile, and there is nobody to wait for; on PostgreSQL the process is a node
// like others for as long as it takes.
func (a *app) mintOnStore(ctx context.Context, cfg config.Config, m minting) (made madeKey, secret token.Secret, err error) {
	cfg.LogLevel = "warn" // a server's comings and goings are not what was asked for
	n, err := openNode(ctx, cfg, a.newLog(cfg), duty{})
	if err != nil {
		return made, secret, err
	}
	defer closing(&err, "close the store", n.close)
	initialized, err := n.examine(ctx)
	if err != nil {
		return made, secret, err
	}
	if m.fresh && initialized {
		return made, secret, failf(exitConflict, "this store is initialised already; postern recover makes a key for its owner")
	}
	missing := leaveMissing
	if m.fresh {
		missing = makeMissing
	}
	if _, err := rootSecret(ctx, cfg, n.rows, initialized, missing); err != nil {
		return made, secret, err
	}
	if lease, err := cfg.Lease(); n.among != nil && err == nil {
		a.note("Joining the servers of this store. The first change of a process waits for one lease, %v.", lease.TTL)
	}
	err = n.briefly(ctx, func(ctx context.Context, f iam.Fence) (err error) {
		made, secret, err = m.mint(ctx, newService(cfg, n.rows, f))
		return err
	})
	return made, secret, err
}

// mustExist refuses a file that is not there, which opening it would make.
func mustExist(cfg config.Config) error {
	path, ok := cfg.SQLitePath()
	if !ok {
		return nil
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return failf(exitNotFound, "there is no store at %s: name another with --store-url, or make one with postern init", path)
	} else if err != nil {
		return err
	}
	return nil
}

func (a *app) showMadeKey(cfg config.Config, made madeKey, secret token.Secret, hide, fresh bool) error {
	if !hide {
		made.Value = secret.Reveal()
	}
	raw, err := json.Marshal(made)
	if err != nil {
		return err
	}
	if err := show(a, raw, madeKeyColumns()); err != nil {
		return err
	}
	if fresh {
		a.note("The root secret is in %s. It is not in the store: keep a copy apart from the store's.", cfg.SecretPath())
		a.note("Next: postern serve")
	}
	return nil
}
