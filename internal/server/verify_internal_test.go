package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

// A change that takes power away is published while an answer is being made of
// the state before. The answer must not leave as it is.
func TestAnswerIsMadeAgainWhenSomethingChangedMeanwhile(t *testing.T) {
	for name, batch := range map[string]bool{"one": false, "batch": true} {
		t.Run(name, func(t *testing.T) {
			s, keys, caller := loaded(t, 3)
			hash, err := s.prefixes.Parse(caller)
			if err != nil {
				t.Fatal(err)
			}
			x := s.newVerification()
			x.hash, x.asks.batch = hash, batch
			if err := x.asks.readOne(`{"key":"` + keys[1] + `"}`); err != nil {
				t.Fatal(err)
			}
			revoked := false
			x.request = httptest.NewRequest("POST", "/v1/verify", nil)
			decide := x.decide
			x.decide = func(v replica.View) {
				decide(v)
				if !revoked {
					revoked = true
					revokeIn(t, s.replica, keys[1], s)
				}
			}
			if err := s.conclude(x); err != nil {
				t.Fatal(err)
			}
			if !revoked || bytes.Contains(x.out, []byte(`"valid":true`)) || !bytes.Contains(x.out, []byte(`"code":"revoked"`)) {
				t.Errorf("got %s, want revoked", x.out)
			}
			if x.codes[replica.Valid] != 0 || x.codes[replica.Revoked] != 1 {
				t.Errorf("counted %v, want one that is revoked", x.codes)
			}
		})
	}
}

// revokeIn publishes the revocation of a key.
func revokeIn(t *testing.T, r *replica.Replica, text string, s *Server) {
	t.Helper()
	hash, err := s.prefixes.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	v := r.Verify(hash, replica.Query{Scope: replica.AnyWorkspace()})
	at := r.Position()
	c := iam.Change{Seq: at.Seq + 1, Time: time.Now(), Reader: iam.ReaderVersion, Keys: []iam.KeyRecord{
		{ID: v.KeyID(), Principal: v.Principal.ID, Name: v.Key.Name, Hash: hash, Revoked: true},
	}}
	payload, err := c.Payload()
	if err != nil {
		t.Fatal(err)
	}
	next := iam.Position{Seq: c.Seq, Chain: at.Chain.Next(c.Seq, payload), Time: c.Time}
	if err := r.Apply(c, next); err != nil {
		t.Fatal(err)
	}
}

func TestVerificationAllocatesNothingOnceItIsRead(t *testing.T) {
	s, keys, caller := loaded(t, 100)
	hash, err := s.prefixes.Parse(caller)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("POST", "/v1/verify", nil)
	x := s.newVerification()
	x.hash, x.request = hash, r.WithContext(withRequest(r.Context(), &request{id: "req_1"}))
	body := `{"key":"` + keys[7] + `","permissions":["agents:execute","agents/a-1:read"],"source":{"ip":"192.0.2.7","user_agent":"curl"},"workspace":"acme","min_revision":1}`
	got := testing.AllocsPerRun(1000, func() {
		x.asks.reset()
		if err := x.asks.readOne(body); err != nil {
			t.Fatal(err)
		}
		if err := s.conclude(x); err != nil {
			t.Fatal(err)
		}
	})
	if got != 0 {
		t.Errorf("reading and answering allocate %v times, want 0", got)
	}
	if !bytes.HasPrefix(x.out, []byte(`{"valid":true`)) {
		t.Errorf("got %s, want valid", x.out)
	}
}

// Touching is what [Usage] is when nobody looks at it.
type touching struct{ n int }

func (c *touching) Touch(iam.Use) { c.n++ }

func (c *touching) Gathering() iam.Gathering { return iam.Gathering{} }

