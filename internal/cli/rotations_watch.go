package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

// pollAgain is how often a rotation that is watched is looked at.
const pollAgain = time.Second

// watched is a rotation as it was when watching it ended.
type watched struct {
	rotation api.Rotation
	raw      json.RawMessage
}

// verdict is what the exit code of who waited says.
func (w watched) verdict() error {
	switch w.rotation.State {
	case string(iam.Cancelled):
		return failf(exitFailed, "the rotation was cancelled: %s is %s, %s is %s",
			w.rotation.OldKey.Name, w.rotation.OldKey.State, w.rotation.NewKey.Name, w.rotation.NewKey.State)
	case string(iam.Overdue):
		return failf(exitUnreachable, "the deadline has passed, and the old key may be in use. The rotation goes on: postern rotation get %s", w.rotation.ID)
	}
	return nil
}

// over reports whether there is nothing to wait for any more.
func (w watched) over() bool {
	switch w.rotation.State {
	case string(iam.Completed), string(iam.Cancelled), string(iam.Overdue):
		return true
	case string(iam.Ready):
		return !w.rotation.AutoRevoke
	}
	return false
}

// watchRotation looks at a rotation until it is ready, or over where the old key is
// revoked by itself, and tells what changes. A server that does not answer for a
// while is asked again: the rotation goes on without it.
func (a *app) watchRotation(ctx context.Context, s session, path string) (watched, error) {
	told := teller{app: a, said: map[string]bool{}}
	for {
		r, raw, err := a.look(ctx, s, path, &told)
		if err != nil {
			return watched{}, err
		}
		told.rotation(r)
		if w := (watched{r, raw}); w.over() {
			return w, nil
		}
		if err := wait(ctx, pollAgain); err != nil {
			a.note("The rotation goes on: postern rotation get %s", r.ID)
			return watched{}, err
		}
	}
}

// look reads a rotation, as often as it takes to reach a server. A key that may not
// read rotations reads its own.
func (a *app) look(ctx context.Context, s session, path string, told *teller) (r api.Rotation, raw json.RawMessage, err error) {
	for {
		r, raw, err = call[api.Rotation](ctx, s, http.MethodGet, path, nil)
		if isRefused(err) {
			r, raw, err = ownRotation(ctx, s, path, err)
		}
		if err == nil || exitCode(ctx, err) != exitUnreachable {
			return r, raw, err
		}
		told.once("unreachable", "No answer; asking again: "+explain(err))
		if err := wait(ctx, pollAgain); err != nil {
			return r, raw, err
		}
	}
}

// ownRotation finds a rotation among those of the calling key.
func ownRotation(ctx context.Context, s session, path string, refused error) (api.Rotation, json.RawMessage, error) {
	id := path[strings.LastIndexByte(path, '/')+1:]
	own, err := find(ctx, s, "/v1/keys/self/"+rotationsPart, map[string][]string{}, func(r api.Rotation) bool { return r.ID == id })
	if err != nil || len(own) == 0 {
		return api.Rotation{}, nil, cmp.Or(err, refused)
	}
	raw, err := json.Marshal(own[0])
	return own[0], raw, err
}

// teller tells what changes, each thing once.
type teller struct {
	app   *app
	said  map[string]bool // what has been said, and has not ended since
	state string
}

func (t *teller) once(key, words string) {
	if !t.said[key] {
		t.app.note("%s", words)
	}
	t.said[key] = true
}

// rotation tells what is new of a rotation. What was in the way, and is so again,
// is told again.
func (t *teller) rotation(r api.Rotation) {
	if r.State != t.state {
		t.app.note("%s: %s", rotationWords(r), strings.ReplaceAll(r.State, "_", " "))
		t.state = r.State
	}
	inTheWay := map[string]bool{}
	for _, b := range r.Blockers {
		key := b.Code
		switch {
		case b.Source != nil:
			key += " " + sourceName(b.Source.IP, b.Source.UserAgent, b.Source.Others)
		case b.Node != nil:
			key += " " + *b.Node
		}
		inTheWay[key] = true
		t.once(key, "  "+b.Detail)
	}
	t.said = inTheWay
}

// watchTrial tells of each refusal until a trial is over. Its error is a no if there
// was one.
func (a *app) watchTrial(ctx context.Context, s session, path string) error {
	told := teller{app: a, said: map[string]bool{}}
	counts := map[string]int64{}
	for {
		r, _, err := a.look(ctx, s, path, &told)
		if err != nil {
			return err
		}
		if r.Trial == nil {
			return nil
		}
		for _, refused := range r.Trial.Refused {
			name := sourceName(refused.IP, refused.UserAgent, refused.Others)
			if more := refused.Count - counts[name]; more > 0 {
				a.note("  refused %s, %s, by %s", name, count(more, "time"), refused.Node)
			}
			counts[name] = refused.Count
		}
		switch {
		case r.Trial.EndedAt == nil:
		case len(r.Trial.Refused) == 0:
			a.note("Over: nobody was refused. %s is %s.", r.OldKey.Name, r.OldKey.State)
			return nil
		default:
			a.note("Over: %s.", refusals(r.Trial))
			return errNo
		}
		if err := wait(ctx, pollAgain); err != nil {
			a.note("The old key works again at %s, whoever watches.", when(r.Trial.EndsAt))
			return err
		}
	}
}
