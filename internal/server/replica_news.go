package server

import (
	"sync"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/relay"
	"github.com/posternhq/postern/internal/replica"
)

// news is what verifiers were last told, as text: those of one scope are told the
// same, and most of them are at the same place.
type news struct {
	mu    sync.Mutex // guards what follows
	epoch uint64     // of the replica, as of which all of it is
	to    int64      // the change that it leads to
	steps map[step]told
}

// step leads verifiers of a scope from a position to that of a view.
type step struct {
	scope replica.Scope
	seq   int64
	chain iam.Chain
}

// told is what a verifier is told, and where that leads.
type told struct {
	changes []iam.Change
	at      iam.Position
	text    []byte // all of it; nil where that is too long to be kept
}

// mostShared is of how many records a text is kept for others: where there are more,
// making it costs little beside writing it, and many streams are not to hold one each.
const mostShared = 64

// step returns what leads verifiers of a scope from a position to that of a view. Nobody
// writes to it. The error is that of [replica.View.After], or of what cannot be told.
func (n *news) step(v replica.View, from iam.Position, sc replica.Scope) (told, error) {
	n.mu.Lock() // while it is made, so that it is made once
	defer n.mu.Unlock()
	if n.steps == nil || n.epoch != v.Epoch() || n.to != v.Seq() {
		n.epoch, n.to, n.steps = v.Epoch(), v.Seq(), map[step]told{}
	}
	this := step{sc, from.Seq, from.Chain}
	if known, is := n.steps[this]; is {
		return known, nil
	}
	changes, at, err := v.After(from, sc)
	next := told{changes: changes, at: at}
	if err != nil || records(changes) > mostShared {
		return next, err
	}
	if next.text, err = relay.ChangesText(changes, at); err == nil {
		n.steps[this] = next
	}
	return next, err
}

func records(changes []iam.Change) (n int) {
	for _, c := range changes {
		n += 1 + len(c.Workspaces) + len(c.Roles) + len(c.Principals) + len(c.Keys)
	}
	return n
}
