package postern_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/posterntest"
)

// placed is a test whose server keeps its store in a known place.
type placed struct {
	testing.TB
	dir string
}

// TempDir returns that place.
func (p placed) TempDir() string { return p.dir }

// When the database of its server is replaced by an older copy, a verifier that has seen
// more loads it and answers again, without the log having to come as far as it was. What
// it has seen revoked it accepts at no time.
func TestAVerifierGoesOnWhenItsServerIsRestored(t *testing.T) {
	t.Parallel()
	dir, copied := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	s := posterntest.NewServer(placed{t, dir})
	v, key := s.Verifier(), s.NewKey("tickets:read")
	id, ended := s.NewAccountKey("tickets:read")
	s.Stop()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	s.Start()
	s.Revoke(id)
	lost := s.NewKey("tickets:read")
	eventually(t, "all of it seen", func() bool {
		return verdict(v, lost) == api.VerdictValid && verdict(v, ended) == api.VerdictRevoked
	})
	s.Stop()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(copied)); err != nil {
		t.Fatal(err)
	}
	s.Start()
	began := time.Now()
	eventually(t, "what the copy does not have forgotten, and the rest accepted", func() bool {
		if got := verdict(v, ended); got != api.VerdictRevoked && got != api.CodeStale {
			t.Errorf("a key that was seen revoked is %s", got)
		}
		return verdict(v, lost) == api.VerdictNotFound && verdict(v, key) == api.VerdictValid
	})
	t.Logf("it answers %v after the server has begun again", time.Since(began))
	if got := verdict(v, ended); got != api.VerdictRevoked {
		t.Errorf("then a key that was seen revoked is %s", got)
	}
}

// A verifier that asks whether its server's log has lost what it knows, and is cut off
// meanwhile, goes on over a connection that begins with everything.
func TestAVerifierThatIsCutOffWhileItAsksWhatWasLostLoads(t *testing.T) {
	n := newNode(t)
	key, _ := n.key(t)
	gone, _ := n.key(t)
	var refused atomic.Int64
	var restored atomic.Bool
	n.before = func(w http.ResponseWriter, r *http.Request) bool {
		again := !strings.Contains(r.URL.Path, "/child-1/") && !strings.Contains(r.URL.Path, "/child-2/")
		switch {
		case r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/renew") || !restored.Load():
			return false
		case again && refused.Swap(-1) >= 0:
			problem(w, http.StatusConflict, api.CodeDiverged)
		case again:
			return false
		default:
			refused.Add(1)
			problem(w, http.StatusServiceUnavailable, api.CodeUnavailable)
		}
		return true
	}
	v := followed(t, []string{n.URL})
	eventually(t, "both accepted", func() bool { return accepts(v, key) && accepts(v, gone) })
	restored.Store(true)
	n.set(func() { n.log = n.log[:2] })
	n.breakAll()
	eventually(t, "asked over and over", func() bool { return refused.Load() > 2 })
	n.set(func() { n.salt = 1 })
	n.breakAll()
	eventually(t, "what is left accepted", func() bool { return accepts(v, key) && !accepts(v, gone) })
}
