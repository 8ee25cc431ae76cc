package postern_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/api"
)

const testKey = "pst_sa_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA000000"

// transport answers in place of a network.
type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

func answer(status int, contentType, body string) *http.Response {
	return &http.Response{
		StatusCode: status,
		Header:     http.Header{"Content-Type": {contentType}},
		Body:       io.NopCloser(strings.NewReader(body)),
	}
}

func newClient(t transport) *postern.Client {
	return &postern.Client{
		Server: "https://postern.example",
		Key:    postern.NewSecret(testKey),
		HTTP:   &http.Client{Transport: t},
	}
}

func TestClientSendsKeyAndBody(t *testing.T) {
	var got *http.Request
	var body string
	c := newClient(func(r *http.Request) (*http.Response, error) {
		got = r
		b, err := io.ReadAll(r.Body)
		body = string(b)
		return answer(200, "application/json", `{"valid":true,"code":"valid"}`), err
	})
	v, err := c.Verify(t.Context(), api.Verify{Key: "k", Permissions: []string{"tickets:read"}})
	if err != nil || !v.Valid {
		t.Fatalf("got %+v, %v; want valid", v, err)
	}
	if got.Method != "POST" || got.URL.String() != "https://postern.example/v1/verify" {
		t.Errorf("sent %s %s", got.Method, got.URL)
	}
	if want := `{"key":"k","permissions":["tickets:read"]}`; body != want {
		t.Errorf("body %s, want %s", body, want)
	}
	if h := got.Header.Get("Authorization"); h != "Bearer "+testKey {
		t.Errorf("Authorization %q", h)
	}
}

func TestProblemsAreErrorsWithTheirCode(t *testing.T) {
	c := newClient(func(*http.Request) (*http.Response, error) {
		return answer(404, "application/problem+json; charset=utf-8", `{"code":"not_found","title":"Not found","status":404}`), nil
	})
	err := c.Do(t.Context(), "GET", "/v1/whoami", nil, nil)
	p, ok := errors.AsType[*api.Problem](err)
	if !ok || p.Code != api.CodeNotFound || p.Status != 404 {
		t.Errorf("got %v, want the problem not_found", err)
	}
}

func TestAnswersThatAreNotPosternsAreNotTrusted(t *testing.T) {
	for name, resp := range map[string]*http.Response{
		"a proxy's page":           answer(502, "text/html", "<h1>Bad gateway</h1>"),
		"a problem without a code": answer(502, "application/problem+json", `{}`),
		"not JSON":                 answer(502, "application/problem+json", `nonsense`),
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(func(*http.Request) (*http.Response, error) { return resp, nil })
			err := c.Do(t.Context(), "GET", "/v1/whoami", nil, nil)
			if e, ok := errors.AsType[*postern.AnswerError](err); !ok || e.Status != 502 {
				t.Errorf("got %v, want an AnswerError of 502", err)
			}
		})
	}
	c := newClient(func(*http.Request) (*http.Response, error) { return answer(200, "text/html", "<h1>Sign in</h1>"), nil })
	if err := c.Do(t.Context(), "GET", "/v1/whoami", nil, new(api.Whoami)); err == nil {
		t.Error("a page was taken for an answer")
	}
}

func TestLostConnectionIsAskedAgainWithTheSameIdempotencyKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var keys []string
		c := newClient(func(r *http.Request) (*http.Response, error) {
			keys = append(keys, r.Header.Get("Idempotency-Key"))
			switch len(keys) {
			case 1:
				return nil, syscall.ECONNRESET
			case 2:
				return answer(409, "application/problem+json", `{"code":"idempotency_in_progress"}`), nil
			}
			return answer(201, "application/json", `{"id":"sa_1"}`), nil
		})
		var out api.CreatedServiceAccount
		if err := c.Do(t.Context(), "POST", "/v1/x", api.CreateServiceAccount{Name: "n"}, &out); err != nil || out.ID != "sa_1" {
			t.Fatalf("got %q, %v", out.ID, err)
		}
		if len(keys) != 3 || keys[0] == "" || len(slices.Compact(keys)) != 1 {
			t.Errorf("Idempotency-Keys %q, want one, three times", keys)
		}
	})
}

func TestAnswerCutOffIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		c := newClient(func(*http.Request) (*http.Response, error) {
			asked++
			resp := answer(200, "application/json", `{"id":"sa_1"}`)
			if asked == 1 {
				resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"id":`), failing{io.ErrUnexpectedEOF}))
			}
			return resp, nil
		})
		var out api.ServiceAccount
		if err := c.Do(t.Context(), "GET", "/v1/x", nil, &out); err != nil || out.ID != "sa_1" {
			t.Errorf("got %q, %v after %d tries", out.ID, err, asked)
		}
	})
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestUnknownIsNotNo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for method, want := range map[string]int{"POST": 3, "PUT": 3, "DELETE": 3, "PATCH": 1} {
			asked := 0
			c := newClient(func(*http.Request) (*http.Response, error) { asked++; return nil, syscall.ECONNRESET })
			err := c.Do(t.Context(), method, "/v1/x", struct{}{}, nil)
			if asked != want || err == nil || !strings.Contains(err.Error(), "not known whether") {
				t.Errorf("%s: asked %d times, %v; want %d times and words that it is not known", method, asked, err, want)
			}
		}
	})
}

func TestRefusalsAreNotAskedAgain(t *testing.T) {
	asked := 0
	c := newClient(func(*http.Request) (*http.Response, error) {
		asked++
		return answer(403, "application/problem+json", `{"code":"permission_denied"}`), nil
	})
	if err := c.Do(t.Context(), "POST", "/v1/x", nil, nil); err == nil || asked != 1 {
		t.Errorf("asked %d times, %v; want once and an error", asked, err)
	}
}

func TestDeadlineIsToldToTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var prefer string
		c := newClient(func(r *http.Request) (*http.Response, error) {
			prefer = r.Header.Get("Prefer")
			return answer(200, "application/json", `{}`), nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if err := c.Do(ctx, "POST", "/v1/x", nil, nil); err != nil || prefer != "wait=29" {
			t.Errorf("Prefer %q, %v; want wait=29", prefer, err)
		}
	})
}

func TestKeyIsNotCarriedToAnotherHost(t *testing.T) {
	var leaked atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		leaked.Store(true)
	}))
	defer other.Close()
	server := httptest.NewServer(http.RedirectHandler(other.URL+"/v1/whoami", http.StatusTemporaryRedirect))
	defer server.Close()
	c := &postern.Client{Server: server.URL, Key: postern.NewSecret(testKey)}
	err := c.Do(t.Context(), "GET", "/v1/whoami", nil, nil)
	if err == nil || leaked.Load() {
		t.Errorf("error %v, other host asked: %t; want an error and false", err, leaked.Load())
	}
}

func TestKeyIsNotSentUnencrypted(t *testing.T) {
	for server, refused := range map[string]bool{
		"http://postern.example":  true,
		"http://192.0.2.1:7070":   true,
		"http://localhost:7070":   false,
		"http://127.0.0.1:7070":   false,
		"http://[::1]:7070":       false,
		"https://postern.example": false,
	} {
		asked := false
		c := newClient(func(*http.Request) (*http.Response, error) {
			asked = true
			return answer(200, "application/json", `{}`), nil
		})
		c.Server = server
		if err := c.Do(t.Context(), "GET", "/v1/whoami", nil, nil); (err != nil) != refused || asked == refused {
			t.Errorf("%s: %v, asked %t; want refused %t", server, err, asked, refused)
		}
		c.PlainHTTP = true
		if err := c.Do(t.Context(), "GET", "/v1/whoami", nil, nil); err != nil {
			t.Errorf("%s with PlainHTTP: %v", server, err)
		}
	}
}

func TestServerMustBeAURL(t *testing.T) {
	for _, server := range []string{"", "postern.example", "ftp://postern.example", "https://", "https://u:p@postern.example", "https://h?x=1"} {
		c := newClient(nil)
		c.Server = server
		if err := c.Do(t.Context(), "GET", "/v1/whoami", nil, nil); err == nil || strings.Contains(err.Error(), "u:p") {
			t.Errorf("%q: %v, want an error without the password", server, err)
		}
	}
}

func TestOpenStreams(t *testing.T) {
	c := newClient(func(*http.Request) (*http.Response, error) {
		return answer(200, "application/jsonl", "{}\n{}\n"), nil
	})
	body, err := c.Open(t.Context(), "GET", "/v1/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if got, err := io.ReadAll(body); err != nil || string(got) != "{}\n{}\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestPrintedClientHidesTheKey(t *testing.T) {
	c := postern.Client{Key: postern.NewSecret(testKey)}
	//lint:ignore SA1026 the field that cannot be marshalled is nil here
	j, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v", c, c, c), string(j)} {
		if strings.Contains(text, testKey[7:15]) {
			t.Errorf("the key is in %s", text)
		}
	}
}
