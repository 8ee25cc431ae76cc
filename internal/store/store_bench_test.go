package store_test

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/store"
	"github.com/posternhq/postern/internal/store/storetest"
	"github.com/posternhq/postern/internal/token"
)

// onEach runs a benchmark on both databases.
func onEach(b *testing.B, bench func(b *testing.B, url string)) {
	b.Run("SQLite", func(b *testing.B) { bench(b, storetest.SQLite(b)) })
	b.Run("PostgreSQL", func(b *testing.B) { bench(b, storetest.Postgres(b)) })
}

// pairs times two things in turn, each as often as the other, and reports the
// median of each and the ratio of the medians.
func pairs(b *testing.B, ours, bare func()) {
	b.Helper()
	timed := func(f func()) time.Duration {
		began := time.Now()
		f()
		return time.Since(began)
	}
	var all, base []time.Duration
	for b.Loop() {
		all, base = append(all, timed(ours)), append(base, timed(bare))
	}
	slices.Sort(all)
	slices.Sort(base)
	a, z := all[len(all)/2], base[len(base)/2]
	b.ReportMetric(float64(a.Microseconds()), "µs/ours")
	b.ReportMetric(float64(z.Microseconds()), "µs/bare")
	b.ReportMetric(float64(a)/float64(z), "ratio")
}

// BenchmarkCreateKey compares all that the creation of a key asks of the store
// with one durable commit of one row in a database beside it.
func BenchmarkCreateKey(b *testing.B) {
	onEach(b, func(b *testing.B, url string) {
		s := open(b, url, store.Options{})
		w := seed(b, s)
		if strings.HasPrefix(url, "sqlite:") {
			url += "-bare" // another writer in the file would empty the cache of the store's
		}
		db := raw(b, url)
		db.SetMaxOpenConns(1)
		if strings.HasPrefix(url, "sqlite:") {
			disturb(b, db, `PRAGMA journal_mode = WAL`, `PRAGMA synchronous = FULL`)
		}
		disturb(b, db, `CREATE TABLE bare (id TEXT NOT NULL PRIMARY KEY, body TEXT NOT NULL)`)
		insert, err := db.PrepareContext(b.Context(), `INSERT INTO bare (id, body) VALUES ($1, $2)`)
		if err != nil {
			b.Fatal(err)
		}
		body := strings.Repeat("x", 200)
		pairs(b, func() { w.createKey(b, s) }, func() {
			if _, err := insert.ExecContext(b.Context(), iam.NewID("x_", time.Now()), body); err != nil {
				b.Fatal(err)
			}
		})
	})
}

// seeded is a workspace with an account and a key that makes others.
type seeded struct {
	ws      iam.Workspace
	role    iam.Role
	account iam.ServiceAccount
	key     iam.Key
	n       int
}

func seed(b *testing.B, s iam.Store) *seeded {
	b.Helper()
	now := time.Now()
	grants, err := iam.ParsePermissions("", []string{"*:read", "*:execute"})
	if err != nil {
		b.Fatal(err)
	}
	maker := iam.Actor{Actor: audit.Actor{Type: audit.System, ID: "system", Name: "bench"}}
	w := &seeded{ws: iam.Workspace{
		ID: iam.WorkspaceID(iam.NewID(iam.WorkspacePrefix, now)), Name: "Acme", Slug: "acme", Policy: iam.ShippedPolicy(), CreatedAt: now,
	}}
	w.role = iam.Role{
		ID: iam.RoleID(iam.NewID(iam.RolePrefix, now)), Workspace: w.ws.ID, Name: "operator", Permissions: grants, CreatedAt: now,
	}
	w.account = iam.ServiceAccount{
		ID: iam.PrincipalID(iam.NewID(iam.ServiceAccountPrefix, now)), Workspace: w.ws.ID, Name: "support-bot-prod",
		Role: iam.Ref[iam.RoleID]{ID: w.role.ID}, CreatedAt: now, CreatedBy: maker,
	}
	w.key = w.newKey("first")
	w.key.CreatedBy = maker
	_, err = s.Change(b.Context(), iam.First{}, func(tx iam.Tx) (iam.Change, error) {
		return iam.Change{}, errors.Join(tx.InsertWorkspace(b.Context(), w.ws), tx.InsertRole(b.Context(), w.role),
			tx.InsertServiceAccount(b.Context(), w.account), tx.InsertKey(b.Context(), w.key))
	})
	if err != nil {
		b.Fatal(err)
	}
	return w
}

func (w *seeded) newKey(name string) iam.Key {
	now := time.Now()
	id := iam.NewID(iam.KeyPrefix, now)
	return iam.Key{
		ID: iam.KeyID(id), Workspace: w.ws.ID, Principal: iam.Principal{ID: w.account.ID}, Name: name,
		Hash: token.NewSecret(id).Hash(), Hint: "pst_sa_7Qm2…x9Kd", CreatedAt: now, ExpiresAt: now.AddDate(1, 0, 0),
		CreatedByKey: w.key.ID,
	}
}

