package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/server"
)

// streamed is an event as it was received.
type streamed struct {
	id, name, data string
}

// into decodes the data of an event that must have a name.
func (e streamed) into(t *testing.T, name string, out any) streamed {
	t.Helper()
	if e.name != name {
		t.Fatalf("got the event %s %s, want %s", e.name, e.data, name)
	}
	reflect.ValueOf(out).Elem().SetZero()
	dec := json.NewDecoder(strings.NewReader(e.data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(out); err != nil {
		t.Fatalf("%s: %v: %s", name, err, e.data)
	}
	return e
}

// reading is an open stream.
type reading struct {
	t    *testing.T
	body *bufio.Reader
	stop func()
}

// stream opens a stream, which has to begin.
func (c *client) stream(query string, headers ...string) *reading {
	c.t.Helper()
	r, answer := c.tryStream(query, headers...)
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "text/event-stream" {
		c.t.Fatalf("got %d %s, want a stream", answer.StatusCode, answer.Header.Get("Content-Type"))
	}
	return r
}

func (c *client) tryStream(query string, headers ...string) (*reading, *http.Response) {
	c.t.Helper()
	ctx, stop := context.WithTimeout(c.t.Context(), 20*time.Second)
	c.t.Cleanup(stop)
	req := c.request(http.MethodGet, here("/stream"+query), nil, headers...).request(c.t, c.url).WithContext(ctx)
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { answer.Body.Close() })
	return &reading{c.t, bufio.NewReader(answer.Body), func() { answer.Body.Close() }}, answer
}

// try returns the next event, and the error that ends the stream.
func (r *reading) try() (e streamed, err error) {
	for {
		line, err := r.body.ReadString('\n')
		if err != nil {
			return e, err
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "id":
			e.id = value
		case "event":
			e.name = value
		case "data":
			e.data = value
		case "":
			if e.name != "" {
				return e, nil
			}
		}
	}
}

func (r *reading) next() streamed {
	r.t.Helper()
	e, err := r.try()
	if err != nil {
		r.t.Fatalf("the stream ended: %v", err)
	}
	return e
}

// breaksOff fails the test unless the stream ends abruptly, and tells nothing of
// something that happened later. What is told while the right is being taken away
// is told in time.
func (r *reading) breaksOff(why, later string) {
	r.t.Helper()
	for {
		e, err := r.try()
		switch {
		case err == nil && e.name != "end" && !strings.Contains(e.data, later):
		case !errors.Is(err, io.ErrUnexpectedEOF) || e.name != "":
			r.t.Errorf("%s: got %+v, %v; want the stream to break off", why, e, err)
			return
		default:
			return
		}
	}
}

func TestAStreamTellsWhatHappensWhileItHappens(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		account := c.account("operator")
		r := c.stream("?topics=keys,audit")
		var open api.StreamOpen
		if first := r.next().into(t, "open", &open); !slices.Equal(open.Topics, []string{"audit", "keys"}) || open.Node != "test" || first.id == "" {
			t.Errorf("got %+v, %+v", first, open)
		}
		key := c.keyOf(account.ID, api.CreateKey{})
		var change api.StreamChange
		var event api.AuditEvent
		told := r.next().into(t, "key", &change)
		logged := r.next().into(t, "audit", &event)
		if change.ID != key.ID || change.Type != "key" || change.Name != key.Name || change.Action != "key.created" || change.After["hint"] != key.Hint || change.Seq != event.Seq {
			t.Errorf("got %+v of %+v", change, key)
		}
		if event.Action != "key.created" || event.Target.ID != key.ID || event.Actor.ID != c.principal {
			t.Errorf("got %+v", event)
		}
		if told.id != "" || logged.id != positionOf(event) {
			t.Errorf("the parts of one event have the ids %q and %q, want the last to have its position", told.id, logged.id)
		}
		c.post(here("/service_accounts/"+account.ID+"/pause"), nil).want(http.StatusOK, nil)
		r.next().into(t, "principal", &change)
		if change.ID != account.ID || change.Action != "service_account.paused" || change.Name != "" {
			t.Errorf("got %+v, want the account without its name", change)
		}
		r.next().into(t, "audit", &event)
		c.holder("iam.keys:read").in(t).get(here("/members")).wantProblem(http.StatusForbidden, api.CodePermissionDenied)
		for event.Outcome != "refused" { // which is no change, and no part of the topic keys
			if e := r.next(); e.name == "audit" {
				e.into(t, "audit", &event)
			} else {
				e.into(t, e.name, &change)
			}
		}
		if change.Action == "member.read" || event.Action != "member.read" {
			t.Errorf("got %+v, then %+v", change, event)
		}
	})
}

