package cli

import (
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// global is the flags that every command has.
type global struct {
	context   string
	server    string
	workspace string
	plainHTTP bool

	output string
	json   bool
	field  string
	max    int
	quiet  bool

	noInput bool
	timeout time.Duration
	confirm string
}

const (
	formatTable = "table"
	formatJSON  = "json"
	formatLines = "jsonl"
	formatCSV   = "csv"
)

const (
	defaultMax     = 100
	defaultTimeout = 30 * time.Second
)

func (g *global) register(fs *pflag.FlagSet) {
	fs.StringVar(&g.context, "context", "", "stored context to use (POSTERN_CONTEXT)")
	fs.StringVar(&g.server, "server", "", "URL of the server (POSTERN_SERVER)")
	fs.StringVarP(&g.workspace, "workspace", "w", "", "workspace to work on, id or slug (POSTERN_WORKSPACE); the key's own when not given")
	fs.BoolVar(&g.plainHTTP, "plain-http", false, "send the key without encryption to another machine")
	fs.StringVarP(&g.output, "output", "o", formatTable, "how to print data: table, json, jsonl or csv")
	fs.BoolVar(&g.json, "json", false, "the same as -o json")
	fs.StringVar(&g.field, "field", "", "print one field only, such as id or role.name")
	fs.IntVar(&g.max, "max", defaultMax, "most items of a list; 0 for all")
	fs.BoolVarP(&g.quiet, "quiet", "q", false, "print data only, no words")
	fs.BoolVar(&g.noInput, "no-input", false, "ask nothing; fail where an answer would be needed")
	fs.DurationVar(&g.timeout, "timeout", defaultTimeout, "how long to wait for the server")
	fs.StringVar(&g.confirm, "confirm", "", "name of what is to be ended, in place of the question")
	fs.SortFlags = false
}

// check refuses values that make no sense, and settles the format.
func (g *global) check() error {
	if g.json {
		if g.output != formatTable && g.output != formatJSON {
			return usagef("--json and -o %s contradict each other", safe(g.output))
		}
		g.output = formatJSON
	}
	formats := []string{formatTable, formatJSON, formatLines, formatCSV}
	switch {
	case !slices.Contains(formats, g.output):
		return usagef("-o: write %s", strings.Join(formats, ", "))
	case g.field != "" && g.output != formatTable:
		return usagef("--field prints one field as it is; leave out -o and --json")
	case g.max < 0:
		return usagef("--max: write a number from 0")
	case g.timeout <= 0:
		return usagef("--timeout: write a time above 0, such as 10s")
	}
	return nil
}
