package fence_test

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/posternhq/postern/internal/replica"
)

// step is what porcupine is told of a call about one key. A change takes two
// steps between its call and its return: it begins to show, and it shows on every
// node. In between both answers are right, and not every node need give the same,
// so that a change that took effect in one step would be another promise.
type step struct {
	what   string // create, pause, resume, revoke or verify
	change rune   // the number of a change of this key; both its steps have it
	last   bool   // the second of the two
	lost   bool   // nobody knows whether the change was made: it may be at any later time, or never
	node   int    // who was asked to verify
}

// keyState is what nodes may answer about a key: from the oldest of several
// values to the newest.
type keyState struct {
	values  string                // one letter each: - none, a active, p paused, r revoked
	changes string                // one rune each: the change that made it
	at      [linearProcesses]int8 // the value that each node has answered from; it never goes back
}

func letter(c replica.Code) byte {
	switch c {
	case replica.Valid:
		return 'a'
	case replica.Paused:
		return 'p'
	case replica.Revoked:
		return 'r'
	case replica.NotFound:
		return '-'
	}
	return '?'
}

// answer reports whether a node can give an answer. It is taken to have answered
// from the oldest value that fits, which leaves the most open.
func (s keyState) answer(node int, c replica.Code) (bool, keyState) {
	i := strings.IndexByte(s.values[s.at[node]:], letter(c))
	if i < 0 {
		return false, s
	}
	s.at[node] += int8(i)
	return true, s
}

// begin adds the value that a change makes.
func (s keyState) begin(in step) (bool, keyState) {
	newest := s.values[len(s.values)-1]
	fits := (newest == '-') == (in.what == "create") && (newest != 'r' || in.what == "revoke")
	if !fits {
		return in.lost, s // it was refused, and nobody heard
	}
	s.values += map[string]string{"create": "a", "pause": "p", "resume": "a", "revoke": "r"}[in.what]
	s.changes += string(in.change)
	return true, s
}

// end forgets what no node may answer any more.
func (s keyState) end(change rune) (bool, keyState) {
	kept := slices.Index([]rune(s.changes), change)
	if kept < 0 {
		return false, s
	}
	s.values, s.changes = s.values[kept:], string([]rune(s.changes)[kept:])
	for i := range s.at {
		s.at[i] = max(0, s.at[i]-int8(kept))
	}
	return true, s
}

// keyModel is what was promised of one key.
func keyModel() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return keyState{values: "-", changes: "\x00"} },
		Step: func(state, input, output any) (bool, any) {
			s, in := state.(keyState), input.(step)
			var ok bool
			switch {
			case in.what == "verify":
				ok, s = s.answer(in.node, output.(replica.Code))
			case in.last:
				ok, s = s.end(in.change)
			default:
				ok, s = s.begin(in)
			}
			return ok, s
		},
	}
}

// never is later than everything.
const never = math.MaxInt64

// judge says whether a history of one key can have been.
func judge(t *testing.T, history []porcupine.Operation) porcupine.CheckResult {
	t.Helper()
	result := porcupine.CheckOperationsTimeout(keyModel(), history, time.Minute)
	if result == porcupine.Unknown {
		t.Error("a history was too much to judge")
	}
	return result
}

// told returns a history in words, in the order of the calls.
func told(history []porcupine.Operation) string {
	slices.SortStableFunc(history, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	var text strings.Builder
	for _, op := range history {
		in := op.Input.(step)
		switch {
		case in.what == "verify":
			fmt.Fprintf(&text, "%12v %12v node-%d says %v\n", time.Duration(op.Call), time.Duration(op.Return), in.node, op.Output)
		case !in.last:
			fmt.Fprintf(&text, "%12v %12v %s, change %d, lost %t\n", time.Duration(op.Call), time.Duration(op.Return), in.what, in.change, in.lost)
		}
	}
	return text.String()
}

// What the model lets through and what it does not, on histories that fit in a line.
func TestTheModelOfAKeyIsThePromise(t *testing.T) {
	made := func(what string, change rune, call, ret int64) []porcupine.Operation {
		return []porcupine.Operation{
			{Input: step{what: what, change: change}, Call: call, Return: ret},
			{Input: step{what: what, change: change, last: true}, Call: call, Return: ret},
		}
	}
	lost := func(what string, change rune, call int64) []porcupine.Operation {
		return []porcupine.Operation{{Input: step{what: what, change: change, lost: true}, Call: call, Return: never}}
	}
	said := func(node int, c replica.Code, call int64) []porcupine.Operation {
		return []porcupine.Operation{{Input: step{what: "verify", node: node}, Output: c, Call: call, Return: call + 1}}
	}
	for name, tt := range map[string]struct {
		history [][]porcupine.Operation
		want    porcupine.CheckResult
	}{
		"valid after it was made":   {[][]porcupine.Operation{made("create", 1, 1, 9), said(0, replica.Valid, 10)}, porcupine.Ok},
		"unknown after it was made": {[][]porcupine.Operation{made("create", 1, 1, 9), said(0, replica.NotFound, 10)}, porcupine.Illegal},
		"valid after it was revoked": {
			[][]porcupine.Operation{made("create", 1, 1, 9), made("revoke", 2, 10, 19), said(1, replica.Valid, 20)}, porcupine.Illegal,
		},
		"two nodes differ while it is revoked": {
			[][]porcupine.Operation{made("create", 1, 1, 9), made("revoke", 2, 10, 19), said(0, replica.Revoked, 12), said(1, replica.Valid, 15)}, porcupine.Ok,
		},
		"one node goes back while it is revoked": {
			[][]porcupine.Operation{made("create", 1, 1, 9), made("revoke", 2, 10, 19), said(1, replica.Revoked, 12), said(1, replica.Valid, 15)}, porcupine.Illegal,
		},
		"revoked before anybody asked": {[][]porcupine.Operation{made("create", 1, 1, 9), said(0, replica.Revoked, 10), made("revoke", 2, 15, 19)}, porcupine.Illegal},
		"revived":                      {[][]porcupine.Operation{made("create", 1, 1, 9), made("revoke", 2, 10, 19), made("resume", 3, 20, 29)}, porcupine.Illegal},
		"lost, and never made": {
			[][]porcupine.Operation{made("create", 1, 1, 9), lost("revoke", 2, 10), said(0, replica.Valid, 20), said(1, replica.Valid, 30)}, porcupine.Ok,
		},
		"lost, and made much later": {
			[][]porcupine.Operation{made("create", 1, 1, 9), lost("revoke", 2, 10), said(0, replica.Valid, 20), said(0, replica.Revoked, 30)}, porcupine.Ok,
		},
		"lost, and overtaken by one that was not": {
			[][]porcupine.Operation{made("create", 1, 1, 9), lost("pause", 2, 10), made("resume", 3, 20, 29), said(0, replica.Revoked, 30)}, porcupine.Illegal,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := judge(t, slices.Concat(tt.history...)); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
