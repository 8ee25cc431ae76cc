package usage

import (
	"net/netip"
	"slices"
	"time"

	"github.com/posternhq/postern/internal/iam"
)

// What one report has at most, so that taking it does not take long.
const (
	mostKeys    = 2_000
	mostDetails = 20_000 // minutes, sources and asks, but for those of the last key
)

// cutter makes the keys of reports out of sums, of one after the other in the same
// memory.
type cutter struct {
	from   *sums
	offset int64 // what makes a moment the database's time, in nanoseconds since 1970

	keys    []iam.KeyUse
	minutes []iam.UsePoint // of all keys; likewise the others
	sources []iam.SourceUse
	asks    []iam.AskUse
}

// cut returns the next keys of sums after number done, and how many are done then.
// They are good until the next cut.
func (c *cutter) cut(from *sums, done int, offset int64) (keys []iam.KeyUse, now int) {
	c.from, c.offset = from, offset
	c.keys, c.minutes, c.sources, c.asks = c.keys[:0], c.minutes[:0], c.sources[:0], c.asks[:0]
	for done < from.keys.used && len(c.keys) < mostKeys && len(c.minutes)+len(c.sources)+len(c.asks) < mostDetails {
		done++
		c.add(uint32(done))
	}
	return c.keys, done
}

func (c *cutter) add(n uint32) {
	k, of := c.from.keys.at(n), c.from.owners.at(n)
	use := iam.KeyUse{
		Key: iam.KeyID(iam.FormatID(iam.KeyPrefix, k.id)), Principal: of.principal, Workspace: of.workspace,
		LastOK: c.time(k.lastOK), LastRefused: c.time(k.lastRefused),
	}
	begin := len(c.minutes)
	var ok, refused int64
	for i := k.points; i != 0; i = c.from.points.at(i).next {
		p := c.from.points.at(i)
		c.minutes = append(c.minutes, iam.UsePoint{At: time.Unix(int64(p.minute)*60, 0).UTC(), OK: p.ok, Refused: p.refused})
		ok, refused = ok+p.ok, refused+p.refused
	}
	use.Minutes = c.minutes[begin:len(c.minutes):len(c.minutes)]
	slices.SortFunc(use.Minutes, func(a, b iam.UsePoint) int { return a.At.Compare(b.At) })
	use.Sources = c.sourcesOf(k, &use, ok, refused)
	use.Asks = c.asksOf(k, &use, ok, refused)
	c.keys = append(c.keys, use)
}

// sourcesOf returns where a key was used that was used ok and refused times.
func (c *cutter) sourcesOf(k *keySum, use *iam.KeyUse, ok, refused int64) []iam.SourceUse {
	begin := len(c.sources)
	for n := k.told[sources].first; n != 0; n = c.from.details.at(n).next {
		d := c.from.details.at(n)
		c.sources = append(c.sources, iam.SourceUse{
			IP: addressText(d.ip), UserAgent: d.text, OK: d.ok, Refused: d.refused,
			First: c.time(d.first), Last: c.time(d.last), LastOK: c.time(d.lastOK),
		})
		ok, refused = ok-d.ok, refused-d.refused
	}
	if ok+refused > 0 {
		others := iam.SourceUse{Others: true, OK: ok, Refused: refused, First: use.Minutes[0].At, Last: latestOf(use)}
		if ok > 0 {
			others.LastOK = use.LastOK
		}
		c.sources = append(c.sources, others)
	}
	return c.sources[begin:len(c.sources):len(c.sources)]
}

// asksOf returns what was asked about a key that was used ok and refused times.
func (c *cutter) asksOf(k *keySum, use *iam.KeyUse, ok, refused int64) []iam.AskUse {
	begin := len(c.asks)
	for _, kind := range [...]kind{asks, general} {
		for n := k.told[kind].first; n != 0; n = c.from.details.at(n).next {
			d := c.from.details.at(n)
			c.asks = append(c.asks, iam.AskUse{Ask: d.text, Others: kind == general, Last: c.time(d.last), OK: d.ok, Refused: d.refused})
			ok, refused = ok-d.ok, refused-d.refused
		}
	}
	if ok+refused > 0 {
		c.asks = append(c.asks, iam.AskUse{Ask: iam.AnyAsk, Others: true, Last: latestOf(use), OK: ok, Refused: refused})
	}
	return c.asks[begin:len(c.asks):len(c.asks)]
}

func latestOf(use *iam.KeyUse) time.Time {
	if use.LastOK.After(use.LastRefused) {
		return use.LastOK
	}
	return use.LastRefused
}

// time returns a moment as the database's time, in whole microseconds, and not
// earlier than it was.
func (c *cutter) time(at moment) time.Time {
	if at == 0 {
		return time.Time{}
	}
	const micro = int64(time.Microsecond)
	nanos := c.offset + int64(at)
	return time.UnixMicro((nanos + micro - 1) / micro).UTC()
}

func addressText(ip [16]byte) string {
	if ip == [16]byte{} {
		return ""
	}
	return netip.AddrFrom16(ip).Unmap().String()
}