func TestAStreamGoesOnWhereTheLastOneEnded(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		first := c.stream("?topics=keys")
		var open api.StreamOpen
		from := first.next().into(t, "open", &open).id
		first.stop()
		account := c.account("operator")
		var made []string
		for range 250 { // more than are read at once
			made = append(made, c.keyOf(account.ID, api.CreateKey{}).ID)
		}
		r := c.stream("?topics=keys", "Last-Event-ID", from)
		if again := r.next().into(t, "open", &open); again.id != from {
			t.Errorf("it goes on after %s, want %s", again.id, from)
		}
		var change api.StreamChange
		r.next().into(t, "principal", &change)
		var last streamed
		for i, id := range made {
			if last = r.next().into(t, "key", &change); change.ID != id {
				t.Fatalf("key %d: got %s, want %s", i, change.ID, id)
			}
		}
		r = c.stream("?topics=keys", "Last-Event-ID", last.id)
		r.next().into(t, "open", &open)
		now := c.keyOf(account.ID, api.CreateKey{})
		if r.next().into(t, "key", &change); change.ID != now.ID {
			t.Errorf("got %+v, want what happened after the position", change)
		}
	})
}

// positionOf returns the position of a reader whose last event is e.
func positionOf(e api.AuditEvent) string { return fmt.Sprint(e.Seq, ".", e.ID) }

// What a database lost that was promoted too early has been told, and other events
// have its numbers now.
func TestAPositionThatIsNoneOfThisLogIsReset(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		last := c.events("?limit=2")
		lost, other, foreign := last[0], last[0], w.globex.in(t).events("?limit=1")[0]
		lost.ID = iam.NewID(iam.EventPrefix, time.Now())
		other.Seq = last[1].Seq
		long := strings.Repeat("9", 4000)
		for _, id := range []string{
			"1000000", "-1", "x", "+1", "1", "00", "0.", ".", "9223372036854775808", long, long + "." + other.ID, "0." + other.ID,
			other.ID, positionOf(lost), positionOf(other), positionOf(foreign), positionOf(last[0]) + ".", "0" + positionOf(last[0]),
			"1.evt_", "1.' OR 1=1 --", "1." + strings.ToUpper(last[0].ID),
		} {
			r := c.stream("?topics=keys", "Last-Event-ID", id)
			var open api.StreamOpen
			var reset api.StreamReset
			r.next().into(t, "open", &open)
			if at := r.next().into(t, "reset", &reset); reset.Reason != "unknown" || at.id != positionOf(last[0]) {
				t.Errorf("%.60s: got %+v, %+v", id, at, reset)
			}
			r.stop()
		}
	})
}

// The promise of a revocation holds for what was opened before it.
func TestAStreamEndsWithTheRightToIt(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		for what, stop := range map[string]func(holder *client){
			"its key is revoked": func(holder *client) {
				c.post(here("/keys/"+holder.id+"/revoke"), nil).want(http.StatusOK, nil)
			},
			"its key is paused": func(holder *client) {
				c.post(here("/keys/"+holder.id+"/pause"), nil).want(http.StatusOK, nil)
			},
			"its account is revoked": func(holder *client) {
				c.post(here("/service_accounts/"+holder.principal+"/revoke"), nil).want(http.StatusOK, nil)
			},
			"one of its topics is taken away": func(holder *client) {
				c.patch(here("/keys/"+holder.id), `{"limit":["iam.keys:read"]}`).want(http.StatusOK, nil)
			},
			"its networks are narrowed": func(holder *client) {
				c.patch(here("/keys/"+holder.id), `{"allowed_networks":["203.0.113.0/24"]}`).want(http.StatusOK, nil)
			},
		} {
			holder := c.holder("iam.audit:read", "iam.keys:read").in(t)
			r := holder.stream("?topics=keys,audit")
			var open api.StreamOpen
			r.next().into(t, "open", &open)
			stop(holder)
			r.breaksOff(what, c.account("viewer").ID)
		}
	})
}

func TestAStreamEndsWhenItsKeyExpires(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		soon := "2s"
		bot := c.holder("iam.keys:read").in(t)
		value := c.keyOf(bot.principal, api.CreateKey{ExpiresIn: &soon}).Value
		r := w.client(value).in(t).stream("?topics=keys")
		var open api.StreamOpen
		r.next().into(t, "open", &open)
		began := time.Now()
		r.breaksOff("its key expired", "nothing")
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("it took %v, the key had 2s", took)
		}
	})
}

