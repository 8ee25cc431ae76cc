// Package attacks holds no code, only tests: what other systems of this kind fell
// to, each tried against Postern over HTTP or the command line, on SQLite and on
// PostgreSQL. A row's id leads to the advisory in docs/attacks.md. The table in
// table_test.go fails when a row that is due has no test.
package attacks
