package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"

	"github.com/posternhq/postern/internal/iam"
)

// Snapshot implements [iam.Store].
func (s *Store) Snapshot(ctx context.Context, sink iam.Sink) (iam.Position, error) {
	at, err := s.snapshot(ctx, sink)
	return at, s.explain(ctx, err)
}

func (s *Store) snapshot(ctx context.Context, sink iam.Sink) (iam.Position, error) {
	var at iam.Position
	var reader int64
	position := statement{
		text: `SELECT seq, chain, time, reader FROM head`,
		scan: func(row scanner) error { return row.Scan(&at.Seq, chain(&at.Chain), instant{&at.Time}, &reader) },
	}
	tx, err := s.db.begin(ctx, reading, append(s.words.unhurried, position)...)
	if err != nil {
		return at, fmt.Errorf("begin a snapshot: %w", err)
	}
	defer tx.rollback()
	if reader > iam.ReaderVersion {
		return at, fmt.Errorf("the database holds changes that need reader version %d, this program has %d", reader, iam.ReaderVersion)
	}
	for _, part := range []func(context.Context, transaction, iam.Sink) error{
		streamWorkspaces, streamRoles, streamPrincipals, streamKeys, streamSessions,
	} {
		if err := part(ctx, tx, sink); err != nil {
			return at, fmt.Errorf("snapshot at %d: %w", at.Seq, err)
		}
	}
	return at, nil
}

// stream reads the rows of a query into dest, one after the other, and calls
// take after each.
func stream(ctx context.Context, tx transaction, query string, take func() error, dest ...any) (err error) {
	found, err := tx.query(ctx, query)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, found.Close()) }()
	for found.Next() {
		if err := found.Scan(dest...); err != nil {
			return err
		}
		if err := take(); err != nil {
			return err
		}
	}
	return found.Err()
}

func streamWorkspaces(ctx context.Context, tx transaction, sink iam.Sink) error {
	var w iam.WorkspaceRecord
	var policy string
	return stream(ctx, tx, `SELECT id, slug, system, paused, policy FROM workspaces`, func() error {
		var p iam.Policy
		if err := json.Unmarshal([]byte(policy), &p); err != nil {
			return fmt.Errorf("policy of %s: %w", w.ID, err)
		}
		w.Reveal = p.RevealRefusalReason
		return sink.Workspace(w)
	}, text(&w.ID), &w.Slug, yes{&w.System}, yes{&w.Paused}, &policy)
}

func streamRoles(ctx context.Context, tx transaction, sink iam.Sink) error {
	var r iam.RoleRecord
	return stream(ctx, tx, `SELECT id, workspace_id, name, permissions FROM roles WHERE deleted = 0`, func() error {
		return sink.Role(r)
	}, text(&r.ID), text(&r.Workspace), &r.Name, decode(&r.Permissions))
}

func streamPrincipals(ctx context.Context, tx transaction, sink iam.Sink) error {
	var p iam.PrincipalRecord
	return stream(ctx, tx, `SELECT id, type, workspace_id, name, state, role_id FROM principals`, func() error {
		return sink.Principal(p)
	}, text(&p.ID), text(&p.Type), text(&p.Workspace), &p.Name, text(&p.State), text(&p.Role))
}

// streamKeys reads plain texts and numbers, which both drivers hand over fastest:
// there may be millions of keys, and a node does not answer before it has them.
func streamKeys(ctx context.Context, tx transaction, sink iam.Sink) error {
	var k iam.KeyRecord
	var id, principal, hash, limit, networks string
	var paused, revoked int64
	limits := map[string]*iam.Permissions{} // many keys have the same few
	return stream(ctx, tx, `
		SELECT id, principal_id, name, hash, COALESCE(permission_limit, ''), COALESCE(allowed_networks, ''),
			COALESCE(expires_at, 0), CASE WHEN pauses = '' THEN 0 ELSE 1 END, CASE WHEN revoked_at IS NULL THEN 0 ELSE 1 END
		FROM keys`, func() (err error) {
		k.ID, k.Principal, k.Paused, k.Revoked = iam.KeyID(id), iam.PrincipalID(principal), paused == 1, revoked == 1
		if err := k.Hash.UnmarshalText([]byte(hash)); err != nil {
			return fmt.Errorf("key %s: %w", id, err)
		}
		if k.Limit, err = limitOf(limits, limit); err != nil {
			return fmt.Errorf("limit of key %s: %w", id, err)
		}
		if k.Networks, err = networksOf(networks); err != nil {
			return fmt.Errorf("networks of key %s: %w", id, err)
		}
		return sink.Key(k)
	}, &id, &principal, &k.Name, &hash, &limit, &networks, &k.Expires, &paused, &revoked)
}

// streamSessions leaves out those that are over: nobody would tell one of them from
// one that never was.
func streamSessions(ctx context.Context, tx transaction, sink iam.Sink) error {
	k := iam.KeyRecord{Session: true}
	var id, principal, hash string
	return stream(ctx, tx, `
		SELECT s.sign_in_id, s.principal_id, s.hash, g.expires_at
		FROM sessions s JOIN sign_ins g ON g.id = s.sign_in_id
		WHERE g.ended_at IS NULL AND g.expires_at > (SELECT time FROM head)`, func() error {
		k.ID, k.Principal = iam.KeyID(id), iam.PrincipalID(principal)
		if err := k.Hash.UnmarshalText([]byte(hash)); err != nil {
			return fmt.Errorf("session %s: %w", id, err)
		}
		return sink.Key(k)
	}, &id, &principal, &hash, &k.Expires)
}

func limitOf(known map[string]*iam.Permissions, text string) (*iam.Permissions, error) {
	if text == "" {
		return nil, nil
	}
	if limit := known[text]; limit != nil {
		return limit, nil
	}
	limit := new(iam.Permissions)
	if err := json.Unmarshal([]byte(text), limit); err != nil {
		return nil, err
	}
	known[text] = limit
	return limit, nil
}

func networksOf(text string) ([]netip.Prefix, error) {
	if text == "" {
		return nil, nil
	}
	var networks []netip.Prefix
	err := json.Unmarshal([]byte(text), &networks)
	return networks, err
}
