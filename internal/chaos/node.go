package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// nodeLifetime runs a program until it ends, or this process does, however that
// comes about. It first says the number of the program's process.
const nodeLifetime = `
exec 3<&0
"$@" </dev/null 3<&- &
program=$!
echo $program
{ read -r _ <&3; kill -KILL $program; } >/dev/null 2>&1 &
guard=$!
exec 3<&-
wait $program
code=$?
kill $guard 2>/dev/null
exit $code
`

// Node is one process of the program, behind a proxy of its own. One caller
// changes it at a time.
type Node struct {
	Name  string
	Proxy *Proxy

	program string
	args    []string
	addr    string // where it serves HTTP
	log     string // the file that it logs to
	client  *http.Client

	pid   int
	hold  io.Closer     // the process ends when this closes
	ended chan struct{} // closed when it has ended; nil before it was started
}

// newNode returns a node that does not run yet. It speaks to a server through a
// proxy, and logs into a folder.
func newNode(name, program, dir, server string, flags ...string) (*Node, error) {
	proxy, err := NewProxy(server)
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	return &Node{
		Name: name, Proxy: proxy, program: program, addr: addr, log: filepath.Join(dir, name+".log"),
		client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 100}},
		args: append([]string{
			"serve", "--listen", addr, "--store-url", urlAt(proxy.Addr()), "--node-name", name,
		}, flags...),
	}, nil
}

// URL returns where the node serves its API.
func (n *Node) URL() string { return "http://" + n.addr }

// Start starts the process.
func (n *Node) Start() error {
	log, err := os.OpenFile(n.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the process has its own
	cmd := exec.Command("sh", append([]string{"-c", nodeLifetime, "node", n.program}, n.args...)...)
	cmd.Dir, cmd.Env, cmd.Stderr = filepath.Dir(n.log), environment(filepath.Dir(n.log)), log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt at the terminal is for this process
	if n.hold, err = cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	said, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		n.pid, err = strconv.Atoi(strings.TrimSpace(said))
	}
	if err != nil {
		return fmt.Errorf("start %s: %w", n.Name, errors.Join(err, n.hold.Close(), cmd.Wait()))
	}
	ended := make(chan struct{})
	go func() { // ends with the process, at the latest when hold closes
		_ = cmd.Wait() // how it ended is in its log
		close(ended)
	}()
	n.ended = ended
	return nil
}

// Runs reports whether the process is there, stopped or not.
func (n *Node) Runs() bool {
	if n.ended == nil {
		return false
	}
	select {
	case <-n.ended:
		return false
	default:
		return true
	}
}

// environment is that of a user who has set nothing.
func environment(home string) []string {
	return []string{"HOME=" + home, "XDG_CONFIG_HOME=" + filepath.Join(home, "config"), "PATH=" + os.Getenv("PATH")}
}

// Signal sends the process a signal: SIGSTOP stops it where it stands, and after
// SIGCONT it goes on as if no time had passed.
func (n *Node) Signal(signal syscall.Signal) error {
	if !n.Runs() {
		return fmt.Errorf("%s has ended by itself", n.Name)
	}
	return syscall.Kill(n.pid, signal)
}

// Kill ends the process as a power failure would, if it runs.
func (n *Node) Kill() {
	if n.ended == nil {
		return
	}
	_ = n.hold.Close() // which kills it
	<-n.ended
}

// Leave asks the process to end, and waits for it.
func (n *Node) Leave(ctx context.Context) error {
	if err := n.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	defer n.Kill()
	select {
	case <-n.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s does not end after SIGTERM: %w", n.Name, ctx.Err())
	}
}

// Close ends the process, if it runs, and its proxy.
func (n *Node) Close() {
	n.Kill()
	n.Proxy.Close()
}

// Ready asks the node whether it is ready, and returns its words if it is not.
func (n *Node) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.URL()+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := n.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	words, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, words)
	}
	return err
}

// AwaitReady waits until the node is ready.
func (n *Node) AwaitReady(ctx context.Context) error {
	for {
		err := n.Ready(ctx)
		if err == nil {
			return nil
		}
		if pause(ctx, 10*time.Millisecond) != nil {
			return fmt.Errorf("%s is not ready: %w", n.Name, err)
		}
	}
}

// LastWords returns the end of what the node has logged, but for the requests.
func (n *Node) LastWords(lines int) string {
	text, err := os.ReadFile(n.log)
	if err != nil {
		return err.Error()
	}
	var words []string
	for line := range strings.Lines(string(text)) {
		if !strings.Contains(line, `"msg":"request"`) {
			words = append(words, line)
		}
	}
	return strings.Join(words[max(0, len(words)-lines):], "")
}
