package session

import (
	"context"
	"crypto/hmac"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// said is what a provider says of somebody: its name for them, and the claims of the
// ID token (OpenID Connect Core 1.0, 2).
type said struct {
	Subject string
	claims  claims
	at      *discovered
	access  oauth2.TokenSource
}

// claims are those that go-oidc does not look at. Their types are those of the
// standard: the text "true" is not the value true.
type claims struct {
	AuthorizedParty string          `json:"azp"`
	AuthTime        json.Number     `json:"auth_time"`
	Email           string          `json:"email"`
	EmailVerified   json.RawMessage `json:"email_verified"`
}

// verify checks the ID token that came for a code (Core 1.0, 3.1.3.7).
func (s *SSO) verify(ctx context.Context, at *discovered, tokens *oauth2.Token, nonce string) (*said, error) {
	raw, _ := tokens.Extra("id_token").(string)
	if raw == "" {
		return nil, refuse("the provider sent no ID token")
	}
	checks := &oidc.Config{ClientID: s.options.ClientID, Now: s.people.now}
	id, err := at.provider.Verifier(checks).Verify(s.provider.with(ctx), raw)
	if err != nil {
		return nil, refuse("the ID token does not hold: " + short(err))
	}
	out := &said{Subject: id.Subject, at: at, access: oauth2.StaticTokenSource(tokens)}
	if err := id.Claims(&out.claims); err != nil {
		return nil, refuse("the ID token has a claim of another type")
	}
	party := out.claims.AuthorizedParty
	switch {
	case id.Subject == "":
		return nil, refuse("the ID token names nobody")
	case !hmac.Equal([]byte(id.Nonce), []byte(nonce)):
		return nil, refuse("the ID token is not for this attempt")
	case party != "" && party != s.options.ClientID, party == "" && len(id.Audience) > 1:
		return nil, refuse("the ID token was issued to somebody else")
	case id.AccessTokenHash != "" && id.VerifyAccessToken(tokens.AccessToken) != nil:
		return nil, refuse("the access token is not the ID token's")
	}
	return out, nil
}

// authenticatedAt returns when the provider saw them prove who they are; zero: it does
// not say.
func (w *said) authenticatedAt() time.Time {
	seconds, err := w.claims.AuthTime.Int64()
	if err != nil || seconds <= 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}

// address returns the address that the provider vouches for; empty: none. It stands in
// the ID token, or is asked for (Core 1.0, 5.4).
func (s *SSO) address(ctx context.Context, who *said) (string, error) {
	c := who.claims
	if c.Email == "" && who.at.provider.UserInfoEndpoint() != "" {
		info, err := who.at.provider.UserInfo(s.provider.with(ctx), who.access)
		if err != nil {
			return "", fmt.Errorf("ask the provider for an address: %w", asked(err))
		}
		if info.Subject != who.Subject { // Core 1.0, 5.3.2
			return "", refuse("the provider told of somebody else")
		}
		c = claims{}
		if err := info.Claims(&c); err != nil {
			return "", refuse("the provider's word on an address is of another type")
		}
	}
	if string(c.EmailVerified) != "true" || !s.mayVouch(c.Email) {
		return "", nil
	}
	return c.Email, nil
}

// mayVouch reports whether the provider's word on an address counts.
func (s *SSO) mayVouch(email string) bool {
	domain := email[strings.LastIndexByte(email, '@')+1:]
	return len(s.options.Domains) == 0 || slices.ContainsFunc(s.options.Domains, func(d string) bool { return strings.EqualFold(d, domain) })
}

// short returns an error of package go-oidc as it may stand in a log.
func short(err error) string {
	const most = 200
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, err.Error())
	return text[:min(len(text), most)]
}