func TestTheNodesAreToldWhenOneComesOrFallsSilent(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		one := iam.NodeStatus{NodeRow: iam.NodeRow{Incarnation: "1", Name: "a", Kind: iam.ServerNode, TTL: time.Second}, LeaseLeft: time.Second}
		two := one
		two.Incarnation, two.Name = "2", "b"
		hidden := two
		hidden.Name, hidden.Kind = "c", "gateway"
		w.faults.are(one)
		r := c.stream("?topics=nodes")
		var open api.StreamOpen
		var all api.StreamNodes
		r.next().into(t, "open", &open)
		states := func() (out []string) {
			t.Helper()
			r.next().into(t, "nodes", &all)
			for _, n := range all.Nodes {
				out = append(out, fmt.Sprint(n.Name, " ", *n.LeaseLeftMS))
			}
			return out
		}
		if got := states(); !slices.Equal(got, []string{"a 1000"}) {
			t.Errorf("at first: %v", got)
		}
		one.LeaseLeft = time.Millisecond // which is no news
		w.faults.are(one)
		w.faults.are(two, one, hidden)
		if got := states(); !slices.Equal(got, []string{"a 1", "b 1000"}) {
			t.Errorf("after another came: %v", got)
		}
		one.LeaseLeft = 0
		w.faults.are(two, one, hidden)
		if got := states(); !slices.Equal(got, []string{"a 0", "b 1000"}) {
			t.Errorf("after one fell silent: %v", got)
		}
	})
}

func TestATopicNeedsItsPermission(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		for topic, needs := range map[string]string{
			"keys": "iam.keys:read", "rotations": "iam.keys:read", "audit": "iam.audit:read", "nodes": "iam.nodes:read",
		} {
			var held []string
			for _, p := range []string{"iam.keys:read", "iam.audit:read", "iam.nodes:read"} {
				if p != needs {
					held = append(held, p)
				}
			}
			p := c.holder(held...).in(t).get(here("/stream?topics="+topic)).wantProblem(http.StatusForbidden, api.CodePermissionDenied)
			if p.Permission != needs {
				t.Errorf("%s: the problem names %s, want %s", topic, p.Permission, needs)
			}
			var open api.StreamOpen
			c.holder(needs).in(t).stream("?topics="+topic).next().into(t, "open", &open)
		}
		var open api.StreamOpen
		c.holder("iam.audit:read", "iam.nodes:read").in(t).stream("").next().into(t, "open", &open)
		if !slices.Equal(open.Topics, []string{"audit", "nodes"}) {
			t.Errorf("without topics: %v, want all that the key may read", open.Topics)
		}
		c.holder("tickets:read").in(t).get(here("/stream")).wantProblem(http.StatusForbidden, api.CodePermissionDenied)
		c.get(here("/stream?topics=keys,nothing")).wantProblem(http.StatusUnprocessableEntity, api.CodeValidationFailed)
	})
}

func TestOnePrincipalAndOneWorkspaceHaveOnlySoManyStreams(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		few := &town{world: w.with(t, func(o *server.Options) { o.Metrics, o.Limits.Streams, o.Limits.Audience = nil, 2, 3 }), t: t}
		holder := c.holder("iam.keys:read").in(t)
		holder.town = few
		one, two := holder.stream("?topics=keys"), holder.stream("?topics=keys")
		p := holder.get(here("/stream?topics=keys"))
		p.wantProblem(http.StatusTooManyRequests, api.CodeRateLimited)
		if p.header.Get("Retry-After") == "" {
			t.Error("the refusal does not say when to come back")
		}
		other := c.holder("iam.keys:read").in(t)
		other.town = few
		other.stream("?topics=keys")
		other.get(here("/stream?topics=keys")).wantProblem(http.StatusTooManyRequests, api.CodeRateLimited) // of the workspace
		one.stop()
		two.stop()
		for {
			if r, answer := holder.tryStream("?topics=keys"); answer.StatusCode == http.StatusOK {
				r.next()
				return
			}
		}
	})
}

// A server that ends says so, and the reader goes on elsewhere.
func TestAStreamIsToldThatTheServerEnds(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		r := c.stream("?topics=keys")
		var open api.StreamOpen
		var end api.StreamEnd
		r.next().into(t, "open", &open)
		w.server.EndStreams()
		r.next().into(t, "end", &end)
		if e, err := r.try(); end.Reason != "shutdown" || !errors.Is(err, io.EOF) {
			t.Errorf("got %+v, then %+v, %v", end, e, err)
		}
	})
}

// A rotation waits until nobody uses the old key any more, and who listens does.
func TestAKeyIsInUseWhileItsStreamIsOpen(t *testing.T) {
	each(t, func(t *testing.T, plain *world) {
		w := newTown(t, plain)
		b := new(book)
		holder := w.acme.in(t).holder("iam.keys:read").in(t)
		holder.town = &town{world: w.with(t, func(o *server.Options) {
			o.Metrics, o.Usage, o.Limits.Heartbeat = nil, b, time.Millisecond
		}), t: t}
		r := holder.stream("?topics=keys")
		for beats := 0; beats < 3; {
			line, err := r.body.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(line, ":") {
				beats++
			}
		}
		uses := b.take()
		if len(uses) < 3 { // one for the call, and one after each of the first two signs of life at least
			t.Fatalf("got %d uses, want one for each sign of life", len(uses))
		}
		for _, u := range uses {
			if iam.FormatID(iam.KeyPrefix, u.Key) != holder.id || !u.OK {
				t.Errorf("got %+v", u)
			}
		}
	})
}
