package relay_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

var began = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// id returns id number n of a prefix.
func id(prefix string, n int) string {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:8], uint64(began.UnixMilli())<<16)
	binary.BigEndian.PutUint64(raw[8:], uint64(n))
	return iam.FormatID(prefix, raw)
}

var operator = iam.NewPermissions(iam.Grant{Type: "*", Action: "read"}, iam.Grant{Type: "*", Action: "execute"})

func workspaceRecord() iam.WorkspaceRecord {
	return iam.WorkspaceRecord{ID: iam.WorkspaceID(id(iam.WorkspacePrefix, 0)), Slug: "acme", Reveal: true}
}

func roleRecord() iam.RoleRecord {
	return iam.RoleRecord{ID: iam.RoleID(id(iam.RolePrefix, 0)), Workspace: workspaceRecord().ID, Name: "operator", Permissions: operator}
}

func principalRecord(n int) iam.PrincipalRecord {
	return iam.PrincipalRecord{
		ID: iam.PrincipalID(id(iam.ServiceAccountPrefix, n)), Type: iam.ServiceAccountType, Workspace: workspaceRecord().ID,
		Name: fmt.Sprintf("support-bot-%d", n), State: iam.Active, Role: roleRecord().ID,
	}
}

func keyRecord(n, principals int) iam.KeyRecord {
	var hash token.Hash
	binary.BigEndian.PutUint64(hash[:], uint64(n)*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(hash[24:], uint64(n)+1) // no hash is nothing but zeros
	return iam.KeyRecord{
		ID: iam.KeyID(id(iam.KeyPrefix, n)), Principal: iam.PrincipalID(id(iam.ServiceAccountPrefix, n%principals)),
		Name: fmt.Sprintf("prod-2026-%02d", n%12+1), Hash: hash, Expires: began.AddDate(1, 0, 0).UnixMicro(),
	}
}

// snapshot is a sink that keeps what it is given, and pours it out again.
type snapshot struct {
	workspaces []iam.WorkspaceRecord
	roles      []iam.RoleRecord
	principals []iam.PrincipalRecord
	keys       []iam.KeyRecord
}

func (s *snapshot) Workspace(rec iam.WorkspaceRecord) error {
	s.workspaces = append(s.workspaces, rec)
	return nil
}

func (s *snapshot) Role(rec iam.RoleRecord) error {
	s.roles = append(s.roles, rec)
	return nil
}

func (s *snapshot) Principal(rec iam.PrincipalRecord) error {
	s.principals = append(s.principals, rec)
	return nil
}

func (s *snapshot) Key(rec iam.KeyRecord) error {
	if rec.Networks != nil {
		rec.Networks = append([]netip.Prefix{}, slices.Clone(rec.Networks)...) // the list is the caller's
	}
	s.keys = append(s.keys, rec)
	return nil
}

func (s *snapshot) pour(sink iam.Sink) error {
	for _, rec := range s.workspaces {
		if err := sink.Workspace(rec); err != nil {
			return err
		}
	}
	for _, rec := range s.roles {
		if err := sink.Role(rec); err != nil {
			return err
		}
	}
	for _, rec := range s.principals {
		if err := sink.Principal(rec); err != nil {
			return err
		}
	}
	for _, rec := range s.keys {
		if err := sink.Key(rec); err != nil {
			return err
		}
	}
	return nil
}
