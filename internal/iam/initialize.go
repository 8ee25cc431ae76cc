package iam

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/token"
)

// Initialization says what the system workspace is to be.
type Initialization struct {
	Workspace string // name; the slug is made of it
	Email     string // of the first owner
	KeyName   string
}

// Initialize makes the system workspace, its owner and the owner's first key, on
// an empty store. It runs once: nothing exists by default before, and nothing is
// made again after.
func (s *Service) Initialize(ctx context.Context, in Initialization) (Done[Initialized], token.Secret, error) {
	secret, err := s.Mint.New(token.Person)
	if err != nil {
		return Done[Initialized]{}, token.Secret{}, err
	}
	c := Internal("initialisation", audit.Source{})
	done, err := do(ctx, s, c, attempt{in: own, action: "workspace.created"}, func(w *work) (Initialized, error) {
		if already, err := w.Initialized(ctx); err != nil {
			return Initialized{}, fmt.Errorf("look for a system workspace: %w", err)
		} else if already {
			return Initialized{}, Errorf(Gone, "this store is initialised already")
		}
		var out Initialized
		var v validation
		email := v.email("/email", in.Email)
		if err := v.err(); err != nil {
			return out, err
		}
		if out.Workspace, err = w.newWorkspace(in.Workspace, slugOf(in.Workspace), true); err != nil {
			return out, err
		}
		w.ws = out.Workspace
		role, err := w.Role(ctx, w.ws.ID, Owner)
		if err != nil {
			return out, fmt.Errorf("read the role owner: %w", err)
		}
		name, _, _ := strings.Cut(email, "@")
		if out.Owner, err = w.firstOwner(Person{Email: email, Name: name}, role); err != nil {
			return out, err
		}
		key, err := w.firstKey(out.Owner, role, in.KeyName, secret)
		if err != nil {
			return out, err
		}
		out.Key, w.event.After = *key, out.Workspace.fields()
		return out, nil
	})
	if err != nil {
		return done, token.Secret{}, err
	}
	return done, secret, nil
}

// Initialized is what [Service.Initialize] made.
type Initialized struct {
	Workspace Workspace
	Owner     Member
	Key       Key
}

func (i Initialized) target() audit.Target { return i.Workspace.target() }

func (w *work) firstOwner(person Person, role Role) (Member, error) {
	person.ID, person.CreatedAt = cmp.Or(person.ID, PersonID(NewID(PersonPrefix, w.Now()))), w.Now()
	if err := w.InsertPerson(w.ctx, person); err != nil {
		return Member{}, fmt.Errorf("add the first person: %w", err)
	}
	m := Member{
		ID: PrincipalID(NewID(MemberPrefix, w.Now())), Workspace: w.ws.ID, Person: person, Name: person.Name,
		Role: Ref[RoleID]{role.ID, role.Name}, CreatedAt: w.Now(), Version: w.Seq(),
	}
	w.change.Principals = append(w.change.Principals, m.record())
	w.further = append(w.further, audit.Event{Action: "member.joined", Outcome: audit.Done, Target: m.target(), After: m.fields()})
	return m, w.InsertMember(w.ctx, m)
}

var notSlug = regexp.MustCompile(`[^a-z0-9]+`)

// slugOf makes a slug of a workspace's name.
func slugOf(name string) string {
	slug := strings.Trim(notSlug.ReplaceAllString(strings.ToLower(name), "-"), "-")
	if slug == "" {
		return "system"
	}
	return slug[:min(len(slug), maxName)]
}

// recoveryLife is how long a recovery key works.
const recoveryLife = time.Hour

// Recover makes a key that lasts an hour for an owner that exists, found by
// address in a workspace (empty: in the system workspace). It is for whoever
// holds the store itself, and stands in the audit log as Postern's own act.
func (s *Service) Recover(ctx context.Context, email, workspace string) (Done[Key], token.Secret, error) {
	secret, err := s.Mint.New(token.Person)
	if err != nil {
		return Done[Key]{}, token.Secret{}, err
	}
	c := Internal("recovery", audit.Source{})
	a := attempt{in: own, action: "key.created", target: audit.Target{Type: "key"}}
	done, err := do(ctx, s, c, a, func(w *work) (Key, error) {
		owner, err := w.ownerToRecover(email, workspace)
		if err != nil {
			return Key{}, err
		}
		name := fmt.Sprintf("recovery-%s-%d", w.Now().UTC().Format("20060102-150405"), w.Seq())
		return w.newKey(owner, NewKey{Name: name, Expiry: &Expiry{In: recoveryLife}}, secret)
	})
	if err != nil {
		return done, token.Secret{}, err
	}
	return done, secret, nil
}

func (w *work) ownerToRecover(email, workspace string) (Principal, error) {
	owners, err := w.OwnersByEmail(w.ctx, strings.ToLower(strings.TrimSpace(email)))
	if err != nil {
		return Principal{}, fmt.Errorf("look for owners: %w", err)
	}
	for _, m := range owners {
		ws, err := w.Workspace(w.ctx, string(m.Workspace))
		if err != nil {
			return Principal{}, fmt.Errorf("read an owner's workspace: %w", err)
		}
		if workspace == "" && ws.System || workspace == string(ws.ID) || workspace == ws.Slug {
			w.ws = ws
			return w.Principal(w.ctx, ws.ID, string(m.ID))
		}
	}
	return Principal{}, Errorf(NotFound, "no owner there has this address")
}

// Nobody is the fence of a process that holds the store alone and answers no
// verification, such as initialisation: there is nobody to wait for.
type Nobody struct{}

// Begin implements [Fence].
func (Nobody) Begin(seq int64) Waiting {
	return WaitFunc(func(context.Context, int64) (Receipt, error) {
		return Receipt{Revision: seq, Confirmed: true, By: ByAcked, Durability: Local}, nil
	}).Begin(seq)
}
