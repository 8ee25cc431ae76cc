package token

import "encoding/binary"

// each is the number with one byte eight times.
func each(c byte) uint64 { return uint64(c) * 0x0101010101010101 }

// isBase62 reports whether a text of eight bytes or more is of the alphabet. It looks at
// eight bytes at a time, for it looks at each key that is verified.
func isBase62(s string) bool {
	bad := strangers(s[len(s)-8:])
	for ; len(s) >= 8; s = s[8:] {
		bad |= strangers(s[:8])
	}
	return bad == 0
}

// strangers returns a number that is zero if eight bytes are of the alphabet.
func strangers(eight string) uint64 {
	text := binary.LittleEndian.Uint64([]byte(eight))
	// The top bit of each byte says whether it is at least c. Bytes that have it of
	// their own are strangers, and carry nothing into those beside them without it.
	from := func(text uint64, c byte) uint64 { return text + each(0x80-c) }
	plain := text &^ each(0x80)
	small := plain | each('a'-'A')
	digits := from(plain, '0') &^ from(plain, '9'+1)
	letters := from(small, 'a') &^ from(small, 'z'+1)
	return (text | ^(digits | letters)) & each(0x80)
}
