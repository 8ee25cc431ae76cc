package iam

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/token"
)

// NewRotation is what a rotation is started with.
type NewRotation struct {
	ExpiresIn  time.Duration // lifetime of the new key; zero: as long as the old one's
	QuietFor   time.Duration // zero: what the policy says, or twice the longest gap seen
	AutoRevoke bool          // revoke the old key as soon as that is safe
	Deadline   time.Time     // zero: none
}

// StartedRotation is a rotation that has just begun, and the key that it made.
type StartedRotation struct {
	Rotation JudgedRotation
	Key      Key
}

func (r StartedRotation) target() audit.Target { return r.Rotation.target() }

// StartRotation makes a second key that can do what an old one can, and returns its
// value, which is not kept. Both work until the rotation ends. It gives all that the
// new key holds.
func (s *Service) StartRotation(ctx context.Context, c Caller, ws string, id KeyID, in NewRotation) (Done[StartedRotation], token.Secret, error) {
	a := attempt{in: ws, action: "rotation.started", needs: WriteKeys, fresh: true, key: id, target: aim("key", string(id))}
	return s.startRotation(ctx, c, a, in, func(w *work) (Key, error) {
		old, err := w.key()
		if err != nil {
			return old, err
		}
		if old.Principal.Type == MemberType && old.Principal.ID != c.Principal.ID {
			return old, errOwnKeysOnly
		}
		return old, nil
	})
}

// errOwnKeysOnly is what somebody hears who asks for a new value of a person's key:
// whoever has it acts as that person.
var errOwnKeysOnly = &Error{
	Kind:   PermissionDenied,
	Reason: "a personal key is rotated by the person that it belongs to, and by nobody else",
}

// RotateSelf starts a rotation of the key that the caller holds. It needs no
// permission, if the policy allows it, and gives nothing that the key does not hold.
func (s *Service) RotateSelf(ctx context.Context, c Caller, in NewRotation) (Done[StartedRotation], token.Secret, error) {
	a := attempt{in: own, action: "rotation.started", target: aim("key", string(c.Key.ID))}
	return s.startRotation(ctx, c, a, in, func(w *work) (Key, error) {
		if !w.ws.Policy.SelfRotation {
			return Key{}, violates("self_rotation", "", "in this workspace a key does not rotate itself")
		}
		held := w.Found().Key
		if held == nil {
			return Key{}, errNoKey
		}
		old := *held
		w.event.Target = old.target()
		if longer := in.ExpiresIn > old.lifetime(); longer && !old.ExpiresAt.IsZero() && !w.may.Allow(WriteKeys) {
			return old, denied(WriteKeys) // a key that ends would otherwise extend itself
		}
		return old, nil
	})
}

// lifetime returns how long a key was made to work; zero: it does not end.
func (k Key) lifetime() time.Duration {
	if k.ExpiresAt.IsZero() {
		return 0
	}
	return k.ExpiresAt.Sub(k.CreatedAt)
}

func (s *Service) startRotation(ctx context.Context, c Caller, a attempt, in NewRotation, find func(*work) (Key, error)) (Done[StartedRotation], token.Secret, error) {
	var secret token.Secret
	done, err := do(ctx, s, c, a, func(w *work) (out StartedRotation, err error) {
		old, err := find(w)
		if err != nil {
			return out, err
		}
		if err := w.rotatable(old, in); err != nil {
			return out, err
		}
		if secret, err = s.Mint.New(kindOf(old.Principal)); err != nil {
			return out, err
		}
		if out.Key, err = w.successor(old, in, secret); err != nil {
			return out, err
		}
		out.Rotation, err = w.insertRotation(old, out.Key, in)
		out.Key.Rotation = out.Rotation.ID
		return out, err
	})
	if err != nil {
		return done, token.Secret{}, err
	}
	return done, secret, nil
}

func kindOf(p Principal) token.Kind {
	if p.Type == MemberType {
		return token.Person
	}
	return token.ServiceAccount
}

// rotatable returns an error unless a key can be rotated as is asked.
func (w *work) rotatable(old Key, in NewRotation) error {
	if err := w.notEnded(old); err != nil {
		return err
	}
	if err := w.possible(in.QuietFor, in.Deadline); err != nil {
		return err
	}
	switch state := old.State(w.Now()); {
	case old.Rotation != "":
		return Errorf(RotationInProgress, "the key takes part in the rotation %s already; finish or cancel that first", old.Rotation)
	case state == Expired:
		return Errorf(KeyRevoked, "the key has expired: create a new one")
	case state != Active:
		return Invalid("", "not_active", "the key is %s: resume it first, or create a new one", state)
	}
	return nil
}

// possible returns an error unless a rotation can have a quiet period and a
// deadline. Zero stands for none of them.
func (w *work) possible(quietFor time.Duration, deadline time.Time) error {
	var v validation
	if quietFor != 0 && (quietFor < time.Second || quietFor > maxQuietFor) {
		v.add("/quiet_for", "out_of_range", "must be between 1s and 30d")
	}
	if !deadline.IsZero() && !deadline.After(w.Now()) {
		v.add("/deadline", "in_the_past", "must be in the future")
	}
	if deadline.After(w.Now().Add(maxDays * day)) {
		v.add("/deadline", "out_of_range", "is more than a hundred years away; leave it out")
	}
	return v.err()
}

