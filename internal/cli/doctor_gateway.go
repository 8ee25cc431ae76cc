package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/posternhq/postern/internal/config"
	"github.com/posternhq/postern/internal/gateway"
)

const gatewayCheck = "gateway"

// examineGateway asks, as a proxy would and without a key, where proxies ask.
func examineGateway(ctx context.Context, cfg config.Config) finding {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	path, isSocket := cfg.GatewaySocket()
	if isSocket {
		if err := examineSocket(path); err != nil {
			return bad(gatewayCheck, err)
		}
	}
	transport := &http.Transport{DisableKeepAlives: true, Proxy: nil, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		if isSocket {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
		return new(net.Dialer).DialContext(ctx, "tcp", cfg.GatewayListen)
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://gateway"+gateway.Path+"?permission=none", nil)
	if err != nil {
		return bad(gatewayCheck, err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return bad(gatewayCheck, fmt.Errorf("nobody answers proxies at %s: %w", cfg.GatewayListen, err))
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		return good(gatewayCheck, "it answers proxies at "+cfg.GatewayListen)
	case http.StatusServiceUnavailable:
		return bad(gatewayCheck, errors.New("it answers proxies that it cannot know; the server's log says why"))
	case http.StatusInternalServerError:
		return bad(gatewayCheck, errors.New("it knows no workspace whose keys it would accept: see gateway.workspace, and on an empty store postern init"))
	}
	return bad(gatewayCheck, fmt.Errorf("what listens at %s is no gateway: it says %d to who has no key, not 401", cfg.GatewayListen, resp.StatusCode))
}

// examineSocket looks at who may ask there.
func examineSocket(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return fmt.Errorf("%w: is the server running?", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is not a socket", path)
	case info.Mode().Perm()&0o007 != 0:
		return fmt.Errorf("everybody on this machine can ask at %s: chmod 660 %s", path, path)
	}
	return nil
}
