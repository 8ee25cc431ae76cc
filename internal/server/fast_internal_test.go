package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// FuzzFastHead holds the reader of heads to that of package net/http: what it takes,
// the other takes too, as the same request with the same end.
func FuzzFastHead(f *testing.F) {
	for _, seed := range []string{
		"POST /v1/verify HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
		"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\na:c\t\r\nConnection: close\r\n\r\n",
		"POST /v1/verify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST /v1/verify HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
		"POST /%2e HTTP/1.1\nHost: x\n\n", "POST /a?b HTTP/1.1\r\nHost: \x80\r\nX: a\r\n b\r\n\r\n", "\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /v1/verify HTTP/1.1\r\nHost: x\r\nauthorization:  bearer k \r\nContent-Type: application/json\r\nUSER-AGENT: a b\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\n{}POST",
		"POST /v1/verify HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n{}",
		"POST /v1/verify HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\nContent-Type: application/json\r\nX-Api-Key: k\r\nContent-Length: 2\r\n\r\n{}",
		"POST /v1/verify HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nAccept-Encoding: gzip\r\nAuthorization: Bearer k\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
		"POST /v1/verify HTTP/1.1\r\nHost: x\r\nAccept\r\nAuthorization: Bearer k\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
		"POST /v1/verify HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var h head
		call := newFastCall()
		plainReaderAgrees(t, string(text))
		if refusal := h.read(text, call); refusal != nil || !h.complete {
			return
		}
		in := bufio.NewReader(bytes.NewReader(text))
		r, err := http.ReadRequest(in)
		if err != nil {
			t.Fatalf("net/http refuses what we take: %v", err)
		}
		if r.Method != call.request.Method || r.URL.String() != call.url.String() || r.ContentLength != int64(h.body) || r.TransferEncoding != nil {
			t.Fatalf("net/http reads %s %s with %d bytes, we %s %s with %d", r.Method, r.URL, r.ContentLength, call.request.Method, &call.url, h.body)
		}
		if rest, _ := io.ReadAll(in); len(rest) != len(text)-h.length {
			t.Fatalf("net/http reads a head of %d bytes, we one of %d", len(text)-len(rest), h.length)
		}
		ours := call.request.Header.Clone()
		r.Header["Host"] = []string{r.Host}
		if !slices.Contains(ours["Host"], r.Host) {
			t.Fatalf("net/http reads the host %q, we %q", r.Host, ours["Host"])
		}
		if r.Header["Pragma"] != nil && r.Header["Cache-Control"] != nil {
			delete(r.Header, "Cache-Control") // which net/http adds to the one
			delete(ours, "Cache-Control")
		}
		for name := range ours {
			if textproto.CanonicalMIMEHeaderKey(name) != name {
				t.Fatalf("the header %q is not written as everybody asks for it", name)
			}
		}
		delete(ours, "Connection") // of which net/http forgets a part
		delete(r.Header, "Connection")
		if diff := cmp.Diff(http.Header(r.Header), ours); diff != "" {
			t.Fatalf("net/http reads other headers (-) than we (+):\n%s", diff)
		}
		if r.Close != h.closes {
			t.Fatalf("the connection is to end: net/http says %t, we %t", r.Close, h.closes)
		}
	})
}

// plainReaderAgrees holds the reader of plain requests to the one that takes all: what
// it takes, the other takes too, as the same question with the same end.
func plainReaderAgrees(t *testing.T, text string) {
	t.Helper()
	var q plainVerify
	if !q.read(text) {
		return
	}
	var h head
	call := newFastCall()
	if refusal := h.read([]byte(text), call); refusal != nil || !h.complete {
		t.Fatalf("what is plain is refused: %v", refusal)
	}
	r := &call.request
	credential, err := credentialOf(r.Header)
	switch {
	case r.Method != http.MethodPost || call.url.String() != verifyPath || h.closes || h.awaits || !isJSON(r.Header):
		t.Fatalf("plain is read %s %s, which closes %t, awaits %t, with %v", r.Method, &call.url, h.closes, h.awaits, r.Header)
	case h.length+h.body != q.length || text[h.length:q.length] != q.body:
		t.Fatalf("plain ends at %d, after %q; want %d and %d", q.length, q.body, h.length, h.body)
	case err != nil && err != errCredentials || err == nil && credential != q.key || r.UserAgent() != q.agent:
		t.Fatalf("plain is asked by %q with %q; want %q, %v and %q", q.agent, q.key, credential, err, r.UserAgent())
	case len(r.Header["X-Request-Id"])+len(r.Header["X-Forwarded-For"]) > 0:
		t.Fatalf("plain has %v", r.Header)
	}
}

// A client that sends too slowly is told so and goes, and one that sends nothing goes
// without a word. None of them is waited for when the server stops.
func TestSlowClientsOfTheFastListenerAreNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, keys, caller := loaded(t, 1)
		f := NewFastServer(s, func() string { return "" })
		begin := func() net.Conn {
			ours, theirs := net.Pipe()
			f.welcome(addressed{theirs})
			return ours
		}
		slow, silent := begin(), begin()
		go io.WriteString(slow, "POST /v1/verify HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
		begun := time.Now()
		if answer, err := http.ReadResponse(bufio.NewReader(slow), nil); err != nil || answer.StatusCode != http.StatusRequestTimeout {
			t.Errorf("the slow client heard %v, %v; want 408", answer, err)
		}
		if _, err := silent.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the silent client heard %v, want the end", err)
		}
		if took := time.Since(begun); took != f.limits.read {
			t.Errorf("they went after %v, want %v", took, f.limits.read)
		}
		good := begin()
		in := bufio.NewReader(good)
		for range 2 {
			body := `{"key":"` + keys[0] + `"}`
			go io.WriteString(good, "POST /v1/verify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer "+caller+
				"\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body)
			answer, err := http.ReadResponse(in, nil)
			if err != nil || answer.StatusCode != http.StatusOK {
				t.Fatalf("the good client heard %v, %v; want 200", answer, err)
			}
			if text, err := io.ReadAll(answer.Body); err != nil || !strings.Contains(string(text), `"valid":true`) {
				t.Errorf("got %s, %v; want that the key is valid", text, err)
			}
			time.Sleep(f.limits.idle / 3) // it may be idle for longer than a request may take
		}
		if err := f.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if _, err := good.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the good client heard %v after the end, want the end", err)
		}
	})
}

// broken is a connection that cannot even be read.
type broken struct {
	addressed
	told func() // that it was closed, once or again
}

func (broken) Read([]byte) (int, error) { panic("there is a fault in what reads") }

func (b broken) Close() error {
	b.told()
	return b.addressed.Close()
}

// A fault in what drives a connection ends that one, not the process.
func TestFaultEndsItsFastConnectionAlone(t *testing.T) {
	s, _, _ := loaded(t, 1)
	f := NewFastServer(s, func() string { return "" })
	_, theirs := net.Pipe()
	closed := make(chan struct{})
	f.welcome(broken{addressed{theirs}, sync.OnceFunc(func() { close(closed) })})
	<-closed
	if err := f.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// addressed is a connection with an address as TCP has it.
type addressed struct{ net.Conn }

func (addressed) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
