package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/spf13/pflag"
)

// Loaded is a configuration together with where each setting came from.
type Loaded struct {
	Config
	from map[string]string // by a setting's name
}

// Given reports whether somebody said what a setting is to be.
func (l Loaded) Given(name string) bool { return l.from[name] != fromDefault }

const fromDefault = "default"

// Shown is one setting as [Loaded.Show] presents it.
type Shown struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	From  string `json:"from"` // flag, the variable, the file or default
}

// Load reads the settings: from the flags that were given, of those that
// [Register] added; from the environment, in the form of [os.Environ]; and from
// the file at path, unless that is empty. It does not judge them: see
// [Config.Validate].
func Load(flags *pflag.FlagSet, environ []string, path string) (Loaded, error) {
	file, err := readFile(path)
	env := parse(environ)
	err = errors.Join(err, unknownVariables(env))
	loaded := Loaded{from: map[string]string{}}
	for _, s := range Settings() {
		text, from, assignErr := "", "", error(nil)
		switch f := flags.Lookup(s.Flag); {
		case f.Changed:
			text, from = f.Value.String(), "--"+s.Flag
		case env[s.Env] != "":
			text, from = env[s.Env], s.Env
		case file[s.Name] != nil:
			text, assignErr = s.fromFile(file[s.Name])
			from = path
		default:
			text, from = f.DefValue, fromDefault
		}
		if assignErr == nil {
			assignErr = s.assign(&loaded.Config, text)
		}
		if assignErr != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", from, assignErr))
		}
		loaded.from[s.Name] = from
	}
	return loaded, err
}

// Show lists the settings with passwords hidden.
func (l Loaded) Show() []Shown {
	var all []Shown
	for _, s := range Settings() {
		value := s.text(l.Config)
		if s.Name == "store.url" {
			value = MaskURL(value)
		}
		all = append(all, Shown{Name: s.Name, Value: value, From: l.from[s.Name]})
	}
	return all
}

// parse turns the form of [os.Environ] into a map.
func parse(environ []string) map[string]string {
	env := map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		env[name] = value
	}
	return env
}

// orchestrated matches what Kubernetes adds for a service named postern, or
// named so at its beginning, and what this project's own tests read.
var orchestrated = regexp.MustCompile(`^POSTERN(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_.*)?)?)$|^POSTERN_TEST_`)

// unknownVariables names every variable that looks like a setting and is none.
func unknownVariables(env map[string]string) error {
	var known []string
	for _, s := range slices.Concat(Settings(), clientVariables) {
		known = append(known, s.Env)
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if strings.HasPrefix(name, "POSTERN_") && !slices.Contains(known, name) && !orchestrated.MatchString(name) {
			errs = append(errs, unknown("the environment", name, known))
		}
	}
	return errors.Join(errs...)
}

// readFile returns the settings of a TOML file by their names.
func readFile(path string) (map[string]any, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var tree map[string]any
	if err := toml.Unmarshal(text, &tree); err != nil {
		return nil, notTOML(path, err)
	}
	var known []string
	for _, s := range Settings() {
		known = append(known, s.Name)
	}
	settings := map[string]any{}
	flatten(settings, "", tree)
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if !slices.Contains(known, name) {
			errs = append(errs, unknown(path, name, known))
		}
	}
	return settings, errors.Join(errs...)
}

// notTOML says where a file cannot be read. It does not repeat the parser's
// words, which may hold a part of the text, such as of a password.
func notTOML(path string, err error) error {
	if at, ok := errors.AsType[toml.ParseError](err); ok {
		return fmt.Errorf("%s, line %d: this is not TOML", path, at.Position.Line)
	}
	return fmt.Errorf("%s: this is not TOML", path)
}

func flatten(into map[string]any, prefix string, tree map[string]any) {
	for name, value := range tree {
		if below, ok := value.(map[string]any); ok {
			flatten(into, prefix+name+".", below)
			continue
		}
		into[prefix+name] = value
	}
}

// fromFile returns the text of a value in a file, which must be of the setting's
// own type.
func (s Setting) fromFile(value any) (string, error) {
	switch v := value.(type) {
	case string:
		if s.kind == reflect.String {
			return v, nil
		}
	case bool:
		if s.kind == reflect.Bool {
			return fmt.Sprint(v), nil
		}
	case []any:
		if s.kind == reflect.Slice {
			return joinTexts(s.Name, v)
		}
	}
	want := map[reflect.Kind]string{reflect.String: `a text, in quotation marks`, reflect.Bool: "true or false", reflect.Slice: "a list of texts"}
	return "", fmt.Errorf("%s must be %s", s.Name, want[s.kind])
}

func joinTexts(name string, list []any) (string, error) {
	var texts []string
	for _, v := range list {
		text, ok := v.(string)
		if !ok || strings.Contains(text, ",") {
			return "", fmt.Errorf("%s must be a list of texts without commas", name)
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ","), nil
}

func unknown(where, name string, known []string) error {
	if near := nearest(name, known); near != "" {
		return fmt.Errorf("%s: there is no setting %s; did you mean %s?", where, name, near)
	}
	return fmt.Errorf("%s: there is no setting %s", where, name)
}

// nearest returns the known name that a misspelt one most likely stands for.
func nearest(name string, known []string) string {
	best, least := "", 1+len(name)/3
	for _, k := range known {
		if d := distance(name, k); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance counts the insertions, deletions and substitutions between two texts.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
