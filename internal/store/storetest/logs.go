package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
)

// logs tell replicas all they need, in order.
var logs = []contract{
	{"ChangesComeInOrderFromWhereOneStands", testChanges},
	{"WhoStandsOnAnotherLogIsTold", testDiverged},
	{"ASnapshotIsWhatTheChangesAddUpTo", testSnapshot},
	{"ASnapshotShowsOneMoment", testSnapshotMoment},
	{"ASinksErrorEndsTheSnapshot", testSinkError},
}

func testChanges(t *testing.T, open Open) {
	s := open(t, nil)
	var want []iam.Change
	for i := range 5 {
		c := iam.Change{Workspaces: []iam.WorkspaceRecord{{ID: iam.WorkspaceID(fmt.Sprint("ws_", i)), Slug: "ü"}}}
		commit, err := s.Change(t.Context(), iam.First{}, func(iam.Tx) (iam.Change, error) { return c, nil })
		if err != nil {
			t.Fatal(err)
		}
		c.Seq, c.Time, c.Reader = commit.Seq, commit.Time, c.LowestReader()
		want = append(want, c)
	}
	var at iam.Position
	var got []iam.Change
	for _, n := range []int{2, 2, 1, 0} {
		part, next, err := s.Changes(t.Context(), at, 2)
		if err != nil || len(part) != n {
			t.Fatalf("after %d: %d changes, %v; want %d", at.Seq, len(part), err, n)
		}
		got, at = append(got, part...), next
	}
	equal(t, "changes", got, want)
	equal(t, "where they end", at.Seq, int64(5))
	equal(t, "when", at.Time, want[4].Time)
	whole := must[[]iam.Change](t, "changes")(changesOf(t, s))
	equal(t, "in one", whole, want)
	snapshot, err := s.Snapshot(t.Context(), newPicture())
	if err != nil || snapshot != at {
		t.Errorf("a snapshot now is at %v, %v; want %v", snapshot, err, at)
	}
}

func testDiverged(t *testing.T, open Open) {
	s := open(t, nil)
	for range 3 {
		change(t, s, func(iam.Tx) error { return nil })
	}
	_, at, err := s.Changes(t.Context(), iam.Position{}, 2)
	if err != nil {
		t.Fatal(err)
	}
	other, above, before := at, at, iam.Position{}
	other.Chain[0]++
	above.Seq = 4
	before.Chain[0]++
	for what, p := range map[string]iam.Position{"another chain": other, "above the head": above, "a chain before the first": before} {
		changes, _, err := s.Changes(t.Context(), p, 10)
		if !errors.Is(err, iam.Diverged) || changes != nil {
			t.Errorf("%s: %v, %v; want Diverged", what, changes, err)
		}
	}
	if _, _, err := s.Changes(t.Context(), at, 10); err != nil {
		t.Errorf("on the log: %v", err)
	}
}

// picture is what a replica would know: the last record of each id.
type picture struct {
	records map[string]any
	order   []string // the sorts of record as they came
	wait    func()   // called once, at the first record
	refuse  error
}

func newPicture() *picture { return &picture{records: map[string]any{}} }

func (p *picture) put(sort, id string, record any) error {
	if p.wait != nil {
		p.wait()
		p.wait = nil
	}
	if len(p.order) == 0 || p.order[len(p.order)-1] != sort {
		p.order = append(p.order, sort)
	}
	p.records[id] = record
	return p.refuse
}

func (p *picture) Workspace(r iam.WorkspaceRecord) error { return p.put("workspace", string(r.ID), r) }
func (p *picture) Role(r iam.RoleRecord) error           { return p.put("role", string(r.ID), r) }
func (p *picture) Principal(r iam.PrincipalRecord) error {
	return p.put("principal", string(r.ID), r)
}
func (p *picture) Key(r iam.KeyRecord) error {
	r.Networks = slices.Clone(r.Networks)
	return p.put("key", string(r.ID), r)
}

func (p *picture) apply(c iam.Change) {
	for _, r := range c.Workspaces {
		p.records[string(r.ID)] = r
	}
	for _, r := range c.Roles {
		p.records[string(r.ID)] = r
		if r.Deleted {
			delete(p.records, string(r.ID))
		}
	}
	for _, r := range c.Principals {
		p.records[string(r.ID)] = r
	}
	for _, r := range c.Keys {
		p.records[string(r.ID)] = r
	}
}

