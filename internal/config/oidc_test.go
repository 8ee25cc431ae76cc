package config_test

import (
	"strings"
	"testing"
)

func TestSingleSignOnSaysWhatToSet(t *testing.T) {
	all := map[string]string{
		"oidc-issuer": "https://sso.example.com/realms/one", "oidc-client-id": "postern", "oidc-client-secret-file": "sso.secret",
		"public-url": "https://postern.internal", "oidc-email-domains": "example.com,example.org",
	}
	for name, tt := range map[string]struct {
		flag, text string
		want       string // in the error; empty: none
	}{
		"as it should be":            {"oidc-name", "Example SSO", ""},
		"a provider on this machine": {"oidc-issuer", "http://localhost:9998", ""},
		"no public URL":              {"public-url", "", "set --public-url too"},
		"a public URL in clear":      {"public-url", "http://postern.internal", "must begin with https://"},
		"one on this machine":        {"public-url", "http://localhost:7070", ""},
		"one with a path":            {"public-url", "https://postern.internal/postern", "must have no path"},
		"no client id":               {"oidc-client-id", "", "give all or none"},
		"no secret":                  {"oidc-client-secret-file", "", "give all or none"},
		"no issuer":                  {"oidc-issuer", "", "give all or none"},
		"an issuer in clear":         {"oidc-issuer", "http://sso.example.com", "oidc.issuer: write it as the provider does"},
		"an issuer with a query":     {"oidc-issuer", "https://sso.example.com?x=y", "oidc.issuer: write it as the provider does"},
		"no URL":                     {"oidc-issuer", "sso.example.com", "oidc.issuer: write it as the provider does"},
		"a password in it":           {"oidc-issuer", "https://u:hunter2@sso.example.com", "oidc.issuer: write it as the provider does"},
		"an address for a domain":    {"oidc-email-domains", "anna@example.com", "oidc.email-domains: write domains"},
	} {
		t.Run(name, func(t *testing.T) {
			var args []string
			for flag, text := range all {
				if flag != tt.flag {
					args = append(args, "--"+flag, text)
				}
			}
			loaded, err := load(t, nil, "", append(args, "--"+tt.flag, tt.text)...)
			if err != nil {
				t.Fatal(err)
			}
			err = loaded.Validate()
			if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2")) {
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestSingleSignOnIsOffUnlessItIsSet(t *testing.T) {
	loaded, err := load(t, nil, "")
	if err != nil || loaded.SSO() || loaded.Validate() != nil {
		t.Errorf("got %+v, %v", loaded.Config, err)
	}
}
