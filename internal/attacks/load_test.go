package attacks_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/token"
)

// loadAttacks try what many calls, or slow ones, do to others.
var loadAttacks = map[string]func(*testing.T, *world){
	"F07": floodsOfUnknownKeys,
	"I03": connectionsThatSayNothing,
	"I04": everythingAtOnce,
}

// floodsOfUnknownKeys asks for keys that do not exist, at every door, while the
// database answers nothing: it is not asked.
func floodsOfUnknownKeys(t *testing.T, w *world) {
	known := w.keyOf("-", w.owner, w.account("-", w.owner, "bot", "viewer"))
	var flood []body
	var texts []string
	for range 500 {
		secret, err := token.Mint{}.New(token.ServiceAccount)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, secret.Reveal())
		flood = append(flood, body{"key": secret.Reveal(), "workspace": "any"})
	}
	broken := "the store was asked"
	w.store.panics.Store(&broken) // whatever asks it is broken off, and answers 500
	defer w.store.panics.Store(nil)
	before, asked, began := w.replica.View().Seq(), w.queries.Load(), time.Now()
	for range 4 {
		a := w.must("POST", "/v1/verify/batch", w.prober, body{"items": flood})
		if got := strings.Count(a.text, `"code":"not_found"`); got != len(flood) {
			t.Fatalf("%d of %d keys that do not exist read not_found", got, len(flood))
		}
	}
	for _, text := range texts[:200] {
		w.wants(w.proxied(text, "permission=none"), http.StatusUnauthorized, "")
		w.wants(w.call("GET", "/v1/whoami", text, nil), http.StatusUnauthorized, "")
		w.wants(w.call("POST", "/v1/verify", text, body{"key": text}), http.StatusUnauthorized, "")
	}
	w.wants(w.proxied(known, "permission=none"), http.StatusOK, "")
	most := 20 + int64(time.Since(began)/(100*time.Millisecond)) // the replica looks for changes every 200 ms
	if got := w.queries.Load() - asked; got > most {
		t.Errorf("the store was asked %d times during the flood, want %d at most, for what the replica follows", got, most)
	}
	if got := w.replica.View().Seq(); got != before {
		t.Errorf("the flood moved the log of changes from %d to %d", before, got)
	}
}

// connectionsThatSayNothing opens connections that begin, with TLS and without, and
// then say nothing, or little: the server ends them, and answers others meanwhile.
func connectionsThatSayNothing(t *testing.T, w *world) {
	dir := t.TempDir()
	certificate(t, dir)
	address, gate := launchGateway(t, dir)
	const each = 50
	var quiet []net.Conn
	for to, begin := range map[string][]string{
		address: {"", "\x16\x03\x01\x02\x00", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"},
		gate:    {"", "GET /v1/authorize?permission=none HTTP/1.1\r\nHost: x\r\nX-Slow: ", "PRI * HTTP/2.0\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
	} {
		for _, text := range begin {
			for range each {
				conn, err := net.Dial("tcp", to)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if _, err := conn.Write([]byte(text)); err != nil {
					t.Fatal(err)
				}
				quiet = append(quiet, conn)
			}
		}
	}
	if got := get(t, "http://"+gate+"/v1/authorize?permission=none", ""); got == http.StatusOK {
		t.Errorf("the gateway says %d meanwhile", got)
	}
	var ending sync.WaitGroup
	for i, conn := range quiet {
		ending.Go(func() {
			_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second)) // if it fails, so does what follows
			for buf := make([]byte, 4096); ; {
				if _, err := conn.Read(buf); err != nil {
					if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
						t.Errorf("connection %d to %s, which says nothing, is still open after 30 s", i, conn.RemoteAddr())
					}
					return
				}
			}
		})
	}
	ending.Wait()
}

// certificate writes one for 127.0.0.1, and its key.
func certificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// launchGateway starts postern serve with TLS and with a door for proxies, and
// returns the addresses of both. Another process may take the one that was free for
// the second before postern has it: then with another.
func launchGateway(t *testing.T, dir string) (address, gate string) {
	t.Helper()
	var failed error
	for range 3 {
		gate = freeAddress(t)
		p, err := launch(t, dir, "sqlite:"+filepath.Join(dir, "i03.db"), "--tls-cert", "cert.pem", "--tls-key", "key.pem", "--gateway-listen", gate)
		if err == nil {
			return strings.TrimPrefix(p.url, "https://"), gate
		}
		failed = err
	}
	t.Fatal(failed)
	return "", ""
}

// everythingAtOnce calls every door at once while what they answer from changes. The
// race detector is what looks on: make race.
func everythingAtOnce(t *testing.T, w *world) {
	b := w.newTenant("acme")
	bot := w.account("-", b.owner, "bot", "viewer")
	key := w.keyOf("-", b.owner, bot)
	const rounds, each = 15, 2
	var all sync.WaitGroup
	for n, do := range []func(i int) answer{
		func(i int) (last answer) {
			for n := range 10 { // each a question that the gateway does not know yet
				last = w.proxied(key, fmt.Sprintf("workspace=acme&permission=reports/%d-%d:read", i, n))
			}
			return last
		},
		func(int) (last answer) {
			for range 10 {
				last = w.proxied(key, "permission=none&workspace=any")
			}
			return last
		},
		func(int) answer { return w.call("POST", "/v1/verify", w.prober, body{"key": key, "workspace": "any"}) },
		func(int) answer {
			return w.call("POST", "/v1/verify/batch", b.owner, body{"items": []body{{"key": key}, {"key": key}}})
		},
		func(int) answer { return w.call("GET", "/v1/whoami", key, nil) },
		func(int) answer { return w.call("GET", "/metrics", w.owner, nil) },
		func(int) answer { return w.call("GET", in("-", "keys"), b.owner, nil) },
		func(i int) answer {
			return w.call("POST", in("-", "roles"), b.owner, body{"name": "role-" + itoa(i), "permissions": []string{"reports:read"}})
		},
		func(i int) answer {
			return w.call("POST", in("-", "service_accounts/"+bot+"/keys"), b.owner, body{"name": "more-" + itoa(i)})
		},
	} {
		for part := range each {
			all.Go(func() {
				for i := range rounds {
					if a := do(part*rounds + i); a.status >= 500 {
						t.Errorf("door %d: %s: %d %s", n, a.call, a.status, a.text)
					}
				}
			})
		}
	}
	all.Wait()
	w.accepts(key, "tickets:read")
}
