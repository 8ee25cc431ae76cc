package attacks_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
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
		"a little too deep": {`{"metadata":` + nested(32) + `}`, []int{400}},
		"as deep as may be": {`{"name":"a","role":"viewer","metadata":` + nested(31) + `}`, []int{422}}, // it is read, and no metadata
		"deep objects":      {strings.Repeat(`{"a":`, 1000) + "1" + strings.Repeat("}", 1000), []int{400}},
		"wide":              {members(100_000), []int{400, 413, 422}},
		"twice":             {`{"name":"a","name":"b","role":"viewer"}`, []int{400}},
		"twice, escaped":    {`{"name":"a","na\u006de":"b","role":"viewer"}`, []int{400}},
		"twice, below":      {`{"name":"a","role":"viewer","metadata":{"k":"1","k":"2"}}`, []int{400}},
		"a huge number":     {`{"name":1e308,"role":"viewer"}`, []int{400, 422}},
		"more digits":       {`{"name":` + strings.Repeat("9", 10_000) + `,"role":"viewer"}`, []int{400, 422}},
		"not UTF-8":         {"{\"name\":\"a\xff\",\"role\":\"viewer\"}", []int{400}},
		"half a surrogate":  {`{"name":"a\ud800","role":"viewer"}`, []int{400}},
		"too large":         {`{"name":"` + strings.Repeat("x", 1<<20) + `","role":"viewer"}`, []int{413}},
		"much too large":    {`{"name":"` + strings.Repeat("x", 100<<20) + `","role":"viewer"}`, []int{413}},
		"two values":        {`{"name":"a","role":"viewer"}{}`, []int{400}},
		"a comment":         {`{"name":"a"/*x*/,"role":"viewer"}`, []int{400}},
		"a trailing comma":  {`{"name":"a","role":"viewer",}`, []int{400}},
		"not JSON":          {`name=a&role=viewer`, []int{400}},
		"no body":           {``, []int{400, 422}},
		"null":              {`null`, []int{400, 422}},
		"a list":            {`[]`, []int{400, 422}},
	} {
		for _, path := range []string{in("-", "service_accounts"), "/v1/verify", "/v1/verify/batch", "/v1/invitations/accept"} {
			began := time.Now()
			a := w.call("POST", path, w.owner, hostile.body)
			if took := time.Since(began); took > time.Second { // it takes less than 10 ms; machines that do much besides are slower
				t.Errorf("%s, %s: the answer took %v", path, name, took)
			}
			if !contains(hostile.status, a.status) && (a.status < 400 || a.status > 422) {
				t.Errorf("%s, %s: %d %.200s", path, name, a.status, a.text)
			}
			if path == in("-", "service_accounts") && !contains(hostile.status, a.status) {
				t.Errorf("%s, %s: %d %.200s, want one of %v", path, name, a.status, a.text, hostile.status)
			}
		}
	}
	w.bodiesOfTwoMeanings()
	w.wants(w.call("GET", in("-", "service_accounts/a"), w.owner, nil), http.StatusNotFound, "not_found")
}

// bodiesOfTwoMeanings are good ones with something that readers of JSON do not
// agree about, for each of the ways in which bodies are read.
func (w *world) bodiesOfTwoMeanings() {
	w.t.Helper()
	for path, good := range map[string]string{
		in("-", "service_accounts"): `{"name":"a","role":"viewer"}`, "/v1/verify": `{"key":"a"}`,
		"/v1/verify/batch": `{"items":[{"key":"a"}]}`, "/v1/invitations/accept": `{"token":"a","name":"a"}`,
	} {
		first, _, _ := strings.Cut(good[1:], ":")
		for _, bad := range []string{
			good + "{}", good + "x", good + ",", good + "\x00", "[" + good, good[:len(good)-1], strings.Replace(good, `"a"`, "\"a\xff\"", 1),
			strings.Replace(good, `"a"`, `"a\ud800"`, 1), good[:len(good)-1] + "," + first + `:"b"}`,
			good[:len(good)-1] + `,"\u00` + strconv.FormatInt(int64(first[1]), 16) + first[2:] + `:"b"}`,
		} {
			w.wants(w.call("POST", path, w.prober, bad), http.StatusBadRequest, "invalid_request")
		}
	}
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
// answers without a credential, and to what reads bodies by itself. The fuzz tests
// of package server go on from here.
func noiseAtTheOpenDoors(t *testing.T, w *world) {
	random := rand.New(rand.NewPCG(1, 2))
	doors := []string{"/v1/invitations/accept", "/v1/verify", "/v1/verify/batch"}
	paths := append(doors[:3:3], "/v1/whoami", "/healthz", "/readyz", "/v1/openapi.json", "/docs/errors/", "/docs/errors/x", "/metrics", "/")
	methods := []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "X"}
	codes := map[string]int{}
	const rounds = 3000
	for i := range rounds {
		path, method, key := paths[random.IntN(len(paths))], methods[random.IntN(len(methods))], ""
		if i%2 == 0 {
			path, method = doors[random.IntN(len(doors))], "POST"
		}
		if strings.HasPrefix(path, "/v1/verify") && i%3 != 0 {
			key = w.prober
		}
		if random.IntN(4) == 0 {
			path += "?" + []string{"cursor=%ff", "limit=1", "a=b&a=c", "%00=1", "="}[random.IntN(5)]
		}
		text := noise(random)
		a := w.call(method, path, key, text, "Idempotency-Key", "k")
		if a.status >= 500 {
			t.Fatalf("%s with %q: %d %s", a.call, text, a.status, a.text)
		}
		codes[a.str("code")]++
	}
	for _, code := range []string{"invalid_request", "unknown_field", "validation_failed", "unauthenticated", "method_not_allowed"} {
		if codes[code] < rounds/100 {
			t.Errorf("%d of %d calls were answered %s: the noise hardly reached what says so", codes[code], rounds, code)
		}
	}
	if strings.Contains(w.said.text(), "panic") {
		t.Errorf("the log speaks of a panic: %s", w.said.text()[strings.Index(w.said.text(), "panic"):][:200])
	}
}

