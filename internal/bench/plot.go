package bench

import (
	"cmp"
	"fmt"
	"html"
	"slices"
	"strings"
)

// bar is one bar of a picture.
type bar struct {
	label string
	value float64
	plain bool // it is what others are compared with
}

// Plot returns a picture of a report, as SVG: what a call takes of the server's
// processors at each door, and with how many keys.
func Plot(r *Report) string {
	var doors, sizes []bar
	for _, d := range r.Doors {
		if d.Connections == usualConnections && d.Name != doorBatch {
			doors = append(doors, bar{d.Name, d.CPU, strings.HasPrefix(d.Name, "bare ")})
		}
	}
	byKeys := func(a, b Size) int { return cmp.Compare(a.Keys, b.Keys) }
	for _, s := range slices.SortedFunc(slices.Values(r.Sizes), byKeys) {
		sizes = append(sizes, bar{Count(s.Keys) + " keys", s.CPU, false})
	}
	var body strings.Builder
	y := 20
	for _, panel := range []struct {
		title string
		bars  []bar
	}{
		{fmt.Sprintf("Microseconds of a processor for each request, %d connections, %s keys", usualConnections, Count(r.Keys)), doors},
		{"The same for /v1/verify, by how many keys there are", sizes},
	} {
		if len(panel.bars) > 0 {
			y = drawPanel(&body, y, panel.title, panel.bars)
		}
	}
	fmt.Fprintf(&body, `<text x="20" y="%d" class="small">%s</text>`+"\n", y, html.EscapeString(fmt.Sprintf(
		"Medians of %d. %d processors, %s, %s; load %.1f to %.1f.", r.Pairs, r.Machine.CPUs, r.Machine.Model, r.Machine.Go, r.Machine.LoadBegan, r.Machine.LoadEnded)))
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="What a verification takes">
<style>.paper{fill:#fff}text{font:14px system-ui,sans-serif;fill:#1f2328}.title{font-weight:600}.small{font-size:12px;fill:#59636e}.bar{fill:#2f6feb}.plain{fill:#afb8c1}@media(prefers-color-scheme:dark){.paper{fill:#0d1117}text{fill:#e6edf3}.small{fill:#9198a1}.plain{fill:#656c76}}</style>
<rect class="paper" width="100%%" height="100%%" rx="6"/>
%s</svg>
`, plotWidth, y+16, body.String())
}

const (
	plotWidth  = 760
	labelWidth = 230
	barHeight  = 22
)

// drawPanel draws bars under a title, from y on, and returns where it ended.
func drawPanel(out *strings.Builder, y int, title string, bars []bar) int {
	most := 0.0
	for _, b := range bars {
		most = max(most, b.value)
	}
	fmt.Fprintf(out, `<text x="20" y="%d" class="title">%s</text>`+"\n", y+4, html.EscapeString(title))
	y += 16
	for _, b := range bars {
		class := "bar"
		if b.plain {
			class = "plain"
		}
		width := 0.0
		if most > 0 {
			width = b.value / most * (plotWidth - labelWidth - 90)
		}
		fmt.Fprintf(out, `<text x="20" y="%d">%s</text><rect x="%d" y="%d" width="%.1f" height="%d" rx="2" class="%s"/><text x="%.1f" y="%d">%.1f</text>`+"\n",
			y+16, html.EscapeString(b.label), labelWidth, y, width, barHeight-4, class, labelWidth+width+8, y+16, b.value)
		y += barHeight
	}
	return y + 24
}
