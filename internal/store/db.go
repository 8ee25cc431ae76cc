package store

import (
	"context"
	"errors"
	"strings"
	"unicode/utf8"
)

// database is what SQLite and PostgreSQL have in common, as far as this package
// needs it. All other files speak to it alone.
type database interface {
	querier
	// begin opens a transaction and runs first in it, in the same round trip
	// where there is one.
	begin(ctx context.Context, m mode, first ...statement) (transaction, error)
	// fault says what an error of this database means.
	fault(err error) fault
	ping(ctx context.Context) error
	close() error
	words() words
}

type querier interface {
	query(ctx context.Context, text string, args ...any) (rows, error)
}

// transaction is one that has begun. After an error of its methods only rollback
// makes sense.
type transaction interface {
	querier
	// send runs statements in order, in one round trip.
	send(ctx context.Context, statements []statement) error
	// commit runs statements and COMMIT in one round trip, whether or not ctx
	// ends meanwhile. An error that is [iam.Unknown] means that they may be
	// durable; after any other they are not.
	commit(ctx context.Context, statements []statement) error
	// rollback ends the transaction if it has not ended.
	rollback()
}

// rows are the rows of a result, as database/sql has them.
type rows interface {
	scanner
	Next() bool
	Err() error
	Close() error
}

type scanner interface {
	Scan(dest ...any) error
}

// mode is what a transaction is for.
type mode int

const (
	changing mode = iota // takes the head row: one after another
	noting               // writes beside it
	reading              // all statements see one state
)

// fault is what an error of a database means.
type fault int

const (
	other  fault = iota // not the database's, or a mistake in a statement
	taken               // a unique constraint said no
	clash               // two transactions were in each other's way; the same one again may pass
	locked              // somebody held what was needed for too long, or this transaction was ended for holding it
	away                // the database cannot be asked now
)

// tries is how often a transaction that ended so is run in all.
func (f fault) tries() int {
	switch f {
	case clash:
		return 10
	case locked:
		return 3
	}
	return 1
}

// words are the few texts in which the databases differ.
type words struct {
	clock     string      // an expression for the time in microseconds; empty: this process says
	notify    string      // tells other processes of a change's number, as a hint; empty: there are none
	unhurried []statement // opens a transaction that may take long
	exclusive []statement // opens a transaction that changes tables
	patient   []statement // makes a transaction that holds nobody up wait longer for others
	lateral   bool        // a table can be looked through once for each row before it, and only so
	arrays    bool        // many rows are inserted as an array for each column
	made      string      // whether a row that INSERT … ON CONFLICT returns was made by it; empty: it cannot be told
	alone     bool        // no other process answers from the same database
	tables    string      // a query for the names of the tables that there are
	schema    func(text string) string
}

// statement is one that is sent with others.
type statement struct {
	text    string
	args    []any
	scan    func(scanner) error // takes in the one row that it returns; nil: it returns none
	taken   error               // what it means that a unique constraint refused it
	missing error               // what it means that no row was affected; nil: nothing
}

// failed turns an error of the statement into what it means.
func (st statement) failed(err error, f fault) error {
	if f == taken && st.taken != nil {
		return st.taken
	}
	return err
}

// affected turns the number of affected rows into what it means.
func (st statement) affected(rows int64) error {
	if rows == 0 {
		return st.missing
	}
	return nil
}

// storable reports whether both databases can hold the texts among args.
// PostgreSQL refuses NUL and what is not UTF-8: nothing is stored under it.
func storable(args []any) bool {
	for _, arg := range args {
		if text, ok := arg.(string); ok && (strings.IndexByte(text, 0) >= 0 || !utf8.ValidString(text)) {
			return false
		}
	}
	return true
}

var errNotStorable = errors.New("a text holds NUL or bytes that are not UTF-8")
