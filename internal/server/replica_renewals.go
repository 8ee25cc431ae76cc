package server

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/relay"
	"github.com/posternhq/postern/internal/replica"
)

// longestSilence is how long a verifier may say nothing over the open call of its
// renewals. One that follows asks several times a second.
const longestSilence = 30 * time.Second

const renewalsWords = "What `renew` does, as often as a verifier likes, over one call: it acknowledges and asks in the body, for as long as it follows, " +
	"and is answered meanwhile. An acknowledgement then costs a part of what a call costs, and a change that waits for many verifiers returns sooner. " +
	"Package internal/relay of the source has the form of both ways.\n\n" +
	"It has to reach the server piece by piece: what keeps a body back until it is whole, as some proxies do, leaves a verifier with `renew`. " +
	"The key is verified again with each question. The call ends with the stream, with a newer one of the same connection, and when nothing is said for half a minute."

// registerRenewals adds the call over which a verifier renews again and again.
func (s *Server) registerRenewals() {
	op := operation{
		id: "renew-replica-again", endless: true, talks: relay.RenewalsType, method: http.MethodPost, path: replicaChild + "/renewals", tag: replicaTag,
		summary: "Acknowledge and ask over a call that stays open", description: renewalsWords,
		access: permission, needs: iam.VerifyKeys, success: http.StatusOK, readOnly: true, unlimited: true, routine: true, memory: true,
		problems: []string{api.CodeUnsupportedMediaType, api.CodeUnavailable},
	}
	register(s, op, s.renewReplicaAgain)
	if d := documented(s.api, &op); d != nil {
		frames := map[string]*huma.MediaType{relay.RenewalsType: {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}
		d.RequestBody = &huma.RequestBody{Required: true, Content: frames}
		d.Responses["200"].Content = frames
	}
}

func (s *Server) renewReplicaAgain(ctx context.Context, c iam.Caller, in *InChild) (*followReplicaOutput, error) {
	one, err := s.renews(ctx, c, in.Child)
	if err != nil {
		return nil, err
	}
	return &followReplicaOutput{func(ctx huma.Context) {
		r, w := humago.Unwrap(ctx)
		s.renewals(w, r, one)
	}}, nil
}

// renewing is an open call over which a verifier renews.
type renewing struct {
	s       *Server
	r       *http.Request
	control *http.ResponseController
	of      *follower
	both    *relay.Renewals
	ctx     context.Context // ends with the call
	acked   int64           // the last change that was acknowledged without a question
}

// renewals answers the questions of a verifier until it asks no more, or its stream has
// ended.
func (s *Server) renewals(w http.ResponseWriter, r *http.Request, one *follower) {
	ctx, hangUp := context.WithCancel(r.Context())
	defer hangUp()
	c := &renewing{s: s, r: r, control: http.NewResponseController(w), of: one, both: relay.NewRenewals(r.Body, w), ctx: ctx}
	defer context.AfterFunc(one.life, hangUp)()
	over := make(chan struct{})
	var ending sync.WaitGroup
	ending.Go(func() {
		select {
		case <-over:
		case <-ctx.Done():
			_ = c.control.SetReadDeadline(past)
			allow(c.control.SetWriteDeadline, streamFarewell)
		}
	})
	defer func() {
		close(over)
		ending.Wait()                       // or it would touch a connection that is no longer ours
		_ = c.control.SetReadDeadline(past) // what is left of the body is not waited for
	}()
	s.followers.renewBy(one, hangUp)
	h := w.Header()
	h.Set("Content-Type", relay.RenewalsType)
	h.Set("X-Accel-Buffering", "no") // nginx would keep answers back
	w.WriteHeader(http.StatusOK)
	s.metrics.replicas.renewing.Inc()
	defer s.metrics.replicas.renewing.Dec()
	for more := c.control.Flush() == nil; more; {
		more = c.next()
	}
}

// next answers one question, and reports whether another may come.
func (c *renewing) next() bool {
	// That the deadline is set before the look has a reason: when the call is to end it
	// is set into the past, and stays there.
	if !allow(c.control.SetReadDeadline, longestSilence) || c.ctx.Err() != nil {
		return false
	}
	p, asks, err := c.both.Question()
	if err != nil {
		return false // it has gone, says nothing, or something that cannot be understood
	}
	if !asks {
		c.acknowledge(p.At)
		return true
	}
	g, err := c.grant(p)
	c.s.metrics.replicas.renewed(err)
	if !allow(c.control.SetWriteDeadline, c.s.streams.stall) || c.ctx.Err() != nil {
		return false
	}
	if err != nil {
		err = c.both.Refuse(c.s.failure(c.ctx, err).Problem)
	} else {
		err = c.both.Grant(g)
	}
	return err == nil && c.control.Flush() == nil
}

// acknowledge takes down what is new of a change that is known here. All else would be
// looked at in vain, under a lock that changes need.
func (c *renewing) acknowledge(at iam.Position) {
	if at.Seq > c.acked && at.Seq <= c.s.replica.View().Seq() {
		c.acked = at.Seq
		c.s.acknowledge(c.of, at)
	}
}

// grant gives a sub-lease, as a call of its own would.
func (c *renewing) grant(p replica.Ping) (replica.Grant, error) {
	if err := c.s.followsStill(c.r); err != nil {
		return replica.Grant{}, err
	}
	c.s.tellAgain(requestOf(c.ctx))
	return c.s.grantTo(c.ctx, c.of, p)
}

// past is a deadline that is over.
var past = time.Unix(1, 0)

// allow lets something on the network take a while from now on. What knows no deadlines
// holds nothing up.
func allow(set func(time.Time) error, most time.Duration) bool {
	err := set(time.Now().Add(most)) // the clock of the network, not the one that is injected
	return err == nil || errors.Is(err, http.ErrNotSupported)
}
