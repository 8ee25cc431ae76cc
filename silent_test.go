package postern_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/relay"
	"github.com/posternhq/postern/posterntest"
)

// nothing is a sink that keeps nothing.
type nothing struct{}

func (nothing) Workspace(iam.WorkspaceRecord) error { return nil }
func (nothing) Role(iam.RoleRecord) error           { return nil }
func (nothing) Principal(iam.PrincipalRecord) error { return nil }
func (nothing) Key(iam.KeyRecord) error             { return nil }

// A verifier that got a grant and falls silent is waited for until that is over: a
// server that runs, asked over HTTP, returns from a revocation no sooner.
func TestARevocationWaitsForASilentVerifier(t *testing.T) {
	t.Parallel()
	s := posterntest.NewServer(t)
	own := s.VerifierKey()
	id, _ := s.NewAccountKey("tickets:read")
	ask := func(method, path string, in any) io.Reader {
		t.Helper()
		var body []byte
		if in != nil {
			var err error
			if body, err = json.Marshal(in); err != nil {
				t.Fatal(err)
			}
		}
		r, err := http.NewRequestWithContext(t.Context(), method, s.URL+"/v1/replica"+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+own)
		r.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { answer.Body.Close() })
		if answer.StatusCode != http.StatusOK {
			text, _ := io.ReadAll(answer.Body)
			t.Fatalf("%s %s: %d %s", method, path, answer.StatusCode, text)
		}
		return answer.Body
	}
	stream := relay.NewReader(ask(http.MethodGet, "", nil))
	hello, err := stream.Hello(iam.Position{})
	if err != nil {
		t.Fatal(err)
	}
	at, err := stream.Snapshot(nothing{})
	if err != nil {
		t.Fatal(err)
	}
	asked := time.Now()
	var g api.ReplicaGrant
	text := ask(http.MethodPost, "/"+hello.Child+"/renew", api.RenewReplica{N: 1, Seq: at.Seq, Chain: relay.FormatChain(at.Chain), WantedMS: 2000})
	if err := json.NewDecoder(text).Decode(&g); err != nil || g.ForUS < 1_000_000 {
		t.Fatalf("got %+v, %v; want a grant of two seconds", g, err)
	}
	s.Revoke(id)
	if took, granted := time.Since(asked), time.Duration(g.ForUS)*time.Microsecond; took < granted {
		t.Errorf("the revocation returned %v after the verifier asked, which was granted %v", took, granted)
	}
}
