package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// Setting describes one setting.
type Setting struct {
	Name    string // in a file, such as store.url
	Flag    string // without the hyphens in front, such as store-url
	Env     string // such as POSTERN_STORE_URL
	Default string
	Doc     string

	field int // of Config
	kind  reflect.Kind
}

// Settings returns all settings in the order of [Config].
func Settings() []Setting {
	var all []Setting
	for i, f := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		name := f.Tag.Get("setting")
		flag := strings.ReplaceAll(name, ".", "-")
		all = append(all, Setting{
			Name: name, Flag: flag, Env: "POSTERN_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_")),
			Default: f.Tag.Get("default"), Doc: f.Tag.Get("doc"),
			field: i, kind: f.Type.Kind(),
		})
	}
	return all
}

// Register adds a flag for each setting. defaults, by name, win over those that
// [Config] states.
func Register(fs *pflag.FlagSet, defaults map[string]string) {
	for _, s := range Settings() {
		if d, ok := defaults[s.Name]; ok {
			s.Default = d
		}
		f := fs.VarPF(&flagValue{setting: s, text: s.Default}, s.Flag, "", s.Doc)
		if s.kind == reflect.Bool {
			f.NoOptDefVal = "true"
		}
	}
}

// flagValue is a setting as a flag: its text, checked when it is set.
type flagValue struct {
	setting Setting
	text    string
}

func (v *flagValue) String() string { return v.text }

func (v *flagValue) Set(text string) error {
	v.text = text
	return v.setting.assign(new(Config), text)
}

// Type is what the help shows as the value's place.
func (v *flagValue) Type() string {
	switch v.setting.kind {
	case reflect.Bool:
		return "bool" // which pflag shows without a place
	case reflect.Slice:
		return "list"
	}
	return "text"
}

// assign sets the field of c from a text: of a list, the parts between commas.
func (s Setting) assign(c *Config, text string) error {
	field := reflect.ValueOf(c).Elem().Field(s.field)
	switch s.kind {
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%s: write true or false", s.Name)
		}
		field.SetBool(b)
	case reflect.Slice:
		var parts []string
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				parts = append(parts, part)
			}
		}
		field.Set(reflect.ValueOf(parts))
	default:
		field.SetString(text)
	}
	return nil
}

// text returns the field of c as it would be written.
func (s Setting) text(c Config) string {
	field := reflect.ValueOf(c).Field(s.field)
	if s.kind == reflect.Slice {
		return strings.Join(field.Interface().([]string), ",")
	}
	return fmt.Sprint(field.Interface())
}
