package postern

import (
	"fmt"
	"slices"

	"github.com/posternhq/postern/internal/iam"
)

// demand is the permissions that a verification asks for.
type demand struct {
	wanted []iam.Permission
	asked  []string // the same as they are written, none of them twice
}

// mostAsked is how many permissions one verification has: a verdict holds a bit for
// each.
const mostAsked = 64

var errTooMany = fmt.Errorf("postern: a verification asks for at most %d permissions", mostAsked)

// add reads permissions. What does not parse is not repeated: it may be a key that was
// put in the wrong place.
func (d *demand) add(permissions []string) error {
	for i, text := range permissions {
		p, err := iam.ParsePermission(text)
		if err != nil {
			return fmt.Errorf("postern: permission number %d %w", i+1, err)
		}
		if slices.Contains(d.asked, text) {
			continue
		}
		if len(d.asked) == mostAsked {
			return errTooMany
		}
		d.wanted, d.asked = append(d.wanted, p), append(d.asked, text)
	}
	return nil
}