// successor makes the key that is to take the place of an old one: it has the same
// limit, networks and metadata, and lives as long from now.
func (w *work) successor(old Key, in NewRotation, secret token.Secret) (Key, error) {
	key, err := w.draftKey(old.Principal, secret)
	if err != nil {
		return key, err
	}
	key.Limit, key.AllowedNetworks, key.Metadata, key.Replaces = old.Limit, old.AllowedNetworks, old.Metadata, old.ID
	if key.Name, err = w.nextName(old); err != nil {
		return key, err
	}
	if key.ExpiresAt, err = w.inherited(old, in.ExpiresIn); err != nil {
		return key, err
	}
	return key, w.issueKey(key)
}

// inherited returns when the successor of a key ends: as asked, else after as long
// as the old key was to live, as far as the policy allows.
func (w *work) inherited(old Key, asked time.Duration) (time.Time, error) {
	if asked != 0 {
		return w.expiry(Expiry{In: asked}, old.Principal.Type, w.Now())
	}
	e := Expiry{In: old.lifetime()}
	most := w.ws.Policy.AccountKeyMaxDays
	if old.Principal.Type == MemberType {
		most = w.ws.Policy.MemberKeyMaxDays
	}
	if most != nil {
		if longest := time.Duration(*most) * day; e.In == 0 || e.In > longest {
			e.In = longest
		}
	}
	return w.expiry(e, old.Principal.Type, w.Now())
}

// namesTried is how many names are tried for the successor of a key.
const namesTried = 100

// nextName returns a name for the successor of a key that none of its owner's keys
// has or had.
func (w *work) nextName(old Key) (string, error) {
	base, n := nameAfter(old.Name, w.Now())
	for last := n + namesTried; n < last; n++ {
		name := numbered(base, n)
		same, err := w.Keys(w.ctx, w.ws.ID, KeyFilter{Principal: old.Principal.ID, Name: name, Now: w.Now()}, Page{Limit: 1})
		if err != nil {
			return "", fmt.Errorf("look for a free name: %w", err)
		}
		if len(same.Items) == 0 {
			return name, nil
		}
	}
	return "", Errorf(NameTaken, "there are too many keys named like %q; rename one", base)
}

var (
	datedName    = regexp.MustCompile(`^((?:.*-)?)(\d{4}-(?:0[1-9]|1[0-2]))(?:-(\d{1,6}))?$`)
	numberedName = regexp.MustCompile(`^(.+)-(\d{1,6})$`)
)

// nameAfter returns what the name of a key's successor begins with, and the number
// to try first: a month in it becomes the present one, a number the next.
func nameAfter(name string, now time.Time) (base string, n int) {
	month := now.UTC().Format("2006-01")
	if m := datedName.FindStringSubmatch(name); m != nil {
		if m[2] != month {
			return m[1] + month, 1
		}
		n, _ = strconv.Atoi(m[3]) // none is 0
		return m[1] + month, max(n, 1) + 1
	}
	if m := numberedName.FindStringSubmatch(name); m != nil {
		n, _ = strconv.Atoi(m[2]) // digits only, and few
		return m[1], n + 1
	}
	return name, 2
}

// numbered returns a name with a number, the first without, cut to the length that
// a name may have.
func numbered(base string, n int) string {
	suffix := ""
	if n > 1 {
		suffix = "-" + strconv.Itoa(n)
	}
	letters := []rune(base)
	return string(letters[:min(len(letters), maxName-len(suffix))]) + suffix
}

// insertRotation begins a rotation between two keys.
func (w *work) insertRotation(old, fresh Key, in NewRotation) (JudgedRotation, error) {
	e, err := w.Evidence(w.ctx, w.ws.ID, old.ID, fresh.ID)
	if err != nil {
		return JudgedRotation{}, fmt.Errorf("read how the key is used: %w", err)
	}
	owner := old.Principal
	owner.Role = PrincipalRole{}
	r := Rotation{
		ID: RotationID(NewID(RotationPrefix, w.Now())), Workspace: w.ws.ID, Principal: owner,
		Old: rotated(old), New: rotated(fresh), State: WaitingForFirstUse,
		QuietFor: in.QuietFor, Learnt: in.QuietFor == 0, AutoRevoke: in.AutoRevoke,
		Deadline: in.Deadline.UTC().Truncate(time.Microsecond), StartedAt: w.Now(), StartedBy: w.caller.createdBy(), Version: w.Seq(),
	}
	if r.Learnt {
		if r.QuietFor, err = w.learnt(e); err != nil {
			return JudgedRotation{}, err
		}
	}
	w.issued = string(r.ID)
	w.event.Target, w.event.After = r.target(), r.fields()
	w.further = append(w.further, audit.Event{
		Action: "key.created", Outcome: audit.Done, Target: fresh.target(), After: fresh.fields(),
	})
	if err := w.InsertRotation(w.ctx, r); err != nil {
		return JudgedRotation{}, err
	}
	return JudgedRotation{r, r.judge(e, w.Now())}, nil
}

// learnt returns for how long the old key of a rotation must be quiet where nobody
// says.
func (w *work) learnt(e Evidence) (time.Duration, error) {
	policy, err := ParseDuration(w.ws.Policy.QuietFor)
	if err != nil {
		return 0, fmt.Errorf("read the policy's quiet_for: %w", err)
	}
	return learnQuietFor(policy, e.LongestGap), nil
}

func rotated(k Key) RotatedKey {
	out := RotatedKey{ID: k.ID, Name: k.Name, Hint: k.Hint, ExpiresAt: k.ExpiresAt, Pauses: k.Pauses}
	if k.Revoked != nil {
		out.RevokedAt = k.Revoked.At
	}
	return out
}
