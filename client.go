// Package postern protects a Go service with the keys of a Postern server, and calls
// that server's API.
//
// A [Verifier] follows the server and decides from its own memory, at once after every
// revocation:
//
//	v, err := postern.New(ctx, postern.Server("https://postern.internal"), postern.Key(key))
//	http.Handle("/tickets", postern.Require(v, "tickets:read")(tickets))
//
// Handlers find who is calling with [FromContext]. Tests have a verifier without a
// server, and a real server, in package posterntest.
//
// A [Client] asks the server over HTTP, and manages what it has, with a method for each
// operation of the API; [Client.Workspace] has those within a workspace:
//
//	client := &postern.Client{Server: "https://postern.internal", Key: postern.NewSecret(key)}
//	verdict, err := client.Verify(ctx, api.Verify{Key: presented, Permissions: []string{"tickets:read"}})
//
// An error that is no [Denied] means that the question could not be answered. It must
// not be taken for yes, and it is not a no either.
package postern

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/token"
)

// Secret is a key as its holder knows it. Printed, logged or marshalled it reads
// as a placeholder, so that a [Client] may be printed too.
type Secret = token.Secret

// NewSecret wraps the text of a key.
func NewSecret(text string) Secret { return token.NewSecret(text) }

// Client speaks to one server. It is safe for concurrent use; its fields are set
// once, before the first call.
type Client struct {
	Server    string       // such as https://postern.internal
	Key       Secret       // sent with every call; none when zero
	HTTP      *http.Client // nil: [http.DefaultClient]; its CheckRedirect is not used
	UserAgent string       // empty: postern-go

	// Prefer is sent as the header Prefer (RFC 7240) with every call, such as
	// wait=5 or respond-async. Empty: where a context has a deadline, the server
	// is asked to answer changes before it.
	Prefer string

	// PlainHTTP allows a key to be sent without encryption to another machine.
	// To this one it always may.
	PlainHTTP bool

	// Observe, when it is not nil, hears of each call once it has ended.
	Observe Observer `json:"-"`
}

// AnswerError is an answer that is neither a success nor an [api.Problem]: most
// likely something between here and the server gave it.
type AnswerError struct {
	Status int // of HTTP
}

func (e *AnswerError) Error() string {
	return fmt.Sprintf("the answer is %d %s, and not in Postern's words", e.Status, http.StatusText(e.Status))
}

const (
	tries      = 3        // of one call whose connection is lost
	maxAnswer  = 64 << 20 // bytes that Do reads
	maxProblem = 1 << 20
	maxWait    = 90 // seconds that the server waits for confirmations
)

// Verify asks whether a key may be used, and for what. A refusal is a verdict,
// not an error.
func (c *Client) Verify(ctx context.Context, in api.Verify) (api.Verdict, error) {
	var out api.Verdict
	r, err := c.newOperation(operation{id: "verify", method: http.MethodPost, path: []string{"v1", "verify"}, body: in})
	if err != nil {
		return out, err
	}
	defer c.observe(ctx, &r, &err)()
	body, err := c.fetch(ctx, r)
	if err == nil {
		err = decode(r, body, &out)
	}
	if err == nil {
		r.code, r.workspace = out.Code, ownerWorkspace(out)
	}
	return out, err
}

func ownerWorkspace(v api.Verdict) string {
	if v.Principal == nil {
		return ""
	}
	return v.Principal.Workspace.Slug
}

// Do calls the server. It sends in as JSON unless that is nil, and decodes the
// answer into out unless that is nil; a [json.RawMessage] passes either as it is.
// What the server refuses is an *[api.Problem].
//
// Where the connection is lost, or the server does not know how a change ended,
// Do asks again; it does so where the method allows it, and for POST because it
// sends an Idempotency-Key, so that the call has its effect once. When ctx has a
// deadline, the server is asked to answer before it, unless Prefer says otherwise.
func (c *Client) Do(ctx context.Context, method, path string, in, out any) error {
	r, err := c.newCall(method, path, in)
	if err != nil {
		return err
	}
	return c.run(ctx, r, out)
}

