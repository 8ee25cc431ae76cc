package server

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/store"
	"github.com/posternhq/postern/internal/store/storetest"
	"github.com/posternhq/postern/internal/token"
)

// BenchmarkLists says how long what the console asks for takes with ten thousand
// accounts, a hundred thousand keys and a million events: fifty calls of each
// request, one after the other over loopback, of which the 95th percentile counts.
func BenchmarkLists(b *testing.B) {
	for name, database := range map[string]func(testing.TB) string{"SQLite": storetest.SQLite, "PostgreSQL": storetest.Postgres} {
		b.Run(name, func(b *testing.B) {
			l := newLists(b, database(b))
			for name, path := range l.requests() {
				b.Run(name, func(b *testing.B) { l.measure(b, path) })
			}
		})
	}
}

// lists is a server on a store that is filled, and a key of its owner.
type lists struct {
	b    *testing.B
	addr string
	key  string
}

func newLists(b *testing.B, at string) *lists {
	b.Helper()
	s, err := store.Open(b.Context(), at, store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	r := replica.New(replica.Options{Node: "bench"})
	if err := r.Load(b.Context(), s); err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var following sync.WaitGroup
	following.Go(func() { _ = r.Follow(ctx, s) }) // until it is stopped
	b.Cleanup(func() {
		stop()
		following.Wait()
	})
	service := &iam.Service{Store: s, Fence: r, Roster: r, Now: time.Now}
	_, key, err := service.Initialize(b.Context(), iam.Initialization{Workspace: "Acme", Email: "maya@example.com", KeyName: "first"})
	if err != nil {
		b.Fatal(err)
	}
	if err := storetest.Shipped.Fill(b.Context(), s); err != nil {
		b.Fatal(err)
	}
	srv, err := New(Options{
		People: nobody{}, IAM: service, Replica: r, Prefixes: token.Prefixes{token.DefaultPrefix}, Secret: make([]byte, minSecret),
		Limits: Limits{Management: Rate{Burst: 1_000_000, Window: time.Minute}},
	})
	if err != nil {
		b.Fatal(err)
	}
	return &lists{b, listen(b, srv.Handler()), key.Reveal()}
}

// get returns what is answered to a request, and how long that took.
func (l *lists) get(b *testing.B, path string, into any) time.Duration {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "http://"+l.addr+"/v1/"+path, nil)
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+l.key)
	began := time.Now()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	took := time.Since(began)
	_ = answer.Body.Close() // all of it was read
	if err != nil || answer.StatusCode != http.StatusOK {
		b.Fatalf("%s: %d, %v: %.300s", path, answer.StatusCode, err, body)
	}
	if into != nil {
		if err := json.Unmarshal(body, into); err != nil {
			b.Fatal(err)
		}
	}
	return took
}

func (l *lists) measure(b *testing.B, path string) {
	var all []float64
	l.get(b, path, nil) // so that statements are prepared
	for b.Loop() {
		all = append(all, float64(l.get(b, path, nil).Microseconds())/1000)
	}
	slices.Sort(all)
	b.ReportMetric(all[len(all)/2], "ms/p50")
	b.ReportMetric(all[len(all)*95/100], "ms/p95")
	b.ReportMetric(0, "ns/op")
}

const here = "workspaces/-/"

// requests are those of the console, by what they are for.
func (l *lists) requests() map[string]string {
	const accounts, keys, log = here + "service_accounts?", here + "keys?", here + "audit_events?"
	var me api.Whoami
	l.get(l.b, "whoami", &me)
	var some api.List[api.ServiceAccount]
	l.get(l.b, accounts+"state=active&q=bot-05", &some)
	var its api.List[api.Key]
	name := some.Data[0].Name
	l.get(l.b, here+"service_accounts/"+name+"/keys?limit=100", &its)
	shown := make([]string, len(some.Data))
	for i, a := range some.Data {
		shown[i] = a.ID
	}
	year := time.Now().AddDate(0, -10, 0).UTC()
	month := url.Values{"from": {year.Format(time.RFC3339)}, "to": {year.AddDate(0, 0, 16).Format(time.RFC3339)}}.Encode()
	return map[string]string{
		"accounts": accounts + "state=active", "accounts/all": accounts, "accounts/inactive": accounts + "state=inactive", "accounts/paused,none": accounts + "state=paused",
		"accounts/role": accounts + "role=operator", "accounts/role,none": accounts + "role=verifier", "accounts/owner": accounts + "owner=Data+3", "accounts/owner,none": accounts + "owner=Nobody",
		"accounts/search,many": accounts + "state=active&q=bot", "accounts/search,one": accounts + "q=bot-05123", "accounts/search,none": accounts + "q=nobody",
		"accounts/last-page": l.last(accounts + "limit=200"), "accounts/by-time": accounts + "sort=-created_at", "accounts/traffic": here + "usage?step=1d&days=7&service_accounts=" + strings.Join(shown, ","),
		"account": here + "service_accounts/" + name, "account/keys": here + "service_accounts/" + name + "/keys?limit=100",
		"account/permissions": here + "service_accounts/" + name + "/permissions", "account/log": log + "actor=" + some.Data[0].ID,
		"keys": keys, "keys/active": keys + "state=active", "keys/paused,none": keys + "state=paused", "keys/expired": keys + "state=expired", "keys/revoked": keys + "state=revoked",
		"keys/people": keys + "principal_type=member", "keys/unused": keys + "unused_for=90d", "keys/mine": here + "me/keys",
		"keys/search,many": keys + "q=prod", "keys/search,account": keys + "q=bot-05123", "keys/search,none": keys + "q=nobody",
		"log": log, "log/actor,many": log + "actor=" + me.Principal.ID, "log/actor,none": log + "actor=sa_01jn8x0c2vf3hs5r6tq7w8y9za", "log/target": log + "target=" + its.Data[0].ID,
		"log/people": log + "actor_type=member", "log/nobody,none": log + "actor_type=anonymous", "log/action,many": log + "action=key.created", "log/action,few": log + "action=role.updated",
		"log/action,none": log + "action=role.deleted", "log/refused": log + "outcome=refused", "log/action+refused,none": log + "action=key.revoked&outcome=refused",
		"log/action+type,none": log + "action=key.expiring&actor_type=member", "log/address": log + "source=10.1.2.3", "log/old-days": log + month, "log/old-days+action": log + month + "&action=role.updated",
		"log/search,many": log + "q=key", "log/search,some": log + "q=allow", "log/search,one": log + "q=" + its.Data[0].ID, "log/search,none": log + "q=nobody",
		"log/search,two": log + "q=nightly+" + name, "log/search,many+action": log + "q=nightly&action=role.updated", "log/search,many+refused": log + "q=replaced&outcome=refused",
	}
}

// last returns the request for the last page of a list.
func (l *lists) last(path string) string {
	next := path
	for {
		var page api.List[api.ServiceAccount]
		l.get(l.b, next, &page)
		if page.NextCursor == nil {
			return next
		}
		next = path + "&cursor=" + url.QueryEscape(*page.NextCursor)
	}
}
