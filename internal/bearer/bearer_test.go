package bearer_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/posternhq/postern/internal/bearer"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/token"
)

var prefixes = token.Prefixes{token.DefaultPrefix}

func newKey(t *testing.T) string {
	t.Helper()
	s, err := token.Mint{}.New(token.ServiceAccount)
	if err != nil {
		t.Fatal(err)
	}
	return s.Reveal()
}

func TestARequestBringsOneKeyOnce(t *testing.T) {
	key, other := newKey(t), newKey(t)
	for name, c := range map[string]struct {
		authorization, apiKey []string
		want                  error // nil: key
	}{
		"bearer":                     {authorization: []string{"Bearer " + key}},
		"bearer in capitals":         {authorization: []string{"BEARER " + key}},
		"x-api-key":                  {apiKey: []string{key}},
		"nothing":                    {want: bearer.ErrNone},
		"another scheme":             {authorization: []string{"Basic " + key}, want: bearer.ErrNone},
		"no scheme":                  {authorization: []string{key}, want: bearer.ErrNone},
		"both":                       {authorization: []string{"Bearer " + key}, apiKey: []string{key}, want: bearer.ErrSeveral},
		"both, one of them empty":    {authorization: []string{"Bearer " + key}, apiKey: []string{""}, want: bearer.ErrSeveral},
		"bearer twice":               {authorization: []string{"Bearer " + key, "Bearer " + key}, want: bearer.ErrSeveral},
		"x-api-key twice":            {apiKey: []string{key, key}, want: bearer.ErrSeveral},
		"two in one header":          {authorization: []string{"Bearer " + key + ", Bearer " + other}, want: bearer.ErrSeveral},
		"two in one header, ours":    {apiKey: []string{key + "," + other}, want: bearer.ErrSeveral},
		"with a space before":        {authorization: []string{"Bearer  " + key}, want: bearer.ErrSeveral},
		"what is not a key":          {apiKey: []string{"secret"}, want: token.ErrMalformed},
		"a key with another ending":  {apiKey: []string{key[:len(key)-1]}, want: token.ErrMalformed},
		"an empty bearer":            {authorization: []string{"Bearer "}, want: token.ErrMalformed},
		"a key in another case":      {apiKey: []string{strings.ToUpper(key)}, want: token.ErrMalformed},
		"a key with what is unknown": {apiKey: []string{"other" + strings.TrimPrefix(key, "pst")}, want: token.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := bearer.Key(prefixes, c.authorization, c.apiKey)
			if !errors.Is(err, c.want) || (err == nil) != (got == token.NewSecret(key).Hash()) {
				t.Errorf("got %v, %v; want %v", got, err, c.want)
			}
		})
	}
}

func TestAddressesAreReadInOneWay(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:80": "192.0.2.1", "[2001:db8::1]:80": "2001:db8::1", "[::ffff:192.0.2.1]:80": "192.0.2.1",
		"[fe80::1%eth0]:80": "fe80::1", "@": "invalid IP", "": "invalid IP", "192.0.2.1": "invalid IP",
	} {
		if got := bearer.PeerAddress(remote).String(); got != want {
			t.Errorf("a connection from %q: got %s, want %s", remote, got, want)
		}
	}
	for list, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "198.51.100.7, 192.0.2.1": "192.0.2.1", "198.51.100.7,\t::ffff:192.0.2.1 ": "192.0.2.1",
		"192.0.2.1, unknown": "invalid IP", "192.0.2.1,": "invalid IP", "": "invalid IP",
	} {
		if got := bearer.LastAddress([]string{"203.0.113.9", list}).String(); got != want {
			t.Errorf("a list that ends with %q: got %s, want %s", list, got, want)
		}
	}
	if got := bearer.LastAddress(nil); got.IsValid() {
		t.Errorf("of no list: got %s", got)
	}
}

// What a holder hears is the same whatever is wrong with the key, unless its
// workspace wants it told.
func TestAHolderHearsNoReason(t *testing.T) {
	var bodies, challenges []string
	for _, code := range []replica.Code{replica.NotFound, replica.Revoked, replica.PrincipalInactive, replica.Paused, replica.Expired, replica.NetworkDenied} {
		v := replica.Verdict{Code: code, KeyFound: code != replica.NotFound}
		status := bearer.Status(code)
		text, err := json.Marshal(bearer.Problem(status, bearer.Told(&v), "req_1"))
		if err != nil {
			t.Fatal(err)
		}
		bodies, challenges = append(bodies, string(text)), append(challenges, bearer.Challenge(status, bearer.Told(&v)))
		v.Workspace.Reveal = true
		if want := map[bool]string{true: code.String(), false: ""}[v.KeyFound]; bearer.Told(&v) != want {
			t.Errorf("%s, where reasons are told: told %q, want %q", code, bearer.Told(&v), want)
		}
	}
	for i := range bodies {
		if bodies[i] != bodies[0] || challenges[i] != `Bearer error="invalid_token"` {
			t.Errorf("refusal %d differs: %s %s", i, challenges[i], bodies[i])
		}
	}
	if got := bearer.Challenge(bearer.Status(replica.PermissionDenied), "permission_denied"); got != `Bearer error="insufficient_scope", error_description="permission_denied"` {
		t.Errorf("a permission that is missing: %s", got)
	}
	if status := bearer.Status(replica.Code(0)); status != 401 {
		t.Errorf("a verdict that nobody filled in is %d, want 401", status)
	}
}
