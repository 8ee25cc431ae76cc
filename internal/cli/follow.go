package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/api"
)

// howLong is the flag of commands that go on until they are stopped.
type howLong struct{ time.Duration }

func (h *howLong) register(fs *pflag.FlagSet) {
	fs.DurationVar(&h.Duration, "for", 0, "stop after this time, such as 10m; when not given, when it is interrupted")
}

const followWords = "A connection that is lost is made anew, and goes on where it was. The exit code is 4 or 5 when the key may no\n" +
	"longer listen, and 1 when so much was missed that the server does not tell it again."

// follow passes the events of a stream on until the time is over, which is no
// error, or do says that it is done.
func (a *app) follow(ctx context.Context, s session, h howLong, o postern.StreamOptions, do func(context.Context, postern.StreamEvent) (done bool, err error)) error {
	limited, cancel := ctx, func() {}
	if h.Duration > 0 {
		limited, cancel = context.WithTimeout(ctx, h.Duration)
	}
	defer cancel()
	o.Workspace = s.workspace
	o.Lost = func(err error) { a.note("The connection was lost, and is made anew: %s", explain(err)) }
	for e, err := range s.Stream(limited, o) {
		done := false
		if err == nil {
			done, err = do(limited, e)
		}
		switch {
		case limited.Err() != nil && ctx.Err() == nil:
			return nil
		case err != nil:
			return err
		case done:
			return nil
		}
	}
	return nil
}

// errMissed ends a command whose output would not be complete.
func errMissed(e postern.StreamEvent) error {
	var reset api.StreamReset
	_ = json.Unmarshal(e.Data, &reset) // its reason only chooses the words
	words := "more has happened since then than is told again"
	if reset.Reason != "too_old" {
		words = "the server's log is not the one that was followed: its database may have lost changes"
	}
	return failf(exitFailed, "events are missing: %s. Look for them with postern audit list --from", words)
}

// liner prints things as they come, each on a line.
type liner[T any] struct {
	a       *app
	columns []column[T]
	widths  []int // of the cells so far, in a table
	begun   bool  // the heading was printed
}

// print prints things that came together. The columns of a table are as wide as the
// widest of them and of those before, the heading among them.
func (l *liner[T]) print(all ...json.RawMessage) error {
	if l.a.global.field != "" || l.a.global.output == formatJSON || l.a.global.output == formatLines {
		for _, raw := range all {
			if err := l.printRaw(raw); err != nil {
				return err
			}
		}
		return nil
	}
	lines, err := rows(all, l.columns)
	if err != nil || len(all) == 0 {
		return err
	}
	if l.begun {
		lines = lines[1:] // without the heading
	}
	if l.a.global.output == formatCSV {
		l.begun = true
		return l.a.writeCSV(lines)
	}
	return l.table(lines)
}

func (l *liner[T]) printRaw(raw json.RawMessage) error {
	if l.a.global.field != "" {
		return l.a.printField(raw)
	}
	return writeLine(l.a.Stdout, raw)
}

// table prints lines of a table whose widths are not known before its end.
func (l *liner[T]) table(lines [][]string) error {
	if !l.begun {
		l.widths = make([]int, len(lines[0]))
		for i := range lines[0] {
			lines[0][i] = strings.ToUpper(heading(lines[0][i]))
		}
	}
	l.begun = true
	for _, line := range lines {
		for i := range line {
			line[i] = safe(line[i])
			l.widths[i] = min(max(l.widths[i], utf8.RuneCountInString(line[i])), mostWidth)
		}
	}
	for _, line := range lines {
		var b strings.Builder
		for i, cell := range line {
			fmt.Fprintf(&b, "%-*s  ", l.widths[i], cell)
		}
		if _, err := fmt.Fprintln(l.a.Stdout, strings.TrimRight(b.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

const mostWidth = 40 // that one long cell makes a column from then on

// decode reads the data of an event.
func decode[T any](e postern.StreamEvent) (out T, err error) {
	if err := json.Unmarshal(e.Data, &out); err != nil {
		return out, fmt.Errorf("read the event %s: %w", e.Name, err)
	}
	return out, nil
}
