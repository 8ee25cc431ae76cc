package iam

import (
	"fmt"
	"slices"
	"time"
)

// Judgement is what is known of a rotation at one moment. Quiet is proved, not
// assumed: it counts only up to when everybody who may accept a key has reported,
// and what is not known is taken for use.
type Judgement struct {
	State      State
	QuietFor   time.Duration
	QuietSince time.Time // zero: the old key is in use, as far as anybody knows
	FirstUseAt time.Time // of the new key; zero: not yet
	Sources    []RotationSource
	Blockers   []Blocker // what is in the way; none when the rotation is ready, or over
	Refused    []TrialSource
}

// Ready reports whether the old key can be revoked without anybody noticing.
func (j Judgement) Ready() bool { return j.State == Ready }

// RotationSource is where the keys of a rotation are used from.
type RotationSource struct {
	IP          string
	UserAgent   string
	Node        string    // that it was last seen by
	Via         string    // as in [KeySource]
	Others      bool      // the sum of those that were too many to be told apart
	OldLastSeen time.Time // when it was last accepted with the old key; zero: never
	NewLastSeen time.Time
	Moved       bool // it used the new key, and not the old one since
}

// TrialSource is who was refused since the last trial of a rotation began.
type TrialSource struct {
	IP        string
	UserAgent string
	Node      string
	Via       string
	Others    bool
	LastSeen  time.Time
	Refused   int64
}

// Blocker is one thing that is in the way of a rotation.
type Blocker struct {
	Code   BlockerCode
	Detail string
	Source *RotationSource // with SourceNotMoved
	Node   string          // with NodeSilent
	Until  time.Time       // with UsesUnknown and NotQuiet: it is over then, if nothing new is learnt
}

// BlockerCode says what sort of thing is in the way.
type BlockerCode string

// What may be in the way of a rotation.
const (
	NewKeyUnused   BlockerCode = "new_key_unused"   // nobody has used the new key yet
	SourceNotMoved BlockerCode = "source_not_moved" // somebody still uses the old key
	NodeSilent     BlockerCode = "node_silent"      // a node has not said what it accepted
	UsesUnknown    BlockerCode = "uses_unknown"     // a node ended and may have taken what it counted with it
	NotQuiet       BlockerCode = "not_quiet"        // not quiet for long enough
	OldKeyPaused   BlockerCode = "old_key_paused"   // nobody could use it, so that its quiet proves nothing
	NewKeyPaused   BlockerCode = "new_key_paused"   // it cannot take the old one's place
)

// judge says how a rotation stands at a time. It is a pure function: what is known
// of the use of the keys comes with e.
func (r Rotation) judge(e Evidence, now time.Time) Judgement {
	j := Judgement{State: r.State, QuietFor: r.QuietFor, FirstUseAt: r.FirstUseAt, Sources: moves(e), Refused: r.refusedSince(e)}
	if !r.open() {
		return j
	}
	j.QuietFor = r.quietFor(e)
	if j.FirstUseAt.IsZero() && r.firstUsed(e) {
		j.FirstUseAt = e.NewFirstOK
	}
	if since := r.quietSince(e); e.KnownTo.After(since) && len(e.Silent) == 0 && !r.stopped(r.Old) {
		j.QuietSince = since
	}
	if end, ended := r.overtaken(now); ended {
		j.State = end
		return j
	}
	j.Blockers = r.blockers(e, j)
	switch {
	case len(j.Blockers) == 0:
		j.State = Ready
	case !r.Deadline.IsZero() && !now.Before(r.Deadline):
		j.State = Overdue
	case !r.firstUsed(e):
		j.State = WaitingForFirstUse
	default:
		j.State = Overlapping
	}
	return j
}

// overtaken reports whether one of the keys has ended by other means, and how the
// rotation ends by that.
func (r Rotation) overtaken(now time.Time) (State, bool) {
	switch {
	case ended(r.NewState(now)):
		return Cancelled, true
	case ended(r.OldState(now)):
		return Completed, true
	}
	return "", false
}

// stopped reports whether a key is paused, itself, with its owner or with the
// workspace, for another reason than a trial: a trial's refusals are seen.
func (r Rotation) stopped(k RotatedKey) bool {
	return k.Pauses.Without(ByTrial) != "" || r.Principal.State == Paused || r.Closed
}

