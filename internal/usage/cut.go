package usage

import (
	"slices"
	"strings"

	"github.com/posternhq/postern/internal/iam"
)

// What one report has at most, so that taking it does not take long.
const (
	mostKeys    = 2_000
	mostDetails = 20_000 // minutes, sources and asks, but for those of the last key
)

// counted is what reports are made of: the sums that waited, or a side that nobody
// counts into any more.
type counted interface {
	last() int                    // the number of its last key
	report(number int, c *cutter) // tells the cutter of a key, if it was used
}

// cutter makes the keys of reports, of one report after the other in the same memory.
type cutter struct {
	keys    []iam.KeyUse
	minutes []iam.UsePoint // of all keys; likewise what follows
	sources []iam.SourceUse
	asks    []iam.AskUse
	ids     strings.Builder

	begun  struct{ minutes, sources, asks int } // how many there were before the last key
	untold struct{ sources, asks uses }         // of the last key

	times     times
	addresses addresses
}

// uses is how often something was accepted and refused.
type uses struct{ ok, refused int64 }

func (u *uses) add(ok, refused int64) { u.ok, u.refused = u.ok+ok, u.refused+refused }

// cut returns the next keys after number done, and how many are done then. They are
// good until the next cut. offset makes a moment the database's time, in nanoseconds
// since 1970.
func (c *cutter) cut(from counted, done int, offset int64) (keys []iam.KeyUse, now int) {
	c.times = times{offset: offset}
	c.keys, c.minutes, c.sources, c.asks = c.keys[:0], c.minutes[:0], c.sources[:0], c.asks[:0]
	c.ids = strings.Builder{} // one text for all ids, for the collector's sake
	c.ids.Grow(min(from.last()-done, mostKeys) * len(iam.KeyPrefix+"01arz3ndektsv4rrffq69g5fav"))
	for done < from.last() && len(c.keys) < mostKeys && len(c.minutes)+len(c.sources)+len(c.asks) < mostDetails {
		done++
		from.report(done, c)
	}
	return c.keys, done
}

// begin begins a key, of which all that follows is until end.
func (c *cutter) begin(id [16]byte, of *owner) {
	c.begun.minutes, c.begun.sources, c.begun.asks = len(c.minutes), len(c.sources), len(c.asks)
	c.untold.sources, c.untold.asks = uses{}, uses{}
	c.keys = append(c.keys, iam.KeyUse{Key: c.id(id), Principal: of.principal, Workspace: of.workspace})
}

func (c *cutter) id(id [16]byte) iam.KeyID {
	var room [64]byte
	from := c.ids.Len()
	c.ids.Write(iam.AppendID(room[:0], iam.KeyPrefix, id))
	return iam.KeyID(c.ids.String()[from:])
}

// minute adds uses in a minute since 1970.
func (c *cutter) minute(minute uint32, ok, refused int64) {
	c.minutes = append(c.minutes, iam.UsePoint{At: c.times.minute(minute), OK: ok, Refused: refused})
	c.untold.sources.add(ok, refused)
	c.untold.asks.add(ok, refused)
}

// detail adds uses in one way.
func (c *cutter) detail(kind kind, d *detailSum) {
	last := c.times.at(d.last)
	if kind == sources {
		var via string
		if d.gateway {
			via = iam.Gateway
		}
		c.sources = append(c.sources, iam.SourceUse{
			IP: c.addresses.text(d.ip), UserAgent: d.text, Via: via, OK: d.ok, Refused: d.refused,
			First: c.times.at(d.first), Last: last, LastOK: c.times.at(d.lastOK),
		})
		c.untold.sources.add(-d.ok, -d.refused)
		return
	}
	c.asks = append(c.asks, iam.AskUse{Ask: d.text, Others: kind == general, Last: last, OK: d.ok, Refused: d.refused})
	c.untold.asks.add(-d.ok, -d.refused)
}

// end ends a key. What was not told apart of it is told as others.
func (c *cutter) end(lastOK, lastRefused moment) {
	use := &c.keys[len(c.keys)-1]
	use.LastOK, use.LastRefused = c.times.at(lastOK), c.times.at(lastRefused)
	use.Minutes = c.minutes[c.begun.minutes:len(c.minutes):len(c.minutes)]
	if len(use.Minutes) > 1 {
		slices.SortFunc(use.Minutes, func(a, b iam.UsePoint) int { return a.At.Compare(b.At) })
	}
	last := c.times.at(max(lastOK, lastRefused))
	if n := c.untold.sources; n != (uses{}) {
		others := iam.SourceUse{Others: true, OK: n.ok, Refused: n.refused, First: use.Minutes[0].At, Last: last}
		if n.ok > 0 {
			others.LastOK = use.LastOK
		}
		c.sources = append(c.sources, others)
	}
	if n := c.untold.asks; n != (uses{}) {
		c.asks = append(c.asks, iam.AskUse{Ask: iam.AnyAsk, Others: true, Last: last, OK: n.ok, Refused: n.refused})
	}
	use.Sources = c.sources[c.begun.sources:len(c.sources):len(c.sources)]
	use.Asks = c.asks[c.begun.asks:len(c.asks):len(c.asks)]
}
