package server

import (
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

const (
	defaultLimit = 50
	maxLimit     = 200
	maxCursor    = 2048 // characters
)

// Paging is the part of an input that every list has.
type Paging struct {
	Limit  int    `query:"limit" default:"50" doc:"How many to return: at most 200; what is beyond that counts as the nearest that is allowed."`
	Cursor string `query:"cursor" doc:"The next_cursor of the page before. It goes with the same caller, filters and sort."`
	Sort   string `query:"sort" doc:"A field to sort by, with - before it for descending."`
}

// page is a request for a part of a list, checked, together with what its
// cursors are bound to.
type page struct {
	iam.Page
	bound []byte
	seal  sealer
}

// page reads a request for a part of a list. filters is what else narrows the
// list, as a value that encodes as JSON: a cursor works only with the same ones.
func (s *Server) page(c iam.Caller, in Paging, route string, filters any) (page, error) {
	bound, err := json.Marshal([]any{c.Workspace.ID, c.Principal.ID, route, in.Sort, filters})
	if err != nil {
		return page{}, fmt.Errorf("encode the filters of %s: %w", route, err)
	}
	limit := min(max(cmp.Or(in.Limit, defaultLimit), 1), maxLimit)
	p := page{Page: iam.Page{Limit: limit, Sort: in.Sort}, bound: bound, seal: s.cursors}
	if in.Cursor == "" {
		return p, nil
	}
	p.After, err = p.openCursor(in.Cursor)
	return p, err
}

// errCursor is the one answer to a cursor that was not made for this list.
var errCursor = &iam.Error{
	Kind: iam.InvalidRequest, Reason: "the cursor does not belong to this list, with this caller, sort and filters",
	Fields: []iam.Field{{Pointer: "cursor", Code: "bad_cursor", Detail: "begin the list again without a cursor"}},
}

func (p page) openCursor(text string) (after []string, err error) {
	plain, ok := p.seal.open(text, p.bound)
	if !ok || json.Unmarshal(plain, &after) != nil {
		return nil, errCursor
	}
	return after, nil
}

// listOf returns a part of a list as the API answers it.
func listOf[T, U any](p page, part iam.List[T], convert func(T) U) (api.List[U], error) {
	out := api.List[U]{Data: each(part.Items, convert)}
	if part.Next == nil {
		return out, nil
	}
	plain, err := json.Marshal(part.Next)
	if err != nil {
		return out, fmt.Errorf("encode a cursor: %w", err)
	}
	cursor := p.seal.seal(plain, p.bound)
	out.HasMore, out.NextCursor = true, &cursor
	return out, nil
}

// sealer makes texts that only this deployment can read and make, with
// AES-256-GCM and random nonces of 96 bits.
type sealer struct{ aead cipher.AEAD }

const sealerKey = 32 // bytes

// sealed is the alphabet of sealed texts. It has no underscore, so that none can
// look like a key.
var sealed = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

func newSealer(key []byte) (sealer, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealer{}, fmt.Errorf("make a cipher: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return sealer{}, fmt.Errorf("make a cipher: %w", err)
	}
	return sealer{aead}, nil
}

// seal hides plain and binds it to a context.
func (s sealer) seal(plain, context []byte) string {
	bound := sha256.Sum256(context)
	return sealed.EncodeToString(s.aead.Seal(nil, nil, plain, bound[:]))
}

// open returns what seal hid, if the text was made by it for the same context.
func (s sealer) open(text string, context []byte) (plain []byte, ok bool) {
	if len(text) > maxCursor {
		return nil, false
	}
	box, err := sealed.DecodeString(text)
	if err != nil {
		return nil, false
	}
	bound := sha256.Sum256(context)
	plain, err = s.aead.Open(nil, nil, box, bound[:])
	return plain, err == nil
}
