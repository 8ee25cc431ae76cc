package server

import (
	"cmp"
	"errors"
	"io"
	"mime"
	"net/http"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

const maxBody = 1 << 20 // bytes

// bodyRule says what body an operation takes.
type bodyRule int

const (
	noBody       bodyRule = iota // none at all
	optionalBody                 // JSON, and nothing is as good as {}
	requiredBody                 // JSON
)

// readBody returns the body of a request, checked: JSON of one value that has one
// meaning, within the bounds.
func readBody(w http.ResponseWriter, r *http.Request, op *operation) ([]byte, error) {
	switch {
	case op.talks != "" && !isOfType(r.Header, op.talks):
		return nil, newProblem(api.CodeUnsupportedMediaType, "", "the body must have Content-Type: "+op.talks)
	case op.talks != "":
		return nil, nil // its handler reads it, piece by piece
	case op.body == noBody:
		return nil, refuseBody(r)
	}
	most := cmp.Or(op.mostBody, maxBody)
	if r.ContentLength > most {
		return nil, errTooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if err != nil {
		return nil, bodyError(err)
	}
	switch {
	case requestOf(r.Context()).form:
		return body, nil
	case len(body) == 0 && op.body == optionalBody:
		return nil, nil
	case len(body) == 0:
		return nil, errNoBody
	case !isJSON(r.Header):
		return nil, errNotJSON
	}
	return body, checkJSONOf(body, cmp.Or(op.mostValues, maxValues))
}

// bodyError says why a body could not be read.
func bodyError(err error) error {
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return errTooLarge
	}
	return iam.Errorf(iam.InvalidRequest, "the body ended before it was complete")
}

var (
	errNoBody   = iam.Errorf(iam.InvalidRequest, "this operation needs a body")
	errTooLarge = newProblem(api.CodeTooLarge, "", "a body has at most 1 MiB")
	errNotJSON  = newProblem(api.CodeUnsupportedMediaType, "", "the body must be JSON, with Content-Type: application/json")
)

// refuseBody returns an error if there is a body where none is looked at.
func refuseBody(r *http.Request) error {
	if r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	var first [1]byte
	n, err := io.ReadFull(r.Body, first[:])
	if n == 0 && errors.Is(err, io.EOF) {
		return nil
	}
	return iam.Errorf(iam.InvalidRequest, "this operation takes no body")
}

// isJSON reports whether a body says that it is JSON, in UTF-8.
func isJSON(h http.Header) bool { return isOfType(h, jsonType) }

// isOfType reports whether a body says that it is of a media type, in UTF-8.
func isOfType(h http.Header, want string) bool {
	given := h["Content-Type"]
	if len(given) != 1 {
		return false
	}
	if given[0] == want {
		return true
	}
	kind, params, err := mime.ParseMediaType(given[0])
	if err != nil || kind != want {
		return false
	}
	for name, value := range params {
		if name != "charset" || !token.EqualASCII(value, "utf-8") {
			return false
		}
	}
	return true
}
