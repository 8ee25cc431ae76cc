package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/posternhq/postern/internal/config"
	"github.com/posternhq/postern/internal/gateway"
	"github.com/posternhq/postern/internal/server"
)

// Limits on how long a connection may take; exports and streams lift those that they
// outlast.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 2 * time.Minute // a call may wait 90 s for its confirmations
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 32 << 10
)

// serving is what serves a listener: [http.Server] does, and gateway.Server.
type serving interface {
	Serve(l net.Listener) error // returns http.ErrServerClosed once it is told to stop
	Shutdown(ctx context.Context) error
	Close() error
}

// overTLS is a server that speaks TLS, with its own configuration.
type overTLS struct{ *http.Server }

// Serve implements [serving].
func (s overTLS) Serve(l net.Listener) error { return s.ServeTLS(l, "", "") }

// door is one listener and what answers there.
type door struct {
	listener net.Listener
	server   serving
}

// fastOverTLS is a fast server that speaks TLS.
type fastOverTLS struct {
	*server.FastServer
	config *tls.Config
}

// Serve implements [serving].
func (s fastOverTLS) Serve(l net.Listener) error {
	return s.FastServer.Serve(tls.NewListener(l, s.config))
}

// answers is what is served, and where settings say so.
type answers struct {
	api, metrics http.Handler
	fast         *server.FastServer // nil: nobody asks there
	gateway      *gateway.Server    // nil: no proxy asks
}

// doors is all that a server listens on.
type doors struct {
	all  []door
	main int // how many of them serve the API; they come first
}

// openDoors listens where the settings say. What it could not open, it closes.
func openDoors(ctx context.Context, cfg config.Config, a answers, log *slog.Logger) (_ *doors, err error) {
	secure, err := tlsConfig(cfg)
	if err != nil {
		return nil, err
	}
	d := new(doors)
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close(ctx))
		}
	}()
	main := newHTTPServer(a.api, secure, log)
	if secure != nil {
		err = d.open(ctx, cfg.Listen, overTLS{main})
	} else {
		err = d.open(ctx, cfg.Listen, main)
	}
	if err != nil {
		return nil, err
	}
	d.main = len(d.all)
	if err := d.openFast(ctx, cfg, secure, a.fast); err != nil {
		return nil, err
	}
	if cfg.MetricsListen != "" {
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", a.metrics)
		if err := d.open(ctx, cfg.MetricsListen, newHTTPServer(mux, nil, log)); err != nil {
			return nil, err
		}
	}
	if err := d.openGateway(ctx, cfg, a.gateway); err != nil {
		return nil, err
	}
	return d, nil
}

// openFast listens where verifications alone are answered, if they are.
func (d *doors) openFast(ctx context.Context, cfg config.Config, secure *tls.Config, fast *server.FastServer) error {
	switch {
	case fast == nil:
		return nil
	case secure == nil:
		return d.open(ctx, cfg.FastListen, fast)
	}
	secure = secure.Clone()
	secure.NextProtos = []string{"http/1.1"}
	return d.open(ctx, cfg.FastListen, fastOverTLS{fast, secure})
}

// openGateway listens where proxies ask, if they do.
func (d *doors) openGateway(ctx context.Context, cfg config.Config, gate *gateway.Server) error {
	if gate == nil {
		return nil
	}
	path, isSocket := cfg.GatewaySocket()
	if !isSocket {
		return d.open(ctx, cfg.GatewayListen, gate)
	}
	listener, err := gateway.ListenUnix(ctx, path)
	if err != nil {
		return err
	}
	d.all = append(d.all, door{listener, gate})
	return nil
}

func newHTTPServer(h http.Handler, secure *tls.Config, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h, TLSConfig: secure, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
	}
}

// tlsConfig reads the certificate, so that a wrong one is found out at the start.
func tlsConfig(cfg config.Config) (*tls.Config, error) {
	if cfg.TLSCert == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(cfg.TLSCert, cfg.TLSKey)
	if err != nil {
		return nil, usagef("tls.cert and tls.key: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

// open listens on an address; localhost is 127.0.0.1 and, where there is one, ::1.
func (d *doors) open(ctx context.Context, address string, server serving) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return usagef("%s is not an address", safe(address))
	}
	hosts := []string{host}
	if host == "localhost" {
		hosts = []string{"127.0.0.1", "::1"}
	}
	for i, host := range hosts {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, port))
		if i > 0 && isAbsent(err) {
			continue // this machine has no such address
		}
		if err != nil {
			return fmt.Errorf("listen on %s: %w", address, err)
		}
		_, port, _ = net.SplitHostPort(listener.Addr().String()) // the one that was free, for the others too
		d.all = append(d.all, door{listener, server})
	}
	return nil
}

func isAbsent(err error) bool {
	return errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EPROTONOSUPPORT)
}

// serve answers until the door is closed.
func (d door) serve() error {
	if err := d.server.Serve(d.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// close lets what is under way come to its end, for as long as there is grace.
func (d *doors) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	var failed error
	for _, door := range d.all {
		err := door.server.Shutdown(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			err = errors.Join(fmt.Errorf("what was still under way after %s is broken off", grace), door.server.Close())
		}
		if closed := door.listener.Close(); !errors.Is(closed, net.ErrClosed) {
			err = errors.Join(err, closed) // one that was never served on
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

// addresses returns where the API is served.
func (d *doors) addresses() (all []string) {
	for _, door := range d.all[:d.main] {
		all = append(all, door.listener.Addr().String())
	}
	return all
}

// url returns where users reach the API: as set, or where it listens.
func (d *doors) url(cfg config.Config) string {
	_, port, _ := net.SplitHostPort(d.addresses()[0]) // the one that was free, if any would do
	return urlAt(cfg, port)
}

// publicURL returns where users reach a server with these settings, which listens on
// the port that they name.
func publicURL(cfg config.Config) string {
	_, port, _ := net.SplitHostPort(cfg.Listen) // it has been judged
	return urlAt(cfg, port)
}

func urlAt(cfg config.Config, port string) string {
	if cfg.PublicURL != "" {
		return strings.TrimRight(cfg.PublicURL, "/")
	}
	scheme := "http://"
	if cfg.TLSCert != "" {
		scheme = "https://"
	}
	host, _, _ := net.SplitHostPort(cfg.Listen)          // it has been judged
	if host == "" || net.ParseIP(host).IsUnspecified() { // every address, this machine's own too
		host = "localhost"
	}
	return scheme + net.JoinHostPort(host, port)
}
