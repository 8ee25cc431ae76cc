package server

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/token"
)

// humaProblem says in our words what package huma found wrong with an input. It
// never repeats what was sent: neither the value nor huma's message, which may
// hold it, goes on.
func humaProblem(ctx huma.Context, status int, _ string, errs ...error) huma.StatusError {
	id := ""
	if ctx != nil {
		id = requestOf(ctx.Context()).id
	}
	fields := make([]api.ProblemField, 0, len(errs))
	unknown := false
	for _, err := range errs {
		f := fieldOf(err)
		unknown = unknown || f.Code == api.CodeUnknownField
		fields = append(fields, f)
	}
	slices.SortStableFunc(fields, func(a, b api.ProblemField) int { return strings.Compare(a.Pointer, b.Pointer) })
	var p *problem
	switch {
	case unknown:
		p = newProblem(api.CodeUnknownField, id, "the request has a field that does not exist")
	case status == http.StatusUnprocessableEntity:
		p = newProblem(api.CodeValidationFailed, id, "a field is missing or has the wrong type")
	case status < http.StatusInternalServerError:
		p = newProblem(api.CodeInvalidRequest, id, "the request cannot be read")
	default:
		p = newProblem(api.CodeInternal, id, "")
	}
	p.Errors = fields
	return p
}

// fieldOf says what is wrong with one field.
func fieldOf(err error) api.ProblemField {
	d, ok := err.(huma.ErrorDetailer)
	if !ok {
		return api.ProblemField{Code: "invalid", Detail: "cannot be read"}
	}
	detail := d.ErrorDetail()
	f := api.ProblemField{Pointer: pointer(detail.Location), Code: "invalid", Detail: "does not have the form that is expected"}
	name, required := strings.CutPrefix(detail.Message, "expected required property ")
	name, required2 := strings.CutSuffix(name, " to be present")
	switch {
	case required && required2:
		f.Pointer, f.Code, f.Detail = f.Pointer+"/"+name, "required", "must be there"
	case detail.Message == validation.MsgUnexpectedProperty, detail.Message == "unknown query parameter":
		f.Code, f.Detail = api.CodeUnknownField, "there is no such field"
	case detail.Message == emptyList:
		f.Code, f.Detail = "required", "has no ids: leave it out to ask about the whole workspace"
	case slices.Contains(typeMessages(), detail.Message):
		f.Code, f.Detail = "wrong_type", "must be "+strings.TrimPrefix(detail.Message, "expected ")
	case detail.Message == validation.MsgExpectedRFC3339DateTime || strings.HasPrefix(detail.Message, "invalid date/time"):
		f.Code, f.Detail = "not_a_time", "must be a time such as 2026-11-30T00:00:00Z (RFC 3339)"
	case strings.HasPrefix(detail.Message, "invalid integer"):
		f.Code, f.Detail = "wrong_type", "must be a whole number"
	case strings.HasPrefix(detail.Message, "invalid boolean"):
		f.Code, f.Detail = "wrong_type", "must be true or false"
	}
	return f
}

// emptyList is what a list says whose emptiness would be taken for something else.
const emptyList = "empty list"

func typeMessages() []string {
	return []string{
		validation.MsgExpectedBoolean, validation.MsgExpectedNumber, validation.MsgExpectedInteger,
		validation.MsgExpectedString, validation.MsgExpectedArray, validation.MsgExpectedObject,
	}
}

var locationStep = regexp.MustCompile(`[^.\[\]]+`)

// pointer turns a location as package huma writes it, body.limit[0], into a JSON
// pointer, or into the name of a parameter. A name that a client made up is told
// only as far as it can be no secret.
func pointer(location string) string {
	steps := locationStep.FindAllString(location, -1)
	if len(steps) == 0 {
		return ""
	}
	if steps[0] != "body" {
		return echo(strings.Join(steps[1:], "."))
	}
	var p strings.Builder
	for _, step := range steps[1:] {
		p.WriteByte('/')
		p.WriteString(echo(step))
	}
	return p.String()
}

var echoable = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

// echo returns a name that a client sent, if it may be answered.
func echo(name string) string {
	if !echoable.MatchString(name) {
		return "[hidden]"
	}
	return token.Conceal(name)
}
