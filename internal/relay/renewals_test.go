package relay_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/relay"
	"github.com/posternhq/postern/internal/replica"
)

var somewhere = rapid.Custom(func(t *rapid.T) (at iam.Position) {
	at.Seq = rapid.Int64Min(0).Draw(t, "seq")
	copy(at.Chain[:], rapid.SliceOfN(rapid.Byte(), len(at.Chain), len(at.Chain)).Draw(t, "chain"))
	return at
})

// What one end of renewals says is what the other hears, in order.
func TestRenewalsArriveAsTheyWereSaid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var up, down bytes.Buffer
		verifier, node := relay.NewRenewals(&down, &up), relay.NewRenewals(&up, &down)
		for range rapid.IntRange(1, 5).Draw(t, "times") {
			ack := somewhere.Draw(t, "acknowledged")
			asked := replica.Ping{
				N: rapid.Int64().Draw(t, "n"), At: somewhere.Draw(t, "at"), Wanted: time.Duration(rapid.Int64().Draw(t, "wanted")),
			}
			if err := errors.Join(verifier.Acknowledge(ack), verifier.Ask(asked)); err != nil {
				t.Fatal(err)
			}
			for _, want := range []replica.Ping{{At: ack}, asked} {
				got, asks, err := node.Question()
				if diff := cmp.Diff(want, got); err != nil || diff != "" || asks != (want == asked) {
					t.Fatalf("heard a question: %t, %v %s", asks, err, diff)
				}
			}
			given := replica.Grant{
				N: asked.N, At: somewhere.Draw(t, "from"), For: time.Duration(rapid.Int64().Draw(t, "for")),
				Time: time.Unix(0, rapid.Int64().Draw(t, "time")).UTC(),
			}
			if err := node.Grant(given); err != nil {
				t.Fatal(err)
			}
			if got, err := verifier.Answer(); err != nil || got != given {
				t.Fatalf("got %+v, %v; want %+v", got, err, given)
			}
			no := api.Problem{Status: 409, Code: rapid.StringMatching(`[a-z_]{1,20}`).Draw(t, "code"), Detail: rapid.String().Draw(t, "detail")}
			if err := node.Refuse(no); err != nil {
				t.Fatal(err)
			}
			_, err := verifier.Answer()
			if got, is := errors.AsType[*api.Problem](err); !is || got.Code != no.Code || got.Status != no.Status {
				t.Fatalf("got %v, want %v", err, no)
			}
		}
	})
}

// What is no renewal is an error, and never half of one.
func TestWhatIsNoRenewalIsRefused(t *testing.T) {
	written := func(say func(*relay.Renewals) error) string {
		var out bytes.Buffer
		if err := say(relay.NewRenewals(nil, &out)); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	question := written(func(o *relay.Renewals) error { return o.Ask(replica.Ping{N: 1, At: place(7), Wanted: time.Second}) })
	grant := written(func(o *relay.Renewals) error {
		return o.Grant(replica.Grant{N: 1, At: place(7), For: time.Second, Time: began})
	})
	behind := written(func(o *relay.Renewals) error { return o.Acknowledge(iam.Position{Seq: -1}) })
	for name, text := range map[string]string{
		"an answer for a question": grant, "a revision below zero": behind, "nothing": "\x00", "a frame without an end": "\xff\xff\xff\xff\xff\xff",
		"too long a frame": "\x81\x20Q", "a kind that nobody knows": "\x01z", "a question cut short": "\x02Q\x01", "more than a question": "\x80\x01" + question[2:] + strings.Repeat("x", 200),
	} {
		if p, _, err := relay.NewRenewals(strings.NewReader(text), nil).Question(); err == nil {
			t.Errorf("%s is heard as %+v", name, p)
		}
	}
	for name, text := range map[string]string{
		"a question for an answer": question, "a refusal without a reason": "\x03N{}", "a refusal that is none": "\x02N[", "a grant cut short": "\x02G\x01",
	} {
		if g, err := relay.NewRenewals(strings.NewReader(text), nil).Answer(); err == nil {
			t.Errorf("%s is heard as %+v", name, g)
		}
	}
	for n := range len(question) {
		if p, _, err := relay.NewRenewals(strings.NewReader(question[:n]), nil).Question(); err == nil || n > 0 && errors.Is(err, io.EOF) {
			t.Errorf("the first %d bytes of a question are heard as %+v, %v", n, p, err)
		}
	}
	long := api.Problem{Status: 503, Code: "unavailable", Detail: strings.Repeat("x", 5000)}
	if err := relay.NewRenewals(nil, io.Discard).Refuse(long); err == nil {
		t.Error("a refusal is written that nobody can read")
	}
}

func FuzzRenewals(f *testing.F) {
	f.Add([]byte("\x03N{}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		questions := relay.NewRenewals(bytes.NewReader(text), nil)
		for {
			p, _, err := questions.Question()
			if err != nil {
				break
			}
			if p.At.Seq < 0 {
				t.Fatalf("heard %+v", p)
			}
		}
		answers := relay.NewRenewals(bytes.NewReader(text), nil)
		for {
			_, err := answers.Answer()
			if _, refused := errors.AsType[*api.Problem](err); err != nil && !refused {
				return
			}
		}
	})
}
