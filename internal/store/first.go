package store

import (
	"database/sql"
	"errors"
	"slices"

	"github.com/posternhq/postern/internal/iam"
)

// first returns the statements that follow the one that takes the head row, in
// the same round trip: they read what a change begins with, and take the number
// of one event of the caller's workspace.
func (t *tx) first(f iam.First) []statement {
	var all []statement
	ws := string(f.Workspace)
	if f.Key != "" {
		all = append(all,
			perhaps(&t.found.Key, keys.fields, keys.query(keyByID), ws, string(f.Key)),
			perhaps(&t.found.Workspace, workspaces.fields, workspaces.query(workspaceByID), ws),
			t.takeNumbers(ws, 1))
	}
	if f.Principal != "" {
		all = append(all, perhaps(&t.found.Principal, principalFields, principalQuery(f.Principal), ws, f.Principal))
	}
	if call := f.Replay; call != nil {
		all = append(all, perhaps(&t.found.Replay, replayFields, replayQuery, call.Scope, call.Key))
	}
	return slices.DeleteFunc(all, func(st statement) bool { return !storable(st.args) }) // it is not there
}

// perhaps is a statement that reads one row, or leaves nil when there is none.
func perhaps[T any](to **T, f fields[T], query string, args ...any) statement {
	return statement{text: query, args: args, scan: func(row scanner) error {
		found := new(T)
		switch err := row.Scan(f(found)...); {
		case errors.Is(err, sql.ErrNoRows):
			return nil
		case err != nil:
			return err
		}
		*to = found
		return nil
	}}
}

// Found implements [iam.Tx].
func (t *tx) Found() iam.Found {
	found := t.found
	if found.Replay != nil && !found.Replay.At.After(t.Now().Add(-iam.ReplayWindow)) {
		found.Replay = nil
	}
	return found
}