func TestTellingOfUsesAllocatesNothing(t *testing.T) {
	s, keys, caller := loaded(t, 100)
	counter := new(touching)
	s.usage = counter
	hash, err := s.prefixes.Parse(caller)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("POST", "/v1/verify", nil)
	r.Header.Set("User-Agent", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15")
	x := s.newVerification()
	x.hash, x.request = hash, r.WithContext(withRequest(r.Context(), &request{id: "req_1"}))
	if err := x.asks.readOne(`{"key":"` + keys[7] + `","permissions":["agents:execute","agents/a-1:read"],"source":{"ip":"192.0.2.7","user_agent":"curl"}}`); err != nil {
		t.Fatal(err)
	}
	got := testing.AllocsPerRun(1000, func() {
		err := s.conclude(x)
		if s.told(x, err); err != nil {
			t.Fatal(err)
		}
	})
	if got != 0 || counter.n != 2*1001 {
		t.Errorf("1001 calls allocate %v times each, and are %d uses; want 0, and two each", got, counter.n)
	}
}

func FuzzFitAgent(f *testing.F) {
	for _, seed := range []string{"", "curl/8.5", "a\nb", "é", "x_sa_1", "inv_aB", "inv_ab", "_usr_", strings.Repeat("a", 30), strings.Repeat("a", 29) + "-" + strings.Repeat("b", 29), strings.Repeat("-", 257)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got, want := iam.FitAgent(text), iam.SafeText(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	})
}

func TestVerdictIsWrittenAsItsTypeSays(t *testing.T) {
	s, keys, _ := loaded(t, 1)
	hash, err := s.prefixes.Parse(keys[0])
	if err != nil {
		t.Fatal(err)
	}
	p := iam.Permission{Type: "agents", Action: "delete"}
	v := s.replica.Verify(hash, replica.Query{Scope: replica.AnyWorkspace(), Permissions: []iam.Permission{p}})
	v.Key.ExpiresAt = time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC).UnixMicro()
	v.Principal.Name = "a\"b\\c\u2028\x01é\xff"
	dec := json.NewDecoder(bytes.NewReader(appendVerdict(nil, &v, []string{"agents:delete"}, 1500*time.Millisecond, "req_1")))
	dec.DisallowUnknownFields()
	var got api.Verdict
	if err := dec.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.Valid || got.Code != api.VerdictPermissionDenied || got.Principal.Name != "a\"b\\c\u2028\x01é\ufffd" || got.FreshForMS != 1500 || got.RequestID != "req_1" {
		t.Errorf("got %+v", got)
	}
	if got.Key.ExpiresAt == nil || got.Key.ExpiresAt.UnixMicro() != v.Key.ExpiresAt || len(got.Decisions) != 1 || got.Decisions["agents:delete"] {
		t.Errorf("got key %+v, decisions %v", got.Key, got.Decisions)
	}
}

func FuzzAppendText(f *testing.F) {
	for _, seed := range []string{"", "plain", "a\"b\\c\n\x00\x1f\x7f", "é😀\u2028", "\xff\xfe", "\xed\xa0\x80"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var got string
		if err := json.Unmarshal(appendText(nil, text), &got); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if want := strings.ToValidUTF8(text, ""); utf8.ValidString(text) && got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// What the hot path accepts, encoding/json reads as the same; and it panics on
// nothing.
func FuzzReadVerification(f *testing.F) {
	for _, seed := range []string{
		`{"key":"a","permissions":["agents:execute","agents/x:read"],"source":{"ip":"192.0.2.7","user_agent":"x"},"workspace":"any","min_revision":7}`,
		`{"key":"a","permissions":["agents:execute","agents:execute"]}`, `{"key":"\u0061"}`, `{"key":"a","source":{"ip":"::1"}}`, `{"key":"a","key":"b"}`,
		`{"items":[{"key":"a"},{"key":"b","min_revision":3}]}`, `{"items":[]}`, `{"items":[{"key":"a","source":null}]}`, `[`, `{"key":`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var q asks
		if q.readOne(text) == nil {
			compareAsk(t, text, &q, 0, decodeStrictly[api.Verify](t, text))
		}
		q.reset()
		if q.readBatch(text) == nil {
			items := decodeStrictly[api.VerifyBatch](t, text).Items
			if len(items) != len(q.items) {
				t.Fatalf("%q: read %d items, encoding/json %d", text, len(q.items), len(items))
			}
			for i, want := range items {
				compareAsk(t, text, &q, i, want)
			}
		}
	})
}

func decodeStrictly[T any](t *testing.T, text string) (v T) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%q was accepted, and encoding/json refuses it: %v", text, err)
	}
	return v
}

