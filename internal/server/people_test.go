package server_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/session/sessiontest"
)

// origin is where browsers find the server of these tests.
const origin = "http://localhost"

const aPassword = "correct horse battery staple"

// somebody is a member who can sign in, and has.
type somebody struct {
	email   string
	browser string // cookie
	session string // its id
	member  string
}

// person returns a new member with a role, who has signed in with a password.
func (x *tenant) person(role string) somebody {
	x.t.Helper()
	email := x.name("jo") + "@" + x.slug + ".example"
	var invited api.CreatedInvitation
	x.w.do(x.t, post(x.root+"/invitations", x.owner, api.CreateInvitation{Email: email, Role: role})).want(http.StatusCreated, &invited)
	var joined api.AcceptedInvitation
	r := x.w.do(x.t, post("/v1/invitations/accept", "", api.AcceptInvitation{
		Token: invited.Token, Name: x.name("Jo"), Password: aPassword,
	})).want(http.StatusCreated, &joined)
	return somebody{email: email, browser: r.cookie(), session: *joined.Session, member: joined.Member.ID}
}

// cookie returns the cookie that an answer sets.
func (r *reply) cookie() string {
	r.t.Helper()
	for _, c := range (&http.Response{Header: r.header}).Cookies() {
		if c.Name == "postern_session" && c.HttpOnly && c.SameSite == http.SameSiteLaxMode && c.Path == "/" {
			return c.Value
		}
	}
	r.t.Fatalf("%s %s sets no cookie of a session: %v", r.call.method, r.call.path, r.header["Set-Cookie"])
	return ""
}

// again signs a person in once more.
func (x *tenant) again(p somebody) somebody {
	x.t.Helper()
	var current api.CurrentSession
	r := x.w.do(x.t, post("/v1/sessions", "", api.SignIn{Email: p.email, Password: aPassword})).want(http.StatusCreated, &current)
	p.browser, p.session = r.cookie(), current.Session.ID
	return p
}

// ceremony begins a ceremony with a passkey.
func (x *tenant) ceremony(browser string, in api.PasskeyOptionsRequest) (out api.PasskeyOptions) {
	x.t.Helper()
	x.w.do(x.t, post("/v1/passkeys/options", browser, in)).want(http.StatusOK, &out)
	return out
}

// newPasskey returns an answer to the wish for a new passkey of a person.
func (x *tenant) newPasskey(browser string) (*sessiontest.Authenticator, api.NewPasskeyProof) {
	x.t.Helper()
	begun := x.ceremony(browser, api.PasskeyOptionsRequest{For: "register"})
	a := &sessiontest.Authenticator{Origin: origin, RPID: "localhost"}
	answer, err := a.Create(begun.PublicKey)
	if err != nil {
		x.t.Fatal(err)
	}
	return a, api.NewPasskeyProof{Ceremony: begun.Ceremony, Credential: answer, Name: "laptop"}
}

// passkey gives a person a passkey and returns its id.
func (x *tenant) passkey(p somebody) (*sessiontest.Authenticator, string) {
	x.t.Helper()
	a, proof := x.newPasskey(p.browser)
	var made api.PasskeyAnswer
	x.w.do(x.t, post("/v1/passkeys", p.browser, proof)).want(http.StatusCreated, &made)
	return a, made.Passkey.ID
}

// asserted returns an answer to the challenge of a sign-in or a step-up.
func (x *tenant) asserted(a *sessiontest.Authenticator, browser, purpose string) *api.PasskeyProof {
	x.t.Helper()
	begun := x.ceremony(browser, api.PasskeyOptionsRequest{For: purpose})
	answer, err := a.Get(begun.PublicKey)
	if err != nil {
		x.t.Fatal(err)
	}
	return &api.PasskeyProof{Ceremony: begun.Ceremony, Credential: answer}
}

// setupLink returns the secret of a setup link for a new member without a credential.
func (x *tenant) setupLink() string {
	x.t.Helper()
	email := x.name("new") + "@" + x.slug + ".example"
	var invited api.CreatedInvitation
	x.w.do(x.t, post(x.root+"/invitations", x.owner, api.CreateInvitation{Email: email, Role: "viewer"})).want(http.StatusCreated, &invited)
	x.accept(invited.Token)
	link, err := x.w.iam.MemberSetupLink(x.t.Context(), email)
	if err != nil {
		x.t.Fatal(err)
	}
	return link.Reveal()
}

