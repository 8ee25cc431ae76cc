package server_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/server"
	"github.com/posternhq/postern/internal/store/storetest"
)

// spoken sends text to a listener, as it is, and returns the statuses of the answers until
// the connection ends, or until as many as are wanted were read.
func spoken(t *testing.T, at, text string, want int) (statuses []int, answers []*http.Response) {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	for len(answers) < want {
		answer, err := http.ReadResponse(in, nil)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode == http.StatusContinue {
			continue
		}
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body = io.NopCloser(strings.NewReader(string(body)))
		statuses, answers = append(statuses, answer.StatusCode), append(answers, answer)
	}
	return statuses, answers
}

// What two readers of HTTP could take for two things is answered with a refusal, and
// then the connection ends: what a client hid behind it is never taken for a request.
func TestFastListenerRefusesWhatIsAmbiguous(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t)).throughFast(t)
	body := fmt.Sprintf(`{"key":%q}`, w.owner)
	line, host, auth := "POST /v1/verify HTTP/1.1\r\n", "Host: x\r\n", "Authorization: Bearer "+w.owner+"\r\n"
	kind, length := "Content-Type: application/json\r\n", fmt.Sprintf("Content-Length: %d\r\n", len(body))
	good := line + host + auth + kind + length + "\r\n" + body
	tests := map[string]struct {
		text   string
		status int
	}{
		"length twice, the same":          {line + host + auth + kind + length + length + "\r\n" + body, 400},
		"length twice, another":           {line + host + auth + kind + length + "Content-Length: 5\r\n\r\n" + body, 400},
		"length in a list":                {line + host + auth + kind + fmt.Sprintf("Content-Length: %d, %d\r\n\r\n", len(body), len(body)) + body, 400},
		"length with a sign":              {line + host + auth + kind + fmt.Sprintf("Content-Length: +%d\r\n\r\n", len(body)) + body, 400},
		"length of nothing":               {line + host + auth + kind + "Content-Length:\r\n\r\n" + body, 400},
		"length in hexadecimal":           {line + host + auth + kind + "Content-Length: 0x10\r\n\r\n" + body, 400},
		"length beyond 64 bits":           {line + host + auth + kind + "Content-Length: 99999999999999999999\r\n\r\n", 413},
		"chunks":                          {line + host + auth + kind + "Transfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body), 400},
		"chunks and a length":             {line + host + auth + kind + length + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		"another coding":                  {line + host + auth + kind + length + "Transfer-Encoding: identity\r\n\r\n" + body, 400},
		"a space before the colon":        {line + host + auth + kind + strings.Replace(length, ":", " :", 1) + "\r\n" + body, 400},
		"a folded line":                   {line + host + auth + kind + length + "X-Note: a\r\n b\r\n\r\n" + body, 400},
		"a folded first line":             {line + " " + host + auth + kind + length + "\r\n" + body, 400},
		"a line with LF alone":            {line + host + auth + kind + "X-Note: a\n" + length + "\r\n" + body, 400},
		"a line with CR alone":            {line + host + auth + kind + "X-Note: a\rX: b\r\n" + length + "\r\n" + body, 400},
		"a NUL":                           {line + host + auth + kind + "X-Note: a\x00b\r\n" + length + "\r\n" + body, 400},
		"no colon":                        {line + host + auth + kind + "X-Note\r\n" + length + "\r\n" + body, 400},
		"a header without a name":         {line + host + auth + kind + ": x\r\n" + length + "\r\n" + body, 400},
		"no host":                         {line + auth + kind + length + "\r\n" + body, 400},
		"two hosts":                       {line + host + host + auth + kind + length + "\r\n" + body, 400},
		"an empty line first":             {"\r\n" + good, 400},
		"two spaces in the first line":    {strings.Replace(good, "POST ", "POST  ", 1), 400},
		"a tab in the first line":         {strings.Replace(good, "POST ", "POST\t", 1), 400},
		"an address that is no path":      {strings.Replace(good, "/v1/verify", "http://x/v1/verify", 1), 400},
		"a control character in the path": {strings.Replace(good, "/v1/verify", "/v1/verify\x01", 1), 400},
		"HTTP/1.0":                        {strings.Replace(good, "HTTP/1.1", "HTTP/1.0", 1), 505},
		"HTTP/2 in clear":                 {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
		"no HTTP at all":                  {"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400},
		"an expectation that nobody has":  {line + host + auth + kind + length + "Expect: magic\r\n\r\n" + body, 417},
		"65 headers":                      {line + host + auth + kind + length + strings.Repeat("X: y\r\n", 65) + "\r\n" + body, 431},
		"headers of 9 KiB":                {line + host + auth + kind + length + "X-Note: " + strings.Repeat("x", 9<<10) + "\r\n\r\n" + body, 431},
		"headers without an end":          {line + host + "X-Note: " + strings.Repeat("x", 9<<10), 431},
		"a body of 2 MiB":                 {line + host + auth + kind + "Content-Length: 2097152\r\n\r\n" + strings.Repeat("x", 2<<20), 413},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			hidden := strings.Replace(good, w.owner, w.owner, 1) // what is hidden behind is a request that would be answered
			statuses, answers := spoken(t, w.fast, tt.text+hidden, 3)
			if len(statuses) != 1 || statuses[0] != tt.status {
				t.Fatalf("got %v, want %d and the end", statuses, tt.status)
			}
			h := answers[0].Header
			if h.Get("Content-Type") != "application/problem+json" || h.Get("Cache-Control") != "no-store" || h.Get("X-Request-Id") == "" || h.Get("Connection") != "close" && !answers[0].Close {
				t.Errorf("got headers %v, want a problem that is not stored, with an id, after which the connection ends", h)
			}
			if text, _ := io.ReadAll(answers[0].Body); strings.Contains(string(text), w.owner[8:16]) {
				t.Errorf("the answer quotes the key: %s", text)
			}
		})
	}
	if log := w.log.String(); strings.Contains(log, w.owner[8:16]) {
		t.Error("the log quotes the key")
	}
}

// A credential that could be read in two ways is refused as everywhere, in the same words.
func TestFastListenerAnswersOdditiesAsTheOtherDoes(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t)).throughFast(t)
	body := fmt.Sprintf(`{"key":%q}`, w.owner)
	auth := "Authorization: Bearer " + w.owner + "\r\n"
	for name, headers := range map[string]string{
		"plain":                    auth,
		"in small letters":         strings.ToLower(auth[:22]) + auth[22:],
		"no credential":            "",
		"twice":                    auth + auth,
		"twice in a list":          strings.TrimSuffix(auth, "\r\n") + ", Bearer x\r\n",
		"two sorts":                auth + "X-API-Key: x\r\n",
		"a session too":            auth + "Cookie: postern_session=sess_x\r\n",
		"another scheme":           "Authorization: Basic eDp5\r\n",
		"tabs around":              "Authorization:\tBearer " + w.owner + "\t\r\n",
		"an id of its own":         auth + "X-Request-Id: mine.1\r\n",
		"an id that is unfit":      auth + "X-Request-Id: a b\r\n",
		"two ids":                  auth + "X-Request-Id: a\r\nX-Request-Id: b\r\n",
		"another type":             auth + "Content-Type: text/plain\r\n",
		"the end asked for":        auth + "Connection: foo, Close\r\n",
		"headers named hop-by-hop": auth + "Connection: Authorization, Content-Length\r\n",
		"told to go on":            auth + "Expect: 100-Continue\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			text := "POST /v1/verify HTTP/1.1\r\nHost: x\r\n" + headers
			if name != "another type" {
				text += "Content-Type: application/json\r\n"
			}
			text += fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
			wants, want := spoken(t, w.url, text, 1)
			gots, got := spoken(t, w.fast, text, 1)
			if len(wants) != 1 || len(gots) != 1 || wants[0] != gots[0] {
				t.Fatalf("got %v, want %v", gots, wants)
			}
			for _, name := range []string{"Content-Type", "Cache-Control", "X-Content-Type-Options", "Referrer-Policy", "Www-Authenticate", "Connection"} {
				if got, want := got[0].Header.Get(name), want[0].Header.Get(name); got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
			if got[0].Close != want[0].Close {
				t.Errorf("the connection ends: got %t, want %t", got[0].Close, want[0].Close)
			}
			if id := want[0].Header.Get("X-Request-Id"); id == "mine.1" && got[0].Header.Get("X-Request-Id") != id {
				t.Errorf("the request's id: got %q, want %q", got[0].Header.Get("X-Request-Id"), id)
			}
		})
	}
}

