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
		all = append(all, perhaps(&t.found.Key, keys.fields, keys.query(keyByID), ws, string(f.Key)))
	}
	if f.Session != "" {
		all = append(all, perhaps(&t.found.Session, sessionFields, sessionQuery, ws, string(f.Session)))
	}
	if f.Key != "" || f.Session != "" {
		all = append(all,
			perhaps(&t.found.Workspace, workspaces.fields, workspaces.query(workspaceByID), ws),
			t.takeNumbers(ws, 1))
	}
	if f.Principal != "" {
		all = append(all, perhaps(&t.found.Principal, principalFields, principalQuery(f.Principal), ws, f.Principal))
	}
	if f.Target != "" {
		all = append(all, perhaps(&t.found.Target, keys.fields, keys.query(keyByID), ws, string(f.Target)))
	}
	if f.Target != "" && f.Maker {
		all = append(all, statement{text: makerQuery, args: []any{string(f.Target)}, scan: func(row scanner) error {
			return row.Scan(yes{&t.found.Maker})
		}})
	}
	if f.Account != "" {
		all = append(all, perhaps(&t.found.Account, accounts.fields, accounts.query(accountBy(f.Account)), nil, ws, f.Account))
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

// unlessFound returns what it means that an update of the row with an id affects
// none. Of a row that this transaction read when it had the head row it means
// nothing: nobody else can take it away, and COMMIT need not wait to hear it.
func (t *tx) unlessFound(id string, missing error) error {
	f := t.found
	switch {
	case f.Key != nil && string(f.Key.ID) == id, f.Target != nil && string(f.Target.ID) == id,
		f.Account != nil && string(f.Account.ID) == id:
		return nil
	}
	return missing
}

// Found implements [iam.Tx].
func (t *tx) Found() iam.Found {
	found := t.found
	if found.Replay != nil && !found.Replay.At.After(t.Now().Add(-iam.ReplayWindow)) {
		found.Replay = nil
	}
	return found
}
