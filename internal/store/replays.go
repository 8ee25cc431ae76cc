package store

import (
	"context"
	"encoding/hex"
	"errors"

	"github.com/posternhq/postern/internal/iam"
)

// replayQuery reads the outcome of the call $2 of the scope $1, old as it may be.
const replayQuery = `
	SELECT scope, key, body, kind, result, object, revision, at FROM replays WHERE scope = $1 AND key = $2`

func replayFields(r *iam.Replay) []any {
	body := column(func(value any) error {
		var digits string
		if err := text(&digits).Scan(value); err != nil {
			return err
		}
		if len(digits) != hex.EncodedLen(len(r.Body)) {
			return errors.New("the hash of a body has 64 hexadecimal digits")
		}
		_, err := hex.Decode(r.Body[:], []byte(digits))
		return err
	})
	return []any{&r.Scope, &r.Key, body, text(&r.Kind), &r.Result, &r.Object, &r.Revision, instant{&r.At}}
}

// Remember implements [iam.NoteTx]. The first outcome of a call stays, but that
// a call which was done is not forgotten for one which was refused meanwhile.
func (t *tx) Remember(_ context.Context, r iam.Replay) error {
	forgotten := t.Now().Add(-iam.ReplayWindow).UnixMicro()
	if err := t.forget(forgotten); err != nil {
		return err
	}
	return t.write(statement{
		text: `
			INSERT INTO replays (scope, key, body, kind, result, object, revision, at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (scope, key) DO UPDATE SET
				body = excluded.body, kind = excluded.kind, result = excluded.result, object = excluded.object,
				revision = excluded.revision, at = excluded.at
			WHERE replays.at <= $9 OR replays.kind <> '' AND excluded.kind = ''`,
		args: []any{
			r.Scope, r.Key, hex.EncodeToString(r.Body[:]), string(r.Kind), r.Result, r.Object, r.Revision, micros(r.At), forgotten,
		},
	})
}

// forget drops some of the outcomes that are over, every now and then: looking for
// them costs as much as the rest, and after a long rest there are many.
func (t *tx) forget(until int64) error {
	const every, most = 16, 400
	if t.store.remembered.Add(1)%every != 0 {
		return nil
	}
	return t.write(statement{
		text: `
			DELETE FROM replays WHERE (scope, key) IN (
				SELECT scope, key FROM replays WHERE at <= $1 ORDER BY at LIMIT $2)`,
		args: []any{until, int64(most)},
	})
}
