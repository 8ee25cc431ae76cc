package store

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// Longer texts would not fit into an index.
const (
	maxIP        = 64   // bytes
	maxUserAgent = 256  // bytes
	maxAsk       = 1000 // bytes
)

// The steps of points, in microseconds as times are.
const (
	minuteStep = int64(time.Minute / time.Microsecond)
	hourStep   = int64(time.Hour / time.Microsecond)
	dayStep    = 24 * hourStep
)

// sums are a report as rows, each in the order of its table's key and each key
// once: a statement cannot add to one row twice.
type sums struct {
	last    []lastUse
	sources []sourceUse
	asks    []askUse
	points  map[point]counts // of minutes
}

type lastUse struct {
	key, principal, workspace string
	ok, refused               int64 // times; zero: never
	ip, userAgent             string
}

// source names a source of a key.
type source struct {
	key           string
	others        bool
	ip, userAgent string
}

type sourceUse struct {
	source
	node, via          string
	first, last        int64
	lastOK             int64 // zero: never
	ok, refused        int64
	gap, before, epoch int64 // see 004_usage.sql
}

// ask names what was asked of a key on a day.
type ask struct {
	key    string
	day    int64
	others bool
	ask    string
}

type askUse struct {
	ask
	principal   string
	last        int64
	ok, refused int64
}

// point names how often a subject was accepted and refused in one step of time.
type point struct {
	subject  string
	step, at int64
}

type counts struct{ ok, refused int64 }

func (c counts) plus(d counts) counts { return counts{c.ok + d.ok, c.refused + d.refused} }

func sumUp(r iam.UsageReport) sums {
	last, points := map[string]lastUse{}, map[point]counts{}
	sources, asks := map[source]sourceUse{}, map[ask]askUse{}
	for _, k := range r.Keys {
		key := string(k.Key)
		last[key] = later(lastOf(k), last[key])
		for _, m := range k.Minutes {
			at := m.At.UnixMicro()
			at -= at % minuteStep
			for _, subject := range []string{key, string(k.Principal), string(k.Workspace)} {
				p := point{subject, minuteStep, at}
				points[p] = points[p].plus(counts{m.OK, m.Refused})
			}
		}
		for _, s := range k.Sources {
			u := sourceOf(key, s)
			sources[u.source] = u.with(sources[u.source])
		}
		for _, a := range k.Asks {
			u := askOf(k, a)
			asks[u.ask] = u.with(asks[u.ask])
		}
	}
	return sums{
		last:    slices.SortedFunc(maps.Values(last), func(a, b lastUse) int { return cmp.Compare(a.key, b.key) }),
		sources: slices.SortedFunc(maps.Values(sources), func(a, b sourceUse) int { return a.compare(b.source) }),
		asks:    slices.SortedFunc(maps.Values(asks), func(a, b askUse) int { return a.compare(b.ask) }),
		points:  points,
	}
}

// detailed returns the keys of which there are sources or asks.
func (s sums) detailed() []string {
	var all []string
	for _, u := range s.sources {
		all = append(all, u.key)
	}
	for _, u := range s.asks {
		all = append(all, u.key)
	}
	return all
}

// firstDay returns the first day of which there are asks.
func (s sums) firstDay() int64 {
	if len(s.asks) == 0 {
		return 0
	}
	return slices.MinFunc(s.asks, func(a, b askUse) int { return cmp.Compare(a.day, b.day) }).day
}

// lastOf takes the source that a key was last accepted from.
func lastOf(k iam.KeyUse) lastUse {
	u := lastUse{
		key: string(k.Key), principal: string(k.Principal), workspace: string(k.Workspace),
		ok: sinceEpoch(k.LastOK), refused: sinceEpoch(k.LastRefused),
	}
	var from iam.SourceUse
	for _, s := range k.Sources {
		if s.LastOK.After(from.LastOK) {
			from = s
		}
	}
	u.ip, u.userAgent = brief(from.IP, maxIP), brief(from.UserAgent, maxUserAgent) // those of others are empty
	return u
}

// later returns the use of a key that two are together.
func later(a, b lastUse) lastUse {
	if b.ok > a.ok {
		a.ok, a.ip, a.userAgent = b.ok, b.ip, b.userAgent
	}
	a.refused = max(a.refused, b.refused)
	return a
}

func sourceOf(key string, s iam.SourceUse) sourceUse {
	u := sourceUse{
		source: source{key: key, others: s.Others}, first: sinceEpoch(s.First), last: sinceEpoch(s.Last), lastOK: sinceEpoch(s.LastOK),
		ok: s.OK, refused: s.Refused,
	}
	if !s.Others {
		u.via = s.Via
		u.ip, u.userAgent = brief(s.IP, maxIP), brief(s.UserAgent, maxUserAgent)
	}
	u.epoch = u.last / gapPeriod
	return u
}

// with returns the sum of two uses of one source, the second of which may be none.
func (u sourceUse) with(v sourceUse) sourceUse {
	if v.key == "" {
		return u
	}
	if v.last > u.last {
		u.via = v.via
	}
	u.first, u.last, u.lastOK = min(u.first, v.first), max(u.last, v.last), max(u.lastOK, v.lastOK)
	u.ok, u.refused = u.ok+v.ok, u.refused+v.refused
	u.gap, u.epoch = max(u.gap, v.gap), max(u.epoch, v.epoch)
	return u
}

func askOf(k iam.KeyUse, a iam.AskUse) askUse {
	u := askUse{
		ask:       ask{key: string(k.Key), others: a.Others, ask: plain(a.Ask)},
		principal: string(k.Principal), last: sinceEpoch(a.Last), ok: a.OK, refused: a.Refused,
	}
	if len(u.ask.ask) > maxAsk {
		u.ask = u.ask.general()
	}
	u.day = u.last - u.last%dayStep
	return u
}

// general returns what an ask is counted under when there are too many to be told
// apart.
func (a ask) general() ask {
	text := iam.AnyAsk
	if !a.others {
		text = iam.WithoutIDs(a.ask)
	}
	if len(text) > maxAsk {
		text = iam.AnyAsk
	}
	a.others, a.ask = true, text
	return a
}

// with returns the sum of two uses of one ask, the second of which may be none.
func (u askUse) with(v askUse) askUse {
	u.last, u.ok, u.refused = max(u.last, v.last), u.ok+v.ok, u.refused+v.refused
	return u
}

func (s source) compare(t source) int {
	return cmp.Or(strings.Compare(s.key, t.key), cmp.Compare(bit(s.others), bit(t.others)),
		strings.Compare(s.ip, t.ip), strings.Compare(s.userAgent, t.userAgent))
}

func (a ask) compare(b ask) int {
	return cmp.Or(strings.Compare(a.key, b.key), cmp.Compare(a.day, b.day),
		cmp.Compare(bit(a.others), bit(b.others)), strings.Compare(a.ask, b.ask))
}

func (p point) compare(q point) int {
	return cmp.Or(strings.Compare(p.subject, q.subject), cmp.Compare(p.step, q.step), cmp.Compare(p.at, q.at))
}

// sinceEpoch returns a time in microseconds, and zero for none.
func sinceEpoch(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// brief cuts a text to a length, between two characters, and leaves out what
// cannot be stored.
func brief(text string, most int) string {
	text = plain(text)
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "")
}
