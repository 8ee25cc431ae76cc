package postern

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/relay"
	"github.com/posternhq/postern/internal/replica"
)

// renewals is a call that stays open, over which a verifier renews: that costs both ends
// a part of what a call each time does. It is for one goroutine.
type renewals struct {
	both     *relay.Renewals
	end      context.CancelFunc
	answered bool // it has carried a question and its answer
}

// ask asks, and waits for the answer. After an error that is not an [*api.Problem] the
// call is of no use any more: an answer that comes too late must not be taken for that to
// another question.
func (o *renewals) ask(ctx context.Context, p replica.Ping) (replica.Grant, error) {
	defer context.AfterFunc(ctx, o.end)()
	if err := o.both.Ask(p); err != nil {
		return replica.Grant{}, err
	}
	g, err := o.both.Answer()
	o.answered = o.answered || err == nil
	return g, err
}

// acknowledge says what the verifier answers from. A connection that takes no more ends
// the call.
func (o *renewals) acknowledge(at iam.Position) error {
	const patience = time.Second
	defer time.AfterFunc(patience, o.end).Stop()
	return o.both.Acknowledge(at)
}

// openRenewals begins such a call of a connection. It ends with the connection.
func (l *link) openRenewals() (*renewals, error) {
	base, err := l.server.base()
	if err != nil {
		return nil, err
	}
	ctx, end := context.WithCancel(l.ctx)
	patience := time.AfterFunc(longestHello, end) // what keeps a body back until it is whole keeps this one back for good
	body, asked := io.Pipe()
	context.AfterFunc(ctx, func() { _ = asked.Close() }) // package http waits for the body, whatever becomes of the call
	resp, err := l.server.send(ctx, call{
		method: http.MethodPost, url: base + "/v1/replica/" + l.hello.Child + "/renewals", piped: body, kind: relay.RenewalsType,
	})
	if err != nil {
		end()
		return nil, err
	}
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if !patience.Stop() || err != nil || kind != relay.RenewalsType {
		end()
		_ = resp.Body.Close() // nothing is wanted of it
		return nil, errors.New("what answers does not renew over a call that stays open")
	}
	context.AfterFunc(ctx, func() { _ = resp.Body.Close() })
	return &renewals{both: relay.NewRenewals(resp.Body, asked), end: end}, nil
}

// renewing is what a connection renews over: a call each time, and one that stays open as
// soon as there is one. What lies between may not let that through, so that it is begun
// beside the others, and none of them waits for it. It is for one goroutine.
type renewing struct {
	open   *renewals      // nil: there is none
	coming chan *renewals // one that is being begun; nil: none is
	next   time.Duration  // on the monotonic clock: when one may be begun again
	pause  time.Duration  // after the last one that was of no use
}

// After a call that was of no use, and after many.
const (
	againRenewals  = time.Minute
	latestRenewals = 16 * time.Minute
)

// call returns the open call, or nil.
func (n *renewing) call() *renewals {
	select {
	case n.open = <-n.coming:
		n.coming = nil
	default:
	}
	return n.open
}

// begin has the call begun, unless there is one.
func (n *renewing) begin(l *link, now time.Duration) {
	if n.open != nil || n.coming != nil || now < n.next {
		return
	}
	coming := make(chan *renewals, 1)
	n.pause = min(max(2*n.pause, againRenewals), latestRenewals)
	n.coming, n.next = coming, now+n.pause
	go func() {
		o, err := l.openRenewals()
		if err != nil {
			o = nil
		}
		coming <- o
	}()
}

// Acknowledge implements [fence.Parent].
func (r *remote) Acknowledge(at iam.Position) error {
	l, err := r.linked()
	if err != nil {
		return err
	}
	open := l.renewing.call()
	if open == nil || !open.answered { // nothing says that it would arrive
		return errNoRenewals
	}
	return open.acknowledge(at)
}

var errNoRenewals = errors.New("there is no call that stays open; a question acknowledges")

// lost gives the open call up. One that was of use may be followed by another at once.
func (n *renewing) lost() {
	n.open.end()
	if n.open.answered {
		n.next, n.pause = 0, 0
	}
	n.open = nil
}

// renew acknowledges and asks over a connection.
func (r *remote) renew(ctx context.Context, l *link, p replica.Ping) (replica.Grant, error) {
	if open := l.renewing.call(); open != nil {
		g, err := open.ask(ctx, p)
		if _, said := errors.AsType[*api.Problem](err); err == nil || said {
			return g, err
		}
		l.renewing.lost()
		if ctx.Err() != nil {
			return g, err
		}
	}
	g, err := l.renewOnce(ctx, p)
	if err == nil {
		l.renewing.begin(l, r.clock.Now().Monotonic)
	}
	return g, err
}
