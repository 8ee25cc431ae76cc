package iam

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/token"
)

// The states of a device that asks to act for a member.
const (
	DevicePending  = "pending"
	DeviceApproved = "approved"
	DeviceDenied   = "denied"
	DeviceUsed     = "used"
)

// DeviceLife is for how long a device may ask.
const DeviceLife = 10 * time.Minute

// Device is a program without a browser that asks to act for a member (RFC 8628).
type Device struct {
	Hash      token.Hash `json:"-"` // of the device code
	UserCode  string     // eight letters, as they are compared
	Name      string     // what it calls itself, such as its host
	Source    audit.Source
	CreatedAt time.Time
	ExpiresAt time.Time
	PolledAt  time.Time
	State     string
	SignIn    SignInID // that approved or denied it
	Workspace WorkspaceID
	Principal PrincipalID
}

func (d Device) target() audit.Target {
	return audit.Target{Type: "device", ID: d.UserCode, Name: d.Name}
}

var (
	errNoDevice   = Errorf(NotFound, "nothing asks with this code, or it is over")
	errPending    = Errorf(AuthorizationPending, "nobody has approved this yet")
	errNotAllowed = Errorf(AccessDenied, "this was refused")
	errCodeOver   = Errorf(ExpiredToken, "this code is over")

	// ErrNoGrant says that a device's code does not exist, or no longer: it was used,
	// or it has been over for a while.
	ErrNoGrant = Errorf(ExpiredToken, "this code does not exist, was used, or is over")
)

// Device returns the device that asks with a code, for the person who is to approve it.
func (s *Service) Device(ctx context.Context, c Caller, userCode string) (Device, error) {
	if _, err := s.person(ctx, c); err != nil {
		return Device{}, err
	}
	d, err := s.Store.DeviceByCode(ctx, userCode)
	if errors.Is(err, NotFound) || err == nil && (d.State == DeviceUsed || !s.Now().Before(d.ExpiresAt)) {
		return Device{}, errNoDevice
	}
	return d, err
}

// AnswerDevice approves the device that asks with a code, which then gets a personal
// key of the calling member, or refuses it.
func (s *Service) AnswerDevice(ctx context.Context, c Caller, userCode string, approve bool) (Done[Device], error) {
	a := attempt{in: own, action: "device.denied", person: true}
	if approve {
		a.action, a.fresh = "device.approved", true
	}
	return do(ctx, s, c, a, func(w *work) (Device, error) {
		d, err := w.DeviceByCode(ctx, userCode)
		if errors.Is(err, NotFound) || err == nil && (d.State != DevicePending || !w.Now().Before(d.ExpiresAt)) {
			return Device{}, errNoDevice
		} else if err != nil {
			return d, fmt.Errorf("look up a device: %w", err)
		}
		d.State, d.SignIn, d.Workspace, d.Principal = DeviceDenied, c.Session, w.ws.ID, c.Principal.ID
		if approve {
			d.State = DeviceApproved
		}
		w.event.After = audit.Fields{"name": d.Name, "ip": d.Source.IP, "user_agent": d.Source.UserAgent}
		return d, w.UpdateDevice(ctx, d)
	})
}

// DeviceKey is the key that an approved device gets.
type DeviceKey struct {
	Key       Key
	Workspace Workspace
}

func (d DeviceKey) target() audit.Target { return d.Key.target() }

// UseDevice makes the key of an approved device and returns its value, once. Whoever
// approved it must still be signed in, and still be a member.
func (s *Service) UseDevice(ctx context.Context, c Caller, code token.Secret) (Done[DeviceKey], token.Secret, error) {
	secret, err := s.Mint.New(token.Person)
	if err != nil {
		return Done[DeviceKey]{}, token.Secret{}, err
	}
	c = Caller{Source: c.Source, RequestID: c.RequestID, Prefer: c.Prefer}
	a := attempt{in: own, action: "key.created", open: true, target: audit.Target{Type: "key"}}
	done, err := do(ctx, s, c, a, func(w *work) (out DeviceKey, err error) {
		d, err := w.Device(ctx, code.Hash())
		if err := d.usable(err, w.Now()); err != nil {
			return out, err
		}
		p, err := w.approver(d)
		if err != nil {
			return out, err
		}
		w.caller.Workspace, w.caller.Principal, w.may = Ref[WorkspaceID]{w.ws.ID, w.ws.Slug}, p, p.Role.Permissions
		name, err := w.deviceKeyName(p, d)
		if err != nil {
			return out, err
		}
		d.State, out.Workspace = DeviceUsed, w.ws
		if err := w.UpdateDevice(ctx, d); err != nil {
			return out, fmt.Errorf("use up a device's code: %w", err)
		}
		out.Key, err = w.newKey(p, NewKey{Name: name}, secret)
		return out, err
	})
	if err != nil {
		return done, token.Secret{}, err
	}
	return done, secret, nil
}

// usable says in the words of RFC 8628, section 3.5, why a device gets no key.
func (d Device) usable(err error, now time.Time) error {
	switch {
	case errors.Is(err, NotFound):
		return ErrNoGrant
	case err != nil:
		return fmt.Errorf("look up a device: %w", err)
	case d.State == DeviceUsed:
		return ErrNoGrant
	case !now.Before(d.ExpiresAt):
		return errCodeOver
	case d.State == DevicePending:
		return errPending
	case d.State != DeviceApproved:
		return errNotAllowed
	}
	return nil
}

// Usable is what a device hears that asks how it stands.
func (d Device) Usable(now time.Time) error { return d.usable(nil, now) }

// approver returns who approved a device, as the rows have them now.
func (w *work) approver(d Device) (Principal, error) {
	in, err := w.SignIn(w.ctx, d.SignIn)
	if err != nil {
		return Principal{}, fmt.Errorf("read who approved a device: %w", err)
	}
	p, err := w.Principal(w.ctx, d.Workspace, string(d.Principal))
	if err != nil {
		return p, fmt.Errorf("read who approved a device: %w", err)
	}
	if w.ws, err = w.Workspace(w.ctx, string(d.Workspace)); err != nil {
		return p, fmt.Errorf("read where a device was approved: %w", err)
	}
	if !in.Works(w.Now()) || p.State != Active || w.ws.Paused {
		return p, errNotAllowed
	}
	return p, nil
}

// deviceKeyName returns a name for the key of a device that the member's keys do not
// have.
func (w *work) deviceKeyName(p Principal, d Device) (string, error) {
	const longest = 32 // characters of what the device calls itself
	fit := strings.Map(func(r rune) rune {
		if r == '/' || isControl(r) || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, d.Name)
	if runes := []rune(fit); len(runes) > longest {
		fit = string(runes[:longest])
	}
	name := strings.Join(strings.Fields("cli "+fit+" "+w.Now().UTC().Format("2006-01-02")), " ")
	list, err := w.Keys(w.ctx, w.ws.ID, KeyFilter{Principal: p.ID, Name: name, Now: w.Now()}, Page{Limit: 1})
	if err != nil {
		return name, fmt.Errorf("look whether a name is free: %w", err)
	}
	if len(list.Items) > 0 {
		name = fmt.Sprintf("%s #%d", name, w.Seq())
	}
	return name, nil
}
