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
	"testing"
	"time"

	"github.com/posternhq/postern/internal/config"
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

func TestServesTLSAndMetricsApart(t *testing.T) {
	dir := t.TempDir()
	cfg := config.Config{
		Listen: "127.0.0.1:0", MetricsListen: "127.0.0.1:0",
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
	if s.doors, err = openDoors(t.Context(), cfg, answers{api: say("api"), metrics: say("metrics")}, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx, func(context.Context) error { return nil }) }()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}}
	for url, want := range map[string]string{
		s.doors.url(cfg) + "/metrics":                                    "api",
		"http://" + s.doors.all[1].listener.Addr().String() + "/metrics": "metrics",
	} {
		resp, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if resp.Body.Close(); err != nil || string(body) != want {
			t.Errorf("%s: %q, %v; want %q", url, body, err, want)
		}
	}
	if code, err := get(t.Context(), "http://"+s.doors.addresses()[0]); err == nil && code == http.StatusOK {
		t.Error("the API is served in the open too")
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
