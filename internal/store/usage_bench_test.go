package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/store"
)

// reported are the next uses of keys, each in one minute, from one source and with
// one ask; five keys share an owner.
func reported(w *seeded, reporter string, number int64, keys []iam.KeyID, now time.Time) iam.UsageReport {
	r := iam.UsageReport{Reporter: reporter, Number: number, Covers: now}
	for i, id := range keys {
		r.Keys = append(r.Keys, iam.KeyUse{
			Key: id, Principal: iam.PrincipalID(fmt.Sprintf("sa_%06d", i/5)), Workspace: w.ws.ID, LastOK: now,
			Minutes: []iam.UsePoint{{At: now.Truncate(time.Minute), OK: 3}},
			Sources: []iam.SourceUse{{IP: "192.0.2.7", UserAgent: "curl/8.5.0", First: now, Last: now, LastOK: now, OK: 3}},
			Asks:    []iam.AskUse{{Ask: "agents:execute", Last: now, OK: 3}},
		})
	}
	return r
}

// BenchmarkReport says how long the store takes for a report, in which each of a
// number of keys was used: for rows that are new, and for those that are there.
func BenchmarkReport(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			onEach(b, func(b *testing.B, url string) {
				s := open(b, url, store.Options{})
				w := seed(b, s)
				now, err := s.Register(b.Context(), iam.Reporter{ID: "r", Name: "n", Kind: iam.ServerNode})
				if err != nil {
					b.Fatal(err)
				}
				keys := make([]iam.KeyID, n)
				for i := range keys {
					keys[i] = iam.KeyID(iam.NewID(iam.KeyPrefix, now))
				}
				var number int64
				report := func() float64 {
					number++
					r := reported(w, "r", number, keys, now)
					began := time.Now()
					if _, err := s.Report(b.Context(), r, func(iam.NoteTx, []iam.Key) error { return nil }); err != nil {
						b.Fatal(err)
					}
					return float64(time.Since(began).Microseconds()) / 1000
				}
				first := report()
				var again []float64
				for b.Loop() {
					again = append(again, report())
				}
				b.ReportMetric(first, "ms/new")
				b.ReportMetric(median(again), "ms/there")
			})
		})
	}
}

// BenchmarkUsagePage says how long a page of fifty keys takes among twenty thousand
// that are in use: the list with their last use, the points of each for
// thirty days, the keys that nobody uses, and what is known of two.
func BenchmarkUsagePage(b *testing.B) {
	const all, page, days = 20_000, 50, 30
	onEach(b, func(b *testing.B, url string) {
		s := open(b, url, store.Options{})
		w := seed(b, s)
		keys := w.manyKeys(b, s, all)
		now, err := s.Register(b.Context(), iam.Reporter{ID: "r", Name: "n", Kind: iam.ServerNode})
		if err != nil {
			b.Fatal(err)
		}
		for n := range int64(days) {
			at := now.AddDate(0, 0, int(n)-days+1)
			some := keys[:all/10] // a tenth is in use every day, all but the last ten are today
			if n == days-1 {
				some = keys[:all-10]
			}
			for len(some) > 0 {
				chunk := some[:min(len(some), 2000)]
				w.n++
				if _, err := s.Report(b.Context(), reported(w, "r", int64(w.n), chunk, at), func(iam.NoteTx, []iam.Key) error { return nil }); err != nil {
					b.Fatal(err)
				}
				some = some[len(chunk):]
			}
		}
		if err := s.TendUsage(b.Context()); err != nil {
			b.Fatal(err)
		}
		subjects := make([]string, page)
		for i := range subjects {
			subjects[i] = string(keys[i*97])
		}
		for name, read := range map[string]func() error{
			"list": func() error {
				list, err := s.Keys(b.Context(), w.ws.ID, iam.KeyFilter{}, iam.Page{Limit: page})
				return errors.Join(err, wantAt(len(list.Items), page))
			},
			"points": func() error {
				found, err := s.UsagePoints(b.Context(), w.ws.ID, subjects, now.AddDate(0, 0, -days), now.Add(time.Minute), 24*time.Hour)
				return errors.Join(err, wantAt(len(found), page))
			},
			"unused": func() error {
				list, err := s.Keys(b.Context(), w.ws.ID, iam.KeyFilter{UnusedSince: now.Add(-time.Hour)}, iam.Page{Limit: page})
				return errors.Join(err, wantAt(len(list.Items), 11))
			},
			"evidence": func() error {
				e, err := s.Evidence(b.Context(), w.ws.ID, keys[0], keys[1])
				return errors.Join(err, wantAt(len(e.OldSources), 1))
			},
			"account": func() error {
				_, err := s.ServiceAccounts(b.Context(), w.ws.ID, iam.AccountFilter{}, iam.Page{Limit: page})
				return err
			},
		} {
			b.Run(name, func(b *testing.B) {
				for b.Loop() {
					if err := read(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	})
}

func wantAt(got, want int) error {
	if got != want {
		return fmt.Errorf("%d found, want %d", got, want)
	}
	return nil
}

// manyKeys makes keys of the account.
func (w *seeded) manyKeys(b *testing.B, s *store.Store, n int) (ids []iam.KeyID) {
	b.Helper()
	for len(ids) < n {
		_, err := s.Change(b.Context(), iam.First{}, func(tx iam.Tx) (iam.Change, error) {
			for range min(n-len(ids), 1000) {
				k := w.newKey(fmt.Sprint("many-", len(ids)))
				if err := tx.InsertKey(b.Context(), k); err != nil {
					return iam.Change{}, err
				}
				ids = append(ids, k.ID)
			}
			return iam.Change{}, nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return ids
}
