package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/token"
)

// deviceGrant is what a program asks a token for (RFC 8628, section 3.4).
const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

func (a *app) loginCommand() *cobra.Command {
	var name string
	cmd := a.leaf(command{
		use: "login", short: "Sign in with a browser, and keep the personal key that this makes",
		long: "It shows an address and a code. Open the address, sign in, and compare the code before you approve: the same one\n" +
			"must stand in both places. The key acts as you, within your workspace's policy, and goes into the desktop's keyring\n" +
			"or, where there is none, into a file that only you may read. postern logout revokes it.",
		examples: [2]string{
			"postern login --server http://localhost:7070",
			"postern login --name work --server http://localhost:7070",
		},
		run: func(ctx context.Context, _ *cobra.Command, _ []string) error { return a.login(ctx, name) },
	})
	cmd.Flags().StringVar(&name, "name", "", "name of the context that keeps the key; else made of the server's")
	return cmd
}

func (a *app) login(ctx context.Context, name string) error {
	current, stored, err := a.currentContext()
	if err != nil {
		return err
	}
	if a.global.server == "" && a.env["POSTERN_SERVER"] == "" {
		a.global.server = stored.Server
		a.global.plainHTTP = a.global.plainHTTP || stored.PlainHTTP
	}
	if name == "" && current != "" && sameServer(a.global.server, stored.Server) {
		name = current
	}
	name = cmp.Or(name, contextNameOf(cmp.Or(a.global.server, a.env["POSTERN_SERVER"])))
	c, err := a.newContext(name)
	if err != nil {
		return err
	}
	s := session{Client: &postern.Client{Server: c.Server, UserAgent: "postern-cli/" + buildVersion(), PlainHTTP: c.PlainHTTP}, timeout: a.global.timeout}
	begun, _, err := call[api.DeviceCode](ctx, s, http.MethodPost, "/v1/device/code", api.DeviceCodeRequest{Name: hostName()})
	if err != nil {
		return err
	}
	a.note("Open %s and compare the code: %s\nApprove it only when it is the same there. Waiting, for %d minutes at most.",
		begun.VerificationURI, begun.UserCode, begun.ExpiresIn/60)
	made, err := a.awaitApproval(ctx, s, begun)
	if err != nil {
		return err
	}
	c.Workspace = "" // the key's own
	if err := a.keepKey(ctx, name, token.NewSecret(made.AccessToken)); err != nil {
		return err
	}
	if _, err := a.putContext(name, c, true); err != nil {
		return err
	}
	return a.say("Signed in to %s as %s, with the key %q. Context %q is the current one.", made.Workspace.Slug, made.Key.Principal.Name, made.Key.Name, name)
}

// awaitApproval asks again and again whether somebody has approved.
func (a *app) awaitApproval(ctx context.Context, s session, begun api.DeviceCode) (api.DeviceToken, error) {
	every := time.Duration(max(1, begun.Interval)) * time.Second
	for {
		if err := wait(ctx, every); err != nil {
			return api.DeviceToken{}, err
		}
		made, _, err := call[api.DeviceToken](ctx, s, http.MethodPost, "/v1/device/token", api.DeviceTokenRequest{
			GrantType: deviceGrant, DeviceCode: begun.DeviceCode,
		})
		p, isProblem := errors.AsType[*api.Problem](err)
		switch {
		case err == nil:
			return made, nil
		case !isProblem:
			return made, err
		case p.Code == api.CodeSlowDown || p.Code == api.CodeRateLimited:
			every += 5 * time.Second // RFC 8628, 3.5
		case p.Code == api.CodeAccessDenied:
			return made, failf(exitForbidden, "it was refused")
		case p.Code == api.CodeExpiredToken:
			return made, failf(exitUnreachable, "nobody approved it in time")
		case p.Code != api.CodeAuthorizationPending:
			return made, err
		}
	}
}

var notInContextName = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// contextNameOf makes a context's name of a server's address.
func contextNameOf(server string) string {
	u, err := url.Parse(server)
	if err != nil {
		return ""
	}
	name := strings.Trim(notInContextName.ReplaceAllString(u.Host, "-"), "-._")
	return name[:min(len(name), 64)]
}

// hostName returns what this machine is called, as the key's name will say.
func hostName() string {
	name, err := os.Hostname()
	if err != nil || token.LooksLikeSecret(name) {
		return "device"
	}
	return name[:min(len(name), 32)]
}

func (a *app) logoutCommand() *cobra.Command {
	return a.leaf(command{
		use: "logout", short: "Revoke the key of the current context, and forget it",
		examples: [2]string{"postern logout", "postern logout --context work"},
		run: func(ctx context.Context, _ *cobra.Command, _ []string) error {
			name, _, err := a.currentContext()
			if err != nil {
				return err
			}
			if name == "" {
				return failf(exitSignIn, "there is no current context")
			}
			s, err := a.openSession(ctx)
			if err != nil {
				return err
			}
			if s.Key.IsZero() {
				return a.say("There is no key for %s.", s.Server)
			}
			_, _, err = call[api.KeyAnswer](ctx, s, http.MethodPost, "/v1/keys/self/revoke", api.Ending{Reason: "unused"})
			if p, ok := errors.AsType[*api.Problem](err); err != nil && !(ok && p.Code == api.CodeUnauthenticated) {
				return fmt.Errorf("revoke the key: %w", err)
			}
			if err := a.forgetKey(ctx, name); err != nil {
				return err
			}
			return a.say("Signed out of %s. No node accepts the key.", s.Server)
		},
	})
}
