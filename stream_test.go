package postern_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/api"
)

// connection is what a server does with one connection: it answers with a status
// and a text, and then breaks off, or goes on without another word.
type connection struct {
	status int // 0: a stream
	text   string
	silent bool
	refuse bool // it cannot be reached
}

// script is a server of which each connection is known.
type script struct {
	all   []connection
	asked []string // with what each went on, and after which time
	begun time.Time
	path  string // of the last request
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	n := len(s.asked)
	s.asked = append(s.asked, fmt.Sprintf("%v after %q", time.Since(s.begun), r.Header.Get("Last-Event-ID")))
	s.path = r.URL.RequestURI()
	if n >= len(s.all) {
		return nil, errors.New("there is no such connection")
	}
	c := s.all[n]
	if c.refuse {
		return nil, errors.New("connection refused")
	}
	resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/event-stream"}}, Request: r}
	var body io.Reader = strings.NewReader(c.text)
	if c.status != 0 {
		resp.StatusCode = c.status
		resp.Header.Set("Content-Type", "application/problem+json")
	}
	if c.silent {
		body = io.MultiReader(body, silence{r.Context()})
	}
	resp.Body = io.NopCloser(body)
	return resp, nil
}

// silence says nothing until its context ends.
type silence struct{ ctx context.Context }

func (s silence) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

const unauthenticated = `{"code":"unauthenticated","title":"Unauthenticated"}`

// followScript reads a scripted stream to its end.
func followScript(t *testing.T, s *script, o postern.StreamOptions) (got []string, end error) {
	t.Helper()
	s.begun = time.Now()
	client := &postern.Client{Server: "http://localhost", HTTP: &http.Client{Transport: s, Timeout: time.Second}}
	for e, err := range client.Stream(t.Context(), o) {
		if err != nil {
			end = err
			continue // there must be nothing after it
		}
		if end != nil {
			t.Errorf("after the error %v: %+v", end, e)
		}
		got = append(got, fmt.Sprintf("%s %s %s", e.ID, e.Name, e.Data))
	}
	return got, end
}

func TestStreamGoesOnAfterTheLastEventUntilItMayNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lost []string
		s := &script{all: []connection{
			{text: "retry: 1000\nid: 7\nevent: open\ndata: {}\n\nevent: key\ndata: {\"n\":1}\n\nid: 8\nevent: audit\ndata: {\"n\":2}\n\nid: 9\nevent: key\nda"},
			{text: ": \nid: 11\n\nevent: end\ndata: {\"reason\":\"shutdown\"}\n\n"},
			{refuse: true},
			{status: 503, text: `{"code":"stale"}`},
			{text: "event: open\r\ndata: [1,\r\ndata: 2]\r\n\r\n", silent: true},
			{status: 401, text: unauthenticated},
		}}
		got, err := followScript(t, s, postern.StreamOptions{Lost: func(err error) { lost = append(lost, err.Error()) }})
		if p, ok := errors.AsType[*api.Problem](err); !ok || p.Code != api.CodeUnauthenticated {
			t.Errorf("it ended with %v", err)
		}
		if want := []string{`7 open {}`, ` key {"n":1}`, `8 audit {"n":2}`, " open [1,\n2]"}; !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
		want := []string{`0s after ""`, `1s after "8"`, `3s after "11"`, `7s after "11"`, `15s after "11"`, `1m1s after "11"`}
		if !slices.Equal(s.asked, want) {
			t.Errorf("connected %q\nwant      %q", s.asked, want)
		}
		if len(lost) != 5 || lost[0] != "unexpected EOF" || lost[1] != "the server ended the stream: shutdown" || lost[4] != "nothing was heard for 45s" {
			t.Errorf("it was told of %q", lost)
		}
	})
}

func TestStreamThatNeverBeganIsNotTriedAgain(t *testing.T) {
	for name, c := range map[string]connection{
		"refused":     {refuse: true},
		"forbidden":   {status: 403, text: `{"code":"permission_denied"}`},
		"no stream":   {status: 200, text: `<html>`},
		"no event":    {text: "id: 1\n\n"},
		"only an end": {text: "event: end\ndata: {}\n\n"},
		"a long line": {text: "data: " + strings.Repeat("x", 2<<20)},
		"nothing":     {silent: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{all: []connection{c}}
			if got, err := followScript(t, s, postern.StreamOptions{}); err == nil || len(got) > 0 || len(s.asked) != 1 {
				t.Errorf("%s: got %q, %v after %d connections", name, got, err, len(s.asked))
			}
		})
	}
}

func TestStreamEndsWithItsContextAndItsReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		s := &script{all: []connection{{text: "event: open\ndata: {}\n\n", silent: true}}}
		client := &postern.Client{Server: "http://localhost", HTTP: &http.Client{Transport: s}}
		o := postern.StreamOptions{
			Workspace: "a/b", Topics: []string{api.TopicKeys, api.TopicAudit}, LastEventID: "5",
		}
		s.begun = time.Now()
		var last error
		for _, err := range client.Stream(ctx, o) {
			last = err
		}
		if !errors.Is(last, context.DeadlineExceeded) || s.asked[0] != `0s after "5"` || s.path != "/v1/workspaces/a%2Fb/stream?topics=keys%2Caudit" {
			t.Errorf("got %v after %q of %s", last, s.asked, s.path)
		}
		s.all = append(s.all, s.all...)
		for range client.Stream(t.Context(), o) {
			break
		}
	}) // which waits for all goroutines
}