func ended(key State) bool { return key == Revoked || key == Expired }

// firstUsed reports whether the new key was used. What was noted stays true when
// its evidence is dropped as too old.
func (r Rotation) firstUsed(e Evidence) bool {
	return !r.FirstUseAt.IsZero() || !e.NewFirstOK.IsZero() && !e.NewFirstOK.Before(r.StartedAt)
}

// maxLearnt is the longest quiet period that is learnt rather than asked for.
const maxLearnt = maxQuietFor

// learnQuietFor returns for how long a key must be quiet that was never idle for
// longer than a gap: twice that, and no less than the policy says.
func learnQuietFor(policy, gap time.Duration) time.Duration {
	twice := min(gap, maxLearnt) * 2
	if rest := twice % time.Second; rest != 0 {
		twice += time.Second - rest
	}
	return min(max(policy, twice), maxLearnt)
}

// quietFor returns for how long the old key must be quiet. Where nobody said, it
// grows with the gaps between two uses that are seen meanwhile. The time since the
// last use is no such gap: a key that falls silent would never have been silent
// for twice as long.
func (r Rotation) quietFor(e Evidence) time.Duration {
	if !r.Learnt {
		return r.QuietFor
	}
	var gap time.Duration
	for _, s := range e.OldSources {
		gap = max(gap, s.LongestGap)
	}
	return learnQuietFor(r.QuietFor, gap)
}

// quietSince returns since when there is no known use of the old key, nor any that
// may have been. Refused uses are no use, but for those that a trial refused: they
// would have been accepted.
func (r Rotation) quietSince(e Evidence) time.Time {
	return lastOf(r.StartedAt, e.OldLastOK, e.UnknownUntil, r.lastRefused(e))
}

// lastRefused returns when somebody was last turned away by a trial; zero: never.
func (r Rotation) lastRefused(e Evidence) time.Time {
	last := r.DisturbedAt
	for _, s := range r.refusedSince(e) {
		last = lastOf(last, s.LastSeen)
	}
	return last
}

func lastOf(times ...time.Time) time.Time { return slices.MaxFunc(times, time.Time.Compare) }

// blockers says what is in the way of a rotation that is open.
func (r Rotation) blockers(e Evidence, j Judgement) (all []Blocker) {
	if !r.firstUsed(e) {
		all = append(all, Blocker{Code: NewKeyUnused, Detail: "nobody has used the new key yet"})
	}
	all = append(all, r.stops()...)
	over := func(last time.Time) bool { return e.KnownTo.Sub(last) >= j.QuietFor }
	for _, s := range j.Sources {
		if !s.Moved && !s.OldLastSeen.IsZero() && !over(s.OldLastSeen) {
			all = append(all, Blocker{Code: SourceNotMoved, Source: &s, Detail: fmt.Sprintf(
				"%s has not moved: it last used the old key at %s", s.Words(), s.OldLastSeen.UTC().Format(time.RFC3339))})
		}
	}
	for _, node := range e.Silent {
		all = append(all, Blocker{Code: NodeSilent, Node: node, Detail: fmt.Sprintf(
			"%s has not said lately what it accepted, and what is not known is taken for use", node)})
	}
	if !e.UnknownUntil.IsZero() && !over(e.UnknownUntil) {
		all = append(all, Blocker{Code: UsesUnknown, Until: e.UnknownUntil.Add(j.QuietFor), Detail: fmt.Sprintf(
			"a node ended before it had said what it accepted: uses may have been lost until %s", e.UnknownUntil.UTC().Format(time.RFC3339))})
	}
	if since := r.quietSince(e); !over(since) {
		until := since.Add(j.QuietFor)
		all = append(all, Blocker{Code: NotQuiet, Until: until, Detail: fmt.Sprintf(
			"the old key must be quiet for %s: until %s, if nobody uses it before", FormatDuration(j.QuietFor), until.UTC().Format(time.RFC3339))})
	}
	return all
}

