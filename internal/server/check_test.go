package server_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/posternhq/postern/api"
)

func TestCheckSaysWhetherAndWhy(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		account := c.account("operator")
		limit := []string{"agents/bot-1:execute"}
		key := c.keyOf(account.ID, api.CreateKey{Limit: &limit})
		paused := c.account("viewer")
		c.post(here("/service_accounts/"+paused.ID+"/pause"), nil).want(http.StatusOK, nil)
		ended := c.keyOf(account.ID, api.CreateKey{})
		c.post(here("/keys/"+ended.ID+"/revoke"), nil).want(http.StatusOK, nil)
		gone := c.member("viewer")
		c.delete(here("/members/"+gone.principal)).want(http.StatusOK, nil)
		for _, test := range []struct {
			body    api.Check
			allowed bool
			because string
		}{
			{api.Check{Principal: account.Name, Permission: "agents:execute"}, true, "the role operator grants *:execute"},
			{api.Check{Principal: account.ID, Permission: "agents:write"}, false, "the role operator grants nothing that covers agents:write"},
			{api.Check{Principal: account.ID, Permission: "iam.keys:read"}, false, "the role operator grants nothing"},
			{api.Check{Principal: c.principal, Permission: "iam.owners:write"}, true, "the role owner grants iam.owners:write"},
			{api.Check{Principal: paused.ID, Permission: "agents:read"}, false, paused.Name + " is paused"},
			{api.Check{Principal: gone.principal, Permission: "agents:read"}, false, "is removed"},
			{api.Check{Key: key.ID, Permission: "agents/bot-1:execute"}, true, "the key's limit includes agents/bot-1:execute"},
			{api.Check{Key: key.ID, Permission: "agents:execute"}, false, "the key's limit does not include agents:execute"},
			{api.Check{Key: ended.ID, Permission: "agents:execute"}, false, "the key is revoked"},
		} {
			var out api.CheckResult
			c.post(here("/check"), test.body).want(http.StatusOK, &out)
			if because := strings.Join(out.Because, "; "); out.Allowed != test.allowed || !strings.Contains(because, test.because) {
				t.Errorf("%+v: got %t because %s; want %t because %s", test.body, out.Allowed, because, test.allowed, test.because)
			}
		}
	})
}

func TestCheckThatMakesNoSenseIsRefused(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		for body, pointer := range map[string]string{
			`{"permission":"a:read"}`:                           "/principal",
			`{"principal":"x","key":"y","permission":"a:read"}`: "/principal",
			`{"principal":"x"}`:                                 "/permission",
			`{"principal":"x","permission":"a:*"}`:              "/permission",
			`{"principal":"x","permission":"*:read"}`:           "/permission",
			`{"principal":"x","permission":"` + c.key + `"}`:    "/permission",
		} {
			r := c.post(here("/check"), body)
			r.problemAt(http.StatusUnprocessableEntity, api.CodeValidationFailed, pointer)
			if strings.Contains(string(r.body), c.key[8:]) {
				t.Error("the answer repeats a key")
			}
		}
		for _, body := range []string{
			`{"principal":"nobody","permission":"a:read"}`, `{"principal":"mem_01jn8x0c2vf3hs5r6tq7w8y9zc","permission":"a:read"}`,
			`{"key":"key_01jn8x0c2vf3hs5r6tq7w8y9zd","permission":"a:read"}`, `{"key":"nobody","permission":"a:read"}`,
		} {
			c.post(here("/check"), body).wantProblem(http.StatusNotFound, api.CodeNotFound)
		}
	})
}
