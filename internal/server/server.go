// Package server is Postern over HTTP. It turns requests into calls of
// [iam.Service] and [replica.Replica], and their answers into package api. It
// decides nothing about who may do what: it finds out who is calling, holds the
// conventions that all routes share, and documents both in OpenAPI.
package server

import (
	"cmp"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/stream"
	"github.com/posternhq/postern/internal/token"
)

// Options says what a server needs.
type Options struct {
	IAM      *iam.Service
	Replica  *replica.Replica
	Door     Door             // nil: the replica, when no other node answers
	Prefixes token.Prefixes   // of the keys that are accepted; at least one
	Secret   []byte           // the deployment's root secret, at least 32 bytes; a key is derived for each purpose
	Log      *slog.Logger     // nil: nothing is logged
	Node     string           // the name of this node, for the audit log
	Now      func() time.Time // nil: [time.Now]
	Metrics  *Metrics         // nil: of its own
	Usage    Usage            // nil: nobody counts how keys are used
	Children Children         // nil: no verifiers outside the server can follow; else the replica keeps a tail
	Console  http.Handler     // answers GET and HEAD of what is no address of the API; nil: nothing does
	Docs     http.Handler     // answers GET and HEAD of /docs and below, where problems have their pages; nil: nothing does
	People   People           // who signs in
	SSO      SSO              // nil: there is no single sign-on
	Limits   Limits

	// BehindProxy says that every request comes through a proxy that appends
	// the address of its own peer to X-Forwarded-For. Only then is that header
	// read, and only its last element.
	BehindProxy bool
}

// Server serves the HTTP API. It is safe for concurrent use.
type Server struct {
	iam         *iam.Service
	replica     *replica.Replica
	door        Door
	prefixes    token.Prefixes
	log         *slog.Logger
	node        string
	now         func() time.Time
	behindProxy bool
	cursors     sealer
	metrics     *Metrics
	usage       Usage    // nil: nobody counts
	children    Children // nil: nobody can follow
	followers   followers
	news        news
	verifiers   *streams     // counts their connections
	console     http.Handler // nil: there is none
	docs        http.Handler // nil: there is none
	hub         *stream.Hub
	streams     *streams
	people      People
	sso         SSO // nil: there is none
	crossOrigin *http.CrossOriginProtection

	verifyKeys    []iam.Permission            // what the hot path needs
	verifyAsk     []string                    // the same, as it is written
	hot           map[string]http.HandlerFunc // by path: POSTs that pass by the mux
	values        headerValues
	verifications sync.Pool

	longestCall time.Duration

	began        time.Time // what limiters count from
	perPrincipal *limiter[iam.PrincipalID]
	perOpening   *limiter[iam.PrincipalID] // of connections of verifiers
	perReport    reportLimits
	perAddress   *limiter[netip.Prefix]
	perPoll      *limiter[netip.Prefix]

	api     huma.API
	mux     *http.ServeMux
	rows    map[string]*operation  // by pattern, such as "GET /v1/whoami"
	spec    func() ([]byte, error) // the OpenAPI document, written when it is first asked for
	handler http.Handler
	wrong   []error // what register found fault with
}

// headerValues are values of headers that many answers share.
type headerValues struct{ json, noStore, noSniff, noReferrer []string }

const minSecret = 32 // bytes

// New returns a server, or an error when its options or its routes make no sense.
func New(o Options) (*Server, error) {
	if o.IAM == nil || o.Replica == nil || o.People == nil || len(o.Prefixes) == 0 {
		return nil, errors.New("server: the service, the replica, the people and a key prefix are needed")
	}
	if len(o.Secret) < minSecret {
		return nil, fmt.Errorf("server: the root secret has %d bytes, fewer than %d", len(o.Secret), minSecret)
	}
	s := &Server{
		iam: o.IAM, replica: o.Replica, door: o.Door, prefixes: o.Prefixes, log: o.Log, node: o.Node, now: o.Now,
		metrics: o.Metrics, usage: o.Usage, children: o.Children, console: o.Console, docs: o.Docs, people: o.People, sso: o.SSO, crossOrigin: http.NewCrossOriginProtection(),
		behindProxy: o.BehindProxy, mux: http.NewServeMux(), rows: map[string]*operation{},
	}
	if s.door == nil {
		s.door = o.Replica
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.metrics == nil {
		s.metrics = NewMetrics()
	}
	if err := s.metrics.watch(s.replica, s.door, s.usage, s.children); err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	s.verifyKeys, s.verifyAsk = []iam.Permission{iam.VerifyKeys}, []string{iam.VerifyKeys.String()}
	s.hot = map[string]http.HandlerFunc{}
	s.values = headerValues{[]string{jsonType}, []string{"no-store"}, []string{"nosniff"}, []string{"no-referrer"}}
	s.verifications.New = func() any { return s.newVerification() }
	s.hub, s.streams = s.newHub(), newStreams(o.Limits)
	s.verifiers, s.followers.all = newVerifierStreams(o.Limits), map[string]*follower{}
	s.longestCall = cmp.Or(o.Limits.Change, 30*time.Second)
	s.began = s.now()
	s.perPrincipal = newLimiter[iam.PrincipalID]("default", o.Limits.Management.or(Rate{500, 5 * time.Second}))
	s.perAddress = newLimiter[netip.Prefix]("accept", o.Limits.Acceptance.or(Rate{10, time.Minute}))
	s.perOpening = newLimiter[iam.PrincipalID]("follow", o.Limits.Opening.or(Rate{1200, time.Minute}))
	s.perReport = newReportLimits(o.Limits.Reports)
	s.perPoll = newLimiter[netip.Prefix]("poll", o.Limits.Polling.or(Rate{60, time.Minute}))
	key, err := hkdf.Key(sha256.New, o.Secret, nil, "cursor", sealerKey)
	if err != nil {
		return nil, fmt.Errorf("server: derive the key of cursors: %w", err)
	}
	if s.cursors, err = newSealer(key); err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	s.api = huma.NewAPI(humaConfig(), humago.NewAdapter(&routes{s}, ""))
	s.registerAll()
	if err := errors.Join(s.wrong...); err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	completeMembers(s.api.OpenAPI().Components.Schemas)
	s.spec = sync.OnceValues(s.freeze)
	s.handler = s.passage(s.route)
	return s, nil
}

// registerAll is the list of everything that can be asked for.
func (s *Server) registerAll() {
	s.registerHealth()
	s.registerMetrics()
	s.registerVerify()
	s.registerReplica()
	s.documentAuthorize()
	s.registerWhoami()
	s.registerWorkspaces()
	s.registerAccounts()
	s.registerKeys()
	s.registerRotations()
	s.registerUsage()
	s.registerAdvice()
	s.registerOverview()
	s.registerMembers()
	s.registerInvitations()
	s.registerRoles()
	s.registerPermissions()
	s.registerCheck()
	s.registerAudit()
	s.registerNodes()
	s.registerReceipts()
	s.registerStream()
	s.registerSessions()
	s.registerPasskeys()
	s.registerSetup()
	s.registerDevices()
	s.registerOIDC()
}

// Handler returns the whole API.
func (s *Server) Handler() http.Handler { return s.handler }

// OpenAPI returns the OpenAPI 3.1 document of the API, as JSON. Its bytes are
// the same for the same program.
func (s *Server) OpenAPI() ([]byte, error) { return s.spec() }
