package server

import (
	"encoding/json"

	"github.com/posternhq/postern/internal/iam"
)

// checkJSON returns an error unless body is one JSON value that has one meaning.
func checkJSON(body []byte) error {
	if !json.Valid(body) {
		return iam.Errorf(iam.InvalidRequest, "the body is not JSON")
	}
	return nil
}
