package iam

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"github.com/posternhq/postern/internal/token"
)

// ReaderVersion is the version of changes that this program reads. A change says
// the lowest version that can read it; a replica that meets a higher one stops
// answering rather than guess. Version 2 has sessions.
const (
	ReaderVersion  = 2
	withoutSession = 1
)

// Change is all that one transaction changed, as far as verification needs it.
// Replicas apply it whole or not at all. Each record replaces what was known of
// the same id; a change without records only moves the number on.
type Change struct {
	Seq  int64     `json:"-"` // the revision: gapless, totally ordered
	Time time.Time `json:"-"` // of the database, never before that of an earlier change

	Reader     int               `json:"reader"`
	Workspaces []WorkspaceRecord `json:"workspaces,omitempty"`
	Roles      []RoleRecord      `json:"roles,omitempty"`
	Principals []PrincipalRecord `json:"principals,omitempty"`
	Keys       []KeyRecord       `json:"keys,omitempty"`
}

// LowestReader returns the lowest version that can read c.
func (c Change) LowestReader() int {
	if slices.ContainsFunc(c.Keys, func(k KeyRecord) bool { return k.Session }) {
		return ReaderVersion
	}
	return withoutSession
}

// WorkspaceRecord is what verification knows of a workspace.
type WorkspaceRecord struct {
	ID     WorkspaceID `json:"id"`
	Slug   string      `json:"slug"`
	System bool        `json:"system,omitempty"`
	Paused bool        `json:"paused,omitempty"`
	Reveal bool        `json:"reveal,omitempty"` // its policy lets doors tell the holder why
}

// RoleRecord is what verification knows of a role.
type RoleRecord struct {
	ID          RoleID      `json:"id"`
	Workspace   WorkspaceID `json:"workspace"`
	Name        string      `json:"name"`
	Permissions Permissions `json:"permissions"`
	Deleted     bool        `json:"deleted,omitempty"`
}

// PrincipalRecord is what verification knows of a member or a service account.
type PrincipalRecord struct {
	ID        PrincipalID   `json:"id"`
	Type      PrincipalType `json:"type"`
	Workspace WorkspaceID   `json:"workspace"`
	Name      string        `json:"name"`
	State     State         `json:"state"` // active, paused, inactive or removed
	Role      RoleID        `json:"role"`
}

// KeyRecord is what verification knows of a key, or of a session. It holds the
// hash, never the value, and nothing that a reader of memory could sign in with.
type KeyRecord struct {
	ID        KeyID          `json:"id"` // of a session, that of its sign-in
	Session   bool           `json:"session,omitempty"`
	Principal PrincipalID    `json:"principal"`
	Name      string         `json:"name"`
	Hash      token.Hash     `json:"hash"`
	Limit     *Permissions   `json:"limit,omitempty"`    // nil: all that the role allows
	Networks  []netip.Prefix `json:"networks,omitempty"` // nil: from anywhere
	Expires   int64          `json:"expires,omitempty"`  // microseconds since 1970; 0: never
	Paused    bool           `json:"paused,omitempty"`
	Revoked   bool           `json:"revoked,omitempty"`
}

// Payload returns the text that the change log keeps of c.
func (c Change) Payload() (string, error) {
	c.Reader = c.LowestReader()
	text, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("encode change: %w", err)
	}
	return string(text), nil
}

// ParseChange reads a payload. A field or a version that this program does not
// know is an error: what cannot be read must not be half applied.
func ParseChange(payload string) (Change, error) {
	var c Change
	dec := json.NewDecoder(bytes.NewReader([]byte(payload)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return Change{}, fmt.Errorf("read change: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Change{}, errors.New("read change: there is something after it")
	}
	if c.Reader < 1 || c.Reader > ReaderVersion {
		return Change{}, fmt.Errorf("read change: it needs reader version %d, this program has %d", c.Reader, ReaderVersion)
	}
	return c, nil
}

// Chain is the running hash over the change log: SHA-256 of the chain before,
// the number as eight bytes, big-endian, and the payload.
type Chain [sha256.Size]byte

// Next returns the chain after one more change.
func (ch Chain) Next(seq int64, payload string) Chain {
	h := sha256.New()
	h.Write(ch[:])
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(seq)))
	h.Write([]byte(payload))
	return Chain(h.Sum(nil))
}

func (w Workspace) record() WorkspaceRecord {
	return WorkspaceRecord{ID: w.ID, Slug: w.Slug, System: w.System, Paused: w.Paused, Reveal: w.Policy.RevealRefusalReason}
}

func (r Role) record() RoleRecord {
	return RoleRecord{ID: r.ID, Workspace: r.Workspace, Name: r.Name, Permissions: r.Permissions}
}

func (a ServiceAccount) record() PrincipalRecord {
	return PrincipalRecord{
		ID: a.ID, Type: ServiceAccountType, Workspace: a.Workspace,
		Name: a.Name, State: a.State(), Role: a.Role.ID,
	}
}

func (m Member) record() PrincipalRecord {
	return PrincipalRecord{
		ID: m.ID, Type: MemberType, Workspace: m.Workspace,
		Name: m.Name, State: m.State(), Role: m.Role.ID,
	}
}

func (k Key) record() KeyRecord {
	rec := KeyRecord{
		ID: k.ID, Principal: k.Principal.ID, Name: k.Name, Hash: k.Hash,
		Limit: k.Limit, Networks: k.AllowedNetworks,
		Paused: k.Pauses != "", Revoked: k.Revoked != nil,
	}
	if !k.ExpiresAt.IsZero() {
		rec.Expires = k.ExpiresAt.UnixMicro()
	}
	return rec
}