// peopleSamples are calls of people who signed in.
func peopleSamples() map[string]sample {
	mine := func(method, path string, body any) sample {
		return func(x *tenant) call {
			return call{method: method, path: path, key: x.person("admin").browser, body: body}
		}
	}
	return map[string]sample{
		"list-sign-in-methods": func(*tenant) call { return get("/v1/sessions/methods", "") },
		"sign-in": func(x *tenant) call {
			return post("/v1/sessions", "", api.SignIn{Email: x.person("viewer").email, Password: aPassword})
		},
		"list-sessions":       mine(http.MethodGet, "/v1/sessions", nil),
		"get-current-session": mine(http.MethodGet, "/v1/sessions/current", nil),
		"move-session": func(x *tenant) call {
			return call{method: http.MethodPatch, path: "/v1/sessions/current", key: x.person("viewer").browser, body: api.MoveSession{Workspace: x.slug}}
		},
		"sign-out": mine(http.MethodDelete, "/v1/sessions/current", nil),
		"end-session": func(x *tenant) call {
			p := x.person("viewer")
			return call{method: http.MethodDelete, path: "/v1/sessions/" + p.session, key: x.again(p).browser}
		},
		"end-other-sessions": mine(http.MethodPost, "/v1/sessions/end_others", nil),
		"step-up":            mine(http.MethodPost, "/v1/sessions/step_up", api.StepUp{Password: aPassword}),
		"change-password": mine(http.MethodPut, "/v1/password", api.ChangePassword{
			Current: aPassword, New: "another long password",
		}),
		"begin-passkey": func(x *tenant) call {
			return post("/v1/passkeys/options", "", api.PasskeyOptionsRequest{For: "sign_in"})
		},
		"add-passkey": func(x *tenant) call {
			p := x.person("viewer")
			_, proof := x.newPasskey(p.browser)
			return post("/v1/passkeys", p.browser, proof)
		},
		"list-passkeys": mine(http.MethodGet, "/v1/passkeys", nil),
		"rename-passkey": func(x *tenant) call {
			p := x.person("viewer")
			_, id := x.passkey(p)
			return call{method: http.MethodPatch, path: "/v1/passkeys/" + id, key: p.browser, body: api.RenamePasskey{Name: "phone"}}
		},
		"remove-passkey": func(x *tenant) call {
			p := x.person("viewer")
			_, id := x.passkey(p)
			return call{method: http.MethodDelete, path: "/v1/passkeys/" + id, key: p.browser}
		},
		"start-sso":    func(*tenant) call { return get("/v1/oidc/start", "") },
		"finish-sso":   func(*tenant) call { return get("/v1/oidc/callback", "") },
		"start-device": func(*tenant) call { return post("/v1/device/code", "", api.DeviceCodeRequest{Name: "laptop"}) },
		"poll-device": func(x *tenant) call {
			begun := x.device()
			x.w.do(x.t, post("/v1/device/approve", x.person("viewer").browser, api.ApproveDevice{UserCode: begun.UserCode, Approve: true})).want(http.StatusOK, nil)
			return post("/v1/device/token", "", api.DeviceTokenRequest{DeviceCode: begun.DeviceCode})
		},
		"look-up-device": func(x *tenant) call {
			return post("/v1/device/lookup", x.person("viewer").browser, api.DeviceLookup{UserCode: x.device().UserCode})
		},
		"approve-device": func(x *tenant) call {
			return post("/v1/device/approve", x.person("viewer").browser, api.ApproveDevice{UserCode: x.device().UserCode, Approve: true})
		},
		"set-up": func(x *tenant) call {
			return post("/v1/setup", "", api.Setup{Token: x.setupLink(), Owner: api.SetupOwner{Password: aPassword}})
		},
	}
}

// device begins the authorization of a program.
func (x *tenant) device() (begun api.DeviceCode) {
	x.t.Helper()
	x.w.do(x.t, post("/v1/device/code", "", api.DeviceCodeRequest{Name: "laptop"})).want(http.StatusOK, &begun)
	return begun
}

