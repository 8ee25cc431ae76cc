package store_test

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/chaos"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/store"
	"github.com/posternhq/postern/internal/store/storetest"
)

// atCommit has a statement run inside every COMMIT that adds a change.
func atCommit(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	disturb(t, db,
		`CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN `+statement+`; RETURN NULL; END $$`,
		`CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON changes DEFERRABLE INITIALLY DEFERRED
			FOR EACH ROW EXECUTE FUNCTION at_commit()`)
}

func TestTransactionsInEachOthersWayRunAgain(t *testing.T) {
	for name, code := range map[string]string{"SerializationFailure": "40001", "Deadlock": "40P01"} {
		for place, where := range map[string]string{"InAStatement": "BEFORE INSERT ON changes", "AtCommit": ""} {
			t.Run(name+place, func(t *testing.T) {
				t.Parallel()
				url := storetest.Postgres(t)
				s, db := open(t, url, store.Options{}), raw(t, url)
				fail := `IF nextval('tries') <= 2 THEN RAISE EXCEPTION 'not now' USING ERRCODE = '` + code + `'; END IF`
				disturb(t, db, `CREATE SEQUENCE tries`)
				if where == "" {
					atCommit(t, db, fail)
				} else {
					disturb(t, db, `CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN `+fail+`; RETURN NEW; END $$`,
						`CREATE TRIGGER fail `+where+` FOR EACH ROW EXECUTE FUNCTION fail()`)
				}
				runs := 0
				commit, err := s.Change(t.Context(), iam.First{}, func(tx iam.Tx) (iam.Change, error) {
					runs++
					return iam.Change{}, tx.AppendEvent(t.Context(), audit.Event{ID: "evt_1", Workspace: "ws_1", Outcome: audit.Done})
				})
				if err != nil || commit.Seq != 1 || runs != 3 {
					t.Errorf("number %d after %d runs, %v; want 1 after 3", commit.Seq, runs, err)
				}
				list, err := s.Events(t.Context(), "ws_1", iam.EventFilter{}, iam.Page{Limit: 10})
				if err != nil || len(list.Items) != 1 || list.Items[0].Seq != 1 {
					t.Errorf("events %v, %v; want the one, numbered 1", list.Items, err)
				}
			})
		}
	}
}

// What fn makes of an error is its own affair; the transaction failed all the same.
func TestAClashThatFnKeepsToItselfRunsAgain(t *testing.T) {
	t.Parallel()
	url := storetest.Postgres(t)
	s := open(t, url, store.Options{})
	disturb(t, raw(t, url), `CREATE SEQUENCE tries`,
		`CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF nextval('tries') <= 2 THEN RAISE EXCEPTION 'not now' USING ERRCODE = '40001'; END IF; RETURN NEW; END $$`,
		`CREATE TRIGGER fail BEFORE INSERT ON persons FOR EACH ROW EXECUTE FUNCTION fail()`)
	runs := 0
	_, err := s.Change(t.Context(), iam.First{}, func(tx iam.Tx) (iam.Change, error) {
		runs++
		p := iam.Person{ID: "usr_1", Email: "ada@acme.test", Name: "Ada", CreatedAt: tx.Now()}
		if err := tx.InsertPerson(t.Context(), p); err != nil {
			return iam.Change{}, err
		}
		if _, err := tx.PersonByEmail(t.Context(), p.Email); err != nil {
			return iam.Change{}, errors.New("something else")
		}
		return iam.Change{}, nil
	})
	if err != nil || runs != 3 {
		t.Errorf("%v after %d runs, want success after 3", err, runs)
	}
}

func TestACommitWithoutAnAnswerIsUnknown(t *testing.T) {
	for name, statement := range map[string]string{
		"ConnectionLost":  `PERFORM pg_terminate_backend(pg_backend_pid())`,
		"StandbyNotHeard": `RAISE WARNING 'canceling wait for synchronous replication' USING ERRCODE = '01000'`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := storetest.Postgres(t)
			s := open(t, url, store.Options{})
			atCommit(t, raw(t, url), statement)
			runs := 0
			_, err := s.Change(t.Context(), iam.First{}, func(iam.Tx) (iam.Change, error) {
				runs++
				return iam.Change{}, nil
			})
			if !errors.Is(err, iam.Unknown) || runs != 1 {
				t.Errorf("%v after %d runs; want Unknown after one", err, runs)
			}
			if err := s.Ping(t.Context()); err != nil {
				t.Errorf("the store is of no use afterwards: %v", err)
			}
		})
	}
}

