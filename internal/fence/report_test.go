package fence

import (
	"context"
	"log/slog"
	"regexp"
	"slices"
	"testing"
	"time"
)

var message = regexp.MustCompile(`msg="([^":]+)`)

// messages returns what was logged since it was last asked, without particulars.
func (l lines) messages() (all []string) {
	for len(l) > 0 {
		all = append(all, message.FindStringSubmatch(<-l)[1])
	}
	return all
}

// However long it lasts, each thing that happens to a node is one line.
func TestTheLogTellsWhatHappensToANodeOnce(t *testing.T) {
	deploy(t, func(t *testing.T, d *deployment) {
		said := make(lines, 1000)
		a := d.node(t, Options{Log: slog.New(slog.NewTextHandler(said, nil))})
		for _, step := range []struct {
			name   string
			happen func()
			want   []string
		}{
			{"it starts", func() {}, []string{"the node answers"}},
			{"all is well", func() {}, nil},
			{"a moment without the database", func() {
				a.door.fail(every, errCut)
				time.Sleep(3 * time.Second)
				a.door.fail(every, nil)
			}, []string{"the node cannot renew its lease", "the node cannot follow", "the node has a lease again"}},
			{"a minute without it", func() {
				a.door.fail(every, errCut)
				settle()
				a.door.fail(every, nil)
			}, []string{"the node cannot renew its lease", "the node cannot follow", "the node is stale", "the node answers"}},
			{"another timeline", func() { d.set(func() { d.authority.Timeline = "2" }) }, []string{
				"the node is stale", "the node answers", "removing the row of a node that is silent", // its own of before
			}},
			{"its row is removed", func() { d.set(func() { clear(d.rows) }) }, []string{"the node is stale", "the node answers"}},
			{"it leaves", func() {
				if err := a.Leave(t.Context(), func(context.Context) error { return nil }); err != nil {
					t.Error(err)
				}
			}, []string{"the node has left"}},
		} {
			step.happen()
			settle()
			got := said.messages()
			slices.Sort(got)
			slices.Sort(step.want)
			if !slices.Equal(got, step.want) {
				t.Errorf("%s: the log says %q, want %q", step.name, got, step.want)
			}
		}
	})
}