// run makes a call, and decodes the answer into out unless that is nil.
func (c *Client) run(ctx context.Context, r call, out any) (err error) {
	defer c.observe(ctx, &r, &err)()
	body, err := c.fetch(ctx, r)
	if err != nil {
		return err
	}
	return decode(r, body, out)
}

// fetch makes a call and returns the body of the answer.
func (c *Client) fetch(ctx context.Context, r call) ([]byte, error) {
	body, err := again(ctx, r, func() ([]byte, error) {
		resp, err := c.send(ctx, r)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		return readAll(resp.Body, maxAnswer)
	})
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.method, r.url, err)
	}
	return body, nil
}

// Open is like [Client.Do], but returns the body of the answer as it arrives,
// however long it is. The caller must close it.
func (c *Client) Open(ctx context.Context, method, path string, in any) (io.ReadCloser, error) {
	r, err := c.newCall(method, path, in)
	if err != nil {
		return nil, err
	}
	return c.runOpen(ctx, r)
}

// runOpen makes a call and returns the body of the answer as it arrives.
func (c *Client) runOpen(ctx context.Context, r call) (_ io.ReadCloser, err error) {
	defer c.observe(ctx, &r, &err)()
	resp, err := again(ctx, r, func() (*http.Response, error) { return c.send(ctx, r) })
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.method, r.url, err)
	}
	return resp.Body, nil
}

// call is one request, as it is sent each time.
type call struct {
	method         string
	url            string
	body           []byte
	piped          io.Reader // instead of body: it leaves piece by piece
	kind           string    // the media type of what is piped
	idempotencyKey string    // empty unless the method is POST
	ifMatch        string    // empty: whatever it is like
	prefer         string    // empty: as the client prefers
	lastEventID    string    // of a stream; empty: it has none

	operation string // for who observes: of the OpenAPI document
	workspace string
	code      string // how it ended, where the error does not say it
}

func (c *Client) newCall(method, path string, in any) (call, error) {
	base, err := c.base()
	if err != nil {
		return call{}, err
	}
	if !strings.HasPrefix(path, "/") {
		return call{}, fmt.Errorf("postern: the path %q does not begin with a slash", path)
	}
	r := call{method: method, url: base + path, operation: method}
	if method == http.MethodPost {
		r.idempotencyKey = rand.Text()
	}
	if in != nil {
		if r.body, err = json.Marshal(in); err != nil {
			return call{}, fmt.Errorf("postern: encode the request: %w", err)
		}
	}
	return r, nil
}

// base returns the server's URL without a slash at its end, or an error when a
// key must not be sent there.
func (c *Client) base() (string, error) {
	u, err := url.Parse(c.Server)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return "", errors.New("postern: the server is not a URL such as https://postern.internal")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("postern: the server's URL has more than a host and a path")
	}
	if u.Scheme == "http" && !c.PlainHTTP && !c.Key.IsZero() && !isLoopback(u.Hostname()) {
		return "", fmt.Errorf("postern: %s is not encrypted: a key is not sent there", c.Server)
	}
	return strings.TrimRight(c.Server, "/"), nil
}

func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// send sends the request once. The response that it returns is a success.
func (c *Client) send(ctx context.Context, r call) (*http.Response, error) {
	var body io.Reader = bytes.NewReader(r.body)
	if r.piped != nil {
		body = r.piped
	}
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, body)
	if err != nil {
		return nil, err
	}
	c.setHeaders(req, r)
	resp, err := c.http().Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // it repeats the method and the URL
		}
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		defer resp.Body.Close()
		return nil, readProblem(resp)
	}
	return resp, nil
}