// records returns what a change of everything in the world tells replicas.
func (w *world) recordsOf(keys ...iam.Key) iam.Change {
	c := iam.Change{
		Workspaces: []iam.WorkspaceRecord{{
			ID: w.ws.ID, Slug: w.ws.Slug, System: w.ws.System, Paused: w.ws.Paused, Reveal: w.ws.Policy.RevealRefusalReason,
		}},
		Roles: []iam.RoleRecord{{ID: w.role.ID, Workspace: w.ws.ID, Name: w.role.Name, Permissions: w.role.Permissions}},
		Principals: []iam.PrincipalRecord{
			{ID: w.account.ID, Type: audit.ServiceAccount, Workspace: w.ws.ID, Name: w.account.Name, State: w.account.State(), Role: w.role.ID},
			{ID: w.member.ID, Type: audit.Member, Workspace: w.ws.ID, Name: w.member.Name, State: w.member.State(), Role: w.role.ID},
		},
	}
	for _, k := range keys {
		r := iam.KeyRecord{
			ID: k.ID, Principal: k.Principal.ID, Name: k.Name, Hash: k.Hash, Limit: k.Limit, Networks: k.AllowedNetworks,
			Paused: k.Pauses != "", Revoked: k.Revoked != nil,
		}
		if !k.ExpiresAt.IsZero() {
			r.Expires = k.ExpiresAt.UnixMicro()
		}
		c.Keys = append(c.Keys, r)
	}
	return c
}

func testSnapshot(t *testing.T, open Open) {
	w := newWorld(t, open)
	limit := permissions(t, "agents:execute")
	limited, over := w.newKey("limited"), w.newKey("over")
	limited.Limit, limited.AllowedNetworks, limited.ExpiresAt = &limit, networks("10.0.0.0/8", "2001:db8::/32"), epoch
	over.Limit, over.Pauses, over.Revoked = &limit, iam.ByPerson, &iam.Revocation{At: epoch, By: w.maker()}
	deleted := w.roleIn(w.ws.ID, "deleted", "*:read")
	_, err := w.s.Change(t.Context(), iam.First{}, func(tx iam.Tx) (iam.Change, error) {
		c := w.recordsOf(w.key, limited, over)
		c.Roles = append(c.Roles, iam.RoleRecord{ID: deleted.ID, Workspace: w.ws.ID, Name: deleted.Name, Permissions: deleted.Permissions})
		return c, errors.Join(tx.InsertKey(t.Context(), limited), tx.InsertKey(t.Context(), over), tx.InsertRole(t.Context(), deleted))
	})
	if err != nil {
		t.Fatal(err)
	}
	w.ws.System, w.ws.Paused, w.ws.Policy.RevealRefusalReason = false, true, true
	w.account.Revoked, w.member.RemovedAt = &iam.Revocation{At: epoch, By: w.maker()}, epoch
	limited.Limit, limited.ExpiresAt = nil, time.Time{}
	_, err = w.s.Change(t.Context(), iam.First{}, func(tx iam.Tx) (iam.Change, error) {
		c := w.recordsOf(limited)
		c.Roles = append(c.Roles, iam.RoleRecord{ID: deleted.ID, Deleted: true})
		return c, errors.Join(tx.UpdateWorkspace(t.Context(), w.ws), tx.UpdateServiceAccount(t.Context(), w.account),
			tx.UpdateMember(t.Context(), w.member), tx.UpdateKey(t.Context(), limited), tx.DeleteRole(t.Context(), w.ws.ID, deleted.ID))
	})
	if err != nil {
		t.Fatal(err)
	}
	replayed, snapshot := newPicture(), newPicture()
	changes, at, err := w.s.Changes(t.Context(), iam.Position{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		replayed.apply(c)
	}
	got, err := w.s.Snapshot(t.Context(), snapshot)
	if err != nil || got != at {
		t.Errorf("snapshot at %v, %v; want %v", got, err, at)
	}
	equal(t, "order", snapshot.order, []string{"workspace", "role", "principal", "key"})
	equal(t, "records", sorted(snapshot.records), sorted(replayed.records))
}

func sorted(records map[string]any) []any {
	var all []any
	for _, id := range slices.SortedFunc(maps.Keys(records), cmp.Compare) {
		all = append(all, records[id])
	}
	return all
}

// A change that comes while a snapshot is read is in none of its parts.
func testSnapshotMoment(t *testing.T, open Open) {
	w, snapshot := newWorld(t, open), newPicture()
	before := must[[]iam.Change](t, "changes")(changesOf(t, w.s))
	late := w.newKey("late")
	snapshot.wait = func() {
		w.change(func(tx iam.Tx) error { return tx.InsertKey(t.Context(), late) })
	}
	at, err := w.s.Snapshot(t.Context(), snapshot)
	if err != nil || at.Seq != int64(len(before)) {
		t.Errorf("snapshot at %d, %v; want %d", at.Seq, err, len(before))
	}
	if snapshot.records[string(late.ID)] != nil || snapshot.records[string(w.key.ID)] == nil {
		t.Error("the snapshot holds a key that was made after it began, or misses one from before")
	}
}

func testSinkError(t *testing.T, open Open) {
	w, snapshot := newWorld(t, open), newPicture()
	snapshot.refuse = errors.New("boom")
	if _, err := w.s.Snapshot(t.Context(), snapshot); !errors.Is(err, snapshot.refuse) {
		t.Errorf("error %v, want the sink's", err)
	}
	if len(snapshot.records) != 1 {
		t.Errorf("%d records after the error, want none", len(snapshot.records)-1)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := w.s.Snapshot(ctx, newPicture()); err != nil {
		t.Errorf("the next snapshot: %v", err)
	}
}
