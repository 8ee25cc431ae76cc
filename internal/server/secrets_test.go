package server_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// planted is a key that does not exist, and whose parts nothing else has.
const planted = "pst_sa_Zq7Xw9Kd2Rf5Tg8Yh1Uj4Ik6Ol3Pa0Sb5Nc000000"

// holdsPart reports whether a text has any 8 characters in a row of what is
// random about the planted key.
func holdsPart(text string) (string, bool) {
	const part = 8
	random := planted[7 : 7+33]
	for i := range len(random) - part + 1 {
		if strings.Contains(text, random[i:i+part]) {
			return random[i : i+part], true
		}
	}
	return "", false
}

// E06 and E08: a secret that is sent by mistake, wherever in a request and in
// whatever form, is in no refusal and in no log.
func TestSecretSentByMistakeIsNotToldAgain(t *testing.T) {
	overAll(t, all, func(t *testing.T, x *tenant, op operation, good call) {
		var tries []call
		for _, body := range disfigured(bodyOf(t, good), good.body != nil) {
			bad := good
			bad.body = body
			tries = append(tries, bad)
		}
		for i, header := range []string{"If-Match", "Idempotency-Key", "X-Request-Id", "User-Agent", "Accept", "Cookie", "Content-Type", "X-Api-Key", "Origin", "Referer"} {
			forms := []string{planted, planted + "x", "x" + planted, `"` + planted + `"`}
			if testing.Short() { // each header in one form with each operation, and in all with all of them
				n := (i + len(op.OperationID)) % len(forms)
				forms = forms[n : n+1]
			}
			for _, value := range forms {
				tries = append(tries, good.holding(header, value))
			}
		}
		for _, suffix := range []string{"?q=" + planted, "?" + planted + "=1", "/" + planted, "?cursor=" + planted, "?limit=" + planted, "?q=x" + planted + "x"} {
			bad := good
			bad.path += suffix
			tries = append(tries, bad)
		}
		tries = append(tries, good.holding("Authorization", "Bearer "+planted), good.holding("Authorization", "Bearer x"+planted), good.holding("Authorization", planted))
		for _, c := range tries {
			r := x.w.do(t, c)
			if part, found := holdsPart(string(r.body)); found && r.status >= http.StatusBadRequest {
				t.Errorf("%s %s %v: the refusal has %s: %s", c.method, c.path, c.header, part, r.body)
			}
			for name, values := range r.header {
				if part, found := holdsPart(strings.Join(values, " ")); found {
					t.Errorf("%s %s: the header %s of the answer has %s", c.method, c.path, name, part)
				}
			}
		}
		if part, found := holdsPart(x.w.log.take()); found {
			t.Errorf("the log has %s", part)
		}
	})
}

// disfigured returns bodies made of a good one with the planted key in the place
// of each of its values in turn, as a text, in a list, as a name, as a broken
// number and in JSON that ends too soon.
func disfigured(good string, any bool) []string {
	if !any {
		return nil
	}
	var bodies []string
	for _, form := range []string{`"` + planted + `"`, `["` + planted + `"]`, `{"` + planted + `":1}`, planted, `"` + planted} {
		bodies = append(bodies, form)
		for _, value := range values(good) {
			bodies = append(bodies, strings.Replace(good, value, form, 1))
		}
	}
	return append(bodies, withMember(good, `"`+planted+`":1`), withMember(good, `"a":"`+planted+`","a":1`))
}

// values returns the values of the members of a JSON text, as they are written.
func values(text string) (found []string) {
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &members) != nil {
		return nil
	}
	for _, v := range members {
		found = append(found, string(v))
	}
	return found
}
