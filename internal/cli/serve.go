package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/posternhq/postern/internal/config"
	"github.com/posternhq/postern/internal/console"
	"github.com/posternhq/postern/internal/docs"
	"github.com/posternhq/postern/internal/gateway"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/server"
	signing "github.com/posternhq/postern/internal/session"
	"github.com/posternhq/postern/internal/token"
)

func (a *app) serveCommand() *cobra.Command {
	cmd := a.leaf(command{
		use: "serve", short: "Run the server",
		long: "It stops on an interrupt, when what is under way has been answered. Settings come from flags, then from\n" +
			"the environment, then from the file: see docs/reference/configuration.md. On SQLite one server has the store;\n" +
			"on PostgreSQL as many as you like share it, each with the same --store-url and --secret-file. On an empty store it\n" +
			"prints a link that sets it up, in a browser, within 15 minutes; on SQLite it makes the root secret for that.",
		examples: [2]string{
			"postern serve --store-url sqlite:postern.db",
			"postern serve --config postern.toml",
		},
		run: func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			cfg, err := a.loadConfig(cmd)
			if err != nil {
				return err
			}
			return a.serve(ctx, cfg.Config, mode{missing: forSetup(cfg.Config), up: a.sayUp})
		},
	})
	a.configFlags(cmd, nil)
	return cmd
}

// mode is what a command adds to a server.
type mode struct {
	missing missingSecret                              // what is done about a missing root secret
	around  func(api http.Handler) http.Handler        // nil: the API alone
	up      func(ctx context.Context, n running) error // called once it listens
}

// running is a server that listens.
type running struct {
	cfg         config.Config
	url         string // of the API, without a slash at its end
	addresses   []string
	service     *iam.Service
	ready       func(ctx context.Context) error // returns when it answers, or why it does not
	initialized bool
	log         *slog.Logger
}

// serve puts a server together and runs it until ctx ends. Reading it from top to
// bottom is reading what a server is.
func (a *app) serve(ctx context.Context, cfg config.Config, m mode) (err error) {
	log, metrics := a.newLog(cfg), server.NewMetrics()
	node, err := openNode(ctx, cfg, log, duty{observe: metrics.ObserveStore, reporter: rand.Text()})
	if err != nil {
		return err
	}
	defer closing(&err, "close the store", node.close)
	secret, initialized, err := node.prepare(ctx, m.missing)
	if err != nil {
		return err
	}

	service := newService(cfg, node.rows, node.answers)
	service.Roster = node.answers
	service.Waited, service.Advanced = metrics.ObserveWait, metrics.ObserveRotation
	if err := node.count(ctx, service); err != nil {
		return err
	}
	var address atomic.Pointer[string] // known once it listens
	people, err := newPeople(cfg, service, secret, &address)
	if err != nil {
		return err
	}
	sso, err := newSSO(cfg, people)
	if err != nil {
		return err
	}
	pages, err := console.New()
	if err != nil {
		return err
	}
	api, err := server.New(server.Options{
		IAM: service, Replica: node.memory, Door: node.answers, Prefixes: prefixes(cfg), Secret: secret,
		Log: log, Node: nodeName(cfg), Metrics: metrics, Usage: node.uses, Children: node.children(), Console: pages, Docs: docs.New(), People: people, SSO: sso, BehindProxy: cfg.BehindProxy,
	})
	if err != nil {
		return err
	}

	gate, err := newGateway(cfg, node, log, metrics)
	if err != nil {
		return err
	}
	handler := api.Handler()
	if m.around != nil {
		handler = m.around(handler)
	}
	doors, err := openDoors(ctx, cfg, answers{handler, api.MetricsHandler(), newFast(cfg, api, &address), gate}, log)
	if err != nil {
		return err
	}
	address.Store(new(doors.url(cfg)))
	n := running{
		cfg: cfg, url: doors.url(cfg), addresses: doors.addresses(), service: service, ready: node.ready, initialized: initialized, log: log,
	}
	parts := parts{
		doors: doors, log: log, node: node.run, streams: api.EndStreams, leave: node.leave,
		await: service.AwaitReceipts, receipts: service.WriteReceipts, sums: service.WriteSums,
		notices: func(ctx context.Context) error { return service.NoticeExpiries(ctx, nodeName(cfg)) },
		journal: node.journal, uses: node.uses.Run, tend: node.rows.TendUsage,
		look: func(ctx context.Context) error { return node.carryOn(ctx, service, metrics) },
	}
	return parts.run(ctx, func(ctx context.Context) error { return m.up(ctx, n) })
}