func TestFastListenerAnswersOneRequestAfterTheOther(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t)).throughFast(t)
	ask := func(key, more string) string {
		body := fmt.Sprintf(`{"key":%q}`, key)
		return fmt.Sprintf("POST /v1/verify HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s",
			w.owner, more, len(body), body)
	}
	statuses, answers := spoken(t, w.fast, ask(w.owner, "")+ask("x", "X-Request-Id: second\r\n")+ask(w.owner, "Connection: close\r\n")+ask(w.owner, ""), 4)
	if len(statuses) != 3 {
		t.Fatalf("got %d answers, want three and the end", len(statuses))
	}
	for i, want := range []string{`"code":"valid"`, `"code":"not_found"`, `"code":"valid"`} {
		if text, _ := io.ReadAll(answers[i].Body); !strings.Contains(string(text), want) {
			t.Errorf("answer %d: got %s, want %s", i, text, want)
		}
	}
	if id := answers[2].Header.Get("X-Request-Id"); id == "second" || answers[1].Header.Get("X-Request-Id") != "second" {
		t.Error("a request has the id of another one of its connection")
	}
}

// What follows the answer to HEAD on a connection is the next answer.
func TestFastListenerSendsNoContentForHEAD(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t)).throughFast(t)
	for path, status := range map[string]int{"/": 404, "/v1/verify": 405} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.fast, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "HEAD %s HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path)
		answers := bufio.NewReader(conn)
		head, err := http.ReadResponse(answers, &http.Request{Method: http.MethodHead})
		if err != nil || head.StatusCode != status || head.ContentLength <= 0 {
			t.Fatalf("HEAD %s: got %+v, %v; want %d", path, head, err, status)
		}
		next, err := http.ReadResponse(answers, nil)
		if err != nil || next.StatusCode != http.StatusNotFound {
			t.Errorf("after HEAD %s: got %+v, %v; want the next answer", path, next, err)
		}
	}
}

