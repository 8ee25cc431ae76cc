package store_test

import (
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// A verifier that is heard of between the look for those who are gone and their end has
// not ended.
func TestAVerifierThatReportsIsNotEnded(t *testing.T) {
	eachWitness(t, func(t *testing.T, w *witness) {
		if _, err := w.s.Register(t.Context(), iam.Reporter{ID: "v", Name: "tickets", Kind: iam.VerifierNode, Principal: "sa_1"}); err != nil {
			t.Fatal(err)
		}
		found := w.now.UnixMicro()
		ended := func(want bool, when string) {
			t.Helper()
			var got bool
			if err := raw(t, w.url).QueryRowContext(t.Context(), `SELECT ended_at IS NOT NULL FROM usage_reporters WHERE id = 'v'`).Scan(&got); err != nil || got != want {
				t.Errorf("%s: it has ended: %t, %v; want %t", when, got, err, want)
			}
		}
		w.now = w.now.Add(iam.VerifierGone + time.Second)
		w.covers("v", w.now)
		if err := w.s.End(t.Context(), "v", 1, found); err != nil {
			t.Fatal(err)
		}
		ended(false, "when it reported meanwhile")
		if err := w.s.End(t.Context(), "v", 1, w.now.UnixMicro()); err != nil {
			t.Fatal(err)
		}
		ended(true, "when it did not")
	})
}

// Whoever has a key can be as many verifiers as it likes, one after the other. What they
// leave behind is bounded, and says as long as before what may be unknown.
func TestVerifiersThatHaveEndedAreBounded(t *testing.T) {
	eachWitness(t, func(t *testing.T, w *witness) {
		db := raw(t, w.url)
		disturb(t, db, `
			INSERT INTO usage_reporters (id, name, kind, number, covers, joins, registered_at, ended_at, heard_at, principal_id, workspace_id)
			WITH RECURSIVE n(i) AS (SELECT -1 UNION ALL SELECT i + 1 FROM n WHERE i < 2020)
			SELECT 'v' || i, 'v', 'verifier', 1, CASE WHEN i <= 1 THEN 0 ELSE t + i END, 1, t, t + i, t,
				CASE WHEN i <= 1005 THEN 'sa_1' WHEN i <= 1010 THEN 'sa_2' ELSE '' END, CASE WHEN i <= 0 THEN 'ws_2' ELSE 'ws_1' END
			FROM n, (SELECT time AS t FROM head) h`)
		if err := w.s.TendUsage(t.Context()); err != nil {
			t.Fatal(err)
		}
		for what, test := range map[string]struct {
			query string
			want  int
		}{
			"of the one who had too many":       {`principal_id = 'sa_1' AND workspace_id = 'ws_1'`, 1000},
			"of the same in another workspace":  {`principal_id = 'sa_1' AND workspace_id = 'ws_2'`, 2},
			"of nobody knows whom":              {`principal_id = ''`, 1010},
			"of the other":                      {`principal_id = 'sa_2'`, 5},
			"the one that has not said all":     {`id = 'v1'`, 1},
			"the oldest that have":              {`id IN ('v2', 'v3', 'v4', 'v5', 'v6')`, 0},
			"the oldest that there is room for": {`id = 'v7'`, 1},
		} {
			var got int
			if err := db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM usage_reporters WHERE `+test.query).Scan(&got); err != nil || got != test.want {
				t.Errorf("%s: %d are left, %v; want %d", what, got, err, test.want)
			}
		}
	})
}
