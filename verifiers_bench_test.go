//go:build unix

package postern_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/cli"
	"github.com/posternhq/postern/internal/store/storetest"
)

// asVerifiers is set, to a number, where this binary is run again as so many verifiers.
const asVerifiers = "POSTERN_TEST_VERIFIERS"

// TestVerifiersProcess is the process of [BenchmarkRevokeWith500Verifiers] that has the
// verifiers. It says of each key that it is asked about how many of them accept it.
func TestVerifiersProcess(t *testing.T) {
	if os.Getenv(asVerifiers) == "" {
		t.Skip("this is run by a benchmark")
	}
	many, err := strconv.Atoi(os.Getenv(asVerifiers))
	if err != nil {
		t.Fatal(err)
	}
	const atOnce = 16
	all, next := make([]*postern.Verifier, many), atomic.Int64{}
	var opening sync.WaitGroup
	for range atOnce {
		opening.Go(func() {
			for n := next.Add(1); n <= int64(many); n = next.Add(1) {
				v, err := postern.New(t.Context()) // POSTERN_URL and POSTERN_KEY
				if err != nil {
					t.Error(err)
				}
				all[n-1] = v
			}
		})
	}
	if opening.Wait(); t.Failed() {
		return
	}
	fmt.Println("verifier: ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		accepting := 0
		for _, v := range all {
			if verdict(v, lines.Text()) == api.VerdictValid {
				accepting++
			}
		}
		fmt.Println("verifier:", accepting)
	}
}

// cluster is nodes of the program in this process, which share a database of their own.
type cluster struct {
	owners []*postern.Client // one person, at each of the nodes
	stop   func()
	made   int // keys
}

func startCluster(b *testing.B, nodes int) *cluster {
	b.Helper()
	dir := b.TempDir()
	settings := []string{"--store-url", storetest.Postgres(b), "--secret-file", filepath.Join(dir, "secret")}
	run := func(ctx context.Context, out io.Writer, args ...string) int {
		return cli.Program{
			Args: slices.Concat(args, settings), Stdout: out, Stderr: io.Discard, Stdin: strings.NewReader(""),
			Environ: []string{"HOME=" + dir, "XDG_CONFIG_HOME=" + dir},
		}.Run(ctx)
	}
	var key bytes.Buffer
	if code := run(b.Context(), &key, "init", "--workspace", "Acme", "--email", "owner@example.com", "--field", "value"); code != 0 {
		b.Fatalf("init: exit code %d", code)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	c := &cluster{stop: func() { cancel(); running.Wait() }}
	b.Cleanup(c.stop)
	for n := range nodes {
		address := freeAddress(b)
		running.Go(func() { run(ctx, io.Discard, "serve", "--listen", address, "--node-name", fmt.Sprint("node-", n)) })
		c.owners = append(c.owners, &postern.Client{Server: "http://" + address, Key: postern.NewSecret(strings.TrimSpace(key.String()))})
	}
	for _, owner := range c.owners {
		eventually(b, "ready", func() bool {
			resp, err := http.Get(owner.Server + "/readyz")
			if err == nil {
				resp.Body.Close()
			}
			return err == nil && resp.StatusCode == http.StatusOK
		})
	}
	return c
}

// call makes a call of one of the nodes.
func (c *cluster) call(b *testing.B, node int, path string, in, out any) {
	b.Helper()
	if err := c.owners[node%len(c.owners)].Do(b.Context(), http.MethodPost, "/v1/workspaces/-/"+path, in, out); err != nil {
		b.Fatal(err)
	}
}

// account makes a service account, whose name is that of its role.
func (c *cluster) account(b *testing.B, role string) {
	b.Helper()
	c.call(b, 0, "service_accounts", api.CreateServiceAccount{Name: role, Role: role}, nil)
}

func (c *cluster) mint(b *testing.B, node int, account string) (made api.CreatedKey) {
	b.Helper()
	c.made++
	c.call(b, node, "service_accounts/"+account+"/keys", api.CreateKey{Name: fmt.Sprint("key-", c.made)}, &made)
	return made
}

func (c *cluster) revoke(b *testing.B, node int, id string) (took time.Duration) {
	b.Helper()
	begun := time.Now()
	c.call(b, node, "keys/"+id+"/revoke", api.Ending{Reason: "other"}, nil)
	return time.Since(begun)
}

// revocations makes keys and revokes them, each through another node, and returns how
// long each revocation took: from the call over HTTP until its answer.
func (c *cluster) revocations(b *testing.B, many int) (took []time.Duration) {
	b.Helper()
	const longest = 15 * time.Second
	for begun := time.Now(); len(took) < many && time.Since(begun) < longest; {
		node := len(took)
		took = append(took, c.revoke(b, node, c.mint(b, node, bot).ID))
	}
	return took
}

const bot = "operator" // an account, and its role

// BenchmarkRevokeWith500Verifiers compares the revocation of a key through a node that
// 500 verifiers follow, which are another process on the same machine, with that
// through one of three nodes that nobody follows. Half of the latter are made before
// the verifiers are there, and half when they have gone. Then it looks whether any
// verifier accepts a key whose revocation has returned.
func BenchmarkRevokeWith500Verifiers(b *testing.B) {
	const many, times, looks = 500, 60, 5
	three, one := startCluster(b, 3), startCluster(b, 1)
	three.account(b, bot)
	one.account(b, bot)
	one.account(b, "verifier")
	own := one.mint(b, 0, "verifier")
	bare := three.revocations(b, times)

	p := startProcess(b, "TestVerifiersProcess", asVerifiers+"="+strconv.Itoa(many), "POSTERN_URL="+one.owners[0].Server, "POSTERN_KEY="+own.Value)
	if got := p.heard(); got != "ready" {
		b.Fatalf("the verifiers say %q", got)
	}
	used := processor(b)
	whole := one.revocations(b, times)
	used = processor(b) - used
	before, after := 0, 0
	for range looks {
		key := one.mint(b, 0, bot)
		before += p.accepting(b, key.Value)
		one.revoke(b, 0, key.ID)
		after += p.accepting(b, key.Value)
	}
	p.stop()
	one.stop()

	bare = append(bare, three.revocations(b, times)...)
	if after > 0 || before == 0 {
		b.Fatalf("verifiers accepted keys %d times before the revocation, and %d times after it had returned", before, after)
	}
	half := func(took []time.Duration) time.Duration { slices.Sort(took); return took[len(took)/2] }
	b.ReportMetric(float64(half(bare).Microseconds()), "µs-three-nodes-p50")
	b.ReportMetric(float64(half(whole).Microseconds()), "µs-500-verifiers-p50")
	b.ReportMetric(float64(half(whole))/float64(half(bare)), "x-three-nodes")
	const changes = 2 // a key is made, and revoked: either waits for all verifiers
	b.ReportMetric(float64(used.Microseconds())/float64(changes*len(whole)), "µs-of-the-node's-processor-a-change")
	b.ReportMetric(float64(before)/looks, "accepting-before")
	b.ReportMetric(float64(after), "accepting-after")
}

// processor returns for how long this process, which is the nodes, has had a processor.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// accepting returns how many verifiers of a process accept a key.
func (p *process) accepting(b *testing.B, key string) int {
	b.Helper()
	p.ask(key)
	n, err := strconv.Atoi(p.heard())
	if err != nil {
		b.Fatal(err)
	}
	return n
}
