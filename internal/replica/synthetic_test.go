package replica

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// synthetic is a deployment of a given size: one workspace, its built-in roles,
// service accounts that are operators, and their keys, spread over them evenly.
// It is the snapshot of itself.
type synthetic struct {
	workspace  iam.WorkspaceRecord
	roles      []iam.RoleRecord
	principals []iam.PrincipalRecord
	keys       []iam.KeyRecord
}

// epoch is when synthetic time begins.
var epoch = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// testID returns id number n of a prefix.
func testID(prefix string, n int) string {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], uint64(epoch.UnixMilli())<<16)
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return iam.FormatID(prefix, id)
}

// keyText returns the text of key n. It is well-formed, so that it can be parsed.
func keyText(n int) string {
	secret, err := token.Mint{Rand: numbered(n)}.New(token.ServiceAccount)
	if err != nil {
		panic(err)
	}
	return secret.Reveal()
}

// numbered is a reader of bytes that differ for each number, and no randomness.
type numbered int

func (n numbered) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	copy(p, fmt.Sprintf("%09d", int(n)))
	return len(p), nil
}

func newSynthetic(keys, accounts int) *synthetic {
	s := &synthetic{
		workspace:  iam.WorkspaceRecord{ID: iam.WorkspaceID(testID(iam.WorkspacePrefix, 0)), Slug: "acme"},
		principals: make([]iam.PrincipalRecord, 0, accounts),
		keys:       make([]iam.KeyRecord, 0, keys),
	}
	for i, r := range iam.BuiltInRoles() {
		s.roles = append(s.roles, iam.RoleRecord{
			ID: iam.RoleID(testID(iam.RolePrefix, i)), Workspace: s.workspace.ID, Name: r.Name, Permissions: r.Permissions,
		})
	}
	for i := range accounts {
		s.principals = append(s.principals, iam.PrincipalRecord{
			ID: iam.PrincipalID(testID(iam.ServiceAccountPrefix, i)), Type: iam.ServiceAccountType, Workspace: s.workspace.ID,
			Name: fmt.Sprintf("support-bot-%d", i), State: iam.Active, Role: s.roles[1].ID,
		})
	}
	for i := range keys {
		s.keys = append(s.keys, s.key(i))
	}
	return s
}

// key returns the record of key n, which may lie beyond those in the snapshot.
func (s *synthetic) key(n int) iam.KeyRecord {
	return iam.KeyRecord{
		ID: iam.KeyID(testID(iam.KeyPrefix, n)), Principal: s.principals[n%len(s.principals)].ID,
		Name: fmt.Sprintf("prod-2026-%02d", n%12+1), Hash: token.NewSecret(keyText(n)).Hash(),
		Expires: epoch.AddDate(1, 0, 0).UnixMicro(),
	}
}

func (s *synthetic) Changes(context.Context, iam.Position, int) ([]iam.Change, iam.Position, error) {
	return nil, iam.Position{}, iam.Unavailable
}

func (s *synthetic) Snapshot(_ context.Context, sink iam.Sink) (iam.Position, error) {
	at := iam.Position{Seq: 1, Time: epoch}
	if err := sink.Workspace(s.workspace); err != nil {
		return at, err
	}
	if err := each(s.roles, sink.Role); err != nil {
		return at, err
	}
	if err := each(s.principals, sink.Principal); err != nil {
		return at, err
	}
	return at, each(s.keys, sink.Key)
}
