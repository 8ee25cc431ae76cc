package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/config"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// madeLink is a setup link, as the command prints it.
type madeLink struct {
	Link      string   `json:"link"`
	Member    string   `json:"member,omitempty"`
	ExpiresAt api.Time `json:"expires_at"`
}

func (a *app) setupLinkCommand() *cobra.Command {
	var email string
	cmd := a.leaf(command{
		use: "setup-link", short: "Print a link that sets up an empty store in a browser, or lets a member sign in for the first time",
		long: "The link works once, within 15 minutes. The first one ends for good when the store has been set up. With --member\n" +
			"it is for somebody who is a member and has neither a password nor a passkey yet; it stands in the audit log.\n" +
			"On SQLite it runs while no server runs: postern serve prints the first link by itself.",
		examples: [2]string{
			"postern setup-link --member owner@example.com --public-url https://postern.internal",
			"postern setup-link --store-url sqlite:fresh.db --field link",
		},
		run: func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			cfg, err := a.loadConfig(cmd)
			if err != nil {
				return err
			}
			if email != "" {
				if err := mustExist(cfg.Config); err != nil {
					return err
				}
			}
			link, err := a.linkOnStore(ctx, cfg.Config, email)
			if err != nil {
				return err
			}
			return a.showLink(setupURL(publicURL(cfg.Config), link), email)
		},
	})
	cmd.Flags().StringVar(&email, "member", "", "address of a member who has nothing to sign in with")
	a.configFlags(cmd, nil)
	return cmd
}

// linkOnStore makes a setup link on the store itself. It changes nothing that any
// node answers from, so that there is nobody to wait for.
func (a *app) linkOnStore(ctx context.Context, cfg config.Config, email string) (link token.Secret, err error) {
	cfg.LogLevel = "warn"
	n, err := openNode(ctx, cfg, a.newLog(cfg), duty{})
	if err != nil {
		return link, err
	}
	defer closing(&err, "close the store", n.close)
	initialized, err := n.examine(ctx)
	if err != nil {
		return link, err
	}
	missing := leaveMissing
	if email == "" {
		missing = makeMissing
	}
	if _, err := rootSecret(ctx, cfg, n.rows, initialized, missing); err != nil {
		return link, err
	}
	service := newService(cfg, n.rows, iam.Nobody{})
	if email != "" {
		return service.MemberSetupLink(ctx, email)
	}
	link, err = service.FirstSetupLink(ctx)
	if errors.Is(err, iam.Gone) {
		return link, failf(exitConflict, "this store is initialised already; postern setup-link --member EMAIL is for who cannot sign in yet")
	}
	return link, err
}

func (a *app) showLink(link, member string) error {
	raw, err := json.Marshal(madeLink{link, member, api.NewTime(a.Now().Add(iam.SetupLife))})
	if err != nil {
		return err
	}
	return show(a, raw, []column[madeLink]{
		{name: "link", text: func(m madeLink) string { return m.Link }},
		{name: "expires_at", text: func(m madeLink) string { return when(m.ExpiresAt) }},
	})
}

// sayFirstLink prints, not into the log, where an empty store is set up.
func (a *app) sayFirstLink(ctx context.Context, n running) error {
	link, err := n.service.FirstSetupLink(ctx)
	if errors.Is(err, iam.Gone) {
		return nil // another process was quicker
	} else if err != nil {
		return fmt.Errorf("make a setup link: %w", err)
	}
	_, err = fmt.Fprintf(a.Stdout, "Set up this server at %s\nThe link works once, until %s.\n",
		setupURL(n.url, link), a.Now().Add(iam.SetupLife).UTC().Format("15:04:05 MST"))
	return err
}

// setupURL returns a setup link. Its secret is in the fragment, which browsers keep to
// themselves.
func setupURL(base string, link token.Secret) string { return base + "/setup#" + link.Reveal() }

// forSetup says what is done about a missing root secret when somebody may set up the
// store in a browser: on PostgreSQL it must be given.
func forSetup(cfg config.Config) missingSecret {
	if cfg.Postgres() {
		return leaveMissing
	}
	return makeMissing
}
