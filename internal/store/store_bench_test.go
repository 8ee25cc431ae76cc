package store_test

import (
	"errors"
	"fmt"
	"os"
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

// pairs compares two things. For each pair both are done a number of times in
// turn, and what either took is the median of its times. It reports the medians
// over all pairs, which are the iterations of the benchmark: of what either took,
// and of the ratio of the two. The load is that of the machine at the end.
func pairs(b *testing.B, times int, ours, bare func()) {
	b.Helper()
	timed := func(f func()) float64 {
		began := time.Now()
		f()
		return float64(time.Since(began).Microseconds())
	}
	var all, base, ratios []float64
	for b.Loop() {
		var a, z []float64
		for range times {
			a, z = append(a, timed(ours)), append(z, timed(bare))
		}
		all, base = append(all, median(a)), append(base, median(z))
		ratios = append(ratios, median(a)/median(z))
	}
	b.ReportMetric(median(all), "µs/ours")
	b.ReportMetric(median(base), "µs/bare")
	b.ReportMetric(median(ratios), "ratio")
	var load float64
	if text, err := os.ReadFile("/proc/loadavg"); err == nil { // Linux
		_, _ = fmt.Sscan(string(text), &load)
	}
	b.ReportMetric(load, "load")
}

func median(figures []float64) float64 {
	slices.Sort(figures)
	return figures[len(figures)/2]
}

// BenchmarkCreateKey compares all that the creation of a key asks of the store
// with one durable commit: the INSERT of one small row on a connection of its own,
// which comes back when the row is on the disk. On PostgreSQL that is the same
// cluster, as it ships, fsync and synchronous_commit on; on SQLite it is a file
// beside the store's with the same settings, for another writer in the same file
// would empty the cache of the store's. The two take turns, so that both meet the
// same moods of the disk.
func BenchmarkCreateKey(b *testing.B) {
	onEach(b, func(b *testing.B, url string) {
		s := open(b, url, store.Options{})
		w := seed(b, s)
		for range 50 { // until every connection has prepared its statements
			w.createKey(b, s)
		}
		pairs(b, 20, func() { w.createKey(b, s) }, durableCommit(b, url))
	})
}

// durableCommit returns what inserts one small row and waits for the disk.
func durableCommit(b *testing.B, url string) func() {
	b.Helper()
	sqlite := strings.HasPrefix(url, "sqlite:")
	if sqlite {
		url += "-bare"
	}
	db := raw(b, url)
	db.SetMaxOpenConns(1)
	if sqlite {
		disturb(b, db, `PRAGMA journal_mode = WAL`, `PRAGMA synchronous = FULL`)
	} else {
		var durable bool
		err := db.QueryRowContext(b.Context(), `
			SELECT current_setting('fsync') = 'on' AND current_setting('synchronous_commit') = 'on'`).Scan(&durable)
		if err != nil || !durable {
			b.Fatalf("durable %t, %v: a commit of this cluster does not wait for the disk", durable, err)
		}
	}
	disturb(b, db, `CREATE TABLE bare (id TEXT NOT NULL PRIMARY KEY, body TEXT NOT NULL)`)
	insert, err := db.PrepareContext(b.Context(), `INSERT INTO bare (id, body) VALUES ($1, $2)`)
	if err != nil {
		b.Fatal(err)
	}
	body := strings.Repeat("x", 200)
	return func() {
		if _, err := insert.ExecContext(b.Context(), iam.NewID("x_", time.Now()), body); err != nil {
			b.Fatal(err)
		}
	}
}

// seeded is a workspace with an account and a key that makes others.
type seeded struct {
	ws      iam.Workspace
	role    iam.Role
	account iam.ServiceAccount
	key     iam.Key
	n       int
}

func seed(b testing.TB, s iam.Store) *seeded {
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
