package token_test

import (
	"bytes"
	"context"
	"database/sql/driver"
	"encoding/base64"
	"encoding/binary"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io"
	"log"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"text/template"

	"github.com/posternhq/postern/internal/token"
)

// The shapes in which a secret may come to a printer.
type (
	public  struct{ Key token.Secret }
	private struct{ key token.Secret }
	pointer struct {
		Key *token.Secret
		key *token.Secret
	}
	embedded struct{ token.Secret }
	boxed    struct {
		Key any
		key any
	}
	deep struct {
		Requests map[string][]*private
		err      error
	}
	keyError struct{ key token.Secret }
)

func (keyError) Error() string { return "the key was refused" }

// shapes returns s in all of them, by name.
func shapes(s token.Secret) map[string]any {
	return map[string]any{
		"secret": s, "pointer": &s, "pointer to pointer": new(&s),
		"public field": public{s}, "private field": private{s}, "pointer to private field": &private{s},
		"pointer fields": pointer{&s, &s}, "embedded": embedded{s}, "in an any": boxed{s, s}, "pointer in an any": &boxed{&s, &s},
		"slice": []token.Secret{s}, "array": [1]token.Secret{s}, "slice of any": []any{s, &s, private{s}},
		"map": map[string]token.Secret{"key": s}, "map of private": map[string]private{"key": {s}},
		"deep":  deep{map[string][]*private{"a": {{s}}}, keyError{s}},
		"error": keyError{s}, "wrapped error": fmt.Errorf("verify: %w", keyError{s}), "joined errors": errors.Join(keyError{s}, io.EOF),
	}
}

// sinks are the ways out of a program, by name. What a sink refuses, it does not
// print; what it says about that must not hold the secret either.
func sinks() map[string]func(w io.Writer, v any) error {
	all := map[string]func(io.Writer, any) error{
		"print":   func(w io.Writer, v any) error { _, err := fmt.Fprint(w, v); return err },
		"println": func(w io.Writer, v any) error { _, err := fmt.Fprintln(w, "key", v); return err },
		"errorf": func(w io.Writer, v any) error {
			_, err := fmt.Fprint(w, fmt.Errorf("open: %w", asError(v)))
			return err
		},
		"log":   func(w io.Writer, v any) error { log.New(w, "", 0).Println("key", v); return nil },
		"panic": printPanic,
		"json":  func(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) },
		"indent": func(w io.Writer, v any) error {
			b, err := json.MarshalIndent(v, "", " ")
			_, _ = w.Write(b)
			return err
		},
		"xml":    func(w io.Writer, v any) error { return xml.NewEncoder(w).Encode(v) },
		"gob":    func(w io.Writer, v any) error { return gob.NewEncoder(w).Encode(v) },
		"binary": func(w io.Writer, v any) error { return binary.Write(w, binary.BigEndian, v) },
		"sql": func(w io.Writer, v any) error {
			v, err := driver.DefaultParameterConverter.ConvertValue(v)
			fmt.Fprint(w, v)
			return err
		},
		"text template": func(w io.Writer, v any) error {
			return template.Must(template.New("").Parse(`{{.}} {{printf "%s %v" . .}} {{html .}} {{js .}} {{urlquery .}}`)).Execute(w, v)
		},
		"html template": func(w io.Writer, v any) error {
			return htmltemplate.Must(htmltemplate.New("").Parse(`<a href="/?{{.}}" onclick="f({{.}})">{{.}}</a><script>{{.}}</script>`)).Execute(w, v)
		},
		"reflection": func(w io.Writer, v any) error { walk(w, reflect.ValueOf(v), 0); return nil },
	}
	for _, format := range formats() {
		all[format] = func(w io.Writer, v any) error { _, err := fmt.Fprintf(w, format, v); return err }
	}
	for name, handler := range map[string]func(io.Writer) slog.Handler{
		"text": func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) },
		"json": func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) },
	} {
		all["slog "+name] = func(w io.Writer, v any) error {
			ctx, l := context.Background(), slog.New(handler(w))
			l.InfoContext(ctx, "attribute", "key", v)
			l.InfoContext(ctx, "group", slog.Group("request", "key", v, slog.Group("inner", "key", v)))
			l.With("key", v).WithGroup("group").InfoContext(ctx, "with", slog.Any("key", v))
			l.InfoContext(ctx, "without a name", v) //nolint:sloglint // the mistake is the point
			return nil
		}
	}
	return all
}

// formats are those that fit a secret, those that fit no value, and those that are
// wrong.
func formats() []string {
	all := []string{"no verb", "%[3]d", "%*d", "%.*f", "%!", "%"}
	for verb := range strings.FieldsSeq("v +v #v s q x X d b o O c U e E f F g G t p T w z 20s -20v .3s +q #q #x 020d") {
		all = append(all, "%"+verb)
	}
	return all
}

func asError(v any) error {
	if err, ok := v.(error); ok {
		return err
	}
	return fmt.Errorf("%v %+v %#v", v, v, v)
}

// printPanic writes what recovering handlers print.
func printPanic(w io.Writer, v any) (err error) {
	defer func() { _, err = fmt.Fprintf(w, "panic: %v %+v %#v", recover(), v, v) }()
	panic(v)
}

