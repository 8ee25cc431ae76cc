package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/posternhq/postern/internal/store/storetest"
)

// pairLifetime stops both servers when its standard input ends, so that nothing
// is left behind however this process dies. Its arguments are the folder of the
// programs and that of the servers.
const pairLifetime = `
read -r _
for data in "$2"/*/; do "$1/pg_ctl" -D "$data" -m immediate -w stop >/dev/null 2>&1; done
rm -rf "$2"
`

// seat is a place for one PostgreSQL server: a folder and a port. Its name is
// what the primary knows it by when it is the standby.
type seat struct {
	name string
	data string
	port int
}

// Pair is a PostgreSQL server and its standby. One caller uses it at a time.
type Pair struct {
	ground  storetest.Ground
	primary seat
	standby seat
	spare   seat // for the next standby; after a failover, of the old primary
	guard   *exec.Cmd
	hold    io.Closer // both end when this closes
}

// inStep has every commit wait for a standby, whichever seat has it.
const inStep = "ANY 1 (left, middle, right)"

// StartPair starts a server with a standby that nothing waits for yet: see
// [Pair.Synchronous].
func StartPair(ctx context.Context) (_ *Pair, err error) {
	ground, err := storetest.NewGround(ctx)
	if err != nil {
		return nil, err
	}
	p := &Pair{ground: ground}
	for name, s := range map[string]*seat{"left": &p.primary, "middle": &p.standby, "right": &p.spare} {
		s.name, s.data = name, filepath.Join(ground.Dir, name)
		if s.port, err = freePort(); err != nil {
			return nil, err
		}
	}
	if err := p.protect(); err != nil {
		return nil, err
	}
	if err = p.first(ctx); err == nil {
		err = p.Follow(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

func (p *Pair) protect() (err error) {
	p.guard = exec.Command("sh", "-c", pairLifetime, "pair", p.ground.Programs, p.ground.Dir)
	p.guard.Dir, p.guard.SysProcAttr = p.ground.Dir, p.ground.Rights
	if p.hold, err = p.guard.StdinPipe(); err != nil {
		return err
	}
	return p.guard.Start()
}

// first makes the cluster and starts its first server.
func (p *Pair) first(ctx context.Context) error {
	err := p.run(ctx, "initdb", "-D", p.primary.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale")
	if err != nil {
		return err
	}
	return p.start(ctx, p.primary)
}

// Stop ends both servers and removes their files.
func (p *Pair) Stop() error {
	if err := p.hold.Close(); err != nil {
		return err
	}
	return p.guard.Wait()
}

// Addr returns where the primary listens.
func (p *Pair) Addr() string { return p.primary.addr() }

func (s seat) addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

func (s seat) url() string { return urlAt(s.addr()) }

// urlAt returns the URL of the database, at the address of a server or a proxy.
func urlAt(addr string) string { return "postgres://postgres@" + addr + "/postgres?sslmode=disable" }

// Follow starts the standby as a copy of the primary, and waits until it follows.
func (p *Pair) Follow(ctx context.Context) error {
	from := fmt.Sprintf("host=127.0.0.1 port=%d user=postgres application_name=%s", p.primary.port, p.standby.name)
	if err := p.run(ctx, "pg_basebackup", "-D", p.standby.data, "-d", from, "-R", "-X", "stream", "-c", "fast"); err != nil {
		return err
	}
	if err := p.start(ctx, p.standby); err != nil {
		return err
	}
	return p.await(ctx, p.primary, following)
}

// following asks a primary whether its standby is there.
const following = `SELECT COUNT(*) > 0 FROM pg_stat_replication WHERE state = 'streaming'`

// Synchronous has commits wait for the standby, from when it returns, and for the
// next one when that is the primary.
func (p *Pair) Synchronous(ctx context.Context) error { return p.waitFor(ctx, inStep, "quorum") }

// Asynchronous has commits wait for nobody, as PostgreSQL is shipped.
func (p *Pair) Asynchronous(ctx context.Context) error { return p.waitFor(ctx, "", "async") }

func (p *Pair) waitFor(ctx context.Context, names, state string) error {
	for _, s := range []seat{p.primary, p.standby} {
		if err := p.exec(ctx, s, `ALTER SYSTEM SET synchronous_standby_names = '`+names+`'`, `SELECT pg_reload_conf()`); err != nil {
			return err
		}
	}
	return p.await(ctx, p.primary, `SELECT COUNT(*) > 0 FROM pg_stat_replication WHERE sync_state = '`+state+`'`)
}

// Crash ends the primary as a power failure would, starts it again, and waits
// until the standby has found it.
func (p *Pair) Crash(ctx context.Context) error {
	if err := errors.Join(p.stop(ctx, p.primary, "immediate"), p.start(ctx, p.primary)); err != nil {
		return err
	}
	return p.await(ctx, p.primary, following)
}

// Promote makes the standby the primary. It has all that was acknowledged, and it
// stops following: the old one, if nobody has stopped it, can complete no commit
// from then on. Commits of the new one wait for the next standby.
func (p *Pair) Promote(ctx context.Context) error {
	if err := p.run(ctx, "pg_ctl", "-D", p.standby.data, "-w", "-t", "30", "promote"); err != nil {
		return err
	}
	p.primary, p.standby, p.spare = p.standby, p.spare, p.primary
	return nil
}

// Retire stops the old primary, if it still runs, and empties its seat.
func (p *Pair) Retire(ctx context.Context, mode string) error {
	return errors.Join(p.stop(ctx, p.spare, mode), os.RemoveAll(p.spare.data))
}

func (p *Pair) start(ctx context.Context, s seat) error {
	options := fmt.Sprintf("-p %d -k %s -h 127.0.0.1 -c max_connections=100 -c timezone=UTC -c wal_retrieve_retry_interval=100ms", s.port, p.ground.Dir)
	return p.run(ctx, "pg_ctl", "-D", s.data, "-l", filepath.Join(p.ground.Dir, s.name+".log"), "-w", "-t", "60", "-o", options, "start")
}

// stop ends a server, if it runs, in one of pg_ctl's modes.
func (p *Pair) stop(ctx context.Context, s seat, mode string) error {
	if _, err := os.Stat(filepath.Join(s.data, "postmaster.pid")); err != nil {
		return nil
	}
	return p.run(ctx, "pg_ctl", "-D", s.data, "-m", mode, "-w", "stop")
}

// run runs one of PostgreSQL's programs. A server that it starts keeps its
// output open, which therefore is a file.
func (p *Pair) run(ctx context.Context, program string, args ...string) error {
	said, err := os.CreateTemp("", "postern-pg-")
	if err != nil {
		return err
	}
	defer func() { _ = errors.Join(said.Close(), os.Remove(said.Name())) }() // it has been read
	cmd := exec.CommandContext(ctx, filepath.Join(p.ground.Programs, program), args...)
	cmd.Dir, cmd.SysProcAttr, cmd.Stdout, cmd.Stderr = p.ground.Dir, p.ground.Rights, said, said
	if err := cmd.Run(); err != nil {
		words, _ := os.ReadFile(said.Name()) // it only explains err
		return fmt.Errorf("%s: %w\n%s", program, err, words)
	}
	return nil
}

func (p *Pair) exec(ctx context.Context, s seat, statements ...string) error {
	conn, err := pgx.Connect(ctx, s.url())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }() // what matters has been answered
	for _, text := range statements {
		if _, err := conn.Exec(ctx, text); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	return nil
}

// await asks a server until it says yes.
func (p *Pair) await(ctx context.Context, s seat, question string) error {
	conn, err := pgx.Connect(ctx, s.url())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }() // what matters has been answered
	for {
		var yes bool
		if err := conn.QueryRow(ctx, question).Scan(&yes); err != nil || yes {
			return err
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return fmt.Errorf("until %s: %w", question, err)
		}
	}
}

// freePort returns a port that nobody uses, below those that a machine gives to
// whoever asks for any: a process that is started again finds it free again.
func freePort() (port int, err error) {
	const least, most, tries = 20_000, 30_000, 100
	for range tries {
		port = least + rand.IntN(most-least)
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, err
}
