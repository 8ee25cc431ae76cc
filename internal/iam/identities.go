package iam

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/posternhq/postern/internal/audit"
)

// Identity is the name by which a provider of single sign-on knows a person.
type Identity struct {
	Issuer   string // of the provider
	Subject  string // which it never gives to anybody else (OpenID Connect Core 1.0, 2)
	Person   PersonID
	LinkedAt time.Time
}

// maxSubject is the most characters that a provider's name for somebody has
// (OpenID Connect Core 1.0, 2).
const maxSubject = 255

// whose finds the person of a proof by single sign-on, and reports whether the
// provider had not named them before. A subject that is linked is that person,
// whatever address it has by now; another one is whoever has the address that the
// provider vouches for, unless it calls them something else already: then the
// address has passed to somebody else.
func (w *work) whose(p *Proof) (linked bool, err error) {
	if p.Issuer == "" {
		return false, nil
	}
	if p.Subject == "" || len(p.Subject) > maxSubject {
		return false, ErrNotSignedIn
	}
	person, err := w.Identity(w.ctx, p.Issuer, p.Subject)
	switch {
	case err == nil:
		p.Person = person.ID
		return false, nil
	case !errors.Is(err, NotFound):
		return false, fmt.Errorf("look for an identity: %w", err)
	case !isPlainAddress(p.Email):
		return false, ErrNotSignedIn
	}
	person, err = w.PersonByEmail(w.ctx, folded(p.Email))
	if errors.Is(err, NotFound) {
		return false, ErrNotSignedIn
	} else if err != nil {
		return false, fmt.Errorf("look for whom a provider vouches for: %w", err)
	}
	p.Person = person.ID
	return true, w.InsertIdentity(w.ctx, Identity{p.Issuer, p.Subject, person.ID, w.Now()})
}

// isPlainAddress reports whether an address is one in ASCII. What a provider calls
// an address is not folded beyond that: letters that look alike, or that fold into
// one another, are not the same person.
func isPlainAddress(email string) bool {
	for _, c := range []byte(email) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return len(email) <= maxEmail && emailForm.MatchString(email)
}

// tellLinked writes into the log of each workspace of a person that a provider named
// them for the first time.
func (w *work) tellLinked(in SignedIn, issuer string) {
	for _, m := range in.Places {
		w.further = append(w.further, audit.Event{
			Workspace: string(m.Workspace.ID), Action: "identity.linked", Outcome: audit.Done,
			Target: audit.Target{Type: "member", ID: string(m.Principal.ID), Name: m.Principal.Name},
			After:  audit.Fields{"issuer": issuer},
		})
	}
}

// stepsUp finds whose a proof is that somebody gives who has signed in. It links
// nobody: that is for signing in.
func (w *work) stepsUp(p *Proof) error {
	if p.Issuer == "" {
		return nil
	}
	person, err := w.Identity(w.ctx, p.Issuer, p.Subject)
	if errors.Is(err, NotFound) {
		return ErrNotSignedIn
	} else if err != nil {
		return fmt.Errorf("look for an identity: %w", err)
	}
	p.Person = person.ID
	return nil
}

// provedAt returns when the holder of a sign-in that is made now proved who they are.
// A provider may say that this was a while ago, or not say it at all.
func (p Proof) provedAt(now time.Time) time.Time {
	switch {
	case p.Issuer == "" || p.At.After(now):
		return now
	case p.At.Before(now.Add(-SignInLife)):
		return now.Add(-SignInLife)
	}
	return p.At
}

// IdentityTx changes by what names providers know people. Its methods are those of a
// [Tx].
type IdentityTx interface {
	// InsertIdentity links a person, or fails with [ErrNotSignedIn] when the provider
	// calls them something else already.
	InsertIdentity(ctx context.Context, i Identity) error
	// DropCredentials forgets by what a person signs in who is a member nowhere any
	// more: names that providers know them by, password and passkeys. Whoever gets
	// their address is somebody else.
	DropCredentials(ctx context.Context, person PersonID) error
}