func TestDeviceGetsAKeyOnceItWasApproved(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		p := x.person("operator")
		begun := x.device()
		poll := post("/v1/device/token", "", api.DeviceTokenRequest{DeviceCode: begun.DeviceCode})
		w.do(t, poll).wantProblem(http.StatusBadRequest, api.CodeAuthorizationPending)
		w.do(t, poll).wantProblem(http.StatusBadRequest, api.CodeSlowDown)
		other := x.device()
		w.do(t, post("/v1/device/approve", p.browser, api.ApproveDevice{UserCode: strings.ToLower(other.UserCode), Approve: true})).want(http.StatusOK, nil)
		w.do(t, post("/v1/device/approve", p.browser, api.ApproveDevice{UserCode: other.UserCode, Approve: true})).wantProblem(http.StatusNotFound, api.CodeNotFound)
		var made api.DeviceToken
		use := post("/v1/device/token", "", api.DeviceTokenRequest{DeviceCode: other.DeviceCode})
		w.do(t, use).want(http.StatusOK, &made)
		if made.Key.Principal.ID != p.member || !strings.HasPrefix(made.Key.Name, "cli laptop ") || made.Workspace.ID != x.id {
			t.Errorf("got %+v in %+v, want a key of the member", made.Key, made.Workspace)
		}
		w.do(t, get("/v1/whoami", made.AccessToken)).want(http.StatusOK, nil)
		refused := x.device()
		w.do(t, post("/v1/device/approve", p.browser, api.ApproveDevice{UserCode: refused.UserCode})).want(http.StatusOK, nil)
		w.do(t, post("/v1/device/token", "", api.DeviceTokenRequest{DeviceCode: refused.DeviceCode})).wantProblem(http.StatusBadRequest, api.CodeAccessDenied)
		w.do(t, post("/v1/device/token", "", api.DeviceTokenRequest{DeviceCode: "dev_none"})).wantProblem(http.StatusBadRequest, api.CodeExpiredToken)
		out := x.device()
		w.do(t, post("/v1/device/approve", p.browser, api.ApproveDevice{UserCode: out.UserCode, Approve: true})).want(http.StatusOK, nil)
		w.do(t, call{method: http.MethodDelete, path: "/v1/sessions/current", key: p.browser}).want(http.StatusOK, nil)
		w.do(t, post("/v1/device/token", "", api.DeviceTokenRequest{DeviceCode: out.DeviceCode})).wantProblem(http.StatusBadRequest, api.CodeAccessDenied)
	})
}

// Who signed in holds no key, and is not taken for one who holds any.
func TestSessionHasNoKeyOfItsOwn(t *testing.T) {
	ofSelf := func(op operation) bool { return strings.HasPrefix(op.path, "/v1/keys/self") }
	overAll(t, ofSelf, func(t *testing.T, x *tenant, _ operation, good call) {
		good.key = x.person("owner").browser
		x.w.do(t, good).wantProblem(http.StatusNotFound, api.CodeNotFound)
	})
}

func TestWhatIsNotThereIsNotFoundByPeople(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		p := x.person("viewer")
		w.do(t, call{method: http.MethodDelete, path: "/v1/sessions/ses_none", key: p.browser}).wantProblem(http.StatusNotFound, api.CodeNotFound)
		w.do(t, call{method: http.MethodPatch, path: "/v1/passkeys/pky_none", key: p.browser, body: api.RenamePasskey{Name: "x"}}).wantProblem(http.StatusNotFound, api.CodeNotFound)
		w.do(t, post("/v1/passkeys/options", "sess_none", api.PasskeyOptionsRequest{For: "step_up"})).wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
		w.do(t, post("/v1/passkeys/options", "", api.PasskeyOptionsRequest{For: "step_up"})).wantProblem(http.StatusForbidden, api.CodePermissionDenied)
	})
}

