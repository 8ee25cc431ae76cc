package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
	"github.com/posternhq/postern/internal/token"
)

// nobody signs in.
type nobody struct{ People }

func plain(t *testing.T) *Server {
	t.Helper()
	s, err := New(Options{
		People: nobody{},
		IAM:    &iam.Service{}, Replica: replica.New(replica.Options{}), Prefixes: token.Prefixes{token.DefaultPrefix}, Secret: make([]byte, minSecret),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestErrorIsToldInTheWordsOfTheAPI(t *testing.T) {
	const key = "pst_sa_Zq7Xw9Kd2Rf5Tg8Yh1Uj4Ik6Ol3Pa0Sb5Nc000000"
	s := plain(t)
	tests := map[string]struct {
		err    error
		status int
		code   string
		detail string
	}{
		"one that may be shown":   {iam.Errorf(iam.NotFound, "no such role"), 404, api.CodeNotFound, "no such role"},
		"wrapped":                 {fmt.Errorf("reading: %w", iam.Errorf(iam.NameTaken, "the name is taken")), 409, api.CodeNameTaken, "the name is taken"},
		"joined with one of ours": {errors.Join(iam.Errorf(iam.PermissionDenied, "no"), errors.New("disk full")), 403, api.CodePermissionDenied, "no"},
		"a bare kind":             {fmt.Errorf("commit: %w", iam.Unknown), 503, api.CodeOutcomeUnknown, ""},
		"with a key in it":        {iam.Errorf(iam.ValidationFailed, "%q is wrong", key), 422, api.CodeValidationFailed, `"[hidden]" is wrong`},
		"a kind of the inside":    {iam.Errorf("diverged", "another log"), 500, api.CodeInternal, seeLog},
		"one of ours":             {errors.New("disk full"), 500, api.CodeInternal, seeLog},
		"out of time":             {fmt.Errorf("read: %w", context.DeadlineExceeded), 503, api.CodeUnavailable, "it took too long; nothing is known to have changed"},
		"the client went away":    {fmt.Errorf("read: %w", context.Canceled), 503, api.CodeUnavailable, "it took too long; nothing is known to have changed"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := s.failure(t.Context(), tt.err)
			if p.Status != tt.status || p.Code != tt.code || p.Detail != tt.detail || p.Type != "/docs/errors/"+tt.code || p.Title == "" {
				t.Errorf("got %+v, want %d %s: %s", p.Problem, tt.status, tt.code, tt.detail)
			}
			if (p.Status == 503) != (p.header.Get("Retry-After") != "") {
				t.Errorf("status %d has Retry-After %q", p.Status, p.header.Get("Retry-After"))
			}
		})
	}
}

func TestWhatIsWrongWithAFieldIsToldWithoutSecrets(t *testing.T) {
	const key = "pst_sa_Zq7Xw9Kd2Rf5Tg8Yh1Uj4Ik6Ol3Pa0Sb5Nc000000"
	p := plain(t).failure(t.Context(), iam.Invalid("/metadata/"+key, "too_long", "%s is too long", key))
	want := api.ProblemField{Pointer: "/metadata/[hidden]", Code: "too_long", Detail: "[hidden] is too long"}
	if len(p.Errors) != 1 || p.Errors[0] != want || strings.Contains(p.Detail, key[10:18]) {
		t.Errorf("got %+v, want %+v", p.Problem, want)
	}
}

func TestRowThatMakesNoSenseIsRefused(t *testing.T) {
	good := operation{id: "x", method: "GET", path: "/v1/x", summary: "X", tag: "X", access: permission, needs: iam.ReadKeys, success: 200}
	answer := func(context.Context, iam.Caller, *struct{}) (*struct{ Body api.Ref }, error) { return nil, nil }
	for name, tt := range map[string]struct {
		change func(*operation)
		none   bool
		want   string
	}{
		"no answer":          {func(*operation) {}, true, "nothing answers"},
		"no id":              {func(op *operation) { op.id = "" }, false, "not complete"},
		"no status":          {func(op *operation) { op.success = 0 }, false, "not complete"},
		"no access":          {func(op *operation) { op.access = 0 }, false, "who may ask"},
		"no permission":      {func(op *operation) { op.needs = iam.Permission{} }, false, "permission"},
		"unknown permission": {func(op *operation) { op.needs.Action = "juggle" }, false, "permission"},
		"too much":           {func(op *operation) { op.access = open }, false, "permission"},
		"unknown problem":    {func(op *operation) { op.problems = []string{"oops"} }, false, "no problem"},
		"there already":      {func(op *operation) { op.id, op.path = "whoami", "/v1/y" }, false, "twice"},
		"path taken":         {func(op *operation) { op.path = "/v1/whoami" }, false, "twice"},
	} {
		t.Run(name, func(t *testing.T) {
			s, op, fn := plain(t), good, answer
			tt.change(&op)
			if tt.none {
				fn = nil
			}
			register(s, op, fn)
			if err := errors.Join(s.wrong...); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
	s := plain(t)
	if register(s, good, answer); len(s.wrong) != 0 {
		t.Errorf("a good row: got %v", s.wrong)
	}
	(&routes{s}).HandleFunc("GET /v1/hidden", nil)
	if len(s.wrong) != 1 {
		t.Error("a route without a row was taken")
	}
}

func TestServerNeedsItsParts(t *testing.T) {
	for name, o := range map[string]Options{
		"nothing":        {},
		"no prefix":      {People: nobody{}, IAM: &iam.Service{}, Replica: replica.New(replica.Options{}), Secret: make([]byte, minSecret)},
		"nobody":         {IAM: &iam.Service{}, Replica: replica.New(replica.Options{}), Prefixes: token.Prefixes{"pst"}, Secret: make([]byte, minSecret)},
		"a short secret": {People: nobody{}, IAM: &iam.Service{}, Replica: replica.New(replica.Options{}), Prefixes: token.Prefixes{"pst"}, Secret: make([]byte, minSecret-1)},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: got a server", name)
		}
	}
}

func TestTextsThatLookLikeSecrets(t *testing.T) {
	const random = "Zq7Xw9Kd2Rf5Tg8Yh1Uj4Ik6Ol3Pa0Sb5"
	for text, want := range map[string]bool{
		"pst_sa_" + random + "Nc000000": true, "acme_usr_" + random: true, "xpst_sa_" + random + "x": true, "inv_" + random: true,
		"sa_01jn8x0c2vf3hs5r6tq7w8y9za": false, "inv_01jn8x0c2vf3hs5r6tq7w8y9za": false, "usr_01jn8x0c2vf3hs5r6tq7w8y9za": false,
		"0af7651916cd43dd8448eb211c80319c": false, "service_sa_x": false, "": false,
	} {
		if got := token.LooksSecret(text); got != want {
			t.Errorf("%s: got %t, want %t", text, got, want)
		}
		if told := token.Conceal(text); want && strings.Contains(told, random[:8]) {
			t.Errorf("%s is told as %s", text, told)
		}
	}
	for _, id := range []string{"sa_01jn8x0c2vf3hs5r6tq7w8y9za", "key_01jn8x0c2vf3hs5r6tq7w8y9za", "inv_01jn8x0c2vf3hs5r6tq7w8y9za", "support-bot-prod", "/permissions/3"} {
		if told := token.Conceal("no " + id + " here"); told != "no "+id+" here" {
			t.Errorf("%s is told as %s", id, told)
		}
	}
}