// createKey asks the store for what iam.Service does when a key is made: it reads
// the replay, the caller, its workspace and the owner, and writes the key, the
// change, the event and the replay.
func (w *seeded) createKey(b *testing.B, s iam.Store) {
	b.Helper()
	w.n++
	k := w.newKey(fmt.Sprint("prod-", w.n))
	first := iam.First{
		Workspace: w.ws.ID, Key: w.key.ID, Principal: w.account.Name,
		Replay: &iam.Idempotency{Scope: string(w.key.ID) + " POST /v1/keys", Key: k.Name},
	}
	_, err := s.Change(b.Context(), first, func(tx iam.Tx) (iam.Change, error) {
		found := tx.Found()
		if found.Principal == nil || found.Replay != nil {
			return iam.Change{}, fmt.Errorf("found %+v, want a principal and no replay", found)
		}
		caller := found.Key
		e := audit.Event{
			ID: iam.NewID(iam.EventPrefix, tx.Now()), Workspace: string(w.ws.ID), At: tx.Now(),
			Actor:  audit.Actor{Type: audit.ServiceAccount, ID: string(caller.Principal.ID), Name: caller.Principal.Name},
			Action: "key.created", Target: audit.Target{Type: "key", ID: string(k.ID), Name: k.Name}, Outcome: audit.Done,
			Key: &audit.Ref{ID: string(caller.ID), Name: caller.Name}, Source: audit.Source{IP: "192.0.2.7", UserAgent: "curl/8", Node: "n1"},
			RequestID: iam.NewID(iam.RequestPrefix, tx.Now()), After: audit.Fields{"name": k.Name, "expires_at": "2027-01-01T00:00:00Z"},
		}
		replay := iam.Replay{
			Scope: string(w.key.ID) + " POST /v1/keys", Key: k.Name, Result: `{"ID":"x"}`, Object: string(k.ID), Revision: tx.Seq(), At: tx.Now(),
		}
		record := iam.KeyRecord{ID: k.ID, Principal: w.account.ID, Name: k.Name, Hash: k.Hash, Expires: k.ExpiresAt.UnixMicro()}
		return iam.Change{Keys: []iam.KeyRecord{record}},
			errors.Join(tx.InsertKey(b.Context(), k), tx.AppendEvent(b.Context(), e), tx.Remember(b.Context(), replay))
	})
	if err != nil {
		b.Fatal(err)
	}
}

const million = 1_000_000

// BenchmarkSnapshot compares a snapshot of a million keys that ends up in a map
// with reading the same rows into a plain map.
func BenchmarkSnapshot(b *testing.B) {
	onEach(b, func(b *testing.B, url string) {
		s := open(b, url, store.Options{})
		w := seed(b, s)
		db := raw(b, url)
		fill(b, db, w)
		pairs(b, func() {
			sink := mapSink{make(map[token.Hash]iam.KeyRecord, million)}
			if _, err := s.Snapshot(b.Context(), sink); err != nil || len(sink.keys) != million+1 {
				b.Fatal(len(sink.keys), err)
			}
		}, func() { readRows(b, db) })
	})
}

// fill makes a million keys, of which every tenth is limited.
func fill(b *testing.B, db *sql.DB, w *seeded) {
	b.Helper()
	_, err := db.ExecContext(b.Context(), `
		WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1000000)
		INSERT INTO keys (
			id, workspace_id, principal_id, name, name_folded, hash, hint, permission_limit, expires_at, pauses, metadata,
			created_at, created_by_id, created_by_type, created_by_name, version
		)
		SELECT 'key_' || SUBSTR('00000000000000000000000000' || CAST(n AS TEXT), LENGTH(CAST(n AS TEXT)) + 1),
			CAST($1 AS TEXT), CAST($2 AS TEXT), 'prod-' || CAST(n AS TEXT), 'prod-' || CAST(n AS TEXT),
			SUBSTR('0000000000000000000000000000000000000000000000000000000000000000' || CAST(n AS TEXT), LENGTH(CAST(n AS TEXT)) + 1),
			'pst_sa_7Qm2…x9Kd', CASE WHEN n % 10 = 0 THEN '["agents:execute"]' END, 1900000000000000 + n, '', 'null',
			1700000000000000 + n, 'system', 'system', 'bench', 1
		FROM numbers`, string(w.ws.ID), string(w.account.ID))
	if err != nil {
		b.Fatal(err)
	}
}

type mapSink struct{ keys map[token.Hash]iam.KeyRecord }

func (mapSink) Workspace(iam.WorkspaceRecord) error { return nil }
func (mapSink) Role(iam.RoleRecord) error           { return nil }
func (mapSink) Principal(iam.PrincipalRecord) error { return nil }
func (m mapSink) Key(k iam.KeyRecord) error         { m.keys[k.Hash] = k; return nil }

// readRows is what the same start-up costs without this package.
func readRows(b *testing.B, db *sql.DB) {
	b.Helper()
	type row struct {
		id, principal, name, hash, pauses string
		limit, networks                   sql.NullString
		expires, revoked                  sql.NullInt64
	}
	keys := make(map[string]row, million)
	rows, err := db.QueryContext(b.Context(), `
		SELECT id, principal_id, name, hash, permission_limit, allowed_networks, expires_at, pauses, revoked_at FROM keys`)
	if err != nil {
		b.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err is looked at
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.id, &r.principal, &r.name, &r.hash, &r.limit, &r.networks, &r.expires, &r.pauses, &r.revoked); err != nil {
			b.Fatal(err)
		}
		keys[r.hash] = r
	}
	if err := rows.Err(); err != nil || len(keys) != million+1 {
		b.Fatal(len(keys), err)
	}
}
