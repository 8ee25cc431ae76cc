package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/posternhq/postern/api"
)

// keyCounts says how many keys work, of how many there ever were.
func keyCounts(c api.KeyCounts) string { return fmt.Sprintf("%d of %d", c.Active, c.Total) }

// textOr writes a text that may be missing.
func textOr(text *string, otherwise string) string {
	if text == nil {
		return otherwise
	}
	return *text
}

// pairs writes metadata in order.
func pairs(m map[string]string) string {
	var all []string
	for _, name := range sortedKeys(m) {
		all = append(all, name+"="+m[name])
	}
	return strings.Join(all, ", ")
}

// actorName names who did something, and says when they are no longer there.
func actorName(x api.Actor) string {
	if x.State == "" || x.State == "active" {
		return x.Name
	}
	return x.Name + " (" + x.State + ")"
}

func revocation(r *api.Revocation) string {
	if r == nil {
		return ""
	}
	words := when(r.At) + " by " + actorName(r.By)
	if r.Reason != nil && *r.Reason != "" {
		words += ": " + *r.Reason
	}
	return words
}

func lastUse(u *api.LastUse) string {
	if u == nil {
		return ""
	}
	if u.Source.IP == "" { // nobody said
		return when(u.At)
	}
	return when(u.At) + " from " + u.Source.IP
}

// yes writes a filter that is on or left out.
func yes(on bool) string {
	if on {
		return "true"
	}
	return ""
}

// number writes a count.
func number(n int64) string { return strconv.FormatInt(n, 10) }

// millis writes milliseconds with one digit after the point below ten.
func millis(ms float64) string {
	if ms >= 10 {
		return strconv.FormatFloat(math.Round(ms), 'f', 0, 64)
	}
	return strconv.FormatFloat(math.Round(ms*10)/10, 'f', -1, 64)
}
