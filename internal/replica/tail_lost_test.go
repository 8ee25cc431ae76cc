package replica

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// Whoever is alone on its database knows, once it has asked after a doubt arose and had
// nothing more, that what was doubted is lost; and not before.
func TestWhatIsAheadIsLostOnceNothingMoreWasHeardOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Options{})
		asked := func() {
			time.Sleep(time.Second)
			now := time.Now()
			r.level.Store(&now)
			time.Sleep(time.Second)
		}
		asked()
		d := r.Doubts(iam.Position{Seq: 7})
		for _, test := range []struct {
			when string
			do   func()
			want bool
		}{
			{"before it has asked", func() {}, false},
			{"before it has loaded", asked, false},
			{"when it has heard of nothing more", func() { r.current.Store(&state{position: iam.Position{Seq: 6}}); asked() }, true},
			{"when it has come there", func() { r.current.Store(&state{position: iam.Position{Seq: 7}}) }, false},
		} {
			if test.do(); r.Lost(d) != test.want {
				t.Errorf("%s: lost: %t, want %t", test.when, !test.want, test.want)
			}
		}
	})
}
