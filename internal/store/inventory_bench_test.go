package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/store"
)

// many is a workspace of a hundred thousand keys of two thousand accounts. A tenth
// ends within a year, one of two hundred within a week; most are in use today,
// some were weeks ago, one in ten never was. One in five hundred is being rotated.
type many struct {
	*iam.Service
	caller iam.Caller
	keys   []iam.KeyID
	owners []iam.PrincipalID
	owner  map[iam.KeyID]iam.PrincipalID
}

const (
	manyKeys     = 100_000
	manyAccounts = 2_000
)

// nobodyElse is a roster of no nodes.
type nobodyElse struct{}

func (nobodyElse) Nodes(context.Context) ([]iam.NodeStatus, error) { return nil, nil }

func newMany(b *testing.B, url string) *many {
	b.Helper()
	s := open(b, url, store.Options{})
	w := seed(b, s)
	all, err := iam.ParsePermissions("", []string{"*:*", "iam.*:*"})
	if err != nil {
		b.Fatal(err)
	}
	m := &many{
		owner:   map[iam.KeyID]iam.PrincipalID{},
		Service: &iam.Service{Store: s, Now: time.Now, Roster: nobodyElse{}},
		caller: iam.Caller{
			Workspace: iam.Ref[iam.WorkspaceID]{ID: w.ws.ID, Name: w.ws.Slug}, Principal: iam.Principal{ID: w.account.ID, Workspace: w.ws.ID}, Permissions: all,
		},
	}
	m.fill(b, s, w)
	m.use(b, s, w)
	return m
}

// fill makes accounts, keys and rotations.
func (m *many) fill(b *testing.B, s *store.Store, w *seeded) {
	ctx, made := b.Context(), time.Now().AddDate(0, -6, 0)
	change := func(fn func(tx iam.Tx) error) {
		if _, err := s.Change(ctx, iam.First{}, func(tx iam.Tx) (iam.Change, error) { return iam.Change{}, fn(tx) }); err != nil {
			b.Fatal(err)
		}
	}
	for n := range manyAccounts {
		a := w.account
		a.ID, a.Name, a.CreatedAt = iam.PrincipalID(iam.NewID(iam.ServiceAccountPrefix, made)), fmt.Sprintf("bot-%04d", n), made
		m.owners = append(m.owners, a.ID)
		change(func(tx iam.Tx) (err error) {
			err = tx.InsertServiceAccount(ctx, a)
			var old iam.Key
			for i := range manyKeys / manyAccounts {
				k := w.newKey(fmt.Sprint("prod-", i))
				k.Principal.ID, k.CreatedAt, k.ExpiresAt = a.ID, made, time.Time{}
				switch at := len(m.keys); {
				case at%200 == 1:
					k.ExpiresAt = time.Now().AddDate(0, 0, 7)
				case at%10 == 1:
					k.ExpiresAt = time.Now().AddDate(1, 0, 0)
				}
				m.keys, m.owner[k.ID] = append(m.keys, k.ID), a.ID
				err = errors.Join(err, tx.InsertKey(ctx, k))
				if at := len(m.keys); at%500 == 3 {
					err = errors.Join(err, tx.InsertRotation(ctx, iam.Rotation{
						ID: iam.RotationID(iam.NewID(iam.RotationPrefix, made)), Workspace: w.ws.ID, Principal: iam.Principal{ID: a.ID},
						Old: iam.RotatedKey{ID: old.ID, Name: old.Name}, New: iam.RotatedKey{ID: k.ID, Name: k.Name}, State: iam.Overlapping,
						QuietFor: time.Hour, StartedAt: made, StartedBy: w.key.CreatedBy,
					}))
				}
				old = k
			}
			return err
		})
	}
}