// noise returns a body that is nearly one, with bytes changed and its end cut off.
func noise(random *rand.Rand) string {
	seeds := []string{
		`{"token":"inv_x","name":"Jo","key":{"name":"a"}}`, `{"key":"pst_sa_x","permissions":["a:b"],"source":{"ip":"::1"},"min_revision":1}`,
		`{}`, `[]`, `"`, "\x00\x01", `{"items":[{}]}`, `{"items":[{"key":"a"},{"key":"b","workspace":"any"}]}`,
		`{"key":"\u0041\u00e9\ud83d\ude00\n\"","na\u006de":"\u00e9"}`, ` [ 1 , -2.5e+7 , true , false , null , "é😀" ] `,
	}
	text := []byte(seeds[random.IntN(len(seeds))])
	for range random.IntN(4) {
		text[random.IntN(len(text))] = byte(random.UintN(256))
	}
	if random.IntN(2) == 0 {
		text = text[:random.IntN(len(text)+1)]
	}
	return string(text)
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
	// What is too much for one change changes nothing.
	w.must("PUT", in("-", "permissions"), w.owner, []body{{"type": "kept", "actions": []string{"publish"}}})
	for path, many := range map[string]any{
		"permissions": manyTypes(501), "roles": body{"name": "many", "permissions": manyGrants(257)},
		"service_accounts/bot/keys": body{"name": "many", "limit": manyGrants(257)}, "me/keys": body{"name": "many", "allowed_networks": manyNetworks(65)},
	} {
		before := w.must("GET", in("-", strings.TrimPrefix(path, "service_accounts/bot/")), w.owner, nil).text
		w.wants(w.call(map[bool]string{true: "PUT", false: "POST"}[path == "permissions"], in("-", path), w.owner, many), http.StatusUnprocessableEntity, "validation_failed")
		if after := w.must("GET", in("-", strings.TrimPrefix(path, "service_accounts/bot/")), w.owner, nil).text; after != before {
			t.Errorf("%s: what is too much changed something", path)
		}
	}
	for i := range 55 {
		w.account("-", w.owner, "many-"+itoa(i), "viewer")
	}
	page := w.must("GET", in("-", "service_accounts"), w.owner, nil)
	if len(page.items()) != 50 || page.at("has_more") != true || page.str("next_cursor") == "" {
		t.Errorf("a list that goes on has %d items, has_more %v", len(page.items()), page.at("has_more"))
	}
	seen := len(page.items())
	for page.at("has_more") == true {
		page = w.must("GET", in("-", "service_accounts?cursor="+page.str("next_cursor")), w.owner, nil)
		seen += len(page.items())
	}
	if want := 55 + 2; seen != want { // bot and the prober
		t.Errorf("the pages of a list have %d items together, want %d", seen, want)
	}
}

func manyTypes(n int) (all []body) {
	for i := range n {
		all = append(all, body{"type": fmt.Sprintf("t%d", i), "actions": []string{"read"}})
	}
	return all
}

func manyGrants(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("t%d:read", i))
	}
	return all
}

func manyNetworks(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("10.0.0.%d", i))
	}
	return all
}
