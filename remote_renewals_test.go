package postern_test

import (
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/relay"
	"github.com/posternhq/postern/internal/replica"
)

// lines are a node's renewals over calls that stay open.
type lines struct {
	*node

	mu        sync.Mutex // guards what follows
	open      int        // calls that stay open, so far
	asked     int        // questions over them
	posts     int        // calls for one renewal each
	acked     int64      // the last change that was acknowledged without a question
	refused   string     // the code of the next answer over one of them; empty: a grant
	broken    bool       // the next question has no answer
	keepsBack bool       // what lies between keeps a body back until it is whole
	dumb      bool       // what lies between keeps the answers back
	unheard   int        // questions whose answers were kept back
}

// newLines returns a node that renews over calls that stay open too.
func newLines(t *testing.T) *lines {
	l := &lines{node: newNode(t)}
	l.before = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/renew") {
			l.change(func() { l.posts++ })
		}
		talks := strings.HasSuffix(r.URL.Path, "/renewals")
		if talks {
			l.talk(w, r)
		}
		return talks
	}
	return l
}

func (l *lines) change(what func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	what()
}

// is reports whether something is so, for [eventually].
func (l *lines) is(so func() bool) func() bool {
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return so()
	}
}

func (l *lines) talk(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	l.open++
	keepsBack := l.keepsBack
	l.mu.Unlock()
	if keepsBack {
		_, _ = io.Copy(io.Discard, r.Body) // as long as the caller likes
		return
	}
	control := http.NewResponseController(w)
	_ = control.EnableFullDuplex()
	w.Header().Set("Content-Type", relay.RenewalsType)
	w.WriteHeader(http.StatusOK)
	both := relay.NewRenewals(r.Body, w)
	for control.Flush() == nil {
		p, asks, err := both.Question()
		if err != nil || !l.answer(both, p, asks) {
			panic(http.ErrAbortHandler)
		}
	}
}

func (l *lines) answer(both *relay.Renewals, p replica.Ping, asks bool) bool {
	l.node.mu.Lock()
	at := l.at(len(l.log))
	l.node.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !asks:
		l.acked = p.At.Seq
		return true
	case l.dumb:
		l.unheard++
		return true
	case l.broken:
		l.broken = false
		return false
	case l.refused != "":
		code := l.refused
		l.refused = ""
		return both.Refuse(api.Problem{Status: http.StatusConflict, Code: code}) == nil
	}
	l.asked++
	return both.Grant(replica.Grant{N: p.N, At: at, For: min(p.Wanted, 2*time.Second), Time: time.Now()}) == nil
}

func TestVerifierRenewsOverACallThatStaysOpen(t *testing.T) {
	n := newLines(t)
	first, _ := n.key(t)
	v := followed(t, []string{n.URL})
	eventually(t, "asked over an open call", n.is(func() bool { return n.asked > 0 }))
	var posts, asked int
	n.change(func() { posts, asked = n.posts, n.asked })
	eventually(t, "asked over it again and again", n.is(func() bool { return n.asked > asked+2 }))
	n.change(func() {
		if n.posts != posts || n.open != 1 {
			t.Errorf("it made %d calls beside, and opened %d", n.posts-posts, n.open)
		}
	})
	second, _ := n.key(t)
	n.node.mu.Lock()
	at := int64(len(n.log))
	n.node.mu.Unlock()
	eventually(t, "a change acknowledged", n.is(func() bool { return n.acked == at }))
	if !accepts(v, first) || !accepts(v, second) {
		t.Error("a key is refused that it was told of")
	}
}

// Whatever becomes of the call that stays open, the verifier goes on.
func TestVerifierOutlivesACallThatStaysOpen(t *testing.T) {
	n := newLines(t)
	v := followed(t, []string{n.URL})
	eventually(t, "asked over an open call", n.is(func() bool { return n.asked > 0 }))
	n.change(func() { n.broken = true })
	eventually(t, "over another one", n.is(func() bool { return n.open == 2 && !n.broken }))
	text, _ := n.key(t)
	eventually(t, "a key of a change accepted", func() bool { return accepts(v, text) })
	n.set(func() { n.salt++ }) // it is of another history from here on
	n.change(func() { n.refused = api.CodeDiverged })
	eventually(t, "refused", n.is(func() bool { return n.refused == "" }))
	n.node.mu.Lock()
	before := len(n.node.asked)
	n.node.mu.Unlock()
	eventually(t, "loaded anew", func() bool {
		n.node.mu.Lock()
		defer n.node.mu.Unlock()
		return len(n.node.asked) > before || before > 1
	})
	eventually(t, "accepted again", func() bool { return accepts(v, text) })
}

// What lies between may keep a body back until it is whole.
func TestVerifierRenewsWhereNothingStaysOpen(t *testing.T) {
	n := newLines(t)
	n.keepsBack = true
	first, _ := n.key(t)
	v := followed(t, []string{n.URL})
	var posts int
	eventually(t, "tried", n.is(func() bool { posts = n.posts; return n.open > 0 }))
	eventually(t, "asked by a call each time", n.is(func() bool { return n.posts > posts+3 }))
	second, _ := n.key(t)
	eventually(t, "a key of a change accepted", func() bool { return accepts(v, second) })
	if !accepts(v, first) {
		t.Error("a key of the snapshot is refused")
	}
	n.change(func() {
		if n.open != 1 {
			t.Errorf("it tried %d times", n.open)
		}
	})
	if err := v.Close(); err != nil {
		t.Error(err)
	}
	eventually(t, "given up", func() bool {
		all := make([]byte, 1<<20)
		return !strings.Contains(string(all[:runtime.Stack(all, true)]), "(*renewing).begin")
	})
}

// What lies between may let a call begin, and no answer through: that is not tried over
// and over, and nothing is said over it alone.
func TestVerifierDoesNotRelyOnACallThatAnswersNothing(t *testing.T) {
	n := newLines(t)
	n.dumb = true
	v := followed(t, []string{n.URL})
	var posts int
	eventually(t, "asked in vain", n.is(func() bool { posts = n.posts; return n.unheard > 0 }))
	text, _ := n.key(t)
	eventually(t, "a key of a change accepted", func() bool { return accepts(v, text) })
	eventually(t, "asked by a call each time", n.is(func() bool { return n.posts > posts+5 }))
	n.change(func() {
		if n.open != 1 || n.acked != 0 {
			t.Errorf("it tried %d times, and acknowledged change %d into the void", n.open, n.acked)
		}
	})
}
