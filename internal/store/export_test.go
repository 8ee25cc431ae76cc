package store

import "github.com/posternhq/postern/internal/iam"

// AnsweredBy tells a table of nodes which server has answered a renewal.
func (n *Nodes) AnsweredBy(a iam.Authority) { n.answeredBy(a) }

// Connected returns how many connections a store on PostgreSQL has.
func (s *Store) Connected() int32 { return s.db.(*postgres).pool.Stat().TotalConns() }

// TendSlowly has each transaction that tends usage go through a few rows.
func (s *Store) TendSlowly(rows int) { s.tended = rows }
