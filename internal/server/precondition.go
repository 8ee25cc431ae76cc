package server

import (
	"net/http"
	"strconv"

	"github.com/posternhq/postern/internal/iam"
)

// etag returns the entity tag (RFC 9110, 8.8.3) of a thing at a version.
func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

var errIfMatch = iam.Errorf(iam.InvalidRequest, "If-Match must be * or one entity tag, as it was answered")

// ifMatch reads the header If-Match. It is nil when any version will do.
func ifMatch(h http.Header) (version *int64, err error) {
	values := h.Values("If-Match")
	if len(values) == 0 {
		return nil, nil
	}
	if len(values) > 1 {
		return nil, errIfMatch
	}
	text := values[0]
	if text == "*" {
		return nil, nil
	}
	if len(text) < 3 || text[0] != '"' || text[len(text)-1] != '"' {
		return nil, errIfMatch
	}
	n, err := strconv.ParseInt(text[1:len(text)-1], 10, 64)
	if err != nil || n < 0 || etag(n) != text {
		return nil, errIfMatch
	}
	return &n, nil
}