// Whoever asked has gone; what was decided is carried out all the same.
func TestACommitThatHasBegunIsNotInterrupted(t *testing.T) {
	t.Parallel()
	url := storetest.Postgres(t)
	s, db := open(t, url, store.Options{}), raw(t, url)
	atCommit(t, db, `PERFORM pg_sleep(2)`)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := s.Change(ctx, iam.First{}, empty)
		done <- err
	}()
	untilYes(t, db, `SELECT COUNT(*) > 0 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()`)
	cancel()
	if err := <-done; err != nil {
		t.Errorf("error %v of a change whose COMMIT had begun", err)
	}
	if found, _, err := s.Changes(t.Context(), iam.Position{}, 10); err != nil || len(found) != 1 {
		t.Errorf("changes %v, %v; want the one", found, err)
	}
}

func TestACommitThatIsRefusedIsNotUnknown(t *testing.T) {
	t.Parallel()
	url := storetest.Postgres(t)
	s := open(t, url, store.Options{})
	atCommit(t, raw(t, url), `RAISE EXCEPTION 'no'`)
	if _, err := s.Change(t.Context(), iam.First{}, empty); err == nil || errors.Is(err, iam.Unknown) || errors.Is(err, iam.Unavailable) {
		t.Errorf("error %v, want the server's", err)
	}
	if found, _, err := s.Changes(t.Context(), iam.Position{}, 10); err != nil || len(found) != 0 {
		t.Errorf("changes %v, %v; want none", found, err)
	}
}

// PostgreSQL answers COMMIT of a transaction that has failed with ROLLBACK, and no
// error. Here a server says so of one that has not.
func TestACommitThatIsAnsweredWithRollbackIsNotDone(t *testing.T) {
	t.Parallel()
	var lying atomic.Bool
	through := storetest.Way{Answers: func(client io.Writer, server io.Reader) error {
		return rollingBack(&lying, client, bufio.NewReader(server))
	}}.To(t, storetest.Postgres(t))
	s := open(t, through, store.Options{})
	lying.Store(true)
	if _, err := s.Change(t.Context(), iam.First{}, empty); err == nil || errors.Is(err, iam.Unknown) {
		t.Errorf("error %v, want that nothing was done", err)
	}
	lying.Store(false)
	changes(t, s, 1)
}

// rollingBack passes on a server's messages, a byte that says which, the length of
// the rest with itself, and the rest; but says ROLLBACK where it has said COMMIT.
func rollingBack(lying *atomic.Bool, client io.Writer, server *bufio.Reader) error {
	const committed, rolledBack = "C\x00\x00\x00\x0bCOMMIT\x00", "C\x00\x00\x00\x0dROLLBACK\x00"
	for {
		head, err := server.Peek(5)
		if err != nil {
			return err
		}
		message := make([]byte, 1+binary.BigEndian.Uint32(head[1:]))
		if _, err := io.ReadFull(server, message); err != nil {
			return err
		}
		if lying.Load() && string(message) == committed {
			message = []byte(rolledBack)
		}
		if _, err := client.Write(message); err != nil {
			return err
		}
	}
}

// With a standby that does not answer, COMMIT waits; when the wait is cancelled
// the server says done, with a warning, and the standby may never have heard.
func TestACommitThatNoStandbyConfirmedIsUnknown(t *testing.T) {
	t.Parallel()
	server := storetest.OwnServer(t)
	s, db := open(t, server, store.Options{}), raw(t, server)
	changes(t, s, 1)
	disturb(t, db, `ALTER SYSTEM SET synchronous_standby_names = 'nobody'`, `SELECT pg_reload_conf()`)
	untilYes(t, db, `SELECT setting <> '' FROM pg_settings WHERE name = 'synchronous_standby_names'`)
	done := make(chan error, 1)
	go func() {
		var err error
		for err == nil { // the setting reaches the process that makes commits wait when it will
			_, err = s.Change(t.Context(), iam.First{}, empty)
		}
		done <- err
	}()
	untilYes(t, db, `SELECT COUNT(pg_cancel_backend(pid)) > 0 FROM pg_stat_activity WHERE wait_event = 'SyncRep'`)
	if err := <-done; !errors.Is(err, iam.Unknown) {
		t.Errorf("error %v, want Unknown", err)
	}
}

// untilYes asks until the answer is yes. The database tells of nothing by itself.
func untilYes(t *testing.T, db *sql.DB, question string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for yes := false; !yes; {
		if err := db.QueryRowContext(ctx, question).Scan(&yes); err != nil {
			t.Fatalf("%s: %v", question, err)
		}
	}
}

