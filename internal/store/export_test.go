package store

import (
	"context"

	"github.com/posternhq/postern/internal/iam"
)

// AnsweredBy tells a table of nodes which server has answered a renewal.
func (n *Nodes) AnsweredBy(a iam.Authority) { n.answeredBy(a) }

// Connected returns how many connections a store on PostgreSQL has.
func (s *Store) Connected() int32 { return s.db.(*postgres).pool.Stat().TotalConns() }

// TendSlowly has each transaction that tends usage go through a few rows.
func (s *Store) TendSlowly(rows int) { s.tended = rows }

// Grown adds the sources and asks of a report, and returns the keys that are looked
// at for too many.
func (s *Store) Grown(ctx context.Context, r iam.UsageReport) ([]string, error) {
	t, err := s.beginNote(ctx)
	if err != nil {
		return nil, err
	}
	defer t.tx.rollback()
	grown, err := t.addDetails(ctx, origin{}, sumUp(r))
	if err != nil {
		return nil, err
	}
	return grown, t.commit(ctx)
}

// End ends a reporter that was found when it had joined so often and been heard of then.
func (s *Store) End(ctx context.Context, id string, joins, heard int64) error {
	return s.end(ctx, []candidate{{id, joins, heard}})
}
