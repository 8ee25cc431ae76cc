package store

import (
	"context"
	"errors"
	"time"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

const deviceColumns = `d.hash, d.user_code, d.name, d.ip, d.user_agent, d.created_at, d.expires_at, d.polled_at, d.state,
	d.sign_in_id, d.workspace_id, d.principal_id`

func deviceFields(d *iam.Device) []any {
	return []any{
		hash(&d.Hash), &d.UserCode, &d.Name, &d.Source.IP, &d.Source.UserAgent, instant{&d.CreatedAt}, instant{&d.ExpiresAt},
		instant{&d.PolledAt}, &d.State, text(&d.SignIn), text(&d.Workspace), text(&d.Principal),
	}
}

// Device implements [iam.PeopleReader].
func (r reader) Device(ctx context.Context, hash token.Hash) (iam.Device, error) {
	return find(ctx, r, "device", deviceFields, `SELECT `+deviceColumns+` FROM devices d WHERE d.hash = $1`, hash.String())
}

// DeviceByCode implements [iam.PeopleReader].
func (r reader) DeviceByCode(ctx context.Context, userCode string) (iam.Device, error) {
	return find(ctx, r, "device", deviceFields, `SELECT `+deviceColumns+` FROM devices d WHERE d.user_code = $1`, userCode)
}

// UpdateDevice implements [iam.PeopleTx].
func (t *tx) UpdateDevice(_ context.Context, d iam.Device) error {
	return t.write(statement{
		text:    `UPDATE devices SET state = $2, sign_in_id = $3, workspace_id = $4, principal_id = $5 WHERE hash = $1`,
		args:    []any{d.Hash.String(), d.State, orNull(d.SignIn), orNull(d.Workspace), orNull(d.Principal)},
		missing: iam.Errorf(iam.NotFound, "there is no such device"),
	})
}

// KeepDevice implements [iam.PeopleStore].
func (s *Store) KeepDevice(ctx context.Context, d iam.Device, life time.Duration) (iam.Device, error) {
	err := s.beside(ctx, "keep a device", func(t *tx) error {
		d.CreatedAt, d.ExpiresAt, d.PolledAt, d.State = t.Now(), t.Now().Add(life), t.Now(), iam.DevicePending
		return errors.Join(t.write(statement{
			text: `DELETE FROM devices WHERE expires_at <= $1`, args: []any{t.Now().UnixMicro()},
		}), t.write(statement{
			text: `
				INSERT INTO devices (hash, user_code, name, ip, user_agent, created_at, expires_at, polled_at, state)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			args: []any{
				d.Hash.String(), d.UserCode, d.Name, d.Source.IP, d.Source.UserAgent,
				micros(d.CreatedAt), micros(d.ExpiresAt), micros(d.PolledAt), d.State,
			},
			taken: iam.Errorf(iam.NameTaken, "another device has this code"),
		}))
	})
	return d, err
}

// PollDevice implements [iam.PeopleStore].
func (s *Store) PollDevice(ctx context.Context, hash token.Hash) (d iam.Device, before, now time.Time, err error) {
	err = s.beside(ctx, "note that a device asked", func(t *tx) error {
		d, err := t.Device(ctx, hash)
		if err != nil {
			return err
		}
		before, now = d.PolledAt, t.Now()
		return t.write(statement{
			text: `UPDATE devices SET polled_at = $2 WHERE hash = $1`, args: []any{hash.String(), now.UnixMicro()},
		})
	})
	if err != nil {
		return d, before, now, err
	}
	d, err = s.Device(ctx, hash)
	return d, before, now, err
}
