package session

import (
	"net/url"
	"strings"
	"testing"
)

func TestOnlyPathsOfThisServerAreOwn(t *testing.T) {
	for text, want := range map[string]bool{
		"/": true, "/w/acme": true, "/w/acme?tab=1#keys": true, "/a//b": true, "/%2f/evil": true,
		"": false, "w": false, "//evil": false, "///evil": false, "/\\evil": false, "\\\\evil": false, "https://evil": false,
		"/\tevil": false, "/\n/evil": false, "/ evil": false, "/\u00e9": false, "/\x00": false, "javascript:x": false, "/%zz": false,
		"/" + strings.Repeat("a", longestNext-1): true, "/" + strings.Repeat("a", longestNext): false,
	} {
		if got := isOwnPath(text); got != want {
			t.Errorf("%q: %t, want %t", text, got, want)
		}
	}
}

// FuzzOwnPathStaysHere holds that no own path, read as a browser would, has a host.
func FuzzOwnPathStaysHere(f *testing.F) {
	for _, seed := range []string{"/", "//evil", "/\\evil", "/w?x=//evil#//evil", "/.//evil", "/%09/evil"} {
		f.Add(seed)
	}
	base := &url.URL{Scheme: "https", Host: "postern.internal", Path: "/"}
	f.Fuzz(func(t *testing.T, text string) {
		if !isOwnPath(text) {
			return
		}
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if at := base.ResolveReference(u); at.Host != base.Host || at.Scheme != base.Scheme || at.User != nil {
			t.Errorf("%q leads to %s", text, at)
		}
	})
}

func TestProviderIsAskedOverTLSOrOnThisMachine(t *testing.T) {
	for text, want := range map[string][2]bool{ // of a provider with TLS, and of one on this machine
		"https://sso.example/x":     {true, true},
		"http://127.0.0.1:9998/x":   {false, true},
		"http://localhost/x":        {false, true},
		"http://[::1]/x":            {false, true},
		"http://sso.example/x":      {false, false},
		"http://127.0.0.1.evil/x":   {false, false},
		"https://u:p@sso.example/x": {false, false},
		"ftp://127.0.0.1/x":         {false, false},
		"file:///etc/passwd":        {false, false},
		"/x":                        {false, false},
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]bool{guarded{plain: false}.may(u), guarded{plain: true}.may(u)}; got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func TestLogRepeatsNothingThatAProviderMadeUp(t *testing.T) {
	for text, want := range map[string]string{
		"access_denied": "access_denied", "": "that it could not", "Bearer pst_x": "that it could not", "a\nb": "that it could not",
		strings.Repeat("a", 100): strings.Repeat("a", 64),
	} {
		if got := plainCode(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
