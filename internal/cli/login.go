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
	c.Workspace, c.Login = "", made.Key.ID // the key's own
	before, err := a.loggedIn(ctx, name)
	if err != nil {
		a.note("What context %q had before cannot be read, and goes on working: %v", name, err)
	}
	s.Key = token.NewSecret(made.AccessToken)
	if err := a.keepKey(ctx, name, s.Key); err != nil {
		return err
	}
	if _, err := a.putContext(name, c, true); err != nil {
		return err
	}
	if _, _, err := call[api.Whoami](ctx, s, http.MethodGet, "/v1/whoami", nil); err != nil {
		return fmt.Errorf("use the new key: %w", err) // and whatever was there before goes on working
	}
	a.endEarlier(ctx, before)
	return a.say("Signed in to %s as %s, with the key %q. Context %q is the current one.", made.Workspace.Slug, made.Key.Principal.Name, made.Key.Name, name)
}

// earlier is the key that a login before this one has made.
type earlier struct {
	session
	id string
}

// loggedIn returns the key of a context, if postern login made it and it is still
// there. It is for that context's server alone.
func (a *app) loggedIn(ctx context.Context, name string) (earlier, error) {
	all, err := a.loadContexts()
	c := all.Contexts[name]
	if err != nil || c.Login == "" {
		return earlier{}, err
	}
	key, err := a.storedKey(ctx, name)
	if err != nil || key.IsZero() {
		return earlier{}, err
	}
	s := session{timeout: a.global.timeout, Client: &postern.Client{
		Server: c.Server, Key: key, UserAgent: "postern-cli/" + buildVersion(), PlainHTTP: c.PlainHTTP,
	}}
	return earlier{s, c.Login}, nil
}

// endEarlier revokes the key of an earlier login, which another has taken the place of.
func (a *app) endEarlier(ctx context.Context, before earlier) {
	if before.id == "" {
		return
	}
	switch end, err := before.end(ctx, "superseded"); {
	case err != nil:
		a.note("The key of the login before, %s on %s, could not be revoked, and goes on working: %v", before.id, before.Server, err)
	case end == revokedNow:
		a.note("Revoked the key of the login before, %s on %s.", before.id, before.Server)
	}
}

// outcome says what became of the key of a login.
type outcome int

const (
	notOurs    outcome = iota // somebody has put another in its place
	refused                   // the server takes it no more, or not from here
	revokedNow                // no node accepts it
)

// end revokes the key, unless it is another one by now.
func (e earlier) end(ctx context.Context, reason string) (outcome, error) {
	own, _, err := call[api.Key](ctx, e.session, http.MethodGet, "/v1/keys/self", nil)
	if err == nil && own.ID != e.id {
		return notOurs, nil
	}
	if err == nil {
		_, _, err = call[api.KeyAnswer](ctx, e.session, http.MethodPost, "/v1/keys/self/revoke", api.Ending{Reason: reason})
	}
	if p, ok := errors.AsType[*api.Problem](err); ok && p.Code == api.CodeUnauthenticated {
		return refused, nil
	}
	return revokedNow, err
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
		use: "logout", short: "Forget the key of the current context, and revoke it if a login made it",
		long: "A key that somebody else made, and that postern context add has stored, is forgotten here and goes on working:\n" +
			"postern key revoke ends it.",
		examples: [2]string{"postern logout", "postern logout --context work"},
		run:      func(ctx context.Context, _ *cobra.Command, _ []string) error { return a.logout(ctx) },
	})
}

func (a *app) logout(ctx context.Context) error {
	name, c, err := a.currentContext()
	if err != nil {
		return err
	}
	if name == "" {
		return failf(exitSignIn, "there is no current context")
	}
	key, err := a.storedKey(ctx, name)
	if err != nil {
		return err
	}
	if key.IsZero() {
		return a.say("There is no key for %s.", c.Server)
	}
	before, err := a.loggedIn(ctx, name)
	if err != nil {
		return err
	}
	end := notOurs
	if before.id != "" {
		if end, err = before.end(ctx, "unused"); err != nil {
			return fmt.Errorf("revoke the key: %w", err)
		}
	}
	if err := a.forgetKey(ctx, name); err != nil {
		return err
	}
	switch end {
	case revokedNow:
		return a.say("Signed out of %s. No node accepts the key.", c.Server)
	case refused:
		return a.say("Forgot the key for %s, which refused it already.", c.Server)
	}
	return a.say("Forgot the key for %s. No login made it, and it goes on working: postern key revoke ends it.", c.Server)
}