func TestFastListenerSaysWhereAllElseIs(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t)).throughFast(t)
	for _, c := range []struct {
		method, path string
		status       int
		code         string
	}{
		{"GET", "/v1/whoami", 404, api.CodeNotFound}, {"POST", "/v1/verify/", 404, api.CodeNotFound}, {"POST", "/v1//verify", 404, api.CodeNotFound},
		{"POST", "/V1/verify", 404, api.CodeNotFound}, {"GET", "/metrics", 404, api.CodeNotFound}, {"GET", "/", 404, api.CodeNotFound},
		{"GET", "/v1/verify", 405, api.CodeMethodNotAllowed}, {"OPTIONS", "/v1/verify/batch", 405, api.CodeMethodNotAllowed},
		{"POST", "/v1/verify?x=1", 400, api.CodeUnknownField}, {"GET", "/x?key=" + w.owner, 400, api.CodeInvalidRequest},
	} {
		_, answers := spoken(t, w.fast, c.method+" "+c.path+" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+w.owner+"\r\nContent-Length: 0\r\n\r\n", 1)
		text, _ := io.ReadAll(answers[0].Body)
		if answers[0].StatusCode != c.status || !strings.Contains(string(text), `"code":"`+c.code+`"`) {
			t.Errorf("%s %s: got %d %s; want %d %s", c.method, c.path, answers[0].StatusCode, text, c.status, c.code)
		}
		if c.status == 404 && !strings.Contains(string(text), w.url) {
			t.Errorf("%s %s: the answer does not name %s: %s", c.method, c.path, w.url, text)
		}
	}
}

// At the fast listener a request comes from where its connection does, also when the main
// listener is behind a proxy: who connects to it directly could name any address.
func TestFastListenerBelievesNoForwardedAddress(t *testing.T) {
	w := newWorld(t, storetest.SQLite(t))
	w = w.with(t, func(o *server.Options) { o.BehindProxy, o.Metrics = true, nil }).throughFast(t)
	x := w.tenant(t, "acme")
	keyOf := func(name, network string) string {
		var key api.CreatedKey
		w.do(t, post(x.root+"/service_accounts/"+x.account("verifier").ID+"/keys", x.owner,
			api.CreateKey{Name: name, AllowedNetworks: &[]string{network}})).want(http.StatusCreated, &key)
		return key.Value
	}
	far, near := keyOf("far", "192.0.2.0/24"), keyOf("near", "127.0.0.0/8")
	ask := func(key string) call { return post("/v1/verify", key, api.Verify{Key: x.owner}) }
	w.do(t, ask(far).holding("X-Forwarded-For", "192.0.2.7")).wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
	w.do(t, ask(near).holding("X-Forwarded-For", "192.0.2.7")).want(http.StatusOK, nil)
	w.do(t, ask(near)).want(http.StatusOK, nil)
	w.do(t, ask(far)).wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
	main := *w
	main.fast = ""
	main.do(t, ask(far).holding("X-Forwarded-For", "192.0.2.7")).want(http.StatusOK, nil)
	main.do(t, ask(near).holding("X-Forwarded-For", "192.0.2.7")).wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
}