func TestANoteDoesNotWaitForAHeldHeadRow(t *testing.T) {
	t.Parallel()
	s := open(t, storetest.Postgres(t), store.Options{})
	_, err := s.Change(t.Context(), iam.First{}, func(iam.Tx) (iam.Change, error) {
		err := s.Note(t.Context(), func(tx iam.NoteTx) error {
			e := audit.Event{ID: iam.NewID(iam.EventPrefix, tx.Now()), Workspace: "ws_1", Outcome: audit.Refused}
			return tx.AppendEvent(t.Context(), e)
		})
		if err != nil {
			t.Errorf("a note while the head row is held: %v", err)
		}
		return iam.Change{}, nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A process is stopped between its first statement and COMMIT, as by SIGSTOP.
func TestAStoppedProcessDoesNotHoldTheHeadRow(t *testing.T) {
	t.Parallel()
	url := storetest.Postgres(t)
	stopped, other := open(t, url, store.Options{}), open(t, url, store.Options{})
	inside, resume := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	runs := 0
	go func() {
		_, err := stopped.Change(t.Context(), iam.First{}, func(tx iam.Tx) (iam.Change, error) {
			if runs++; runs == 1 {
				close(inside)
				<-resume
			}
			return iam.Change{}, nil
		})
		done <- err
	}()
	<-inside
	commit, err := other.Change(t.Context(), iam.First{}, empty)
	if err != nil || commit.Seq != 1 {
		t.Errorf("the other process: number %d, %v; want 1", commit.Seq, err)
	}
	close(resume)
	if err := <-done; err != nil || runs != 2 {
		t.Errorf("the stopped process ran %d times, %v; want a second time, done", runs, err)
	}
	if found, _, err := other.Changes(t.Context(), iam.Position{}, 10); err != nil || len(found) != 2 {
		t.Errorf("%d changes, %v; want 2", len(found), err)
	}
}

func TestWhoWaitsTooLongForTheHeadRowHearsUnavailable(t *testing.T) {
	t.Parallel()
	url := storetest.Postgres(t)
	s, db := open(t, url, store.Options{}), raw(t, url)
	held, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Rollback() //nolint:errcheck // it only reads
	if _, err := held.ExecContext(t.Context(), `SELECT seq FROM head FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Change(t.Context(), iam.First{}, empty); !errors.Is(err, iam.Unavailable) || errors.Is(err, iam.Unknown) {
		t.Errorf("error %v, want Unavailable", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Change(ctx, iam.First{}, empty); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a deadline: error %v, want context.DeadlineExceeded", err)
	}
}

func TestADatabaseThatIsGoneIsUnavailable(t *testing.T) {
	t.Parallel()
	at := storetest.Postgres(t)
	s := open(t, at, store.Options{})
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	u.Path = "/postgres"
	disturb(t, raw(t, u.String()), `ALTER DATABASE `+name+` ALLOW_CONNECTIONS false`,
		fmt.Sprintf(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s'`, name))
	for what, ask := range map[string]func() error{
		"change":   func() error { _, err := s.Change(t.Context(), iam.First{}, empty); return err },
		"note":     func() error { return s.Note(t.Context(), func(iam.NoteTx) error { return nil }) },
		"read":     func() error { _, err := s.Initialized(t.Context()); return err },
		"snapshot": func() error { _, err := s.Snapshot(t.Context(), nil); return err },
		"ping":     func() error { return s.Ping(t.Context()) },
	} {
		if err := ask(); !errors.Is(err, iam.Unavailable) {
			t.Errorf("%s: error %v, want Unavailable", what, err)
		}
	}
	disturb(t, raw(t, u.String()), `ALTER DATABASE `+name+` ALLOW_CONNECTIONS true`)
	changes(t, s, 1) // and it comes back by itself
}

// A crash of the server, or of a machine in between, says nothing before it ends
// connections: not all errors are answers.
func TestAConnectionThatBreaksWithoutAWordIsUnavailable(t *testing.T) {
	t.Parallel()
	at := storetest.Postgres(t)
	proxy, through := behindProxy(t, at)
	s := open(t, through, store.Options{})
	for what, ask := range map[string]func() error{
		"change": func() error { _, err := s.Change(t.Context(), iam.First{}, empty); return err },
		"note":   func() error { return s.Note(t.Context(), func(iam.NoteTx) error { return nil }) },
		"read":   func() error { _, err := s.Initialized(t.Context()); return err },
		"ping":   func() error { return s.Ping(t.Context()) },
	} {
		if err := s.Ping(t.Context()); err != nil { // so that there is a connection that looks well
			t.Fatalf("before %s: %v", what, err)
		}
		proxy.Reset()
		if err := ask(); err != nil && !errors.Is(err, iam.Unavailable) {
			t.Errorf("%s: error %v, want Unavailable or none", what, err)
		}
	}
}

// The server is slow to take on another connection while one comes free again.
func TestWhoWaitsForANewConnectionTakesOneThatComesFree(t *testing.T) {
	t.Parallel()
	at, more := oneConnection(t, storetest.Postgres(t))
	s := open(t, at, store.Options{})
	inside, release, done := make(chan struct{}), make(chan struct{}), make(chan error, 2)
	go func() {
		_, err := s.Change(t.Context(), iam.First{}, func(iam.Tx) (iam.Change, error) {
			close(inside)
			<-release
			return iam.Change{}, nil
		})
		done <- err
	}()
	<-inside
	go func() {
		_, err := s.Initialized(t.Context())
		done <- err
	}()
	<-more // the second has begun to make a connection, and nobody answers
	close(release)
	for range 2 {
		if err := <-done; err != nil {
			t.Errorf("error %v, want none", err)
		}
	}
}

// oneConnection lets one connection through to a server. It tells of each further
// one, which it leaves without an answer.
func oneConnection(t *testing.T, at string) (through string, more <-chan struct{}) {
	t.Helper()
	further := make(chan struct{}, 100)
	return storetest.Way{Opened: func(n int) bool {
		if n > 1 {
			further <- struct{}{}
		}
		return n == 1
	}}.To(t, at), further
}

// The connection stays open, and nothing comes over it, in the middle of a snapshot.
func TestALoadFromAServerThatFallsSilentIsGivenUp(t *testing.T) {
	t.Parallel()
	at := storetest.Postgres(t)
	proxy, through := behindProxy(t, at)
	s := open(t, through, store.Options{})
	disturb(t, raw(t, at), `
		INSERT INTO workspaces (id, name, name_folded, slug, system, paused, policy, created_at, version)
		VALUES ('ws_1', 'One', 'one', 'one', 0, 0, '{}', 0, 1)`)
	feed := silenced{openNodes(t, s), func() { proxy.Turn(chaos.Weather{HoldDown: true}) }}
	defer proxy.Turn(chaos.Weather{}) // before anything is closed
	err := replica.New(replica.Options{}).Load(t.Context(), feed)
	if !errors.Is(err, iam.Unavailable) || !strings.Contains(err.Error(), "of the snapshot") {
		t.Errorf("error %v, want that nothing more came", err)
	}
}

// silenced is a feed that silences its server once a workspace has come.
type silenced struct {
	*store.Nodes
	silence func()
}

func (f silenced) Snapshot(ctx context.Context, sink iam.Sink) (iam.Position, error) {
	return f.Nodes.Snapshot(ctx, silencing{sink, f.silence})
}

type silencing struct {
	iam.Sink
	silence func()
}

func (s silencing) Workspace(w iam.WorkspaceRecord) error {
	s.silence()
	return s.Sink.Workspace(w)
}

// behindProxy puts a proxy before a server, and returns the URL by which the server
// is met through it.
func behindProxy(t *testing.T, at string) (*chaos.Proxy, string) {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := chaos.NewProxy(u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	u.Host = proxy.Addr()
	return proxy, u.String()
}

// The tables compare text by its bytes, as SQLite does, whatever the database's
// own collation: the beginnings of words are searched as a range.
func TestEveryTextComparesByItsBytes(t *testing.T) {
	t.Parallel()
	url := storetest.Postgres(t)
	open(t, url, store.Options{})
	var all, others int
	err := raw(t, url).QueryRowContext(t.Context(), `
		SELECT COUNT(*), COUNT(*) FILTER (WHERE collation_name IS DISTINCT FROM 'C')
		FROM information_schema.columns WHERE table_schema = 'public' AND data_type = 'text'`).Scan(&all, &others)
	if err != nil || all == 0 || others != 0 {
		t.Errorf("%d of %d text columns have another collation, %v; want none", others, all, err)
	}
}

func TestNoErrorRepeatsAPassword(t *testing.T) {
	const password = "s3cr3t%21Pass"
	for _, bad := range []string{
		"postgres://postern:" + password + "@127.0.0.1:1/postern",
		"postgresql://postern:" + password + "@127.0.0.1:1/postern?connect_timeout=1",
		"postgres://postern:" + password + "@127.0.0.1:port/postern",
		"postgres://postern:" + password + "%zz@127.0.0.1:5432/postern",
		"postgres://postern:" + password + "@[::1/postern",
		"postgres://postern:" + password + "@127.0.0.1:1/postern?sslmode=bogus",
		"postgres://127.0.0.1:1/postern?user=postern&password=" + password + "&sslmode=bogus",
		"postgres://127.0.0.1:1/postern?user=postern&password=" + password,
		"postgres://127.0.0.1:1/postern?pool_max_conns=x&password=" + password,
		"mysql://postern:" + password + "@127.0.0.1/postern",
	} {
		_, opened := store.Open(t.Context(), bad, store.Options{})
		_, claimed := store.NewClaim(bad)
		for _, err := range []error{opened, claimed} {
			if err == nil {
				t.Fatalf("no error from a URL that leads nowhere")
			}
			if text := fmt.Sprintf("%v %+v", err, err); strings.Contains(text, "s3cr3t") {
				t.Errorf("the password is in %q", text)
			}
		}
	}
}
