package cli

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"
)

func TestLongWorkSaysHowFarItIs(t *testing.T) {
	for _, looking := range []bool{true, false} {
		now := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
		var stderr bytes.Buffer
		a := newApp(Program{Stderr: &stderr, Now: func() time.Time { return now }, Terminal: func(any) bool { return looking }})
		p := &progress{a: a, to: io.Discard, total: 100, began: now}
		for range 25 {
			if _, err := p.Write([]byte("an event\n")); err != nil {
				t.Fatal(err)
			}
			now = now.Add(time.Second)
		}
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		want, first := 24, "2 events in 1s, about 49s left"
		if !looking {
			want, first = 2, "11 events in 10s, about 1m21s left"
		}
		if len(lines) != want || lines[0] != first {
			t.Errorf("terminal %t: %d lines, the first %q; want %d, %q", looking, len(lines), lines[0], want, first)
		}
	}
}
