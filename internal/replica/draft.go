package replica

import (
	"fmt"
	"hash/maphash"
	"net/netip"
	"slices"
	"strings"

	"github.com/posternhq/postern/internal/iam"
)

// draft is a state in the making: a snapshot that is being loaded, or the state
// before with changes applied. It writes nothing that the state before can
// reach, so that it may be given up at any point.
type draft struct {
	tables
	keys keyEdit // stands before that of tables until the draft is finished
}

// begin returns a draft of what follows t.
func begin(t tables) *draft {
	t.gen++
	return &draft{tables: t, keys: keyEdit{keyTable: t.keys, gen: t.gen}}
}

// finish returns the draft as the state at a position. The draft must not be
// used any more.
func (d *draft) finish(at iam.Position) *state {
	d.keys.closePage()
	d.tables.keys = d.keys.keyTable
	return &state{position: at, micros: at.Time.UnixMicro(), tables: d.tables}
}

// apply takes in one change. An error leaves the draft half written.
func (d *draft) apply(c iam.Change) error {
	if c.Reader > iam.ReaderVersion {
		return fmt.Errorf("it needs reader version %d, this program has %d", c.Reader, iam.ReaderVersion)
	}
	if err := each(c.Workspaces, d.Workspace); err != nil {
		return err
	}
	if err := each(c.Roles, d.Role); err != nil {
		return err
	}
	if err := each(c.Principals, d.Principal); err != nil {
		return err
	}
	return each(c.Keys, d.Key)
}

func each[T any](records []T, put func(T) error) error {
	for _, r := range records {
		if err := put(r); err != nil {
			return err
		}
	}
	return nil
}

// Workspace takes in what is now known of a workspace. With Role, Principal and
// Key it makes the draft an [iam.Sink].
func (d *draft) Workspace(w iam.WorkspaceRecord) error {
	if w.ID == "" {
		return fmt.Errorf("a workspace has no id")
	}
	row := workspace{slug: w.Slug, system: w.System, paused: w.Paused, reveal: w.Reveal}
	number, known := d.workspaces.find(string(w.ID))
	if known {
		place := d.workspaces.rows.edit(d.gen, number)
		if place.slug != w.Slug {
			return fmt.Errorf("the slug of workspace %s has changed", w.ID)
		}
		row.id, row.slug = place.id, place.slug
		*place = row
		return nil
	}
	row.id, row.slug = iam.WorkspaceID(strings.Clone(string(w.ID))), strings.Clone(w.Slug)
	number, err := d.workspaces.add(d.gen, row)
	if err != nil {
		return fmt.Errorf("workspace %s: %w", w.ID, err)
	}
	if _, taken := d.slugs.find(w.Slug); taken {
		return fmt.Errorf("workspace %s has the slug of another", w.ID)
	}
	_, err = d.slugs.add(d.gen, slug{text: row.slug, workspace: number})
	return err
}

// Role takes in what is now known of a role. Of a deleted one the id remains,
// until the next load, because accounts that have ended may name it.
func (d *draft) Role(r iam.RoleRecord) error {
	number, err := d.roleNumber(r.ID)
	if err != nil {
		return err
	}
	row := role{id: d.roles.rows.at(number).id}
	if !r.Deleted {
		row.name, row.workspace, row.known = strings.Clone(r.Name), iam.WorkspaceID(strings.Clone(string(r.Workspace))), true
		if row.permissions, err = d.takeSet(r.Permissions); err != nil {
			return fmt.Errorf("role %s: %w", r.ID, err)
		}
	}
	place := d.roles.rows.edit(d.gen, number)
	d.sets.drop(d.gen, place.permissions)
	*place = row
	return nil
}

// roleNumber returns the number of a role, which may not be known yet or any more.
func (d *draft) roleNumber(id iam.RoleID) (uint32, error) {
	if number, known := d.roles.find(string(id)); known {
		return number, nil
	}
	number, err := d.roles.add(d.gen, role{id: iam.RoleID(strings.Clone(string(id)))})
	if err != nil {
		return 0, fmt.Errorf("role %s: %w", id, err)
	}
	return number, nil
}

