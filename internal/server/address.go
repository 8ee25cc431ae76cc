package server

import (
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

// isClean reports whether the path is written in the one way that names it. Mux
// would redirect the others, and whoever stands in front might read them
// differently.
func isClean(u *url.URL) bool {
	p := u.EscapedPath()
	clean := path.Clean(p)
	return (p == clean || p == clean+"/") && !strings.ContainsAny(p, ";\\")
}

// secretNames are parameters in which other systems take keys. Here a key in a
// URL is refused, whatever it is called: URLs end up in logs and histories.
var secretNames = []string{"api_key", "apikey", "access_token", "key", "token"}

// checkURL refuses addresses that hold a secret or can be read in two ways.
func checkURL(u *url.URL) error {
	if token.LooksSecret(u.Path) || token.LooksSecret(u.RawQuery) {
		return errSecretInURL
	}
	if strings.ContainsFunc(u.Path, isUnfit) {
		return iam.Errorf(iam.InvalidRequest, "the address has a character that nothing here has in its name")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return iam.Errorf(iam.InvalidRequest, "the query of the address is not well formed")
	}
	for name, values := range query {
		if err := checkParameter(name, values); err != nil {
			return err
		}
	}
	return nil
}

func checkParameter(name string, values []string) error {
	isSecret := slices.Contains(secretNames, strings.ToLower(name)) || token.LooksSecret(name) || slices.ContainsFunc(values, token.LooksSecret)
	switch {
	case isSecret:
		return errSecretInURL
	case len(values) > 1:
		return badParameter(name, "duplicate", "is there twice")
	case strings.ContainsFunc(name+values[0], isUnfit):
		return badParameter(name, "control_character", "has a control character or is not valid UTF-8")
	}
	return nil
}

func badParameter(name, code, detail string) error {
	return &iam.Error{
		Kind: iam.InvalidRequest, Reason: "a parameter " + detail,
		Fields: []iam.Field{{Pointer: echo(name), Code: code, Detail: detail}},
	}
}

// isUnfit reports whether a character has no business in an address: controls,
// and what is left of text that is not UTF-8.
func isUnfit(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }

var errSecretInURL = iam.Errorf(iam.InvalidRequest,
	"secrets do not belong into an address, where logs keep them: send the key as Authorization: Bearer, and replace it if this was a real one")
