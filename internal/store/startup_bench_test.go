package store_test

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/store"
)

const million = 1_000_000

// BenchmarkStartUp compares what a node does before it answers, which is to load
// a replica from the store, with reading the same rows into a plain map.
func BenchmarkStartUp(b *testing.B) {
	onEach(b, func(b *testing.B, url string) {
		s := open(b, url, store.Options{})
		w := seed(b, s)
		fill(b, raw(b, url), w)
		read := plainReader(b, url)
		pairs(b, 1, func() {
			r := replica.New(replica.Options{})
			if err := r.Load(b.Context(), s); err != nil {
				b.Fatal(err)
			}
			if keys, _ := r.Size(); keys != million+1 || r.Ready() != nil {
				b.Fatalf("%d keys, %v; want a million and one, ready", keys, r.Ready())
			}
		}, func() {
			if keys := readRows(b, read); len(keys) != million+1 {
				b.Fatalf("%d keys, want a million and one", len(keys))
			}
		})
	})
}

// fill makes a million keys, of which every tenth is limited. Their hashes are as
// random as real ones, for it is by them that they are found.
func fill(b *testing.B, db *sql.DB, w *seeded) {
	b.Helper()
	disturb(b, db, `CREATE TABLE hashes (n BIGINT NOT NULL PRIMARY KEY, hash TEXT NOT NULL)`)
	const atOnce = 1000
	random := rand.New(rand.NewPCG(1, 2))
	for first := 0; first < million; first += atOnce {
		var rows []string
		for n := first; n < first+atOnce; n++ {
			rows = append(rows, fmt.Sprintf(`(%d, '%016x%016x%016x%016x')`,
				n, random.Uint64(), random.Uint64(), random.Uint64(), random.Uint64()))
		}
		disturb(b, db, `INSERT INTO hashes (n, hash) VALUES `+strings.Join(rows, ", "))
	}
	_, err := db.ExecContext(b.Context(), `
		INSERT INTO keys (
			id, workspace_id, principal_id, name, name_folded, hash, hint, permission_limit, expires_at, pauses, metadata,
			created_at, created_by_id, created_by_type, created_by_name, version
		)
		SELECT 'key_' || SUBSTR('00000000000000000000000000' || CAST(n AS TEXT), LENGTH(CAST(n AS TEXT)) + 1),
			CAST($1 AS TEXT), CAST($2 AS TEXT), 'prod-' || CAST(n AS TEXT), 'prod-' || CAST(n AS TEXT),
			hash, 'pst_sa_7Qm2…x9Kd', CASE WHEN n % 10 = 0 THEN '["agents:execute"]' END, 1900000000000000 + n, '', 'null',
			1700000000000000 + n, 'system', 'system', 'bench', 1
		FROM hashes`, string(w.ws.ID), string(w.account.ID))
	if err != nil {
		b.Fatal(err)
	}
	disturb(b, db, `DROP TABLE hashes`)
}

// rows are what both drivers return.
type rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
}

// plainReader returns what asks a database in the shortest way that its driver has.
func plainReader(b *testing.B, url string) func(query string) (_ rows, end func()) {
	b.Helper()
	if strings.HasPrefix(url, "sqlite:") {
		db := raw(b, url)
		return func(query string) (rows, func()) {
			found, err := db.QueryContext(b.Context(), query)
			if err != nil {
				b.Fatal(err)
			}
			return found, func() { _ = found.Close() } // its Err is looked at
		}
	}
	conn, err := pgx.Connect(b.Context(), url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close(b.Context()) }) // nothing is written at the end
	return func(query string) (rows, func()) {
		found, err := conn.Query(b.Context(), query)
		if err != nil {
			b.Fatal(err)
		}
		return found, found.Close
	}
}

// row is a key as its row has it, nothing of it understood.
type row struct {
	id, principal, name, hash, limit, networks, pauses string
	expires, revoked                                   int64
}

// readRows is what the same start-up costs without this program.
func readRows(b *testing.B, read func(query string) (rows, func())) map[string]row {
	b.Helper()
	found, end := read(`
		SELECT id, principal_id, name, hash, COALESCE(permission_limit, ''), COALESCE(allowed_networks, ''), pauses,
			COALESCE(expires_at, 0), COALESCE(revoked_at, 0)
		FROM keys`)
	defer end()
	keys := make(map[string]row, million)
	for found.Next() {
		var r row
		if err := found.Scan(&r.id, &r.principal, &r.name, &r.hash, &r.limit, &r.networks, &r.pauses, &r.expires, &r.revoked); err != nil {
			b.Fatal(err)
		}
		keys[r.hash] = r
	}
	if err := found.Err(); err != nil {
		b.Fatal(err)
	}
	return keys
}
