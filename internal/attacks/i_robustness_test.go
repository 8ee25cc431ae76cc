package attacks_test

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
)

var robustnessAttacks = map[string]func(*testing.T, *world){
	"I01": bodiesThatCostTooMuch,
	"I02": noiseAtTheOpenDoors,
	"I06": batchesThatAreTooLong,
}

func bodiesThatCostTooMuch(t *testing.T, w *world) {
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	members := func(n int) string {
		var b strings.Builder
		b.WriteString(`{"name":"x"`)
		for i := range n {
			b.WriteString(`,"m` + itoa(i) + `":0`)
		}
		return b.String() + "}"
	}
	for name, hostile := range map[string]struct {
		body   string
		status []int
	}{
		"deep":              {`{"metadata":` + nested(100_000) + `}`, []int{400}},
		"a little too deep": {`{"metadata":` + nested(33) + `}`, []int{400}},
		"deep objects":      {strings.Repeat(`{"a":`, 1000) + "1" + strings.Repeat("}", 1000), []int{400}},
		"wide":              {members(100_000), []int{400, 413, 422}},
		"twice":             {`{"name":"a","name":"b","role":"viewer"}`, []int{400}},
		"twice, escaped":    {`{"name":"a","na\u006de":"b","role":"viewer"}`, []int{400}},
		"twice, below":      {`{"name":"a","role":"viewer","metadata":{"k":"1","k":"2"}}`, []int{400}},
		"a huge number":     {`{"name":1e308,"role":"viewer"}`, []int{400, 422}},
		"more digits":       {`{"name":` + strings.Repeat("9", 10_000) + `,"role":"viewer"}`, []int{400, 422}},
		"not UTF-8":         {"{\"name\":\"a\xff\",\"role\":\"viewer\"}", []int{400}},
		"half a surrogate":  {`{"name":"a\ud800","role":"viewer"}`, []int{400}},
		"too large":         {`{"name":"` + strings.Repeat("x", 2<<20) + `","role":"viewer"}`, []int{413}},
		"two values":        {`{"name":"a","role":"viewer"}{}`, []int{400}},
		"a comment":         {`{"name":"a"/*x*/,"role":"viewer"}`, []int{400}},
		"a trailing comma":  {`{"name":"a","role":"viewer",}`, []int{400}},
		"not JSON":          {`name=a&role=viewer`, []int{400}},
		"no body":           {``, []int{400, 422}},
		"null":              {`null`, []int{400, 422}},
		"a list":            {`[]`, []int{400, 422}},
	} {
		for _, path := range []string{in("-", "service_accounts"), "/v1/verify", "/v1/verify/batch", "/v1/invitations/accept"} {
			a := w.call("POST", path, w.owner, hostile.body)
			if !contains(hostile.status, a.status) && (a.status < 400 || a.status > 422) {
				t.Errorf("%s, %s: %d %.200s", path, name, a.status, a.text)
			}
			if path == in("-", "service_accounts") && !contains(hostile.status, a.status) {
				t.Errorf("%s, %s: %d %.200s, want one of %v", path, name, a.status, a.text, hostile.status)
			}
		}
	}
	w.wants(w.call("GET", in("-", "service_accounts/a"), w.owner, nil), http.StatusNotFound, "not_found")
}

func contains(all []int, n int) bool {
	for _, m := range all {
		if m == n {
			return true
		}
	}
	return false
}

// noiseAtTheOpenDoors sends what is nearly right, and what is nothing, to what
// answers without a credential. The fuzz tests of package server go on from here.
func noiseAtTheOpenDoors(t *testing.T, w *world) {
	random := rand.New(rand.NewPCG(1, 2))
	seeds := []string{`{"token":"inv_x","name":"Jo","key":{"name":"a"}}`, `{"key":"pst_sa_x","permissions":["a:b"]}`, `{}`, `[]`, `"`, "\x00\x01", `{"items":[{}]}`}
	paths := []string{"/v1/invitations/accept", "/v1/verify", "/v1/verify/batch", "/v1/whoami", "/healthz", "/readyz", "/v1/openapi.json", "/docs/errors/", "/docs/errors/x", "/metrics", "/"}
	methods := []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "X"}
	const rounds = 3000
	for range rounds {
		text := []byte(seeds[random.IntN(len(seeds))])
		for range random.IntN(4) {
			if len(text) > 0 {
				text[random.IntN(len(text))] = byte(random.UintN(256))
			}
		}
		path := paths[random.IntN(len(paths))]
		if random.IntN(4) == 0 {
			path += "?" + []string{"cursor=%ff", "limit=1", "a=b&a=c", "%00=1", "="}[random.IntN(5)]
		}
		a := w.call(methods[random.IntN(len(methods))], path, "", string(text), "Idempotency-Key", "k", "Content-Type", "application/json")
		if a.status >= 500 {
			t.Fatalf("%s with %q: %d %s", a.call, text, a.status, a.text)
		}
	}
	if strings.Contains(w.said.text(), "panic") {
		t.Errorf("the log speaks of a panic: %s", w.said.text()[strings.Index(w.said.text(), "panic"):][:200])
	}
}

func batchesThatAreTooLong(t *testing.T, w *world) {
	value := w.keyOf("-", w.owner, w.account("-", w.owner, "bot", "operator"))
	items := func(n int) body {
		all := make([]body, n)
		for i := range all {
			all[i] = body{"key": value, "workspace": "any"}
		}
		return body{"items": all}
	}
	full := w.must("POST", "/v1/verify/batch", w.prober, items(1000))
	if n := len(full.body["results"].([]any)); n != 1000 {
		t.Errorf("1000 items have %d results", n)
	}
	a := w.call("POST", "/v1/verify/batch", w.prober, items(1001))
	w.wants(a, http.StatusRequestEntityTooLarge, "too_large")
	if a.body["results"] != nil {
		t.Error("a batch that is too long has results")
	}
	for i := range 55 {
		w.account("-", w.owner, "many-"+itoa(i), "viewer")
	}
	page := w.must("GET", in("-", "service_accounts"), w.owner, nil)
	if len(page.items()) != 50 || page.at("has_more") != true || page.str("next_cursor") == "" {
		t.Errorf("a list that goes on has %d items, has_more %v", len(page.items()), page.at("has_more"))
	}
}
