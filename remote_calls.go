package postern

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/relay"
	"github.com/posternhq/postern/internal/replica"
)

// ask makes a call that belongs to a connection.
func (l *link) ask(ctx context.Context, method, path string, in, out any) error {
	base, err := l.server.base()
	if err != nil {
		return err
	}
	c := call{method: method, url: base + "/v1/replica/" + l.hello.Child + path}
	if in != nil {
		if c.body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("encode a call: %w", err)
		}
	}
	resp, err := l.server.send(ctx, c)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := readAll(resp.Body, maxProblem)
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(body, out)
}

// linked returns the connection, once memory holds what it began with.
func (r *remote) linked() (*link, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.link == nil:
		return nil, r.away()
	case r.heard.Seq == 0:
		return nil, fmt.Errorf("%w: %w", iam.Unavailable, errUnread)
	}
	return r.link, nil
}

// Renew implements [fence.Parent].
func (r *remote) Renew(ctx context.Context, p replica.Ping) (replica.Grant, error) {
	l, err := r.linked()
	switch {
	case errors.Is(err, errUnread):
		return replica.Grant{}, fmt.Errorf("%w: %w", replica.ErrTooOld, errUnread)
	case err != nil:
		return replica.Grant{}, err
	}
	sent := r.clock.Now()
	g, err := r.renew(ctx, l, p)
	if err != nil {
		return replica.Grant{}, r.failed(l, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failure != nil {
		r.failure = nil
		r.log.Info("the verifier follows its server", "url", l.server.Server, "node", l.hello.Node, "revision", g.At.Seq)
	}
	l.granted = true
	r.promised = max(r.promised, g.At.Seq)
	r.latest, r.asked = g.Time, sent
	return g, nil
}

// renewOnce makes one call.
func (l *link) renewOnce(ctx context.Context, p replica.Ping) (replica.Grant, error) {
	var answer api.ReplicaGrant
	err := l.ask(ctx, http.MethodPost, "/renew", api.RenewReplica{
		N: p.N, Seq: p.At.Seq, Chain: relay.FormatChain(p.At.Chain), WantedMS: p.Wanted.Milliseconds(),
	}, &answer)
	if err != nil {
		return replica.Grant{}, err
	}
	g := replica.Grant{N: answer.N, At: iam.Position{Seq: answer.Seq}, For: time.Duration(answer.ForUS) * time.Microsecond, Time: answer.Time.Time}
	if g.At.Chain, err = relay.ParseChain(answer.Chain); err != nil {
		return replica.Grant{}, fmt.Errorf("read the answer to a renewal: %w", err)
	}
	return g, nil
}

// failed says what an answer means that is none, and ends a connection that is of no
// use any more.
func (r *remote) failed(l *link, err error) error {
	p, said := errors.AsType[*api.Problem](err)
	switch {
	case !said:
		err = fmt.Errorf("%w: %w", iam.Unavailable, err)
	case p.Code == api.CodeTooOld:
		return fmt.Errorf("%w: %w", replica.ErrTooOld, err)
	case p.Code == api.CodeDiverged:
		return fmt.Errorf("%w: %w", iam.Diverged, err)
	case p.Code == api.CodeUnavailable:
		err = fmt.Errorf("%w: %w", iam.Unavailable, err)
	case p.Code == api.CodeStale:
		err = fmt.Errorf("%w: %w", iam.Stale, err)
	case p.Status == http.StatusNotFound:
		err = fmt.Errorf("%w: %w", errStranger, err)
		l.end(err)
	case p.Status == http.StatusUnauthorized || p.Status == http.StatusForbidden:
		l.end(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failure == nil {
		r.failure = explain(err)
	}
	return err
}

// Register implements [usage.Store]. The server knows the reporter from the beginning
// of the connection; what is asked for is its time, which grants tell.
func (r *remote) Register(context.Context, iam.Reporter) (time.Time, error) {
	now := r.clock.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.latest.IsZero() {
		return time.Time{}, r.away()
	}
	return r.latest.Add(now.Since(r.asked)), nil
}

// Report implements [usage.Store].
func (r *remote) Report(ctx context.Context, report iam.UsageReport) (time.Time, error) {
	l, err := r.linked()
	if err != nil {
		return time.Time{}, err
	}
	for {
		var answer api.ReportedReplicaUse
		err := l.ask(ctx, http.MethodPost, "/usage", relay.ReportText(report), &answer)
		if err == nil {
			return answer.Now.Time, nil
		}
		n, gone := notFollowed(err)
		if !gone || n >= len(report.Keys) {
			return time.Time{}, reportError(err)
		}
		r.log.Warn("the use of a key is not reported, because the server has it no more", "key", report.Keys[n].Key)
		report.Keys = slices.Delete(slices.Clone(report.Keys), n, n+1) // the list is the gatherer's
	}
}

// notFollowed returns which key of a report the server does not have any more, or not
// where the verifier may see it. It takes nothing of such a report.
func notFollowed(err error) (n int, is bool) {
	p, said := errors.AsType[*api.Problem](err)
	if !said || len(p.Errors) == 0 || p.Errors[0].Code != "not_followed" {
		return 0, false
	}
	n, bad := strconv.Atoi(p.Errors[0].Pointer[strings.LastIndexByte(p.Errors[0].Pointer, '/')+1:])
	return n, bad == nil && n >= 0
}

// reportError says of a connection that is not known that the reporter may not be.
func reportError(err error) error {
	if p, said := errors.AsType[*api.Problem](err); said && p.Status == http.StatusNotFound {
		return fmt.Errorf("%w: %w", iam.NotFound, err)
	}
	return err
}

// goodbye implements [upstream].
func (r *remote) goodbye(ctx context.Context) error {
	l, err := r.linked()
	if err != nil {
		return nil // there is nobody who waits
	}
	if err := l.ask(ctx, http.MethodDelete, "", nil, nil); err != nil {
		return fmt.Errorf("postern: say goodbye to the server: %w", err)
	}
	return nil
}

var (
	errQuiet    = errors.New("the server has fallen silent")
	errStranger = errors.New("the server does not know this connection: has it just been started, or does something in front of it " +
		"send the calls of one client to several nodes? Let it send them to one, or name the nodes: postern.Server(url, url)")
)

// isRefusal reports whether an error says no in a way that asking again does not
// change.
func isRefusal(err error) bool {
	if errors.Is(err, errStranger) {
		return false
	}
	p, said := errors.AsType[*api.Problem](err)
	return said && p.Status/100 == 4 && p.Status != http.StatusTooManyRequests && p.Status != http.StatusConflict
}

// explain says what to do about an error.
func explain(err error) error {
	p, said := errors.AsType[*api.Problem](err)
	switch {
	case !said || errors.Is(err, errStranger):
		return fmt.Errorf("the server cannot be followed: %w", err)
	case p.Status == http.StatusUnauthorized:
		return fmt.Errorf("the server refuses the verifier's own key, which is not one, has ended or is paused: give it one that works: %w", err)
	case p.Status == http.StatusForbidden:
		return fmt.Errorf("the verifier's own key may not verify keys: give its account a role with iam.keys:verify, such as verifier: %w", err)
	case p.Status == http.StatusNotFound:
		return fmt.Errorf("there is no such workspace, or the verifier's own key, which is not one of the system workspace, may not ask for it: %w", err)
	}
	return fmt.Errorf("the server cannot be followed: %w", err)
}