func (c *Client) setHeaders(req *http.Request, r call) {
	req.Header.Set("Accept", "*/*")
	req.Header.Set("User-Agent", "postern-go")
	if c.UserAgent != "" {
		req.Header.Set("User-Agent", c.UserAgent)
	}
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.piped != nil {
		req.Header.Set("Content-Type", r.kind)
	}
	if r.idempotencyKey != "" {
		req.Header.Set("Idempotency-Key", r.idempotencyKey)
	}
	if r.ifMatch != "" {
		req.Header.Set("If-Match", r.ifMatch)
	}
	if r.lastEventID != "" {
		req.Header.Set("Last-Event-ID", r.lastEventID)
	}
	if !c.Key.IsZero() {
		req.Header.Set("Authorization", "Bearer "+c.Key.Reveal())
	}
	if prefer := c.preference(req.Context(), r); prefer != "" {
		req.Header.Set("Prefer", prefer)
	}
}

// preference returns the header Prefer of a call.
func (c *Client) preference(ctx context.Context, r call) string {
	deadline, ends := ctx.Deadline()
	switch {
	case r.prefer != "" || c.Prefer != "":
		return cmp.Or(r.prefer, c.Prefer)
	case ends && r.method != http.MethodGet:
		left := int(time.Until(deadline).Seconds()) - 1 // the answer needs time to arrive
		return "wait=" + strconv.Itoa(min(max(left, 1), maxWait))
	}
	return ""
}

// http returns a client that carries the key to no other place than the server.
func (c *Client) http() *http.Client {
	hc := *http.DefaultClient
	if c.HTTP != nil {
		hc = *c.HTTP
	}
	hc.CheckRedirect = func(next *http.Request, _ []*http.Request) error {
		return fmt.Errorf("the server redirects to %s, which is not followed", next.URL.Host)
	}
	return &hc
}

func readProblem(resp *http.Response) error {
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || kind != "application/problem+json" {
		return &AnswerError{Status: resp.StatusCode}
	}
	body, err := readAll(resp.Body, maxProblem)
	if err != nil {
		return err
	}
	p := new(api.Problem)
	if err := json.Unmarshal(body, p); err != nil || p.Code == "" {
		return &AnswerError{Status: resp.StatusCode}
	}
	p.Status = resp.StatusCode // what was answered, whatever the body says
	return p
}

func readAll(r io.Reader, most int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(body)) > most {
		err = fmt.Errorf("the answer is longer than %d bytes", most)
	}
	return body, err
}

// again runs fn until it succeeds, fails for good or has been tried often enough.
func again[T any](ctx context.Context, r call, fn func() (T, error)) (T, error) {
	delay := 100 * time.Millisecond
	for try := 1; ; try++ {
		out, err := fn()
		if err == nil {
			return out, nil
		}
		lost := isLost(err)
		retry := (lost || endsUnknown(err)) && try < tries && r.repeatable()
		if !retry || !sleep(ctx, delay) {
			if changes(r.method) && (lost || errors.Is(err, context.DeadlineExceeded)) {
				err = fmt.Errorf("it is not known whether the change was made: %w", err)
			}
			return out, err
		}
		delay *= 4
	}
}

// repeatable reports whether the call may be sent twice and have one effect.
func (r call) repeatable() bool {
	return r.idempotencyKey != "" || r.method == http.MethodPut || r.method == http.MethodDelete || !changes(r.method)
}

func changes(method string) bool { return method != http.MethodGet && method != http.MethodHead }

// isLost reports whether a connection ended before the answer had been read.
func isLost(err error) bool {
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE, net.ErrClosed} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// endsUnknown reports whether the server says that the same call, made again,
// would find out how it ended.
func endsUnknown(err error) bool {
	p, ok := errors.AsType[*api.Problem](err)
	return ok && (p.Code == api.CodeOutcomeUnknown || p.Code == api.CodeIdempotencyInProgress)
}

// sleep waits and reports whether ctx still goes on.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
