// Package static answers with files that are kept in memory, in the codings that
// clients take, and spares who has one already from reading it again.
package static

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
)

// Encodings are the codings that files are kept in besides as they are, the best
// one first, and how the names of such files end.
func Encodings() []Encoding { return []Encoding{{"br", ".br"}, {"gzip", ".gz"}} }

// Encoding is a content coding (RFC 9110, section 8.4.1).
type Encoding struct{ Name, Suffix string }

// How long what is answered may be kept.
const (
	Revalidate = "no-cache"                            // asked for again by its ETag
	Immutable  = "public, max-age=31536000, immutable" // its name holds a hash of what is in it
)

// File is one file in every coding that there is of it. Once all is added it may
// be served concurrently.
type File struct {
	Kind  string // its Content-Type
	Cache string // its Cache-Control
	forms map[string]form
}

type form struct {
	body []byte
	etag string
}

// Add keeps the file in a coding; "" is as it is, which there must be.
func (f *File) Add(coding string, body []byte) {
	if f.forms == nil {
		f.forms = map[string]form{}
	}
	sum := sha256.Sum256(body)
	f.forms[coding] = form{body, `"` + base64.RawURLEncoding.EncodeToString(sum[:15]) + `"`}
}

// Serve answers GET and HEAD with the file, in the best coding that the client
// takes, or says that the client has it.
func (f File) Serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.Kind)
	h.Set("Cache-Control", f.Cache)
	coding := ""
	if len(f.forms) > 1 {
		h.Set("Vary", "Accept-Encoding")
		coding = f.choose(r.Header.Values("Accept-Encoding"))
	}
	form := f.forms[coding]
	if coding != "" {
		h.Set("Content-Encoding", coding)
	}
	h.Set("ETag", form.etag)
	if matches(r.Header.Values("If-None-Match"), form.etag) {
		h.Del("Content-Encoding")
		h.Del("Content-Type")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(form.body)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write(form.body) // who went away needs no answer
	}
}

// OnlyRead answers what neither reads nor asks what there is to read, and reports
// whether it did.
func OnlyRead(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return false
	}
	w.Header().Set("Allow", "GET, HEAD")
	http.Error(w, "this address answers GET and HEAD", http.StatusMethodNotAllowed)
	return true
}

// choose returns the best coding that a client takes and there is.
func (f File) choose(accepted []string) string {
	for _, e := range Encodings() {
		if _, there := f.forms[e.Name]; there && accepts(accepted, e.Name) {
			return e.Name
		}
	}
	return ""
}

// accepts reports whether Accept-Encoding names a coding with a weight above 0
// (RFC 9110, section 12.5.3). "*" is not read: what it names may be had as it is.
func accepts(accepted []string, coding string) bool {
	for _, line := range accepted {
		for item := range strings.SplitSeq(line, ",") {
			name, weight, weighted := strings.Cut(item, ";")
			if !strings.EqualFold(strings.TrimSpace(name), coding) {
				continue
			}
			_, q, _ := strings.Cut(weight, "=")
			value, err := strconv.ParseFloat(strings.TrimSpace(q), 64)
			return !weighted || err == nil && value > 0
		}
	}
	return false
}

// matches reports whether If-None-Match names a tag, compared weakly (RFC 9110,
// section 13.1.2).
func matches(lines []string, etag string) bool {
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			if item = strings.TrimSpace(item); item == "*" || strings.TrimPrefix(item, "W/") == etag {
				return true
			}
		}
	}
	return false
}