func TestPasskeyIsOfOnePerson(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		a, _ := x.passkey(x.person("viewer"))
		show := func(browser string, in api.PasskeyOptionsRequest) api.NewPasskeyProof {
			begun := x.ceremony(browser, in)
			answer, err := a.Create(begun.PublicKey)
			if err != nil {
				t.Fatal(err)
			}
			return api.NewPasskeyProof{Ceremony: begun.Ceremony, Credential: answer, Name: "mine"}
		}
		other := x.person("viewer")
		proof := show(other.browser, api.PasskeyOptionsRequest{For: "register"})
		w.do(t, post("/v1/passkeys", other.browser, proof)).wantProblem(http.StatusConflict, api.CodeNameTaken)
		link := x.setupLink()
		proof = show("", api.PasskeyOptionsRequest{For: "register", Token: link})
		w.do(t, post("/v1/setup", "", api.Setup{Token: link, Owner: api.SetupOwner{Passkey: &proof}})).wantProblem(http.StatusConflict, api.CodeNameTaken)
		proof.Ceremony = "cer_none"
		w.do(t, post("/v1/setup", "", api.Setup{Token: link, Owner: api.SetupOwner{Passkey: &proof}})).wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
	})
}

// forPeople reports whether an operation is for people who signed in alone.
func forPeople(op operation) bool {
	if op.Security == nil || len(*op.Security) != 1 {
		return false
	}
	_, session := (*op.Security)[0]["session"]
	return session
}

// B04: machine credentials never call routes of people's accounts.
func TestKeyDoesNothingThatIsForPeople(t *testing.T) {
	overAll(t, forPeople, func(t *testing.T, x *tenant, _ operation, good call) {
		good.key = x.owner
		x.w.do(t, good).wantProblem(http.StatusForbidden, api.CodePermissionDenied)
	})
}

// H04: what another site has a browser send does nothing, whatever cookie comes along.
func TestCallOnBehalfOfAnotherSiteIsRefused(t *testing.T) {
	unsafe := func(op operation) bool {
		r := op.Responses.Status(http.StatusForbidden)
		return r != nil && strings.Contains(*r.Value.Description, api.CodeCrossSite)
	}
	overAll(t, unsafe, func(t *testing.T, x *tenant, op operation, good call) {
		if op.needsKey() {
			good.key = x.person("admin").browser
		}
		for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
			x.w.do(t, good.holding(name, value)).wantProblem(http.StatusForbidden, api.CodeCrossSite)
		}
	})
}

func TestSessionDoesWhatItsRoleAllows(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		p := x.person("admin")
		var me api.Whoami
		w.do(t, get("/v1/whoami", p.browser)).want(http.StatusOK, &me)
		if me.Key != nil || me.Session == nil || *me.Session != p.session || me.Principal.ID != p.member {
			t.Errorf("whoami: got %+v", me)
		}
		for _, ws := range []string{"-", x.id, x.slug} {
			w.do(t, get("/v1/workspaces/"+ws+"/service_accounts", p.browser)).want(http.StatusOK, nil)
		}
		other := w.tenant(t, "other")
		w.do(t, get(other.root+"/service_accounts", p.browser)).wantProblem(http.StatusNotFound, api.CodeNotFound)
		w.do(t, post("/v1/workspaces", p.browser, api.CreateWorkspace{Name: "n", Slug: "n"})).want(http.StatusNotFound, nil)
		var made api.CreatedServiceAccount
		w.do(t, post(x.root+"/service_accounts", p.browser, api.CreateServiceAccount{Name: x.name("bot"), Role: "viewer"})).want(http.StatusCreated, &made)
		if made.CreatedBy.ID != p.member || made.CreatedByKey != nil {
			t.Errorf("made by %+v with the key %v, want the member and none", made.CreatedBy, made.CreatedByKey)
		}
		w.do(t, get("/v1/keys/self", p.browser)).wantProblem(http.StatusNotFound, api.CodeNotFound)
		viewer := x.person("viewer")
		w.do(t, get(x.root+"/service_accounts", viewer.browser)).wantProblem(http.StatusForbidden, api.CodePermissionDenied)
		w.do(t, call{method: http.MethodDelete, path: x.root + "/members/" + p.member, key: x.owner}).want(http.StatusOK, nil)
		w.do(t, get("/v1/whoami", p.browser)).wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
	})
}

func TestSessionIsNoKeyForVerification(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		p := x.person("owner")
		w.do(t, post("/v1/verify", p.browser, api.Verify{Key: x.owner})).wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
		var verdict struct{ Code string }
		w.do(t, post("/v1/verify", x.owner, api.Verify{Key: p.browser})).want(http.StatusOK, &verdict)
		if verdict.Code != api.VerdictNotFound {
			t.Errorf("a cookie verifies as %s, want not_found", verdict.Code)
		}
		w.do(t, get("/v1/whoami", p.browser).holding("Authorization", "Bearer "+x.owner)).wantProblem(http.StatusBadRequest, api.CodeInvalidRequest)
	})
}

