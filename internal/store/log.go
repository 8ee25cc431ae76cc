package store

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/posternhq/postern/internal/iam"
)

// change is a row of the change log, standing where it stands.
type change struct {
	iam.Position
	payload string
}

func changeFields(c *change) []any {
	return []any{&c.Seq, chain(&c.Chain), instant{&c.Time}, &c.payload}
}

// Changes implements [iam.Store].
func (s *Store) Changes(ctx context.Context, after iam.Position, limit int) ([]iam.Change, iam.Position, error) {
	// The row that the caller stands on is read too: it proves that the caller
	// stands on this log. Before the first change there is none.
	if after.Seq > 0 {
		limit++
	}
	found, err := collect(ctx, s.reader, changeFields, `
		SELECT seq, chain, time, payload FROM changes WHERE seq >= $1 ORDER BY seq LIMIT $2`, after.Seq, int64(limit))
	if err != nil {
		return nil, after, fmt.Errorf("read the change log from %d: %w", after.Seq, err)
	}
	at, err := stand(after, found)
	if err != nil {
		return nil, after, err
	}
	return follow(at, found[min(after.Seq, 1):])
}

// stand returns the position after as the log has it. found are the rows of the
// log from there on.
func stand(after iam.Position, found []change) (iam.Position, error) {
	switch {
	case after.Seq == 0 && after.Chain == iam.Chain{}:
		return after, nil
	case after.Seq == 0:
		return after, diverged("before the first change there is no chain")
	case len(found) == 0 || found[0].Seq != after.Seq:
		return after, diverged("change %d is not in the log", after.Seq)
	case found[0].Chain != after.Chain:
		return after, diverged("change %d has another chain in the log", after.Seq)
	}
	return found[0].Position, nil
}

// follow reads the rows of the log that follow on at, each checked against the
// one before.
func follow(at iam.Position, found []change) ([]iam.Change, iam.Position, error) {
	changes := make([]iam.Change, 0, len(found))
	for _, row := range found {
		if row.Seq != at.Seq+1 || row.Chain != at.Chain.Next(row.Seq, row.payload) {
			return nil, at, diverged("change %d does not follow from change %d", row.Seq, at.Seq)
		}
		c, err := iam.ParseChange(row.payload)
		if err != nil {
			return nil, at, fmt.Errorf("change %d: %w", row.Seq, err)
		}
		c.Seq, c.Time = row.Seq, row.Time
		changes, at = append(changes, c), row.Position
	}
	return changes, at, nil
}

func diverged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", iam.Diverged, fmt.Sprintf(format, args...))
}

// chain takes in a chain in hexadecimal.
func chain(to *iam.Chain) column {
	return func(value any) error {
		var digits string
		if err := text(&digits).Scan(value); err != nil {
			return err
		}
		if len(digits) != hex.EncodedLen(len(to)) {
			return errors.New("a chain has 64 hexadecimal digits")
		}
		_, err := hex.Decode(to[:], []byte(digits))
		return err
	}
}

func chainText(c iam.Chain) string { return hex.EncodeToString(c[:]) }
