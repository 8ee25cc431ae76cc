// Package config reads the settings of a server. A setting has one name in three
// forms: the flag --store-url, the variable POSTERN_STORE_URL and, in a TOML
// file, store.url. A flag wins over the environment, which wins over the file.
//
// What nobody knows is an error, wherever it stands: a setting that is misspelt
// must not be one that is ignored.
package config

import (
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Config is every setting of a server. The tags are where the flags, the
// variables and docs/reference/configuration.md come from.
type Config struct {
	Listen        string `setting:"listen" default:"localhost:7070" doc:"Address to serve the API on. Any but a loopback address needs tls.cert and tls.key, or behind-proxy."`
	TLSCert       string `setting:"tls.cert" doc:"File with the certificate, in PEM form, that the API is served with."`
	TLSKey        string `setting:"tls.key" doc:"File with the private key of tls.cert, in PEM form."`
	BehindProxy   bool   `setting:"behind-proxy" default:"false" doc:"A proxy in front encrypts, and appends its peer's address to X-Forwarded-For. Then listening beyond loopback without tls.cert is allowed, and that address, the last of the header, is taken for the caller's."`
	PublicURL     string `setting:"public-url" doc:"URL under which users reach this server, such as https://postern.internal. Empty: where it listens."`
	MetricsListen string `setting:"metrics.listen" doc:"Address to serve /metrics on, without authentication. Empty: only on the main address, with iam.nodes:read."`

	FastListen string `setting:"fast.listen" doc:"Address to answer POST /v1/verify and /v1/verify/batch on too, and nothing else, for less of a processor than listen takes; with tls.cert, as listen. X-Forwarded-For is not believed there. Any but a loopback address needs what listen needs. Empty: nowhere."`

	GatewayListen    string `setting:"gateway.listen" doc:"Where proxies ask about requests, at /v1/authorize or, for Envoy, over gRPC, without a credential of their own: a loopback address such as 127.0.0.1:7071, or unix:PATH, which only this user and group can connect to. Empty: nowhere. See docs/gateways.md."`
	GatewayWorkspace string `setting:"gateway.workspace" doc:"Workspace whose keys proxies have accepted that name none: id or slug. Empty: the system workspace."`

	StoreURL   string `setting:"store.url" default:"sqlite:postern.db" doc:"Where everything is kept: sqlite:PATH or postgres://…"`
	SecretFile string `setting:"secret-file" doc:"File with the root secret, which is not in the store. Empty: beside the SQLite file, ending in .secret. PostgreSQL needs one named."`
	NodeName   string `setting:"node-name" doc:"Name of this node in receipts and audit events. Empty: the machine's name."`

	LeaseTTL    string `setting:"lease.ttl" default:"5s" doc:"For how long after it last reached PostgreSQL this node counts as answering, 1s to 60s. Longer: it survives a longer outage. Shorter: changes wait less for a node that died."`
	Consistency string `setting:"consistency" default:"strict" doc:"strict, or bounded(30s) to go on for so much longer without PostgreSQL, with the keys that are known. Receipts then name this node."`
	Durability  string `setting:"durability" default:"required" doc:"required refuses a PostgreSQL whose failure could undo what it confirmed; local goes on with it, and receipts say so."`

	KeyPrefix      string   `setting:"key.prefix" default:"pst" doc:"How new keys begin: a lower-case letter, then 1 to 10 lower-case letters or digits."`
	FormerPrefixes []string `setting:"key.former-prefixes" doc:"Earlier prefixes, whose keys still work. A list."`

	OIDCIssuer           string   `setting:"oidc.issuer" doc:"Provider of OpenID Connect that members sign in with, as it writes itself in its tokens, such as https://sso.example.com. Needs public-url: the provider sends browsers back to PUBLIC-URL/v1/oidc/callback. Empty: no single sign-on. See docs/single-sign-on.md."`
	OIDCClientID         string   `setting:"oidc.client-id" doc:"What the provider calls this server."`
	OIDCClientSecretFile string   `setting:"oidc.client-secret-file" doc:"File with the secret that the provider knows this server by."`
	OIDCName             string   `setting:"oidc.name" default:"single sign-on" doc:"What people call the provider: the sign-in page says it."`
	OIDCEmailDomains     []string `setting:"oidc.email-domains" doc:"Domains of the addresses that the provider's word counts for, when it names a member for the first time. A list. Empty: all."`

	SMTPAddress      string `setting:"smtp.address" doc:"Host and port of the server that invitations are mailed through, such as smtp.example.com:587. Empty: nothing is mailed, and whoever invites copies the link."`
	SMTPFrom         string `setting:"smtp.from" doc:"Address that mail comes from."`
	SMTPUsername     string `setting:"smtp.username" doc:"Name to sign in to smtp.address with. Empty: nobody signs in."`
	SMTPPasswordFile string `setting:"smtp.password-file" doc:"File with the password of smtp.username."`
	SMTPTLS          string `setting:"smtp.tls" default:"starttls" doc:"How mail is encrypted on its way to smtp.address: starttls, tls from the beginning, or none, which is for a server on this machine."`

	LogLevel  string `setting:"log.level" default:"info" doc:"What is logged: debug, info, warn or error."`
	LogFormat string `setting:"log.format" default:"auto" doc:"How: text, json, or auto for text on a terminal and JSON elsewhere."`
}

// clientVariables are the variables that the command line reads besides
// settings, and what each is for.
var clientVariables = []Setting{
	{Env: "POSTERN_SERVER", Doc: "URL of the server that commands speak to."},
	{Env: "POSTERN_WORKSPACE", Doc: "Workspace that commands work on: id or slug."},
	{Env: "POSTERN_CONTEXT", Doc: "Stored context that commands use."},
	{Env: "POSTERN_KEY", Doc: "Key that commands sign in with."},
	{Env: "POSTERN_KEY_FILE", Doc: "File that holds that key."},
	{Env: "POSTERN_CONFIG", Doc: "File with settings, as --config names it."},
}

// Validate returns an error that names every setting that makes no sense.
// What other packages judge, such as the prefix of keys, it leaves to them.
func (c Config) Validate() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	host, _, err := net.SplitHostPort(c.Listen)
	switch {
	case err != nil:
		add("listen: %q is not an address such as localhost:7070", c.Listen)
	case !IsLoopback(host) && c.TLSCert == "" && !c.BehindProxy:
		add("listen: %s can be reached from other machines, where keys would travel in the open: "+
			"add --tls-cert and --tls-key, or --behind-proxy when a proxy in front encrypts", c.Listen)
	}
	if err := c.checkFast(); err != nil {
		errs = append(errs, err)
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		add("tls.cert and tls.key: give both or none")
	}
	if _, _, err := net.SplitHostPort(c.MetricsListen); err != nil && c.MetricsListen != "" {
		add("metrics.listen: %q is not an address such as localhost:9090", c.MetricsListen)
	}
	if err := c.checkGateway(); err != nil {
		errs = append(errs, err)
	}
	if u, err := url.Parse(c.PublicURL); c.PublicURL != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil) {
		add("public-url: not a URL such as https://postern.internal")
	}
	if _, isFile := c.SQLitePath(); !isFile && !c.Postgres() {
		add("store.url: write sqlite:PATH or postgres://…")
	}
	if c.Postgres() && c.SecretFile == "" {
		add("secret-file: with PostgreSQL it must be named: --secret-file FILE")
	}
	if _, err := c.Lease(); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, c.checkMail())
	if !slices.Contains([]string{"required", "local"}, c.Durability) {
		add("durability: write required or local")
	}
	errs = append(errs, c.validateOIDC()...)
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.LogLevel) {
		add("log.level: write debug, info, warn or error")
	}
	if !slices.Contains([]string{"auto", "text", "json"}, c.LogFormat) {
		add("log.format: write auto, text or json")
	}
	return errors.Join(errs...)
}