func compareAsk(t *testing.T, text string, q *asks, i int, want api.Verify) {
	t.Helper()
	a := q.items[i]
	slices.Sort(want.Permissions)
	asked := slices.Sorted(slices.Values(q.texts[a.from:a.to]))
	if a.key != want.Key || a.workspace != want.Workspace || q.revision < want.MinRevision || !slices.Equal(asked, slices.Compact(want.Permissions)) {
		t.Fatalf("%q: got %+v and %v, encoding/json read %+v", text, a, asked, want)
	}
	if want.Source != nil && want.Source.IP != "" && a.ip != netip.MustParseAddr(want.Source.IP) {
		t.Fatalf("%q: got address %v, want %s", text, a.ip, want.Source.IP)
	}
	if len(q.wanted) != len(q.texts) || a.to-a.from > maxAsked {
		t.Fatalf("%q: %d permissions for %d texts", text, len(q.wanted), len(q.texts))
	}
}

// Calls follow one another in the same memory: what one asked must not be in the
// answer to the next.
func TestUsedMemoryHoldsNothingOfTheCallBefore(t *testing.T) {
	var q asks
	pick := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		q.reset()
		want := pick.IntN(5)
		body := `{"items":[` + strings.TrimSuffix(strings.Repeat(`{"key":"k","permissions":["a:read","b:read"],"workspace":"w","min_revision":9,"source":{"ip":"192.0.2.7"}},`, want), ",") + `]}`
		if err := q.readBatch(body); err != nil {
			t.Fatal(err)
		}
		q.reset()
		if err := q.readOne(`{"key":"x"}`); err != nil {
			t.Fatal(err)
		}
		if a := q.items[0]; len(q.items) != 1 || a != (ask{key: "x"}) || len(q.wanted) != 0 || q.revision != 0 {
			t.Fatalf("got %+v, want only the key", a)
		}
	}
}

// Memory is handed from call to call. With many at once, none may answer with what
// another asked.
func TestCallsAtOnceDoNotMix(t *testing.T) {
	const accounts, calls = 8, 200
	s, keys, caller := loaded(t, accounts*keysPerAccount)
	h := s.Handler()
	var done sync.WaitGroup
	for who := range accounts {
		done.Go(func() {
			name := fmt.Sprintf("bot-%d", who)
			asked := fmt.Sprintf("agents/a-%d:read", who)
			for n := range calls {
				key := keys[who*keysPerAccount+n%keysPerAccount]
				path, body := "/v1/verify", fmt.Sprintf(`{"key":%q,"permissions":[%q]}`, key, asked)
				if n%2 == 1 {
					path, body = "/v1/verify/batch", fmt.Sprintf(`{"items":[%s]}`, body)
				}
				r := httptest.NewRequest("POST", path, strings.NewReader(body))
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("Authorization", "Bearer "+caller)
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				got := w.Body.String()
				if w.Code != 200 || !strings.Contains(got, `"name":"`+name+`"`) || !strings.Contains(got, `{"`+asked+`":true}`) || strings.Count(got, `"valid":true`) != 1 {
					t.Errorf("%s asked about %s: got %s", name, asked, got)
					return
				}
			}
		})
	}
	done.Wait()
}

// Nobody needs a key to open a connection and leave it idle.
func TestFastConnectionKeepsLittleMemory(t *testing.T) {
	c := &fastConn{buf: make([]byte, 1<<20), to: 1 << 20}
	c.consume(1 << 20)
	if len(c.buf) > fastKeep {
		t.Errorf("a connection keeps %d bytes for the next request, want %d at most", len(c.buf), fastKeep)
	}
}
