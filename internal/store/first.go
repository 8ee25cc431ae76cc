package store

import (
	"database/sql"
	"errors"
	"slices"

	"github.com/posternhq/postern/internal/iam"
)

// firstReads returns the statements that read what first names into found. They
// follow the one that takes the number, in the same round trip.
func firstReads(first iam.First, found *iam.Found) []statement {
	var all []statement
	ws := string(first.Workspace)
	if first.Key != "" {
		all = append(all,
			perhaps(&found.Key, keys.fields, keys.query(keyByID), ws, string(first.Key)),
			perhaps(&found.Workspace, workspaces.fields, workspaces.query(workspaceByID), ws))
	}
	if first.Principal != "" {
		all = append(all, perhaps(&found.Principal, principalFields, principalQuery(first.Principal), ws, first.Principal))
	}
	if call := first.Replay; call != nil {
		all = append(all, perhaps(&found.Replay, replayFields, replayQuery, call.Scope, call.Key))
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
