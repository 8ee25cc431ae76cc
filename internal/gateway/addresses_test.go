package gateway_test

import (
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"
)

// routes returns everything that some service takes an address for: as it is
// written, decoded once and twice, in lower case, with dot segments resolved, with
// backslashes for slashes, and without what follows a semicolon.
func routes(uri string) []string {
	p, _, _ := strings.Cut(uri, "?")
	p, _, _ = strings.Cut(p, "#")
	if _, rest, ok := strings.Cut(p, "://"); ok {
		_, p, _ = strings.Cut(rest, "/")
		p = "/" + p
	}
	all := []string{p}
	for range 2 {
		if decoded, err := url.PathUnescape(p); err == nil {
			all = append(all, decoded)
			p = decoded
		}
	}
	for _, one := range all {
		slashed := strings.ReplaceAll(one, `\`, "/")
		segments := strings.Split(slashed, "/")
		for i := range segments {
			segments[i], _, _ = strings.Cut(segments[i], ";")
		}
		all = append(all, path.Clean(one), path.Clean(slashed), path.Clean(strings.Join(segments, "/")))
	}
	return all
}

// tricks are addresses that proxies and services were found to read differently.
var tricks = []string{
	"/tickets", "/tickets/", "/tickets/7", "/tickets?x=/healthz", "/reports?/tickets", "/reports?x=/healthz", "/healthz?x=/tickets", "/healthz", "/", "/reports",
	"//tickets", "/tickets//7", "//reports", "/tickets/../reports", "/tickets/..", "/tickets/./../reports", "/tickets/%2e%2e/reports", "/tickets/.%2e/reports",
	"/tickets/..%2freports", "/tickets%2f..%2freports", "/tickets%2F..%2Freports", "/tickets/..%5creports", `/tickets/..\reports`, "/tickets/%252e%252e/reports", "/tickets/%252e%252e%252freports",
	"/tickets/..;/reports", "/tickets;/../reports", "/reports;/tickets", "/tickets/;x=/../reports", "/tickets/%3b/../reports", "/reports%3b/../tickets", "/reports;x",
	"/healthz/../reports", "/healthz/..%2freports", "/healthz;/reports", "/reports/../healthz", "/reports/..;/healthz", "/reports#/healthz", "/reports%23/../healthz", "/reports%3f/../healthz", "/healthz#/../reports", "/healthz%3f/../reports", "/healthz%00", "/healthz%00/reports", "/healthz%0a", "/healthz/", "/healthz/reports", "/healthz%2freports", "/healthz..",
	"/%74ickets", "/%72eports", "/Tickets", "/REPORTS", "/TICKETS/7", "/Healthz", "/tickets%20", "/tickets./../reports", "/tickets/%c0%ae%c0%ae/reports", "/tickets/%c0%af../reports", "/tickets/%e0%80%ae%e0%80%ae/reports", "/tickets\xc0\xaf", "/tickets/\x7f",
	"http://app.example/reports", "http://app.example/tickets/../reports", "http://app.example/healthz", "http://evil.example/healthz/../reports", "http:reports", "reports", "tickets/../reports", "*", "", "/tickets/...", "/.../tickets", "/./reports", "/.", "/..", "/tickets/.", "/reports/.;/../healthz",
}

// everyAddressIsReadInOneWay sends each of them without a key, and with one that
// is good for tickets alone. Whatever reaches the service must be, however the
// service reads it, what the proxy asked Postern about.
func everyAddressIsReadInOneWay(t *testing.T, w *world, p *proxy) {
	b := w.bot("tickets:read")
	passed := map[string]bool{}
	for _, target := range tricks {
		if got := p.get(t, target); got.reached {
			passed[target] = true
			if got.service.Path != "/healthz" || !only(got.service.URI, func(route string) bool { return route == "/healthz" }) {
				t.Errorf("%q without a key reached the service as %q", target, got.service.URI)
			}
		}
		got := p.get(t, target, bearerLine(b))
		if !got.reached {
			if got.status < 400 && got.status != 0 && got.status/100 != 3 || got.status >= 500 {
				t.Errorf("%q: got %d, want a refusal", target, got.status)
			}
			continue
		}
		passed[target] = true
		if got.status == http.StatusOK && !only(got.service.URI, func(route string) bool {
			return route == "/healthz" || strings.HasPrefix(route, "/tickets")
		}) {
			t.Errorf("%q with a key for tickets reached the service as %q", target, got.service.URI)
		}
	}
	for _, plain := range []string{"/tickets", "/tickets/", "/tickets/7", "/tickets?x=/healthz", "/healthz", "/healthz?x=/tickets"} {
		if !passed[plain] {
			t.Errorf("%q did not reach the service", plain)
		}
	}
}

// only reports whether all that a service can take an address for is good.
func only(uri string, good func(route string) bool) bool {
	for _, route := range routes(uri) {
		if !good(route) {
			return false
		}
	}
	return true
}