func TestSignInHearsOneAnswerWhateverIsWrong(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		p := x.person("viewer")
		var bodies []string
		for _, in := range []api.SignIn{
			{Email: p.email, Password: "not the password"},
			{Email: "nobody@acme.example", Password: "not the password"},
			{Email: "owner@acme.example", Password: "who has none"},
		} {
			r := w.do(t, post("/v1/sessions", "", in).holding("X-Request-Id", "same"))
			r.wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
			bodies = append(bodies, string(r.body))
		}
		for _, b := range bodies[1:] {
			if b != bodies[0] {
				t.Errorf("got %s and %s, want one answer", bodies[0], b)
			}
		}
	})
}

// F03, F04: a lock is kept in the database, and however the name is spelled, and
// whether or not there is such an account.
func TestWrongPasswordsLock(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		p := x.person("viewer")
		for _, email := range []string{p.email, "nobody@acme.example"} {
			spellings := []string{email, strings.ToUpper(email), " " + email, email + " ", strings.ToTitle(email)}
			for _, spelled := range spellings {
				w.do(t, post("/v1/sessions", "", api.SignIn{Email: spelled, Password: "wrong password"})).wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
			}
			r := w.do(t, post("/v1/sessions", "", api.SignIn{Email: email, Password: aPassword}))
			r.wantProblem(http.StatusTooManyRequests, api.CodeRateLimited)
			if r.header.Get("Retry-After") == "" {
				t.Error("nobody says when to try again")
			}
		}
	})
}

// Who looks at metrics sees that somebody guesses, and of nobody's address at whose.
func TestFailedSignInsAreCountedByWhy(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		p := x.person("viewer")
		a, _ := x.passkey(p)
		for range 5 {
			w.do(t, post("/v1/sessions", "", api.SignIn{Email: p.email, Password: "wrong password"})).wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
		}
		w.do(t, post("/v1/sessions", "", api.SignIn{Email: p.email, Password: aPassword})).wantProblem(http.StatusTooManyRequests, api.CodeRateLimited)
		w.do(t, post("/v1/sessions", "", api.SignIn{Passkey: x.asserted(a, p.browser, "step_up")})).wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
		w.do(t, post("/v1/sessions", "", api.SignIn{Passkey: x.asserted(a, "", "sign_in")})).want(http.StatusCreated, nil)
		w.do(t, post("/v1/sessions/step_up", p.browser, api.StepUp{Password: "wrong password"})).wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
		w.do(t, post("/v1/sessions/step_up", p.browser, api.StepUp{})).wantProblem(http.StatusUnprocessableEntity, api.CodeValidationFailed)
		metrics := string(w.do(t, get("/metrics", w.owner)).body)
		for _, want := range []string{
			`{for="sign_in",method="password",outcome="refused"} 5`, `{for="sign_in",method="password",outcome="locked"} 1`,
			`{for="sign_in",method="passkey",outcome="refused"} 1`, `{for="sign_in",method="passkey",outcome="let_in"} 1`,
			`{for="step_up",method="password",outcome="refused"} 1`, `{for="step_up",method="password",outcome="invalid"} 1`,
		} {
			if !strings.Contains(metrics, "postern_sign_ins_total"+want+"\n") {
				t.Errorf("no %s in the metrics", want)
			}
		}
		if strings.Contains(metrics, "acme") {
			t.Error("the metrics name an account")
		}
	})
}

// Whoever knows an address can lock the account: that keeps nobody from what they do
// in a session that they have.
func TestGuessesOfOthersLockNobodyOutOfTheirSession(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.tenant(t, "acme").person("viewer")
		for range 5 {
			w.do(t, post("/v1/sessions", "", api.SignIn{Email: p.email, Password: "wrong password"})).wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
		}
		signIn := post("/v1/sessions", "", api.SignIn{Email: p.email, Password: aPassword})
		w.do(t, signIn).wantProblem(http.StatusTooManyRequests, api.CodeRateLimited)
		w.do(t, post("/v1/sessions/step_up", p.browser, api.StepUp{Password: aPassword})).want(http.StatusOK, nil)
		w.do(t, signIn).wantProblem(http.StatusTooManyRequests, api.CodeRateLimited)
		for range 5 { // and who has only the cookie has no more guesses than others
			w.do(t, post("/v1/sessions/step_up", p.browser, api.StepUp{Password: "wrong password"})).wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
		}
		w.do(t, post("/v1/sessions/step_up", p.browser, api.StepUp{Password: aPassword})).wantProblem(http.StatusTooManyRequests, api.CodeRateLimited)
	})
}

