package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/posternhq/postern/internal/config"
	"github.com/posternhq/postern/internal/token"
)

// configFlags adds the settings to a command. defaults win over the shipped ones.
func (a *app) configFlags(cmd *cobra.Command, defaults map[string]string) {
	cmd.Flags().String("config", "", "file with settings, in TOML (POSTERN_CONFIG)")
	config.Register(cmd.Flags(), defaults)
	cmd.Flags().SortFlags = false
}

// loadConfig reads the settings and judges them.
func (a *app) loadConfig(cmd *cobra.Command) (config.Loaded, error) {
	cfg, err := a.readConfig(cmd)
	if err != nil {
		return cfg, err
	}
	return cfg, judge(cfg.Config)
}

func (a *app) readConfig(cmd *cobra.Command) (config.Loaded, error) {
	path, err := cmd.Flags().GetString("config")
	if err != nil {
		return config.Loaded{}, err
	}
	cfg, err := config.Load(cmd.Flags(), a.Environ, cmp.Or(path, a.env["POSTERN_CONFIG"]))
	if err != nil {
		return cfg, usagef("%w", err)
	}
	return cfg, nil
}

// judge says what is wrong with the settings.
func judge(cfg config.Config) error {
	err := cfg.Validate()
	for _, p := range prefixes(cfg) {
		err = errors.Join(err, token.CheckPrefix(p))
	}
	if err != nil {
		return usagef("%w", err)
	}
	return nil
}

// newLog returns a log in the format that goes with where it is written.
func (a *app) newLog(cfg config.Config) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.LogLevel)) // it has been judged
	o := &slog.HandlerOptions{Level: level}
	if cfg.LogFormat == "json" || cfg.LogFormat == "auto" && !a.Terminal(a.Stderr) {
		return slog.New(slog.NewJSONHandler(a.Stderr, o))
	}
	return slog.New(slog.NewTextHandler(a.Stderr, o))
}

func (a *app) configCommand() *cobra.Command {
	return a.group("config", "The settings that a server would have", a.configShow(), a.configCheck())
}

func (a *app) configCheck() *cobra.Command {
	cmd := a.leaf(command{
		use: "check", short: "Say whether a server would start with these settings",
		examples: [2]string{"postern config check --config postern.toml", "postern config check --listen localhost:7070"},
		run: func(_ context.Context, cmd *cobra.Command, _ []string) error {
			cfg, err := a.loadConfig(cmd)
			if err != nil {
				return err
			}
			if _, err := tlsConfig(cfg.Config); err != nil {
				return err
			}
			if _, err := readRootSecret(cfg.SecretPath()); err != nil && (cfg.Postgres() || !errors.Is(err, os.ErrNotExist)) {
				return err
			}
			return a.say("The settings make sense.")
		},
	})
	a.configFlags(cmd, nil)
	return cmd
}

func (a *app) configShow() *cobra.Command {
	cmd := a.leaf(command{
		use: "show", short: "Show each setting and where it comes from, without passwords",
		examples: [2]string{"postern config show --config postern.toml", "postern config show --json"},
		run: func(_ context.Context, cmd *cobra.Command, _ []string) error {
			cfg, err := a.readConfig(cmd)
			if err != nil {
				return err
			}
			var items []json.RawMessage
			for _, s := range cfg.Show() {
				raw, err := json.Marshal(s)
				if err != nil {
					return err
				}
				items = append(items, raw)
			}
			return showAll(a, items, []column[config.Shown]{
				{name: "name", text: func(s config.Shown) string { return s.Name }},
				{name: "value", text: func(s config.Shown) string { return s.Value }},
				{name: "from", text: func(s config.Shown) string { return s.From }},
			})
		},
	})
	a.configFlags(cmd, nil)
	return cmd
}