// walk writes every text that reflection can reach, past methods and into private
// fields, as printers for debugging and encoders of other formats do.
func walk(w io.Writer, v reflect.Value, depth int) {
	if depth > 20 {
		return
	}
	switch v.Kind() {
	case reflect.String:
		fmt.Fprintln(w, v.String())
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			walk(w, v.Elem(), depth+1)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			walk(w, v.Field(i), depth+1)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			walk(w, v.Index(i), depth+1)
		}
	case reflect.Map:
		for entries := v.MapRange(); entries.Next(); {
			walk(w, entries.Key(), depth+1)
			walk(w, entries.Value(), depth+1)
		}
	case reflect.Uint8:
		fmt.Fprintf(w, "%c", rune(v.Uint()))
	}
}

func TestNothingPrintsASecret(t *testing.T) {
	text := newKey(t, "pst", token.ServiceAccount)
	for sink, print := range sinks() {
		for shape, v := range shapes(token.NewSecret(text)) {
			var out bytes.Buffer
			err := print(&out, v)
			if err != nil {
				fmt.Fprintf(&out, "\n%v\n%+v\n%#v", err, err, err)
			}
			if part := leak(out.String(), text); part != "" {
				t.Errorf("%s of %s: %q is in %q", sink, shape, part, out.String())
			}
		}
	}
}

// leak returns a part of text, 8 bytes long or more, that out holds as it is, in
// hexadecimal, in base 64 or as decimal numbers, or nothing.
func leak(out, text string) string {
	for i := range len(text) - 8 {
		part := text[i : i+8]
		if strings.HasPrefix("pst_sa_", part) || strings.HasPrefix(part, "pst_") {
			continue // any key begins so
		}
		forms := []string{part, hex.EncodeToString([]byte(part)), strings.Trim(fmt.Sprint([]byte(part)), "[]")}
		if i%3 == 0 {
			forms = append(forms, base64.RawStdEncoding.EncodeToString([]byte(text[i:min(i+9, len(text))])))
		}
		for _, form := range forms {
			if strings.Contains(strings.ToLower(out), strings.ToLower(form)) {
				return form
			}
		}
	}
	return ""
}

func TestTheSearchForLeaksFindsThem(t *testing.T) {
	text := newKey(t, "pst", token.ServiceAccount)
	for name, out := range map[string]string{
		"whole": text, "in quotes": fmt.Sprintf("%q", text), "middle": "x" + text[12:20] + "x", "upper case": strings.ToUpper(text),
		"hexadecimal": fmt.Sprintf("%x", text), "upper hexadecimal": fmt.Sprintf("%X", text), "numbers": fmt.Sprint([]byte(text)),
		"base 64": base64.StdEncoding.EncodeToString([]byte(text)), "JSON": `{"a":"` + text + `"}`,
	} {
		if leak(out, text) == "" {
			t.Errorf("%s: nothing found in %s", name, out)
		}
	}
	type open struct{ text *string }
	var out bytes.Buffer
	walk(&out, reflect.ValueOf(map[string]any{"a": []any{&open{&text}}}), 0)
	if leak(out.String(), text) == "" {
		t.Errorf("walking a value does not reach a private pointer: %q", out.String())
	}
}

func TestASecretReadsAsAPlaceholder(t *testing.T) {
	const want = "pst_[hidden]"
	for name, s := range map[string]token.Secret{"key": token.NewSecret("acme_sa_0123"), "empty": token.NewSecret(""), "zero": {}} {
		body, err := json.Marshal(map[string]any{"a": s, "b": &s})
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct{ how, got, want string }{
			{"%v", fmt.Sprintf("%v", s), want}, {"%s", fmt.Sprintf("%s", &s), want}, {"%#v", fmt.Sprintf("%#v", s), want},
			{"String", s.String(), want}, {"JSON", string(body), `{"a":"` + want + `","b":"` + want + `"}`},
		} {
			if tt.got != tt.want {
				t.Errorf("%s, %s: got %s, want %s", name, tt.how, tt.got, tt.want)
			}
		}
	}
}

func TestRevealSpellsTheSecretOut(t *testing.T) {
	for _, text := range []string{"", "abc", newKey(t, "pst", token.Person)} {
		s := token.NewSecret(text)
		if got := s.Reveal(); got != text {
			t.Errorf("got %q, want %q", got, text)
		}
		if got, want := s.IsZero(), text == ""; got != want {
			t.Errorf("%q: got IsZero %t, want %t", text, got, want)
		}
	}
	var zero token.Secret
	if got := zero.Reveal(); got != "" || !zero.IsZero() || zero.Hash() != token.NewSecret("").Hash() {
		t.Errorf("got %q, IsZero %t for the zero Secret, want nothing", got, zero.IsZero())
	}
}

// An input that holds a secret must not set one by accident: what is read from
// outside goes through [token.NewSecret].
func TestNothingReadsIntoASecret(t *testing.T) {
	var s token.Secret
	for name, err := range map[string]error{
		//lint:ignore SA9005 that nothing can be read into it is what is tested
		"JSON": json.Unmarshal([]byte(`"pst_sa_0123"`), &s),
		//lint:ignore SA9005 as above
		"XML":  xml.Unmarshal([]byte(`<a>pst_sa_0123</a>`), &s),
		"scan": func() error { _, err := fmt.Sscan("pst_sa_0123", &s); return err }(),
	} {
		if !s.IsZero() {
			t.Errorf("%s: got a secret, error %v, want none", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "0123") {
			t.Errorf("%s: the error repeats the text: %v", name, err)
		}
	}
}
