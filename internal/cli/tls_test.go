package cli

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/config"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/server"
	"github.com/posternhq/postern/internal/token"
)

// certificate writes a certificate for 127.0.0.1, and returns who trusts it.
func certificate(t *testing.T, cert, key string) *x509.CertPool {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, cert, "CERTIFICATE", der)
	writePEM(t, key, "PRIVATE KEY", secret)
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return pool
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// somebodyAbsent is nobody who signs in.
type somebodyAbsent struct{ server.People }

func TestServesTLSAndMetricsApart(t *testing.T) {
	dir := t.TempDir()
	cfg := config.Config{
		Listen: "127.0.0.1:0", FastListen: "127.0.0.1:0", MetricsListen: "127.0.0.1:0",
		TLSCert: filepath.Join(dir, "cert.pem"), TLSKey: filepath.Join(dir, "key.pem"),
	}
	pool := certificate(t, cfg.TLSCert, cfg.TLSKey)
	say := func(text string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, text) })
	}
	s := newStage(t, say("unused"))
	err := s.doors.close(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	empty, err := server.New(server.Options{
		IAM: &iam.Service{}, Replica: replica.New(replica.Options{}), People: somebodyAbsent{}, Prefixes: token.Prefixes{"pst"}, Secret: make([]byte, 32),
	})
	if err != nil {
		t.Fatal(err)
	}
	fast := server.NewFastServer(empty, func() string { return "https://there" })
	if s.doors, err = openDoors(t.Context(), cfg, answers{api: say("api"), fast: fast, metrics: say("metrics")}, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx, func(context.Context) error { return nil }) }()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}}
	for url, want := range map[string]string{
		s.doors.url(cfg) + "/metrics":                                     "api",
		"https://" + s.doors.all[1].listener.Addr().String() + "/metrics": "all else is at https://there",
		"http://" + s.doors.all[2].listener.Addr().String() + "/metrics":  "metrics",
	} {
		resp, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if resp.Body.Close(); err != nil || !strings.Contains(string(body), want) {
			t.Errorf("%s: %q, %v; want %q", url, body, err, want)
		}
	}
	for _, door := range s.doors.all[:2] {
		if code, err := get(t.Context(), "http://"+door.listener.Addr().String()); err == nil && code != http.StatusBadRequest {
			t.Errorf("what is served over TLS is served in the open too: %d", code)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestWrongCertificateIsFoundOutAtTheStart(t *testing.T) {
	dir := t.TempDir()
	cfg := config.Config{Listen: "127.0.0.1:0", TLSCert: filepath.Join(dir, "cert.pem"), TLSKey: filepath.Join(dir, "key.pem")}
	certificate(t, cfg.TLSCert, filepath.Join(dir, "other.pem"))
	certificate(t, filepath.Join(dir, "other-cert.pem"), cfg.TLSKey)
	h := http.NotFoundHandler()
	if _, err := openDoors(t.Context(), cfg, answers{api: h, metrics: h}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a certificate with another's key was taken")
	}
}
