package bench

import (
	"math"
	"math/bits"
	"slices"
	"time"
)

// median returns the middle of some values, or zero when there are none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

// rounded returns a value with as many digits after the point as anybody reads.
func rounded(value float64, digits int) float64 {
	scale := math.Pow10(digits)
	return math.Round(value*scale) / scale
}

// times counts how long calls took, in steps of about 6 %: what is in bucket i took
// at least (16+i%16) << (i/16) nanoseconds, and less than the next. It takes no memory
// for each call.
type times [16 * 48]uint64

const stepBits = 4 // of a time's digits after the first

func (t *times) add(took time.Duration) {
	n := uint64(max(took, 1<<stepBits))
	shift := bits.Len64(n) - 1 - stepBits
	t[min(shift<<stepBits+int(n>>shift)&(1<<stepBits-1), len(t)-1)]++
}

func (t *times) join(other *times) {
	for i, n := range other {
		t[i] += n
	}
}

// quantile returns the time that a share of the calls took no longer than.
func (t *times) quantile(share float64) time.Duration {
	var total, seen uint64
	for _, n := range t {
		total += n
	}
	for i, n := range t {
		if seen += n; n > 0 && float64(seen) >= share*float64(total) {
			return time.Duration((1<<stepBits + i&(1<<stepBits-1) + 1) << (i >> stepBits))
		}
	}
	return 0
}
