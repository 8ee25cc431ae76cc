package server

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

const formType = "application/x-www-form-urlencoded"

// formAnswer answers what a program of OAuth 2.0 sends as a form.
type formAnswer func(ctx context.Context, c iam.Caller, in url.Values) (any, error)

// takesForms lets a registered operation also take what programs of OAuth 2.0 send:
// parameters as a form, of which those that are not known are passed over (RFC 6749,
// 3.1), with errors as such programs read them (5.2).
func takesForms(s *Server, id string, fields map[string]string, needs []string, answer formAnswer) {
	for _, op := range s.rows {
		if op.id != id {
			continue
		}
		op.form = answer
		d := documented(s.api, op)
		schema := &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true, Required: needs, Properties: map[string]*huma.Schema{}}
		for name, says := range fields {
			schema.Properties[name] = &huma.Schema{Type: huma.TypeString, Description: says}
		}
		d.RequestBody.Content[formType] = &huma.MediaType{Schema: schema}
		for status, r := range d.Responses {
			if status >= "400" && status != strconv.Itoa(http.StatusUnsupportedMediaType) && status != strconv.Itoa(http.StatusUnprocessableEntity) {
				r.Content[jsonType] = &huma.MediaType{Schema: schemaOf[api.OAuthError](s)}
				r.Description += "; to a form as RFC 6749, 5.2"
			}
		}
		return
	}
	s.wrong = append(s.wrong, errors.New(id+": there is no such row to take forms"))
}

// isForm reports whether a body says that it is a form, in UTF-8.
func isForm(h http.Header) bool { return isOfType(h, formType) }

// answerForm answers a form, which the guard has let in.
func (s *Server) answerForm(w http.ResponseWriter, r *http.Request, op *operation) {
	if err := noParameters(r); err != nil {
		s.fail(w, r, err)
		return
	}
	in, err := readForm(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	out, err := op.form(r.Context(), requestOf(r.Context()).caller, in)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.writeJSON(w, r, op.success, out)
}

// maxFields is how many parameters a form has at most: OAuth 2.0 knows of ten or so.
const maxFields = 100

// readForm returns the parameters of a form. One that has no value is as good as
// absent, and none is there twice (RFC 6749, 3.1).
func readForm(r *http.Request) (url.Values, error) {
	text, err := io.ReadAll(r.Body) // the guard has bounded it
	if err != nil {
		return nil, bodyError(err)
	}
	in, err := url.ParseQuery(string(text))
	if err != nil || len(in) > maxFields {
		return nil, iam.Errorf(iam.InvalidRequest, "the body is no form")
	}
	for _, name := range slices.Sorted(maps.Keys(in)) {
		if len(in[name]) > 1 {
			return nil, iam.Errorf(iam.InvalidRequest, "a parameter is there twice")
		}
		if in[name][0] == "" {
			delete(in, name)
		}
	}
	return in, nil
}

// oauthError is an error that OAuth 2.0 has a word for, and the rest of the API has not.
type oauthError struct {
	code, description string
}

// Error implements error.
func (e *oauthError) Error() string { return e.code + ": " + e.description }

// oauthErrors are the words of OAuth 2.0 for those of the API (RFC 6749, 5.2; RFC 8628,
// 3.5). All that is not there is the caller's own doing, or ours.
func oauthErrors() map[string]string {
	return map[string]string{
		api.CodeAuthorizationPending: "authorization_pending",
		api.CodeSlowDown:             "slow_down",
		api.CodeRateLimited:          "slow_down",
		api.CodeAccessDenied:         "access_denied",
		api.CodePolicyViolation:      "access_denied",
		api.CodeExpiredToken:         "expired_token",
		api.CodeStale:                "temporarily_unavailable",
		api.CodeUnavailable:          "temporarily_unavailable",
	}
}

// writeOAuthError answers a form with a problem in the words of OAuth 2.0.
func (s *Server) writeOAuthError(w http.ResponseWriter, r *http.Request, p *problem) {
	out := api.OAuthError{Error: oauthErrors()[p.Code], Description: p.Detail}
	status := p.Status
	switch {
	case p.Type == "": // an error of OAuth 2.0 alone
		out.Error = p.Code
	case out.Error == "" && status < http.StatusInternalServerError:
		out.Error = "invalid_request"
	case out.Error == "":
		out.Error = "server_error"
	}
	if status == http.StatusUnprocessableEntity {
		status = http.StatusBadRequest
	}
	s.writeJSON(w, r, status, out)
}