// stops says which of the keys cannot be used now.
func (r Rotation) stops() (all []Blocker) {
	if r.stopped(r.Old) {
		all = append(all, Blocker{Code: OldKeyPaused, Detail: "the old key, its owner or the workspace is paused, so that it proves nothing if nobody uses it"})
	}
	if r.New.Pauses != "" {
		all = append(all, Blocker{Code: NewKeyPaused, Detail: "the new key is paused, and cannot take the place of the old one"})
	}
	return all
}

// Words names a source for people.
func (s RotationSource) Words() string { return sourceWords(s.IP, s.UserAgent, s.Others) }

func sourceWords(ip, agent string, others bool) string {
	switch {
	case others:
		return "one of many others"
	case ip == "" && agent == "":
		return "somebody who did not say from where"
	case agent == "":
		return ip
	case ip == "":
		return agent
	}
	return fmt.Sprintf("%s (%s)", ip, agent)
}

// place is what tells sources apart.
type place struct {
	ip, agent string
	others    bool
}

func (s SourceUse) place() place { return place{s.IP, s.UserAgent, s.Others} }

// moves lists who uses the two keys: who has not moved first, then by recency.
func moves(e Evidence) []RotationSource {
	fresh := map[place]KeySource{}
	for _, s := range e.NewSources {
		fresh[s.place()] = s
	}
	var all []RotationSource
	known := map[place]bool{}
	for _, old := range e.OldSources {
		known[old.place()] = true
	}
	for _, old := range e.OldSources {
		if old.LastOK.IsZero() {
			continue // it was never let in
		}
		to, moved := fresh[old.place()]
		if !moved && !old.Others {
			to = sameAddress(e.NewSources, old.IP, known)
		}
		s := RotationSource{
			IP: old.IP, UserAgent: old.UserAgent, Node: old.Node, Via: old.Via, Others: old.Others,
			OldLastSeen: old.LastOK, NewLastSeen: to.LastOK, Moved: to.LastOK.After(old.LastOK),
		}
		if s.Moved {
			s.Node, s.Via = to.Node, to.Via
		}
		all = append(all, s)
	}
	for _, s := range e.NewSources {
		if !known[s.place()] && !s.LastOK.IsZero() {
			all = append(all, RotationSource{
				IP: s.IP, UserAgent: s.UserAgent, Node: s.Node, Via: s.Via, Others: s.Others, NewLastSeen: s.LastOK, Moved: true,
			})
		}
	}
	slices.SortStableFunc(all, func(a, b RotationSource) int {
		switch {
		case a.Moved && !b.Moved:
			return 1
		case b.Moved && !a.Moved:
			return -1
		}
		return lastOf(b.OldLastSeen, b.NewLastSeen).Compare(lastOf(a.OldLastSeen, a.NewLastSeen))
	})
	return all
}

// sameAddress returns who last used the new key from an address with a user agent
// that never used the old one: a consumer that was changed along with its key. One
// that used both keys has itself moved, and nobody for it.
func sameAddress(sources []KeySource, ip string, known map[place]bool) (found KeySource) {
	for _, s := range sources {
		if ip != "" && s.IP == ip && !s.Others && !known[s.place()] && s.LastOK.After(found.LastOK) {
			found = s
		}
	}
	return found
}

// refusedSince lists who was refused since the last trial began.
func (r Rotation) refusedSince(e Evidence) (all []TrialSource) {
	if r.Trial == nil {
		return nil
	}
	for _, s := range e.OldSources {
		n := s.Refused - r.Trial.Before[s.place().key()]
		if n <= 0 || s.Last.Before(r.Trial.From) {
			continue
		}
		all = append(all, TrialSource{
			IP: s.IP, UserAgent: s.UserAgent, Node: s.Node, Via: s.Via, Others: s.Others, LastSeen: s.Last, Refused: n,
		})
	}
	return all
}

// key is the place as a key of a JSON object.
func (p place) key() string {
	if p.others {
		return "others"
	}
	return p.ip + "\n" + p.agent
}

// refusedBefore returns how often each source of the old key has been refused.
func refusedBefore(e Evidence) map[string]int64 {
	before := map[string]int64{}
	for _, s := range e.OldSources {
		if s.Refused > 0 {
			before[s.place().key()] = s.Refused
		}
	}
	return before
}
