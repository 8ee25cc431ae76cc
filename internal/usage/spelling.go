package usage

import (
	"net/netip"
	"time"
)

// times makes moments and minutes the database's time. Most keys of a report were last
// used when they were first used, and in the same minute as the others: what was made
// last is kept.
type times struct {
	offset int64 // in nanoseconds since 1970

	last       moment
	lastTime   time.Time
	lastMinute uint32
	minuteTime time.Time
}

// at returns a moment as the database's time, in whole microseconds, and not earlier
// than it was.
func (t *times) at(at moment) time.Time {
	if at == 0 {
		return time.Time{}
	}
	if at != t.last {
		const micro = int64(time.Microsecond)
		nanos := t.offset + int64(at)
		t.last, t.lastTime = at, time.UnixMicro((nanos+micro-1)/micro).UTC()
	}
	return t.lastTime
}

// minute returns the beginning of a minute since 1970.
func (t *times) minute(minute uint32) time.Time {
	if minute != t.lastMinute {
		t.lastMinute, t.minuteTime = minute, time.Unix(int64(minute)*60, 0).UTC()
	}
	return t.minuteTime
}

// addresses spells addresses. Those of late are kept, because most keys are used from
// few places.
type addresses [64]struct {
	ip   [16]byte
	text string
}

// text returns the text of an address, or nothing for one that nobody said.
func (a *addresses) text(ip [16]byte) string {
	if ip == [16]byte{} {
		return ""
	}
	known := &a[ip[15]%byte(len(a))]
	if known.ip != ip {
		known.ip, known.text = ip, netip.AddrFrom16(ip).Unmap().String()
	}
	return known.text
}