// checkFast says what is wrong with where verifications alone are answered.
func (c Config) checkFast() error {
	host, port, err := net.SplitHostPort(c.FastListen)
	_, mainPort, _ := net.SplitHostPort(c.Listen) // it is judged by itself
	switch {
	case c.FastListen == "":
		return nil
	case err != nil:
		return fmt.Errorf("fast.listen: %q is not an address such as localhost:7072", c.FastListen)
	case !IsLoopback(host) && c.TLSCert == "" && !c.BehindProxy:
		return fmt.Errorf("fast.listen: %s can be reached from other machines, where keys would travel in the open: "+
			"add --tls-cert and --tls-key, or --behind-proxy when a proxy in front encrypts", c.FastListen)
	case port == mainPort && port != "0":
		return fmt.Errorf("fast.listen: the port %s is that of listen; write another one", port)
	}
	return nil
}

// checkGateway says what is wrong with where proxies ask.
func (c Config) checkGateway() error {
	if path, ok := c.GatewaySocket(); ok {
		if path == "" || path[0] == '@' {
			return errors.New("gateway.listen: write unix: and the path of a socket, which is a file")
		}
		return nil
	}
	host, _, err := net.SplitHostPort(c.GatewayListen)
	switch {
	case c.GatewayListen == "" && c.GatewayWorkspace != "":
		return errors.New("gateway.workspace: there is no gateway.listen that it would be for")
	case c.GatewayListen == "":
		return nil
	case err != nil:
		return fmt.Errorf("gateway.listen: %q is not an address such as 127.0.0.1:7071 or unix:/run/postern/gateway.sock", c.GatewayListen)
	case !IsLoopback(host):
		return fmt.Errorf("gateway.listen: %s can be reached from other machines, and whoever reaches it may ask about any key: "+
			"write a loopback address, or unix:PATH, and run a server beside the proxy", c.GatewayListen)
	}
	return nil
}