func TestPasskeySignsInOnceForEachChallenge(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		p := x.person("viewer")
		a, _ := x.passkey(p)
		proof := x.asserted(a, "", "sign_in")
		w.do(t, post("/v1/sessions", "", api.SignIn{Passkey: proof})).want(http.StatusCreated, nil)
		w.do(t, post("/v1/sessions", "", api.SignIn{Passkey: proof})).wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
		w.do(t, post("/v1/sessions/step_up", p.browser, api.StepUp{Passkey: x.asserted(a, p.browser, "step_up")})).want(http.StatusOK, nil)
		w.do(t, post("/v1/sessions/step_up", p.browser, api.StepUp{Passkey: x.asserted(a, "", "sign_in")})).wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
		evil := *a
		evil.Origin = "http://evil.example"
		w.do(t, post("/v1/sessions", "", api.SignIn{Passkey: x.asserted(&evil, "", "sign_in")})).wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
		other := x.person("viewer")
		w.do(t, post("/v1/sessions/step_up", other.browser, api.StepUp{Passkey: x.asserted(a, other.browser, "step_up")})).wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
	})
}

// Who has somebody's authenticator in hand, a copy of it, or a page that frames this one,
// does not get in.
func TestPasskeyProvesNothingWithoutItsOwner(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		p := x.person("viewer")
		a, _ := x.passkey(p)
		for range 2 {
			w.do(t, post("/v1/sessions", "", api.SignIn{Passkey: x.asserted(a, "", "sign_in")})).want(http.StatusCreated, nil)
		}
		for name, spoil := range map[string]func(*sessiontest.Authenticator){
			"nobody was asked": func(a *sessiontest.Authenticator) { a.Unverified = true },
			"it is a copy":     func(a *sessiontest.Authenticator) { a.Rewound = true },
			"it is in a frame": func(a *sessiontest.Authenticator) { a.Framed = true },
			"of another name":  func(a *sessiontest.Authenticator) { a.RPID = "example.com" },
		} {
			bad := *a
			spoil(&bad)
			in := w.do(t, post("/v1/sessions", "", api.SignIn{Passkey: x.asserted(&bad, "", "sign_in")}))
			step := w.do(t, post("/v1/sessions/step_up", p.browser, api.StepUp{Passkey: x.asserted(&bad, p.browser, "step_up")}))
			if in.status != http.StatusUnauthorized || step.status != http.StatusUnauthorized {
				t.Errorf("%s: got %d to sign in and %d to step up, want 401", name, in.status, step.status)
			}
		}
		begun := x.ceremony(p.browser, api.PasskeyOptionsRequest{For: "register"})
		unasked := &sessiontest.Authenticator{Origin: origin, RPID: "localhost", Unverified: true}
		answer, err := unasked.Create(begun.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		w.do(t, post("/v1/passkeys", p.browser, api.NewPasskeyProof{Ceremony: begun.Ceremony, Credential: answer, Name: "laptop"})).
			wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
	})
}

func TestPasskeysAreKeptByTheirOwner(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		p, other := x.person("viewer"), x.person("viewer")
		_, id := x.passkey(p)
		w.do(t, call{method: http.MethodDelete, path: "/v1/passkeys/" + id, key: other.browser}).wantProblem(http.StatusNotFound, api.CodeNotFound)
		_, proof := x.newPasskey(p.browser)
		w.do(t, post("/v1/passkeys", other.browser, proof)).wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
		w.do(t, post("/v1/passkeys", p.browser, proof)).want(http.StatusCreated, nil)
	})
}