// Principal takes in what is now known of a member or a service account.
func (d *draft) Principal(p iam.PrincipalRecord) error {
	var row principal
	var ok bool
	if row.kind, ok = parseKind(p.Type); !ok {
		return fmt.Errorf("principal %s has the unknown type %q", p.ID, p.Type)
	}
	if row.state, ok = parseCondition(p.State); !ok {
		return fmt.Errorf("principal %s has the unknown state %q", p.ID, p.State)
	}
	if row.workspace, ok = d.workspaces.find(string(p.Workspace)); !ok {
		return fmt.Errorf("principal %s is in workspace %s, which is not known", p.ID, p.Workspace)
	}
	var err error
	if row.role, err = d.roleNumber(p.Role); err != nil {
		return fmt.Errorf("principal %s: %w", p.ID, err)
	}
	both := string(p.ID) + p.Name // one allocation for both
	row.id, row.name = iam.PrincipalID(both[:len(p.ID)]), both[len(p.ID):]
	if number, known := d.principals.find(string(p.ID)); known {
		place := d.principals.rows.edit(d.gen, number)
		if place.denied {
			row.denied, row.state = true, place.state
		}
		*place = row
		return nil
	}
	if _, err := d.principals.add(d.gen, row); err != nil {
		return fmt.Errorf("principal %s: %w", p.ID, err)
	}
	return nil
}

// Key takes in what is now known of a key. It goes by the hash, which is the
// key's for good, as its id is.
func (d *draft) Key(k iam.KeyRecord) error {
	prefix := iam.KeyPrefix
	if k.Session {
		prefix = iam.SignInPrefix
	}
	id, err := iam.ParseID(prefix, string(k.ID))
	if err != nil {
		return fmt.Errorf("key %q: %w", k.ID, err)
	}
	if len(k.Name) > maxName {
		return fmt.Errorf("key %s has a name of %d bytes, more than %d", k.ID, len(k.Name), maxName)
	}
	owner, ok := d.principals.find(string(k.Principal))
	if !ok {
		return fmt.Errorf("key %s belongs to %s, who is not known", k.ID, k.Principal)
	}
	number, known := d.keys.find(&k.Hash)
	if known && (d.keys.rows.at(number).id != id || d.keys.rows.at(number).marks.has(sessionMark) != k.Session) {
		return fmt.Errorf("key %s has the hash of another", k.ID)
	}
	if !known {
		if number, err = d.keys.add(&k.Hash); err != nil {
			return fmt.Errorf("key %s: %w", k.ID, err)
		}
		if k.Session && k.Expires != 0 {
			d.sessions.put(d.gen, number)
		}
	}
	row := d.keys.rows.edit(d.gen, number)
	row.id, row.principal, row.expires, row.marks = id, owner, k.Expires, marksOf(k.Paused, k.Session)
	if row.end != denied {
		row.end = running
	}
	if k.Revoked && row.end == running {
		row.end = revoked
	}
	if err := d.confine(row, k); err != nil {
		return fmt.Errorf("key %s: %w", k.ID, err)
	}
	d.keys.rename(number, k.Name)
	return nil
}

// confine sets a key's limit and networks. It takes the new ones before it lets
// go of the old, which are often the same.
func (d *draft) confine(row *keyRecord, k iam.KeyRecord) error {
	var limit, networks uint32
	var err error
	if k.Limit != nil {
		if limit, err = d.takeSet(*k.Limit); err != nil {
			return err
		}
	}
	if k.Networks != nil {
		if networks, err = d.takeNetworks(k.Networks); err != nil {
			return err
		}
	}
	d.sets.drop(d.gen, row.limit)
	d.networks.drop(d.gen, row.networks)
	row.limit, row.networks = limit, networks
	return nil
}

func (d *draft) takeSet(ps iam.Permissions) (uint32, error) {
	var h maphash.Hash
	h.SetSeed(d.seed)
	for _, g := range ps.Grants() {
		maphash.WriteComparable(&h, g)
	}
	return d.sets.take(d.gen, h.Sum64(), ps, iam.Permissions.Equal)
}

func (d *draft) takeNetworks(nets []netip.Prefix) (uint32, error) {
	var h maphash.Hash
	h.SetSeed(d.seed)
	for _, n := range nets {
		maphash.WriteComparable(&h, n)
	}
	return d.networks.take(d.gen, h.Sum64(), slices.Clone(nets), slices.Equal) // the list is the caller's
}

// keepEnded denies for good what an older state knows to have ended and the
// draft does not. It returns how many keys and principals those are.
func (d *draft) keepEnded(old *state) (kept int) {
	for number := range old.keys.rows.len {
		was := old.keys.rows.at(number)
		if was.end == running {
			continue
		}
		now, known := d.keys.find(&was.hash)
		if known && (was.end == denied || d.keys.rows.at(now).end == running) {
			d.keys.rows.edit(d.gen, now).end = denied
			kept++
		}
	}
	for number := range old.principals.rows.len {
		was := old.principals.rows.at(number)
		if !was.state.gone() {
			continue
		}
		now, known := d.principals.find(string(was.id))
		if known && (was.denied || !d.principals.rows.at(now).state.gone()) {
			place := d.principals.rows.edit(d.gen, now)
			place.denied, place.state = true, was.state
			kept++
		}
	}
	d.denies = d.denies || kept > 0
	return kept
}