// GatewaySocket returns the path of the Unix socket that proxies ask at, if it is one.
func (c Config) GatewaySocket() (path string, ok bool) {
	return strings.CutPrefix(c.GatewayListen, "unix:")
}

// checkMail says what is wrong with the settings of mail.
func (c Config) checkMail() error {
	host, _, err := net.SplitHostPort(c.SMTPAddress)
	from, unreadable := mail.ParseAddress(c.SMTPFrom)
	switch {
	case c.SMTPAddress == "":
		return nil
	case err != nil:
		return fmt.Errorf("smtp.address: %q is not an address such as smtp.example.com:587", c.SMTPAddress)
	case unreadable != nil || from.Address == "":
		return errors.New("smtp.from: write the address that mail comes from, such as postern@example.com")
	case !slices.Contains([]string{"starttls", "tls", "none"}, c.SMTPTLS):
		return errors.New("smtp.tls: write starttls, tls or none")
	case c.SMTPTLS == "none" && !IsLoopback(host):
		return errors.New("smtp.tls: none would send invitations in the open: it is for a server on this machine")
	case (c.SMTPUsername == "") != (c.SMTPPasswordFile == ""):
		return errors.New("smtp.username and smtp.password-file: give both or none")
	}
	return nil
}

// Lease is how long a node may answer after it last reached the database.
type Lease struct {
	TTL     time.Duration
	Bounded time.Duration // and for how much longer with the keys that are known; 0: not at all
}

// The least and the greatest TTL of a lease.
const (
	minTTL = time.Second
	maxTTL = time.Minute
)

// Lease returns what lease.ttl and consistency say.
func (c Config) Lease() (l Lease, err error) {
	var errs []error
	if l.TTL, err = time.ParseDuration(c.LeaseTTL); err != nil || l.TTL < minTTL || l.TTL > maxTTL {
		errs = append(errs, fmt.Errorf("lease.ttl: write a time from %v to %v, such as 5s", minTTL, maxTTL))
	}
	if c.Consistency != "strict" {
		text, ok := strings.CutPrefix(strings.TrimSuffix(c.Consistency, ")"), "bounded(")
		l.Bounded, err = time.ParseDuration(text)
		if !ok || !strings.HasSuffix(c.Consistency, ")") || err != nil || l.Bounded < minTTL {
			errs = append(errs, errors.New("consistency: write strict, or bounded(30s) with a time of at least 1s"))
		}
	}
	return l, errors.Join(errs...)
}

// IsLoopback reports whether a host can be reached from this machine only.
func IsLoopback(host string) bool { return host == "localhost" || net.ParseIP(host).IsLoopback() }

// SQLitePath returns the file of an SQLite store.
func (c Config) SQLitePath() (path string, ok bool) {
	path, ok = strings.CutPrefix(c.StoreURL, "sqlite:")
	return path, ok && path != ""
}

// Postgres reports whether the store is a PostgreSQL server.
func (c Config) Postgres() bool {
	return strings.HasPrefix(c.StoreURL, "postgres://") || strings.HasPrefix(c.StoreURL, "postgresql://")
}

// SecretPath returns the file of the root secret: as set, or beside the SQLite
// file.
func (c Config) SecretPath() string {
	if path, ok := c.SQLitePath(); ok && c.SecretFile == "" {
		return strings.TrimSuffix(path, ".db") + ".secret"
	}
	return c.SecretFile
}

// MaskURL returns a URL without the password in it. What it cannot read, it
// hides as a whole.
func MaskURL(text string) string {
	if strings.HasPrefix(text, "sqlite:") || text == "" {
		return text
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" {
		return hidden
	}
	query := u.Query()
	for name := range query {
		if strings.Contains(strings.ToLower(name), "password") {
			query.Set(name, hidden)
		}
	}
	u.RawQuery = query.Encode()
	return u.Redacted()
}

const hidden = "xxxxx" // what [url.URL.Redacted] writes
