package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/posternhq/postern/internal/gateway/gatewaytest"
)

const gatewayPace = 10 * time.Millisecond // of questions to each, one after the other

// service is what gateways stand in front of: it knows nothing of Postern, and
// answers everybody.
type service struct {
	listener net.Listener
	server   http.Server
}

// served is what the service says.
const served = "served"

func newService() (*service, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &service{listener: l, server: http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, served) }), // who asked may be gone
	}}
	go func() { _ = s.server.Serve(l) }() // ends when it is closed
	return s, nil
}

func (s *service) close() { _ = s.server.Close() } // nobody asks any more

// gateway is a proxy that runs by its recipe before the service, and asks a node about
// every request.
type gateway struct {
	door   Door
	url    string
	client *http.Client
	clock  Clock
	board  *Board
	random *rand.Rand
}

// socket is where a node is asked by its gateway.
func (r *Run) socket(node int) string {
	return filepath.Join(r.plan.Dir, fmt.Sprintf("gateway-%d.sock", node+1))
}

// open starts a gateway of each program, before one node each.
func (r *Run) open(ctx context.Context) (err error) {
	if r.plan.Recipes == "" {
		return nil
	}
	if r.service, err = newService(); err != nil {
		return err
	}
	for i, p := range gatewaytest.Programs() {
		g, err := r.openOne(ctx, p, i%len(r.nodes))
		if err != nil {
			return fmt.Errorf("start %s: %w", p.Name, err)
		}
		g.random = r.random(5, i)
		r.gateways = append(r.gateways, g)
	}
	return nil
}

func (r *Run) openOne(ctx context.Context, p gatewaytest.Program, node int) (*gateway, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	dir, addr := filepath.Join(r.plan.Dir, p.Name), fmt.Sprintf("127.0.0.1:%d", port)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	cmd, err := p.Command(r.plan.Recipes, dir, gatewaytest.Places{Listen: addr, Service: r.service.listener.Addr().String(), Gateway: r.socket(node)})
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := errors.Join(r.group.Start(cmd), log.Close()); err != nil { // the process has its own
		return nil, err
	}
	go func() { _ = cmd.Wait() }() // ends with the group
	g := &gateway{
		door: Door{Kind(p.Name), 0, node}, url: "http://" + addr + "/tickets", clock: r.clock, board: r.board,
		client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 10}},
	}
	return g, g.await(ctx, log.Name())
}

// await waits until the gateway answers.
func (g *gateway) await(ctx context.Context, log string) error {
	for {
		if code := g.ask(ctx, "").codes[0]; code == TurnedAway {
			return nil
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			text, _ := os.ReadFile(log) // it only explains err
			return fmt.Errorf("it does not answer: %w\n%s", err, text)
		}
	}
}

// ask comes to the service with a key.
func (g *gateway) ask(ctx context.Context, key string) (a asked) {
	a.begun = g.clock.Now()
	status, body, err := g.get(ctx, key)
	a.ended = g.clock.Now()
	a.codes = []Code{comes(status, body, err)}
	return a
}

// comes says what is seen of a key by how the request with it ends. Why somebody is
// turned away is not told.
func comes(status int, body string, err error) Code {
	switch {
	case err != nil:
		return Silent
	case status == http.StatusOK && body == served:
		return Valid
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return TurnedAway
	case status >= 500:
		return Stale
	}
	return Code(fmt.Sprintf("%d %s", status, body))
}

func (g *gateway) get(ctx context.Context, key string) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url, nil)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := g.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// pick chooses a subject, more often than others do one that has ended: before a node
// that is cut off it is those that are wrong for longest.
func (g *gateway) pick() []*Subject {
	if g.random.IntN(4) == 0 {
		return g.board.Pick(cold, 1, g.random.IntN)
	}
	return g.board.choose(1, g.random)
}

// run comes with what is on the board, one key after the other.
func (g *gateway) run(ctx context.Context) {
	for g.board.Await(ctx) == nil {
		for _, s := range g.pick() {
			a := g.ask(ctx, s.questions[g.random.IntN(len(s.questions))].Key)
			s.record(g.door, a, a.codes)
			s.asking.Done()
		}
		if pause(ctx, gatewayPace) != nil {
			return
		}
	}
}
