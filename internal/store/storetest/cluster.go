package storetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clusterStart is how long making and starting a cluster may take.
const clusterStart = 2 * time.Minute

// lifetime runs a cluster for as long as its standard input stays open, so that
// nothing is left behind however the process that holds the other end dies.
// Its arguments are the folder of the programs, the cluster's own and a port.
const lifetime = `
bin=$1 dir=$2 port=$3
if "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --no-locale >>"$dir/log" 2>&1 &&
	"$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w -t 60 \
		-o "-p $port -k $dir -h 127.0.0.1 -c max_connections=300 -c timezone=UTC" start >>"$dir/log" 2>&1
then echo ready
else echo failed
fi
read -r _
"$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >>"$dir/log" 2>&1
rm -rf "$dir"
`

// Cluster is a temporary PostgreSQL server on the loopback address, with
// everything as PostgreSQL ships it, fsync included.
type Cluster struct {
	URL string // of its superuser, who needs no password

	cmd  *exec.Cmd
	hold io.Closer // the cluster ends when this closes
}

// StartCluster makes and starts a cluster from the installed programs, as a user
// without rights when the caller is root. It ends with [Cluster.Stop], or with
// this process.
func StartCluster(ctx context.Context) (*Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, clusterStart)
	defer cancel()
	bin, err := findPrograms(ctx)
	if err != nil {
		return nil, err
	}
	var c *Cluster
	for range 3 { // the free port may be taken before PostgreSQL binds it
		if c, err = start(ctx, bin); err == nil {
			return c, nil
		}
	}
	return nil, fmt.Errorf("storetest: start PostgreSQL: %w", err)
}

// ClusterDirEnv names the environment variable with the folder that a cluster's
// files go into. Benchmarks name one on a disk.
const ClusterDirEnv = "POSTERN_TEST_CLUSTER_DIR"

// clusterParent returns the folder that a cluster's files go into, empty for the
// system's own.
func clusterParent() string {
	if dir := os.Getenv(ClusterDirEnv); dir != "" {
		return dir
	}
	return Memory()
}

// Memory returns a folder whose files are in memory, or nothing where there is
// none with room. Tests make hundreds of databases, and none of them cuts the
// power: on a disk they would wait for it most of the time.
func Memory() string {
	const memory, enough = "/dev/shm", 4 << 30
	var fs syscall.Statfs_t
	if err := syscall.Statfs(memory, &fs); err == nil && fs.Bavail*uint64(fs.Bsize) > enough {
		return memory
	}
	return ""
}

// Ground is what a server stands on that a test puts together by itself.
type Ground struct {
	Programs string               // the folder of PostgreSQL's programs
	Dir      string               // an empty folder of the server's user, for whoever made it to remove
	Rights   *syscall.SysProcAttr // as whom to run the programs, which refuse to run as root
}

// NewGround finds the installed programs and makes a folder for a server.
func NewGround(ctx context.Context) (Ground, error) {
	bin, err := findPrograms(ctx)
	if err != nil {
		return Ground{}, err
	}
	return newGround(bin)
}

func newGround(bin string) (Ground, error) {
	dir, err := os.MkdirTemp(clusterParent(), "postern-pg-")
	if err != nil {
		return Ground{}, err
	}
	attr, err := unprivileged(dir)
	return Ground{Programs: bin, Dir: dir, Rights: attr}, err
}

func start(ctx context.Context, bin string) (*Cluster, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	ground, err := newGround(bin)
	if err != nil {
		return nil, err
	}
	dir := ground.Dir
	cmd := exec.Command("sh", "-c", lifetime, "cluster", bin, dir, strconv.Itoa(port))
	cmd.Dir, cmd.SysProcAttr = dir, ground.Rights
	hold, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &Cluster{cmd: cmd, hold: hold, URL: fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port)}
	if err := awaitReady(ctx, out); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log")) // best effort: it only explains err
		return nil, errors.Join(fmt.Errorf("%w\n%s", err, log), c.Stop())
	}
	return c, nil
}

// awaitReady waits for the word that the cluster answers.
func awaitReady(ctx context.Context, out io.Reader) error {
	word := make(chan string, 1)
	go func() { // ends with out, which Stop closes
		line, _ := bufio.NewReader(out).ReadString('\n')
		word <- strings.TrimSpace(line)
	}()
	select {
	case w := <-word:
		if w != "ready" {
			return errors.New("it did not start")
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stop ends the cluster, removes its files and waits for both.
func (c *Cluster) Stop() error {
	if err := c.hold.Close(); err != nil {
		return err
	}
	return c.cmd.Wait()
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// unprivileged returns how to run PostgreSQL, which refuses to run as root: in a
// process group of its own, so that an interrupt at the terminal does not end it
// before its users, and as the owner of dir.
func unprivileged(dir string) (*syscall.SysProcAttr, error) {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if os.Getuid() != 0 {
		return attr, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, err
		}
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attr, os.Chown(dir, int(uid), int(gid))
}
