package store_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/posternhq/postern/internal/store"
	"github.com/posternhq/postern/internal/store/storetest"
)

func TestConditionSaysWhatIsWrongAndChangesNothing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		s, err := store.New(t.Context(), url, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		look := func(name string, want store.Condition, lost bool) {
			t.Helper()
			got, err := s.Condition(t.Context())
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if d := cmp.Diff(want, got); d != "" || got.Lost() != lost {
				t.Errorf("%s: lost %t, want %t; -want +got:\n%s", name, got.Lost(), lost, d)
			}
		}
		first, err := s.Condition(t.Context())
		if err != nil || len(first.Missing) < 2 || first.Missing[0] != "schema/001_init.sql" {
			t.Fatalf("an empty database: got %+v, %v; want that all is missing", first, err)
		}
		look("looked at before", first, false)
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		look("no changes yet", store.Condition{}, false)
		changes(t, s, 3)
		look("in good health", store.Condition{Head: 3, Last: 3}, false)
		db := raw(t, url)
		disturb(t, db, `INSERT INTO nodes (incarnation, name, kind, version, ttl, bounded, acked, counter, started_at) VALUES ('1', 'a', 'server', '', 1, 0, 3, 1, 1)`)
		look("all acknowledged", store.Condition{Head: 3, Last: 3, Acked: 3}, false)

		disturb(t, db, `CREATE TABLE saved AS SELECT seq, chain FROM changes WHERE seq = 2`)
		disturb(t, db, `DELETE FROM changes WHERE seq = 3`)
		look("the log ends early", store.Condition{Head: 3, Last: 2, Broken: true, Acked: 3}, true)
		disturb(t, db, `UPDATE head SET seq = 2, chain = (SELECT chain FROM saved)`)
		look("an older state, and a node that knows better", store.Condition{Head: 2, Last: 2, Acked: 3}, true)
		disturb(t, db, `UPDATE nodes SET acked = 2`, `UPDATE changes SET chain = (SELECT chain FROM changes WHERE seq = 1) WHERE seq = 2`)
		look("another log", store.Condition{Head: 2, Last: 2, Broken: true, Acked: 2}, true)

		disturb(t, db, `INSERT INTO migrations (name) VALUES ('schema/999_future.sql')`)
		look("of a newer release", store.Condition{Unknown: []string{"schema/999_future.sql"}}, false)
	})
}