// sayUp tells the log where a server listens, when it answers, and what is missing.
func (a *app) sayUp(ctx context.Context, n running) error {
	n.log.Info("listening", "url", n.url, "addresses", n.addresses)
	if err := n.ready(ctx); ctx.Err() != nil {
		return nil // somebody stopped it meanwhile
	} else if err != nil {
		return err
	}
	n.log.Info("answering", "url", n.url)
	if n.cfg.GatewayListen != "" {
		n.log.Info("answering proxies", "address", n.cfg.GatewayListen)
	}
	if n.cfg.FastListen != "" {
		n.log.Info("answering verifications alone", "address", n.cfg.FastListen)
	}
	if n.initialized {
		return nil
	}
	n.log.Warn("the store is empty, so nobody can sign in yet: open the setup link, or " + howToInit(n.cfg))
	return a.sayFirstLink(ctx, n)
}

// newPeople returns what knows the people who sign in, at an address that is known for
// certain once the server listens.
func newPeople(cfg config.Config, service *iam.Service, secret []byte, address *atomic.Pointer[string]) (*signing.People, error) {
	o := signing.Options{IAM: service, Secret: secret, URL: func() string {
		if known := address.Load(); known != nil {
			return *known
		}
		return publicURL(cfg)
	}}
	if cfg.SMTPAddress != "" {
		o.Mail = &signing.Mail{Address: cfg.SMTPAddress, From: cfg.SMTPFrom, Username: cfg.SMTPUsername, TLS: cfg.SMTPTLS}
	}
	if cfg.SMTPAddress != "" && cfg.SMTPPasswordFile != "" {
		text, err := os.ReadFile(cfg.SMTPPasswordFile)
		if err != nil {
			return nil, usagef("smtp.password-file: %w", err)
		}
		o.Mail.Password = token.NewSecret(strings.TrimSpace(string(text)))
	}
	return signing.New(o)
}

// newFast returns what answers verifications alone, or nil when nobody asks there.
// address is where all else is answered, once that is known.
func newFast(cfg config.Config, api *server.Server, address *atomic.Pointer[string]) *server.FastServer {
	if cfg.FastListen == "" {
		return nil
	}
	return server.NewFastServer(api, func() string {
		if known := address.Load(); known != nil {
			return *known
		}
		return publicURL(cfg)
	})
}

// newGateway returns what answers proxies, or nil when none asks.
func newGateway(cfg config.Config, node *node, log *slog.Logger, metrics *server.Metrics) (*gateway.Server, error) {
	if cfg.GatewayListen == "" {
		return nil, nil
	}
	g, err := gateway.New(gateway.Options{
		Door: node.answers, Prefixes: prefixes(cfg), Usage: node.uses, Workspace: cfg.GatewayWorkspace, Log: log,
		Answered: func(a gateway.Answered) { metrics.ObserveGateway(a.Protocol, a.Status, a.Code) },
	})
	if err != nil {
		return nil, err
	}
	return gateway.NewServer(g), nil
}

func newService(cfg config.Config, rows iam.Store, fence iam.Fence) *iam.Service {
	return &iam.Service{Store: rows, Fence: fence, Mint: token.Mint{Prefix: cfg.KeyPrefix}, Now: time.Now}
}

// prefixes returns the prefixes of the keys that are accepted.
func prefixes(cfg config.Config) token.Prefixes {
	return append(token.Prefixes{cfg.KeyPrefix}, cfg.FormerPrefixes...)
}

// howToInit says what to do about an empty store while a server runs on it.
func howToInit(cfg config.Config) string {
	if cfg.Postgres() {
		return "run postern init with the same store and secret"
	}
	return "stop this server and run postern init"
}

// closing closes something at the end of a function, and adds what goes wrong to
// the function's error.
func closing(err *error, what string, fn func() error) {
	if failed := fn(); failed != nil {
		*err = errors.Join(*err, fmt.Errorf("%s: %w", what, failed))
	}
}
