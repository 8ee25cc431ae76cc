package gateway_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/gateway"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/server"
	"github.com/posternhq/postern/internal/session"
	"github.com/posternhq/postern/internal/store"
	"github.com/posternhq/postern/internal/token"
)

// world is a server on a real store with a gateway on a Unix socket.
type world struct {
	t       *testing.T
	door    *door
	options gateway.Options
	client  *postern.Client // of the owner of the system workspace
	api     string          // where the API is
	socket  string          // where proxies ask
	served  *gateway.Server
	uses    *uses
	log     *logbook
	named   atomic.Int64 // things that were made
}

func newWorld(t *testing.T) *world {
	t.Helper()
	st, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "postern.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, door: &door{Replica: replica.New(replica.Options{Node: "test"})}, uses: new(uses), log: new(logbook)}
	service := &iam.Service{Store: st, Fence: w.door.Replica, Roster: w.door.Replica, Now: time.Now}
	_, owner, err := (&iam.Service{Store: st, Fence: iam.Nobody{}, Now: time.Now}).Initialize(t.Context(),
		iam.Initialization{Workspace: "Operations", Email: "ops@example.com", KeyName: "first"})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.door.Load(t.Context(), st); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var following sync.WaitGroup
	following.Go(func() { _ = w.door.Follow(ctx, st) }) // it ends with its context
	t.Cleanup(func() {
		stop()
		following.Wait()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	secret := bytes.Repeat([]byte("s"), 32)
	people, err := session.New(session.Options{IAM: service, Secret: secret, URL: func() string { return "http://localhost" }, Cost: session.Cost{Memory: 8, Passes: 1}})
	if err != nil {
		t.Fatal(err)
	}
	unlimited := server.Rate{Burst: 1 << 20, Window: time.Minute}
	srv, err := server.New(server.Options{
		IAM: service, Replica: w.door.Replica, People: people, Prefixes: token.Prefixes{token.DefaultPrefix}, Secret: secret,
		Limits: server.Limits{Management: unlimited, Acceptance: unlimited},
	})
	if err != nil {
		t.Fatal(err)
	}
	main := httptest.NewServer(srv.Handler())
	t.Cleanup(main.Close)
	w.api = main.URL
	w.client = &postern.Client{Server: main.URL, Key: owner, PlainHTTP: true}
	w.options = gateway.Options{
		Door: w.door, Prefixes: token.Prefixes{token.DefaultPrefix}, Usage: w.uses,
		Log: slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	w.socket = filepath.Join(t.TempDir(), "gateway.sock")
	w.served = w.serve(w.options, w.listen(w.socket))
	return w
}

func (w *world) listen(socket string) net.Listener {
	w.t.Helper()
	l, err := gateway.ListenUnix(w.t.Context(), socket)
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

// serve answers on listeners until the test ends.
func (w *world) serve(o gateway.Options, listeners ...net.Listener) *gateway.Server {
	w.t.Helper()
	g, err := gateway.New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	s := gateway.NewServer(g)
	var serving sync.WaitGroup
	for _, l := range listeners {
		serving.Go(func() {
			if err := s.Serve(l); err != http.ErrServerClosed {
				w.t.Errorf("Serve ended with %v", err)
			}
		})
	}
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			w.t.Error(err)
		}
		serving.Wait()
	})
	return s
}

// door lets a test do something between a decision and the look that lets it out.
type door struct {
	*replica.Replica
	between atomic.Pointer[func()]
}

func (d *door) Answer(ctx context.Context, encode func(replica.View)) error {
	return d.Replica.Answer(ctx, func(v replica.View) {
		encode(v)
		if do := d.between.Swap(nil); do != nil {
			(*do)()
		}
	})
}

// uses are the uses that were counted.
type uses struct {
	mu  sync.Mutex // guards all
	all []iam.Use
}

func (u *uses) Touch(one iam.Use) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.all = append(u.all, one)
}

func (u *uses) take() []iam.Use {
	u.mu.Lock()
	defer u.mu.Unlock()
	taken := u.all
	u.all = nil
	return taken
}

type logbook struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logbook) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// do calls the API as an owner; out may be nil.
func (w *world) do(method, path string, in, out any) {
	w.t.Helper()
	if err := w.client.Do(w.t.Context(), method, path, in, out); err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
}

// bot is a service account with a key.
type bot struct {
	w       *world
	account api.CreatedServiceAccount
	key     api.CreatedKey
}

const system = "/v1/workspaces/-"

// bot makes one whose role holds permissions.
func (w *world) bot(permissions ...string) *bot {
	w.t.Helper()
	return w.botIn(w.client, permissions...)
}

func (w *world) botIn(owner *postern.Client, permissions ...string) *bot {
	w.t.Helper()
	b := &bot{w: w}
	role := w.name("role")
	do := func(path string, in, out any) {
		w.t.Helper()
		if err := owner.Do(w.t.Context(), http.MethodPost, system+path, in, out); err != nil {
			w.t.Fatal(err)
		}
	}
	do("/roles", api.CreateRole{Name: role, Permissions: permissions}, nil)
	do("/service_accounts", api.CreateServiceAccount{Name: w.name("bot"), Role: role}, &b.account)
	do("/service_accounts/"+b.account.ID+"/keys", api.CreateKey{Name: w.name("key")}, &b.key)
	return b
}

func (w *world) name(kind string) string {
	return kind + "-" + strings.Repeat("x", int(w.named.Add(1))%20) + string('a'+rune(w.named.Load()%26))
}

func (b *bot) revoke() {
	b.w.t.Helper()
	b.w.do(http.MethodPost, system+"/keys/"+b.key.ID+"/revoke", api.Ending{}, nil)
}

// tenant makes a workspace and returns its slug and a client of its owner.
func (w *world) tenant(slug string) (api.CreatedWorkspace, *postern.Client) {
	w.t.Helper()
	var made api.CreatedWorkspace
	w.do(http.MethodPost, "/v1/workspaces", api.CreateWorkspace{Name: slug, Slug: slug, Owner: &api.WorkspaceOwner{Email: "jo@" + slug + ".example"}}, &made)
	var joined api.AcceptedInvitation
	w.do(http.MethodPost, "/v1/invitations/accept", api.AcceptInvitation{Token: made.Invitation.Token, Name: "Jo", Key: &api.KeyName{Name: "first"}}, &joined)
	return made, &postern.Client{Server: w.api, Key: token.NewSecret(joined.Key.Value), PlainHTTP: true}
}

// dial connects to the gateway's socket, whatever the address.
func (w *world) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "unix", w.socket)
}

// ask sends what a proxy sends: headers are names and values in turn.
func (w *world) ask(method, address string, headers ...string) *http.Response {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, "http://gateway"+address, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header[headers[i]] = append(req.Header[headers[i]], headers[i+1])
	}
	resp, err := (&http.Transport{DialContext: w.dial, DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

const needsRead = gateway.Path + "?permission=tickets:read"

// bearer is the header of a key.
func bearer(key string) []string { return []string{"Authorization", "Bearer " + key} }

var local = netip.MustParseAddr("192.0.2.7")
