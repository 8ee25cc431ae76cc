package server

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// respondAsync is the preference not to wait until a change is confirmed.
const respondAsync = "respond-async"

// longestWait is for how long a caller may prefer to wait. Answers may take a
// little longer than that to write: see the listeners' limits.
const longestWait = 90 * time.Second

// preference reads the header Prefer (RFC 7240) as far as an operation honours it.
// Preferences that nobody knows, or that make no sense, are passed over, as the
// standard has it; a wait is at least a second and at most [longestWait].
func preference(h http.Header, op *operation) (p iam.Preference, wait time.Duration) {
	if !op.waits() {
		return p, 0
	}
	preferred := preferences(h.Values("Prefer"))
	if value, asked := preferred[respondAsync]; asked && value == "" {
		p.Async = op.async
	}
	if seconds, err := strconv.ParseUint(preferred["wait"], 10, 31); err == nil {
		wait = min(max(time.Duration(seconds)*time.Second, time.Second), longestWait)
		p.Until = time.Now().Add(wait) // the clock that contexts go by
	}
	return p, wait
}

// preferences reads the values of a header Prefer: names in lower case, and the
// first value of each. Parameters are none that we know.
func preferences(values []string) map[string]string {
	all := map[string]string{}
	for _, one := range splitOutside(strings.Join(values, ","), ',') {
		name, value, _ := strings.Cut(splitOutside(one, ';')[0], "=")
		name = strings.ToLower(strings.Trim(name, " \t"))
		if _, twice := all[name]; !twice {
			all[name] = unquoted(strings.Trim(value, " \t"))
		}
	}
	return all
}

// splitOutside splits a text at a separator that is not in a quoted string.
func splitOutside(text string, separator byte) (parts []string) {
	quoted, from := false, 0
	for i := 0; i < len(text); i++ {
		switch {
		case quoted && text[i] == '\\':
			i++
		case text[i] == '"':
			quoted = !quoted
		case !quoted && text[i] == separator:
			parts, from = append(parts, text[from:i]), i+1
		}
	}
	return append(parts, text[from:])
}

// unquoted returns what a quoted string says, and other texts as they are.
func unquoted(text string) string {
	if len(text) < 2 || text[0] != '"' || text[len(text)-1] != '"' {
		return text
	}
	var said strings.Builder
	for i := 1; i < len(text)-1; i++ {
		if text[i] == '\\' && i < len(text)-2 {
			i++
		}
		said.WriteByte(text[i])
	}
	return said.String()
}

// acted is the output of a change whose answer carries the receipt: 200 when it is
// confirmed, 202 when the caller preferred not to wait for that.
type acted[Body any] struct {
	Status   int
	Location string `header:"Location" doc:"The path of the receipt."`
	Applied  string `header:"Preference-Applied" doc:"respond-async."`
	Body     Body
}

func actedOn[T, Body any](done iam.Done[T], body Body) *acted[Body] {
	status, location, applied := accepted(done.Receipt)
	return &acted[Body]{status, location, applied, body}
}

// updated is an output like acted, that is one thing with its entity tag.
type updated[Body any] struct {
	Status   int
	Location string `header:"Location" doc:"The path of the receipt."`
	Applied  string `header:"Preference-Applied" doc:"respond-async."`
	ETag     string `header:"ETag" doc:"For If-Match."`
	Body     Body
}

func updatedTo[T, Body any](done iam.Done[T], version int64, body Body) *updated[Body] {
	status, location, applied := accepted(done.Receipt)
	return &updated[Body]{status, location, applied, etag(version), body}
}

func accepted(r iam.Receipt) (status int, path, applied string) {
	if r.Confirmed {
		return http.StatusOK, "", ""
	}
	return http.StatusAccepted, location(r.Workspace, "receipts", string(r.ID)), respondAsync
}
