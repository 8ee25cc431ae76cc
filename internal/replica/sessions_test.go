package replica

import (
	"fmt"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// lobby is a replica in which somebody signs in every minute, for an hour each time.
type lobby struct {
	*Replica
	t   *testing.T
	now clock
	seq int64
}

const sessionLife = time.Hour

func newLobby(t *testing.T) *lobby {
	l := &lobby{t: t, now: clock{epoch}}
	l.Replica = New(Options{Now: l.now.Now})
	mustLoad(t, l.Replica, newModel())
	l.apply(iam.Change{
		Workspaces: []iam.WorkspaceRecord{{ID: iam.WorkspaceID(testID(iam.WorkspacePrefix, 1)), Slug: "one"}},
		Roles:      []iam.RoleRecord{{ID: iam.RoleID(testID(iam.RolePrefix, 1)), Name: "viewer"}},
		Principals: []iam.PrincipalRecord{{
			ID: guest, Workspace: iam.WorkspaceID(testID(iam.WorkspacePrefix, 1)), Type: iam.MemberType, Name: "Jo",
			State: iam.Active, Role: iam.RoleID(testID(iam.RolePrefix, 1)),
		}},
	})
	return l
}

var guest = iam.PrincipalID(testID(iam.MemberPrefix, 1))

// apply applies a change a minute after the last.
func (l *lobby) apply(c iam.Change) {
	l.t.Helper()
	l.seq++
	l.now.now = l.now.now.Add(time.Minute)
	c.Seq, c.Time = l.seq, l.now.now
	if err := l.Apply(c, iam.Position{Seq: c.Seq, Time: c.Time}); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lobby) signIn(n int) iam.KeyRecord {
	l.t.Helper()
	s := iam.KeyRecord{
		ID: iam.KeyID(testID(iam.SignInPrefix, n)), Principal: guest, Session: true,
		Hash: token.NewSecret(fmt.Sprint("session ", n)).Hash(), Expires: l.now.now.Add(time.Minute + sessionLife).UnixMicro(),
	}
	l.apply(iam.Change{Keys: []iam.KeyRecord{s}})
	return s
}

func (l *lobby) key(n int) iam.KeyRecord {
	l.t.Helper()
	k := iam.KeyRecord{
		ID: iam.KeyID(testID(iam.KeyPrefix, n)), Principal: guest, Name: fmt.Sprint("key-", n),
		Hash: token.NewSecret(fmt.Sprint("key ", n)).Hash(),
	}
	l.apply(iam.Change{Keys: []iam.KeyRecord{k}})
	return k
}

func (l *lobby) code(k iam.KeyRecord) Verdict {
	return l.Verify(k.Hash, Query{Scope: AnyWorkspace(), Session: k.Session})
}

func TestMemoryHoldsSessionsUntilTheyAreOver(t *testing.T) {
	l := newLobby(t)
	var sessions, keys []iam.KeyRecord
	for n := range 5000 {
		sessions = append(sessions, l.signIn(n))
		if n%50 == 0 {
			keys = append(keys, l.key(n))
		}
		if n%3 == 0 { // signed out
			ended := sessions[n]
			ended.Revoked = true
			l.apply(iam.Change{Keys: []iam.KeyRecord{ended}})
		}
	}
	s := l.current.Load()
	if most := uint32(len(keys) + 2*60); s.keys.rows.len > most || s.sessions.numbers.len > 2*pageLen+60 {
		t.Errorf("after 5000 sign-ins there are %d records and %d sessions in the queue, want %d and %d at most",
			s.keys.rows.len, s.sessions.numbers.len, most, 2*pageLen+60)
	}
	if most := len(keys) + 2*60; s.keys.index.len > most {
		t.Errorf("the index has %d entries, want %d at most", s.keys.index.len, most)
	}
	if held, _ := l.Size(); held > len(keys)+60 {
		t.Errorf("%d keys and sessions are held, want the %d keys and those of an hour", held, len(keys))
	}
	for n, k := range sessions {
		want := NotFound
		switch {
		case k.Expires <= l.now.now.UnixMicro():
		case n%3 == 0:
			want = Revoked
		default:
			want = Valid
		}
		if v := l.code(k); v.Code != want || v.Code != NotFound && iam.FormatID(iam.SignInPrefix, v.Key.ID) != string(k.ID) {
			t.Fatalf("session %d: %s of %x, want %s", n, v.Code, v.Key.ID, want)
		}
	}
	for _, k := range keys {
		if v := l.code(k); v.Code != Valid || iam.FormatID(iam.KeyPrefix, v.Key.ID) != string(k.ID) || v.Key.Name != k.Name {
			t.Fatalf("%s: %s of %x %q", k.Name, v.Code, v.Key.ID, v.Key.Name)
		}
	}
	checkReferences(t, s)
}

// A session that was ended stays so until it is over by itself, whatever a database
// says that has lost its end.
func TestSessionThatWasEndedIsNotRevivedByALogThatLostThat(t *testing.T) {
	l := newLobby(t)
	s := l.signIn(1)
	lost := l.Position()
	ended := s
	ended.Revoked = true
	l.apply(iam.Change{Keys: []iam.KeyRecord{ended}})
	m := newModel()
	m.apply(iam.Change{
		Seq: lost.Seq, Time: lost.Time,
		Workspaces: []iam.WorkspaceRecord{{ID: iam.WorkspaceID(testID(iam.WorkspacePrefix, 1)), Slug: "one"}},
		Roles:      []iam.RoleRecord{{ID: iam.RoleID(testID(iam.RolePrefix, 1)), Name: "viewer"}},
		Principals: []iam.PrincipalRecord{{
			ID: guest, Workspace: iam.WorkspaceID(testID(iam.WorkspacePrefix, 1)), Type: iam.MemberType, Name: "Jo",
			State: iam.Active, Role: iam.RoleID(testID(iam.RolePrefix, 1)),
		}},
	})
	m.apply(iam.Change{Seq: lost.Seq, Time: lost.Time, Keys: []iam.KeyRecord{s}})
	l.stop(l.current.Load(), iam.Diverged)
	mustLoad(t, l.Replica, m)
	if v := l.code(s); v.Code != Revoked {
		t.Errorf("it reads %s, want revoked", v.Code)
	}
}
