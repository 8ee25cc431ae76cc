package cli

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/posternhq/postern/internal/config"
	"github.com/posternhq/postern/internal/server"
	signing "github.com/posternhq/postern/internal/session"
	"github.com/posternhq/postern/internal/token"
)

// maxClientSecret is the size of the longest file with a client's secret, in bytes.
const maxClientSecret = 4096

// newSSO returns single sign-on as it is set, or nil. It does not ask the provider: one
// that is away keeps no server from starting.
func newSSO(cfg config.Config, people *signing.People) (server.SSO, error) {
	if !cfg.SSO() {
		return nil, nil
	}
	secret, err := clientSecret(cfg.OIDCClientSecretFile)
	if err != nil {
		return nil, usagef("oidc.client-secret-file: %v", err)
	}
	return signing.NewSSO(people, signing.SSOOptions{
		Issuer: cfg.OIDCIssuer, ClientID: cfg.OIDCClientID, Secret: secret, Name: cfg.OIDCName, Domains: cfg.OIDCEmailDomains,
	})
}

func clientSecret(path string) (token.Secret, error) {
	f, err := os.Open(path)
	if err != nil {
		return token.Secret{}, err
	}
	defer f.Close() // it was only read
	raw, err := io.ReadAll(io.LimitReader(f, maxClientSecret+1))
	text := strings.TrimSpace(string(raw))
	switch {
	case err != nil:
		return token.Secret{}, err
	case text == "":
		return token.Secret{}, fmt.Errorf("%s is empty", path)
	case len(raw) > maxClientSecret || strings.ContainsAny(text, "\r\n"):
		return token.Secret{}, fmt.Errorf("%s is not one line of text", path)
	}
	return token.NewSecret(text), nil
}