// use reports that keys are used: today, and in each of the three weeks before some.
func (m *many) use(b *testing.B, s *store.Store, w *seeded) {
	ctx := b.Context()
	now, err := s.Register(ctx, iam.Reporter{ID: "r", Name: "n", Kind: iam.ServerNode})
	if err != nil {
		b.Fatal(err)
	}
	var number int64
	for _, when := range []struct{ days, share int }{{21, 20}, {14, 20}, {7, 10}, {0, 1}} {
		var some []iam.KeyID
		for i, id := range m.keys {
			if i%when.share == 0 && i%10 != 9 {
				some = append(some, id)
			}
		}
		for chunk := range slices.Chunk(some, 2000) {
			number++
			r := reported(w, "r", number, chunk, now.AddDate(0, 0, -when.days))
			for i := range r.Keys {
				r.Keys[i].Principal = m.owner[chunk[i]]
			}
			if _, err := s.Report(ctx, r, func(iam.NoteTx, []iam.Key) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := s.TendUsage(ctx); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkInventory says how long it takes to see what there is among a hundred
// thousand keys, and what nobody needs: the first page that somebody sees, lists
// and their next pages, and how a page of keys was used. The figure is the one that
// 19 of 20 calls stay below.
func BenchmarkInventory(b *testing.B) {
	onEach(b, func(b *testing.B, url string) {
		m := newMany(b, url)
		list := func(f iam.KeyFilter, sort string) func() error { // a page after the other
			page := iam.Page{Limit: 50, Sort: sort}
			return func() error {
				f.State, f.Now = iam.Active, time.Now()
				found, err := m.Keys(b.Context(), m.caller, "-", f, page)
				page.After = found.Next
				return err
			}
		}
		of := func(subjects iam.Subjects, step time.Duration) func() error {
			return func() error {
				_, err := m.Usage(b.Context(), m.caller, "-", subjects, iam.Span{Step: step})
				return err
			}
		}
		need := func(what iam.Needed) func() error {
			return func() error {
				_, err := m.ServiceAccounts(b.Context(), m.caller, "-", iam.AccountFilter{Need: iam.Need{What: what}}, iam.Page{Limit: 50})
				return err
			}
		}
		for _, v := range []struct {
			name string
			read func() error
		}{
			{"overview", func() error { _, err := m.Overview(b.Context(), m.caller, "-"); return err }},
			{"keys", list(iam.KeyFilter{}, "")},
			{"unused for 90 days", list(iam.KeyFilter{UnusedSince: time.Now().AddDate(0, 0, -90)}, "")},
			{"never used", list(iam.KeyFilter{NeverUsed: true}, "")},
			{"expiring", list(iam.KeyFilter{ExpiresBefore: time.Now().AddDate(0, 0, 14)}, "expires_at")},
			{"without expiry", list(iam.KeyFilter{NeverExpires: true}, "")},
			{"longest unused first", list(iam.KeyFilter{}, "last_used_at")},
			{"by name", list(iam.KeyFilter{}, "name")},
			{"machine-like", func() error {
				_, err := m.Keys(b.Context(), m.caller, "-", iam.KeyFilter{MachineLike: true, Now: time.Now()}, iam.Page{Limit: 50})
				return err
			}},
			{"accounts without owner", need(iam.NeedsOwner)}, {"accounts without keys", need(iam.NeedsKeys)}, {"accounts with too much power", need(iam.NeedsLessPower)},
			{"rotations", func() error {
				_, err := m.Rotations(b.Context(), m.caller, "-", "", iam.RotationFilter{}, iam.Page{Limit: 200})
				return err
			}},
			{"usage of 200 keys, 30 days", of(iam.Subjects{Keys: m.keys[:200]}, 24*time.Hour)},
			{"usage of 200 accounts, 30 days", of(iam.Subjects{Accounts: m.owners[:200]}, 24*time.Hour)},
			{"usage of all, 24 hours", of(iam.Subjects{}, time.Hour)},
			{"usage of all, 60 minutes", of(iam.Subjects{}, time.Minute)},
		} {
			b.Run(v.name, func(b *testing.B) {
				for b.Loop() {
					var took []float64
					for range 20 {
						began := time.Now()
						if err := v.read(); err != nil {
							b.Fatal(err)
						}
						took = append(took, float64(time.Since(began).Microseconds())/1000)
					}
					slices.Sort(took)
					b.ReportMetric(took[len(took)/2], "ms/p50")
					b.ReportMetric(took[18], "ms/p95")
				}
			})
		}
	})
}
