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

// ask asks for permissions, and for no others. Mostly they are the same as before: a
// service asks for the same few. What does not parse is not repeated: it may be a key that
// was put in the wrong place.
func (d *demand) ask(permissions []string) error {
	if slices.Equal(d.asked, permissions) {
		return nil
	}
	d.forget()
	if err := d.add(permissions); err != nil {
		d.forget()
		return err
	}
	return nil
}

// forget asks for nothing, and keeps the memory.
func (d *demand) forget() {
	clear(d.wanted)
	clear(d.asked)
	d.wanted, d.asked = d.wanted[:0], d.asked[:0]
}

// add asks for more permissions.
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