func TestLastPasskeyOfSomebodyWithoutAPasswordStays(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		begun := x.ceremony("", api.PasskeyOptionsRequest{For: "register", Token: x.invitation().Token})
		_ = begun
		link := x.setupLink()
		begun = x.ceremony("", api.PasskeyOptionsRequest{For: "register", Token: link})
		a := &sessiontest.Authenticator{Origin: origin, RPID: "localhost"}
		answer, err := a.Create(begun.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		proof := api.NewPasskeyProof{Ceremony: begun.Ceremony, Credential: answer, Name: "phone"}
		r := w.do(t, post("/v1/setup", "", api.Setup{Token: link, Owner: api.SetupOwner{Passkey: &proof}})).want(http.StatusCreated, nil)
		browser := r.cookie()
		var list api.List[api.Passkey]
		w.do(t, get("/v1/passkeys", browser)).want(http.StatusOK, &list)
		if len(list.Data) != 1 {
			t.Fatalf("got %d passkeys, want 1", len(list.Data))
		}
		w.do(t, call{method: http.MethodDelete, path: "/v1/passkeys/" + list.Data[0].ID, key: browser}).wantProblem(http.StatusConflict, api.CodeLastCredential)
	})
}

func TestSetupLinkWorksOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		link := x.setupLink()
		use := api.Setup{Token: link, Owner: api.SetupOwner{Password: aPassword}}
		w.do(t, post("/v1/setup", "", use)).want(http.StatusCreated, nil)
		w.do(t, post("/v1/setup", "", use)).wantProblem(http.StatusGone, api.CodeGone)
		w.do(t, post("/v1/setup", "", api.Setup{Token: "setup_" + strings.Repeat("0", 33), Owner: api.SetupOwner{Password: aPassword}})).wantProblem(http.StatusGone, api.CodeGone)
		if _, err := w.iam.FirstSetupLink(t.Context()); err == nil {
			t.Error("a store that is set up gives another first link")
		}
		w.do(t, post("/v1/passkeys/options", "", api.PasskeyOptionsRequest{For: "register", Token: link})).wantProblem(http.StatusGone, api.CodeGone)
	})
}

// Who invites sees the token: it must not open what the person has elsewhere.
func TestInvitationOpensNothingThatThePersonHasElsewhere(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x, evil := w.tenant(t, "acme"), w.tenant(t, "evil")
		victim := x.person("owner")
		var invited api.CreatedInvitation
		w.do(t, post(evil.root+"/invitations", evil.owner, api.CreateInvitation{Email: victim.email, Role: "viewer"})).want(http.StatusCreated, &invited)
		for _, in := range []api.AcceptInvitation{
			{Token: invited.Token, Name: "Mallory", Password: "a password of Mallory's"},
			{Token: invited.Token, Name: "Mallory"},
		} {
			w.do(t, post("/v1/invitations/accept", "", in)).wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
		}
		keyed := x.setupLinkless()
		w.do(t, post(evil.root+"/invitations", evil.owner, api.CreateInvitation{Email: keyed, Role: "viewer"})).want(http.StatusCreated, &invited)
		w.do(t, post("/v1/invitations/accept", "", api.AcceptInvitation{Token: invited.Token, Name: "Mallory", Password: "a password of Mallory's"})).wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
		w.do(t, post(evil.root+"/invitations", evil.owner, api.CreateInvitation{Email: victim.email, Role: "viewer"})).want(http.StatusCreated, &invited)
		var joined api.AcceptedInvitation
		r := w.do(t, post("/v1/invitations/accept", "", api.AcceptInvitation{Token: invited.Token, Name: "Victim", Password: aPassword})).want(http.StatusCreated, &joined)
		w.do(t, get(evil.root+"/members", r.cookie())).want(http.StatusForbidden, nil)
		w.do(t, get(x.root+"/members", r.cookie())).want(http.StatusOK, nil)
	})
}

