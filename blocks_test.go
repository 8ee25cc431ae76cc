package postern_test

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// step is a command of a page and what it is said to print.
type step struct {
	line    int // of the page, where it stands
	command string
	output  []string // nil: nothing is said
	stop    bool     // not a command: what runs in front is stopped, as by Ctrl-C
}

// block is a fenced block of a page.
type block struct {
	line     int
	language string
	notRun   string // why it is shown and not run; "" when it is run
	lines    []string
}

const notRun = "not run: "

// blocks returns the fenced blocks of a page.
func blocks(markdown string) (found []block) {
	var open *block
	number := 0
	for line := range strings.Lines(markdown) {
		number++
		line = strings.TrimSuffix(line, "\n")
		info, isFence := strings.CutPrefix(strings.TrimLeft(line, " "), "```")
		switch {
		case isFence && open == nil:
			language, rest, _ := strings.Cut(info, " ")
			reason, _ := strings.CutPrefix(rest, notRun)
			open = &block{line: number, language: language, notRun: reason}
		case isFence:
			found = append(found, *open)
			open = nil
		case open != nil:
			open.lines = append(open.lines, line)
		}
	}
	return found
}

// steps returns the commands of a block: all of one of sh, and what stands after a
// prompt in one of console. A backslash at the end of a line goes on with the next.
func (b block) steps() (steps []step) {
	continued := false
	for i, line := range b.lines {
		command, isCommand := strings.CutPrefix(line, "$ ")
		if b.language == "sh" {
			isCommand = strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "#") && line != "^C"
			command = line
		}
		switch {
		case continued:
			steps[len(steps)-1].command += "\n" + line
			command, isCommand = line, true
		case isCommand:
			steps = append(steps, step{line: b.line + 1 + i, command: command})
		case line == "^C":
			steps = append(steps, step{line: b.line + 1 + i, stop: true})
		case b.language == "console" && len(steps) > 0:
			last := &steps[len(steps)-1]
			last.output = append(last.output, line)
		}
		continued = isCommand && strings.HasSuffix(command, `\`)
	}
	return steps
}

// standIns returns what differs from run to run, as patterns. A page shows one of
// each, and is right with any other.
func standIns() []string {
	patterns := []string{
		`pst_sa_\w{4}…\w{4}`,
		`pst_usr_\w{4}…\w{4}`,
		`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC`,
		`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z`,
		`drill-[a-z0-9]{10}`,
		`\b[0-9.]+ ms\b`,
		`curl/[0-9.]+`,
	}
	for prefix := range strings.FieldsSeq("ws usr mem sa key role evt rot inv rcp req ses") {
		patterns = append(patterns, `\b`+prefix+`_[0-9a-z]{26}\b`)
	}
	return append(patterns, "…")
}

// form returns what the output of a command must match: "…" is anything within a
// line, and a line of nothing else any number of lines.
func form(output []string) *regexp.Regexp {
	any := regexp.MustCompile(strings.Join(standIns(), "|"))
	var b strings.Builder
	b.WriteString("^")
	for _, line := range output {
		if strings.TrimSpace(line) == "…" {
			b.WriteString(`(?:.*\n)*`)
			continue
		}
		line, from := words(line), 0
		for _, at := range any.FindAllStringIndex(line, -1) {
			b.WriteString(regexp.QuoteMeta(line[from:at[0]]) + patternOf(line[at[0]:at[1]]))
			from = at[1]
		}
		b.WriteString(regexp.QuoteMeta(line[from:]) + `\n`)
	}
	return regexp.MustCompile(b.String() + "$")
}

// patternOf returns the pattern of what stands for something else.
func patternOf(text string) string {
	for _, p := range standIns() {
		if text != "…" && regexp.MustCompile("^(?:"+p+")$").MatchString(text) {
			return p
		}
	}
	return ".*"
}

// words are a line's words: columns move with the length of what is in them.
func words(line string) string { return strings.Join(strings.Fields(line), " ") }

// errOutput is of a command that did what it should, and printed something else.
var errOutput = errors.New("it printed something else")

// check says what is wrong with what a command printed.
func (s step) check(printed []string) error {
	if s.output == nil {
		return nil
	}
	var b strings.Builder
	for _, line := range printed {
		b.WriteString(words(line) + "\n")
	}
	if !form(s.output).MatchString(b.String()) {
		return fmt.Errorf("%w: the page says\n%s\nand it printed\n%s", errOutput, strings.Join(s.output, "\n"), strings.Join(printed, "\n"))
	}
	return nil
}

func TestBlocksAreTheCommandsOfAPage(t *testing.T) {
	const page = "text\n```console\n$ one \\\n    two\nprinted\n\nmore\n$ three\n```\n$ no\n```sh not run: it takes a day\nfour\n```\n```sh\n# five\nsix\n^C\n```\n"
	var got []string
	for _, b := range blocks(page) {
		for _, s := range b.steps() {
			got = append(got, fmt.Sprintf("%d %s %q %q %v", s.line, b.notRun, s.command, s.output, s.stop))
		}
	}
	want := []string{
		`3  "one \\\n    two" ["printed" "" "more"] false`, `8  "three" [] false`, `12 it takes a day "four" [] false`,
		`16  "six" [] false`, `17  "" [] true`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestOutputIsWhatThePageSays(t *testing.T) {
	for _, c := range []struct {
		says, printed string
		right         bool
	}{
		{"a  b", "a b", true},
		{"a b", "a b\nc", false},
		{"a b\n…", "a b\nc\nd", true},
		{"…\nc", "a\nb\nc", true},
		{"…\nc", "a\nc\nb", false},
		{"a … c", "a b b c", true},
		{"a.c", "abc", false},
		{"key_01m849yh6zfq8st3gbjsmw272j x", "key_01m849yh7qe9zvbqy016sxdk2z x", true},
		{"key_01m849yh6zfq8st3gbjsmw272j x", "sa_01m849yh7qe9zvbqy016sxdk2z x", false},
		{"at 2026-11-23 13:36:25 UTC", "at 2027-01-02 03:04:05 UTC", true},
		{"pst_sa_7Qm2…x9Kd", "pst_sa_abcd…efgh", true},
		{"pst_sa_7Qm2…x9Kd", "pst_usr_abcd…efgh", false},
		{"Confirmed by 1 of 1 nodes in 2 ms.", "Confirmed by 1 of 1 nodes in 13.25 ms.", true},
		{"Confirmed by 1 of 1 nodes in 2 ms.", "Confirmed by 0 of 1 nodes in 2 ms.", false},
	} {
		err := step{output: strings.Split(c.says, "\n")}.check(strings.Split(c.printed, "\n"))
		if (err == nil) != c.right {
			t.Errorf("%q for %q: got %v, want it right: %v", c.printed, c.says, err, c.right)
		}
	}
}
