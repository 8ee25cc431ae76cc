package postern_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/posterntest"
)

// verdict is how a verification ended: a code, or stale.
func verdict(v *postern.Verifier, key string) string {
	_, err := v.Verify(context.Background(), key, "tickets:read")
	if d, ok := errors.AsType[*postern.Denied](err); ok {
		return d.Code
	}
	if err != nil {
		return api.CodeStale
	}
	return api.VerdictValid
}

// Once the call that takes power away has returned, the verifier refuses; once the call
// that gives it has, it accepts, or does not know. All the while others verify.
func TestWhatHasReturnedHoldsAtAVerifier(t *testing.T) {
	s := posterntest.NewServer(t)
	v := s.Verifier()
	ctx, stop := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	defer busy.Wait()
	defer stop()
	other := s.NewKey("tickets:read")
	for range 2 {
		busy.Go(func() {
			for ctx.Err() == nil {
				if got := verdict(v, other); got != api.VerdictValid && got != api.CodeStale {
					t.Errorf("a key that nobody touched is %s", got)
					return
				}
			}
		})
	}
	accepted := 0
	for range 20 {
		id, key := s.NewAccountKey("tickets:read")
		if got := verdict(v, key); got == api.VerdictValid {
			accepted++
		} else if got != api.CodeStale {
			t.Fatalf("a key whose value has been shown is %s", got)
		}
		s.Revoke(id)
		if got := verdict(v, key); got != api.VerdictRevoked && got != api.CodeStale {
			t.Fatalf("a key whose revocation has returned is %s", got)
		}
	}
	if accepted < 10 {
		t.Errorf("%d of 20 keys were accepted before they were revoked: this proves little", accepted)
	}
}

// When its server is gone a verifier answers for as long as it may, then refuses, and
// answers again when the server is back.
func TestAVerifierOutlivesItsServer(t *testing.T) {
	s := posterntest.NewServer(t)
	v, key := s.Verifier(), s.NewKey("tickets:read")
	eventually(t, "the key accepted", func() bool { return verdict(v, key) == api.VerdictValid })
	s.Stop()
	eventually(t, "stale, without a server", func() bool { return verdict(v, key) == api.CodeStale })
	if err := v.Ready(t.Context()); !errors.Is(err, postern.ErrStale) || !strings.Contains(err.Error(), "the server cannot be followed") {
		t.Errorf("without a server: %v", err)
	}
	s.Start()
	eventually(t, "the key accepted again", func() bool { return verdict(v, key) == api.VerdictValid })
}

func TestAVerifierWhoseKeyIsRevokedAnswersNothing(t *testing.T) {
	s := posterntest.NewServer(t)
	own := s.VerifierKey()
	v, err := postern.New(t.Context(), postern.Server(s.URL), postern.Key(own))
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	key := s.NewKey("tickets:read")
	eventually(t, "the key accepted", func() bool { return verdict(v, key) == api.VerdictValid })
	var self api.Key
	c := &postern.Client{Server: s.URL, Key: postern.NewSecret(own)}
	if err := c.Do(t.Context(), http.MethodPost, "/v1/keys/self/revoke", api.Ending{}, &self); err != nil {
		t.Fatal(err)
	}
	eventually(t, "stale", func() bool { return verdict(v, key) == api.CodeStale })
	eventually(t, "told why", func() bool {
		err := v.Ready(context.Background())
		return err != nil && strings.Contains(err.Error(), "the server refuses the verifier's own key")
	})
}

// Keys of other workspaces are there for those alone who may see them and say so.
func TestAVerifierSeesTheWorkspacesThatItNames(t *testing.T) {
	s := posterntest.NewServer(t)
	var made api.CreatedWorkspace
	if err := s.Do(t.Context(), http.MethodPost, "/v1/workspaces", api.CreateWorkspace{
		Name: "Acme", Slug: "acme", Owner: &api.WorkspaceOwner{Email: "owner@acme.example"},
	}, &made); err != nil {
		t.Fatal(err)
	}
	var joined api.AcceptedInvitation
	anonymous := &postern.Client{Server: s.URL}
	if err := anonymous.Do(t.Context(), http.MethodPost, "/v1/invitations/accept", api.AcceptInvitation{
		Token: made.Invitation.Token, Name: "Jo", Key: &api.KeyName{Name: "first"},
	}, &joined); err != nil {
		t.Fatal(err)
	}
	ours := s.NewKey("tickets:read")
	for name, c := range map[string]struct {
		opts         []postern.Option
		own, another string
	}{
		"its own": {nil, api.VerdictValid, api.VerdictNotFound},
		"another": {[]postern.Option{postern.Workspace("acme")}, api.VerdictNotFound, api.VerdictValid},
		"any":     {[]postern.Option{postern.Workspace("any")}, api.VerdictValid, api.VerdictValid},
	} {
		v := s.Verifier(c.opts...)
		eventually(t, name+": known", func() bool { return verdict(v, ours) == c.own && verdict(v, joined.Key.Value) == c.another })
	}
	_, err := postern.New(t.Context(), postern.Server(s.URL), postern.Key(joined.Key.Value), postern.Workspace("any"))
	if err == nil || !strings.Contains(err.Error(), "no such workspace") {
		t.Errorf("any workspace for a key that is not of the system's: %v", err)
	}
}

// What a verifier accepted is seen where the key's use is, without its being closed.
func TestUseAtAVerifierIsSeen(t *testing.T) {
	s := posterntest.NewServer(t)
	v := s.Verifier(postern.Name("tickets"))
	id, key := s.NewAccountKey("tickets:read")
	eventually(t, "the key accepted", func() bool { return verdict(v, key) == api.VerdictValid })
	eventually(t, "its use seen", func() bool {
		var k api.Key
		return s.Do(t.Context(), http.MethodGet, "/v1/workspaces/-/keys/"+id, nil, &k) == nil && k.LastUsed != nil
	})
}