// A workspace that is paused today is resumed tomorrow: nobody becomes its member
// meanwhile by the invitation of another.
func TestInvitationOpensNothingThatIsPaused(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x, evil := w.tenant(t, "acme"), w.tenant(t, "evil")
		email := x.setupLinkless()
		w.do(t, post("/v1/workspaces/"+x.id+"/pause", w.owner, nil)).want(http.StatusOK, nil)
		var invited api.CreatedInvitation
		w.do(t, post(evil.root+"/invitations", evil.owner, api.CreateInvitation{Email: email, Role: "viewer"})).want(http.StatusCreated, &invited)
		accept := api.AcceptInvitation{Token: invited.Token, Name: "Mallory", Password: "a password of Mallory's"}
		w.do(t, post("/v1/invitations/accept", "", accept)).wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
		w.do(t, post("/v1/workspaces/"+x.id+"/resume", w.owner, nil)).want(http.StatusOK, nil)
		w.do(t, post("/v1/sessions", "", api.SignIn{Email: email, Password: accept.Password})).wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
	})
}

// setupLinkless returns the address of a member who has a key and nothing to sign in
// with.
func (x *tenant) setupLinkless() string {
	x.t.Helper()
	email := x.name("keyed") + "@" + x.slug + ".example"
	var invited api.CreatedInvitation
	x.w.do(x.t, post(x.root+"/invitations", x.owner, api.CreateInvitation{Email: email, Role: "viewer"})).want(http.StatusCreated, &invited)
	x.accept(invited.Token)
	return email
}

// A29: a change of password ends the other sessions.
func TestChangeOfPasswordEndsTheOtherSessions(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		p := x.person("viewer")
		stolen := x.again(p)
		var ended api.EndedSessions
		change := api.ChangePassword{Current: aPassword, New: "another long password"}
		w.do(t, call{method: http.MethodPut, path: "/v1/password", key: p.browser, body: change}).want(http.StatusOK, &ended)
		if ended.Ended != 1 {
			t.Errorf("it ended %d sessions, want 1", ended.Ended)
		}
		w.do(t, get("/v1/whoami", stolen.browser)).wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
		w.do(t, get("/v1/whoami", p.browser)).want(http.StatusOK, nil)
		w.do(t, post("/v1/sessions", "", api.SignIn{Email: p.email, Password: aPassword})).wantProblem(http.StatusUnauthorized, api.CodeUnauthenticated)
		for _, bad := range []string{"short", p.email, strings.Repeat("x", 300), strings.Repeat("x", 20)} {
			w.do(t, call{method: http.MethodPut, path: "/v1/password", key: p.browser, body: api.ChangePassword{Current: "another long password", New: bad}}).
				wantProblem(http.StatusUnprocessableEntity, api.CodeValidationFailed)
		}
	})
}

// Nobody but the deployment's own pages gets a cookie, whatever name leads here.
func TestNameThatSomebodyElseChoseGetsNoSession(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		x := w.tenant(t, "acme")
		p := x.person("viewer")
		c := post("/v1/sessions", "", api.SignIn{Email: p.email, Password: aPassword})
		r := c.request(t, w.url)
		r.Host = "rebound.example"
		answer, err := w.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusForbidden || len(answer.Cookies()) > 0 {
			t.Errorf("got %d and %d cookies, want 403 and none", answer.StatusCode, len(answer.Cookies()))
		}
	})
}

func TestFirstSetupMakesTheDeploymentOnce(t *testing.T) {
	w := emptyWorld(t)
	link, err := w.iam.FirstSetupLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	use := func(name string) call {
		return post("/v1/setup", "", api.Setup{
			Token: link.Reveal(), Workspace: &api.SetupWorkspace{Name: name},
			Owner: api.SetupOwner{Name: "Ada", Email: "ada@example.com", Password: aPassword},
		})
	}
	var methods api.SignInMethods
	w.do(t, get("/v1/sessions/methods", "")).want(http.StatusOK, &methods)
	if methods.Initialized {
		t.Error("an empty store says that it is initialised")
	}
	w.do(t, use("a/b")).wantProblem(http.StatusUnprocessableEntity, api.CodeValidationFailed)
	var current api.CurrentSession
	r := w.do(t, use("Acme")).want(http.StatusCreated, &current)
	if len(current.Workspaces) != 1 || !current.Workspaces[0].Workspace.System || current.Workspaces[0].Role.Name != iam.Owner {
		t.Errorf("got %+v, want the owner of the system workspace", current.Workspaces)
	}
	w.do(t, post("/v1/workspaces", r.cookie(), api.CreateWorkspace{Name: "tenant", Slug: "tenant"})).want(http.StatusCreated, nil)
	w.do(t, use("Again")).wantProblem(http.StatusGone, api.CodeGone)
}
