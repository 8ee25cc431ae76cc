package cli

import (
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

func badTime(flag, more string) error {
	return usagef("--%s: write %sa while such as 90d, or a time such as 2027-01-31T00:00:00Z", flag, more)
}

// future reads a time that is given as such, or as a while from now.
func (a *app) future(flag, text string) (api.Time, error) { return readTime(flag, text, a.Now(), 1) }

// past reads a time that is given as such, or as a while ago.
func (a *app) past(flag, text string) (api.Time, error) { return readTime(flag, text, a.Now(), -1) }

func readTime(flag, text string, now time.Time, direction time.Duration) (api.Time, error) {
	if d, err := iam.ParseDuration(text); err == nil {
		return api.NewTime(now.Add(direction * d)), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		if at, err = time.Parse(time.DateOnly, text); err != nil {
			return api.Time{}, badTime(flag, "")
		}
	}
	return api.NewTime(at), nil
}

// moment is future for a query; empty stays so.
func (a *app) moment(flag, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	at, err := a.future(flag, text)
	return at.String(), err
}

// ago is past for a query; empty stays so.
func (a *app) ago(flag, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	at, err := a.past(flag, text)
	return at.String(), err
}
