package store

import "github.com/posternhq/postern/internal/iam"

// lastUseColumns are the columns of used, a row of usage_last or none. The name of
// its key follows.
const lastUseColumns = `used.last_ok_at, used.ip, used.user_agent, used.node, used.key_id, `

// lastUseFields takes in the last use of something, which may never have been accepted.
func lastUseFields(to **iam.LastUse) []any {
	var u iam.LastUse
	at := column(func(value any) error {
		if value != nil {
			*to = &u
		}
		return instant{&u.At}.Scan(value)
	})
	return []any{at, text(&u.Source.IP), text(&u.Source.UserAgent), text(&u.Source.Node), text(&u.Key), text(&u.KeyName)}
}
