package config

import (
	"errors"
	"net/url"
	"strings"
)

// SSO reports whether people sign in with a provider of OpenID Connect.
func (c Config) SSO() bool { return c.OIDCIssuer != "" }

// validateOIDC returns what makes no sense of the settings of single sign-on.
func (c Config) validateOIDC() (errs []error) {
	given := 0
	for _, text := range []string{c.OIDCIssuer, c.OIDCClientID, c.OIDCClientSecretFile} {
		if text != "" {
			given++
		}
	}
	if given == 0 {
		return nil
	}
	if given < 3 {
		errs = append(errs, errors.New("oidc.issuer, oidc.client-id and oidc.client-secret-file: give all or none"))
	}
	if c.OIDCIssuer != "" && !isIssuer(c.OIDCIssuer) {
		errs = append(errs, errors.New("oidc.issuer: write it as the provider does, such as https://sso.example.com; without TLS only on this machine"))
	}
	public, err := url.Parse(c.PublicURL)
	switch {
	case c.PublicURL == "":
		errs = append(errs, errors.New("oidc.issuer: set --public-url too: the provider sends browsers back to PUBLIC-URL/v1/oidc/callback, and nothing that a request says is taken for it"))
	case err == nil && public.Scheme == "http" && !IsLoopback(public.Hostname()):
		errs = append(errs, errors.New("public-url: with oidc.issuer it must begin with https://"))
	case err == nil && strings.Trim(public.Path, "/") != "":
		errs = append(errs, errors.New("public-url: with oidc.issuer it must have no path"))
	}
	for _, domain := range c.OIDCEmailDomains {
		if strings.ContainsAny(domain, "@*/ ") || !strings.Contains(domain, ".") {
			errs = append(errs, errors.New("oidc.email-domains: write domains such as example.com"))
			break
		}
	}
	return errs
}

// isIssuer reports whether a text can be an issuer (OpenID Connect Core 1.0, 1.2): a
// URL without query and fragment, over TLS or on this machine.
func isIssuer(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || strings.ContainsAny(text, "?#") {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && IsLoopback(u.Hostname())
}
