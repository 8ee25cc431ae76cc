package storetest

import (
	"testing"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// rotations are found as they were put in, and those that are open at any time.
var rotations = []contract{
	{"RotationKeepsEveryField", testRotation},
	{"KeyTakesPartInOneOpenRotation", testOneRotation},
	{"RotationsAreDisturbed", testDisturbRotations},
	{"OpenRotationsAreReadInPartsAndDueTrialsApart", testOpenRotations},
}

// newRotation returns a rotation of a key to a successor, which is not there yet.
func (w *world) newRotation(old, successor iam.Key) iam.Rotation {
	owner := w.owner()
	owner.Role = iam.PrincipalRole{}
	return iam.Rotation{
		ID: iam.RotationID(w.id(iam.RotationPrefix)), Workspace: w.ws.ID, Principal: owner,
		Old: rotatedKey(old), New: rotatedKey(successor), State: iam.WaitingForFirstUse,
		QuietFor: time.Minute, StartedAt: epoch, StartedBy: w.maker(), Version: 1,
	}
}

func rotatedKey(k iam.Key) iam.RotatedKey {
	return iam.RotatedKey{ID: k.ID, Name: k.Name, Hint: k.Hint, ExpiresAt: k.ExpiresAt, Pauses: k.Pauses}
}

// rotate inserts a rotation of a key to a new one.
func (w *world) rotate(old iam.Key, r func(*iam.Rotation)) (iam.Rotation, iam.Key) {
	w.t.Helper()
	successor := w.newKey(old.Name + "-2")
	successor.Replaces = old.ID
	rotation := w.newRotation(old, successor)
	if r != nil {
		r(&rotation)
	}
	rotation.Version = w.change(func(tx iam.Tx) error {
		if err := tx.InsertKey(w.t.Context(), successor); err != nil {
			return err
		}
		return tx.InsertRotation(w.t.Context(), rotation)
	}).Seq
	return rotation, successor
}

func testRotation(t *testing.T, open Open) {
	w := newWorld(t, open)
	old := w.newKey("canary")
	old.ExpiresAt, old.Pauses = epoch.Add(time.Hour), iam.ByTrial
	w.change(func(tx iam.Tx) error { return tx.InsertKey(t.Context(), old) })
	want, successor := w.rotate(old, func(r *iam.Rotation) {
		r.Learnt, r.AutoRevoke, r.Deadline = true, true, epoch.Add(time.Hour)
		r.OverdueAt, r.DisturbedAt = epoch.Add(2*time.Microsecond), epoch.Add(3*time.Microsecond)
		r.FirstUseAt = epoch.Add(time.Microsecond)
		r.Trial = &iam.Trial{From: epoch, Until: epoch.Add(time.Minute), Before: map[string]int64{"10.0.0.1\ncurl": 7}}
	})
	full(t, want, "Closed", "EndedAt", "EndedBy")
	full(t, want.Old, "RevokedAt")
	get := must[iam.Rotation](t, "rotation")
	equal(t, "rotation", get(w.s.Rotation(t.Context(), w.ws.ID, want.ID)), want)
	_, err := w.s.Rotation(t.Context(), iam.WorkspaceID(w.id(iam.WorkspacePrefix)), want.ID)
	isKind(t, "the rotation in another workspace", err, iam.NotFound)
	for _, id := range []iam.KeyID{old.ID, successor.ID} {
		if key := must[iam.Key](t, "key")(w.s.Key(t.Context(), w.ws.ID, id)); key.Rotation != want.ID {
			t.Errorf("key %s takes part in the rotation %q, want %s", id, key.Rotation, want.ID)
		}
	}

	want.State, want.FirstUseAt, want.OverdueAt, want.DisturbedAt = iam.Cancelled, epoch, epoch, epoch
	want.Trial = &iam.Trial{From: epoch, Until: epoch, EndedAt: epoch.Add(time.Second)}
	want.EndedAt, want.EndedBy = epoch.Add(time.Hour), w.maker()
	want.Version = w.change(func(tx iam.Tx) error { return tx.UpdateRotation(t.Context(), want) }).Seq
	equal(t, "ended", get(w.s.Rotation(t.Context(), w.ws.ID, want.ID)), want)
	if key := must[iam.Key](t, "key")(w.s.Key(t.Context(), w.ws.ID, old.ID)); key.Rotation != "" {
		t.Errorf("the key takes part in %s, which has ended", key.Rotation)
	}
}

func testOneRotation(t *testing.T, open Open) {
	w := newWorld(t, open)
	first, _ := w.rotate(w.key, nil)
	other := w.newKey("other")
	w.change(func(tx iam.Tx) error { return tx.InsertKey(t.Context(), other) })
	second := w.newRotation(w.key, other)
	insert := func(tx iam.Tx) (iam.Change, error) { return iam.Change{}, tx.InsertRotation(t.Context(), second) }
	_, err := w.s.Change(t.Context(), iam.First{}, insert)
	isKind(t, "a second open rotation of a key", err, iam.RotationInProgress)

	first.State, first.EndedAt, first.EndedBy = iam.Cancelled, epoch, w.maker()
	w.change(func(tx iam.Tx) error { return tx.UpdateRotation(t.Context(), first) })
	if _, err = w.s.Change(t.Context(), iam.First{}, insert); err != nil {
		t.Errorf("a rotation after the first has ended: %v", err)
	}
}

func testDisturbRotations(t *testing.T, open Open) {
	w := newWorld(t, open)
	mine, _ := w.rotate(w.key, nil)
	over := w.newKey("over")
	w.change(func(tx iam.Tx) error { return tx.InsertKey(t.Context(), over) })
	ended, _ := w.rotate(over, nil)
	ended.State, ended.EndedAt, ended.EndedBy = iam.Cancelled, epoch, w.maker()
	w.change(func(tx iam.Tx) error { return tx.UpdateRotation(t.Context(), ended) })
	get := must[iam.Rotation](t, "rotation")
	disturbed := func(id iam.RotationID) time.Time { return get(w.s.Rotation(t.Context(), w.ws.ID, id)).DisturbedAt }
	nobody := iam.PrincipalID(w.id(iam.ServiceAccountPrefix))
	for _, test := range []struct {
		what  string
		ws    iam.WorkspaceID
		owner iam.PrincipalID
		key   iam.KeyID
		hit   bool
	}{
		{"another workspace's", iam.WorkspaceID(w.id(iam.WorkspacePrefix)), "", "", false},
		{"another owner's", w.ws.ID, nobody, "", false},
		{"another key's", w.ws.ID, "", over.ID, false},
		{"the new key's", w.ws.ID, "", mine.New.ID, false},
		{"the old key's", w.ws.ID, "", mine.Old.ID, true},
		{"the owner's", w.ws.ID, mine.Principal.ID, "", true},
		{"all", w.ws.ID, "", "", true},
	} {
		before := disturbed(mine.ID)
		commit := w.change(func(tx iam.Tx) error { return tx.DisturbRotations(t.Context(), test.ws, test.owner, test.key) })
		if got := disturbed(mine.ID); got.Equal(commit.Time) != test.hit || !test.hit && !got.Equal(before) {
			t.Errorf("%s: disturbed at %s, changed at %s; want it changed: %t", test.what, got, commit.Time, test.hit)
		}
	}
	if got := disturbed(ended.ID); !got.IsZero() {
		t.Errorf("a rotation that has ended is disturbed at %s", got)
	}
	w.ws.Paused = true
	w.change(func(tx iam.Tx) error { return tx.UpdateWorkspace(t.Context(), w.ws) })
	if !get(w.s.Rotation(t.Context(), w.ws.ID, mine.ID)).Closed {
		t.Error("the workspace is paused, and the rotation does not say so")
	}
}

func testOpenRotations(t *testing.T, open Open) {
	w := newWorld(t, open)
	var ids []iam.RotationID
	for i := range 5 {
		old := w.newKey("k" + string(rune('a'+i)))
		w.change(func(tx iam.Tx) error { return tx.InsertKey(t.Context(), old) })
		r, _ := w.rotate(old, func(r *iam.Rotation) {
			switch i {
			case 1:
				r.EndedAt, r.EndedBy, r.State = epoch, w.maker(), iam.Completed
			case 2: // long over
				r.Trial = &iam.Trial{From: epoch, Until: epoch.Add(time.Second)}
			case 3: // long over, and noted
				r.Trial = &iam.Trial{From: epoch, Until: epoch.Add(time.Second), EndedAt: epoch}
			case 4: // not over for long
				r.Trial = &iam.Trial{From: epoch, Until: epoch.AddDate(500, 0, 0)}
			}
		})
		ids = append(ids, r.ID)
	}
	wantRotations(t, w, "", 2, ids[0], ids[2])
	wantRotations(t, w, ids[2], 2, ids[3], ids[4])
	wantRotations(t, w, ids[4], 2)
	due, now, err := w.s.DueTrials(t.Context(), 9)
	if err != nil || len(due) != 1 || due[0].ID != ids[2] || now.Before(epoch) {
		t.Errorf("due trials: got %+v at %s, %v; want that of %s, now", due, now, err, ids[2])
	}
	list, err := w.s.Rotations(t.Context(), w.ws.ID, iam.RotationFilter{State: iam.Completed}, iam.Page{Limit: 9})
	if err != nil || len(list.Items) != 1 || list.Items[0].ID != ids[1] {
		t.Errorf("completed: got %+v, %v; want %s", list.Items, err, ids[1])
	}
	of := list.Items[0].New.ID
	list, err = w.s.Rotations(t.Context(), w.ws.ID, iam.RotationFilter{Key: of, Principal: w.account.ID}, iam.Page{Limit: 9})
	if err != nil || len(list.Items) != 1 || list.Items[0].ID != ids[1] {
		t.Errorf("of a new key: got %+v, %v; want %s", list.Items, err, ids[1])
	}
}

// wantRotations fails the test unless these are the open rotations after an id.
func wantRotations(t *testing.T, w *world, after iam.RotationID, limit int, want ...iam.RotationID) {
	t.Helper()
	got, now, err := w.s.OpenRotations(t.Context(), after, limit)
	if err != nil || len(got) != len(want) {
		t.Fatalf("after %q: got %+v, %v; want %v", after, got, err, want)
	}
	for i := range want {
		if got[i].ID != want[i] || now.IsZero() {
			t.Errorf("after %q: got %s at %s, want %s now", after, got[i].ID, now, want[i])
		}
	}
}
