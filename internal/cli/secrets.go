package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/posternhq/postern/internal/token"
)

// secretIn is where a secret comes from: stdin or a file, never an argument.
type secretIn struct {
	noun  string // also the flag's name: key or token
	stdin string
	file  string
}

func (in *secretIn) register(fs *pflag.FlagSet) {
	fs.StringVar(&in.stdin, in.noun, "", "- to read the "+in.noun+" from stdin")
	fs.StringVar(&in.file, in.noun+"-file", "", "file that holds the "+in.noun)
}

// given reports whether there is anything to read.
func (in *secretIn) given() bool { return in.stdin != "" || in.file != "" }

// read returns the secret.
func (in *secretIn) read(stdin io.Reader) (token.Secret, error) {
	switch {
	case in.stdin != "" && in.stdin != "-":
		return token.Secret{}, usagef("--%s takes - only, and reads stdin then; use --%s-file for a file: a secret is no argument", in.noun, in.noun)
	case in.stdin != "" && in.file != "":
		return token.Secret{}, usagef("give --%s - or --%s-file, not both", in.noun, in.noun)
	case in.file != "":
		return readSecretFile(in.file)
	case in.stdin != "":
		return readSecret(stdin, "stdin")
	}
	return token.Secret{}, usagef("give --%s - or --%s-file FILE", in.noun, in.noun)
}

func readSecretFile(path string) (token.Secret, error) {
	f, err := os.Open(path)
	if err != nil {
		return token.Secret{}, failf(exitUsage, "read a secret: %w", err)
	}
	defer f.Close()
	return readSecret(f, path)
}

const maxSecretFile = 4096

// readSecret reads a secret from what holds it alone, or as --out-env or
// --out-header wrote it.
func readSecret(r io.Reader, where string) (token.Secret, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxSecretFile+1))
	if err != nil {
		return token.Secret{}, fmt.Errorf("read a secret from %s: %w", where, err)
	}
	line := strings.TrimSpace(string(text))
	line = strings.TrimPrefix(line, headerStart)
	line = strings.TrimPrefix(line, envStart)
	if line == "" || len(text) > maxSecretFile || strings.ContainsAny(line, " \t\r\n") {
		return token.Secret{}, usagef("%s does not hold a secret: one line is wanted, with nothing else in it", safe(where))
	}
	return token.NewSecret(line), nil
}

const (
	headerStart = "Authorization: Bearer "
	envStart    = "POSTERN_KEY="
)

// secretOut is where a secret goes that is shown once.
type secretOut struct {
	env    string
	header string
	plain  string
	places []place
}

// place is a file that will hold the secret, and what it holds besides.
type place struct {
	file  *replacement
	start string
}

func (out *secretOut) register(fs *pflag.FlagSet) {
	fs.StringVar(&out.env, "out-env", "", "write POSTERN_KEY=… to this file, for your eyes only")
	fs.StringVar(&out.header, "out-header", "", "write an Authorization header to this file, for curl -H @FILE")
}

// registerToken is register for what is not a key.
func (out *secretOut) registerToken(fs *pflag.FlagSet) {
	fs.StringVar(&out.plain, "out-token", "", "write the token to this file, for your eyes only")
}

// prepare makes sure, before the secret exists, that it will have a place to go.
// field is the answer's field that holds it. Call close afterwards.
func (out *secretOut) prepare(a *app, field string) error {
	if out.env != "" && out.env == out.header {
		return usagef("--out-env and --out-header name the same file")
	}
	for path, start := range map[string]string{out.env: envStart, out.header: headerStart, out.plain: ""} {
		if path == "" {
			continue
		}
		file, err := newReplacement(path)
		if err != nil {
			out.close()
			return failf(exitUsage, "the value could not be kept: %w", err)
		}
		out.places = append(out.places, place{file, start})
	}
	if out.places != nil || a.global.field == field {
		return nil
	}
	switch {
	case a.global.field != "":
		return usagef("--field %s would lose the %s, which is shown once: say where it is to go with --out-…", safe(a.global.field), field)
	case a.global.output == formatCSV:
		return usagef("-o csv would lose the %s, which is shown once: say where it is to go with --out-…", field)
	case a.global.output == formatTable && !a.Terminal(a.Stdout):
		return usagef("the %s is shown once, and this is no terminal: say where it is to go with --out-…, --field %s or --json", field, field)
	}
	return nil
}

// toFiles reports whether the secret goes to files, and is not to be shown.
func (out *secretOut) toFiles() bool { return out.places != nil }

// deliver writes the secret where it is to go. id names what it belongs to, for
// the case that it is lost after all.
func (out *secretOut) deliver(a *app, secret token.Secret, id string) error {
	for _, p := range out.places {
		if err := p.file.replace([]byte(p.start + secret.Reveal() + "\n")); err != nil {
			return fmt.Errorf("%s was made, but its value could not be written: %w; revoke it and make another", id, err)
		}
		a.note("Value written to %s.", p.file.path)
	}
	return nil
}

// close removes what was prepared and not used.
func (out *secretOut) close() {
	for _, p := range out.places {
		p.file.discard()
	}
}

// confirm makes sure that a person means what cannot be undone: they type the
// name of what it ends, or scripts say --confirm NAME.
func (a *app) confirm(ctx context.Context, verb, name string) error {
	if a.global.confirm != "" {
		if a.global.confirm != name {
			return usagef("--confirm says %s, but the name is %s: nothing was done", safe(a.global.confirm), safe(name))
		}
		return nil
	}
	if a.global.noInput || !a.Terminal(a.Stdin) {
		return usagef("to %s %s, say --confirm %s", verb, safe(name), quote(name))
	}
	fmt.Fprintf(a.Stderr, "Type %s to %s it: ", safe(name), verb)
	line, err := readLine(ctx, a.Stdin)
	if err != nil {
		return err
	}
	if line != name {
		return failf(exitFailed, "that is not its name: nothing was done")
	}
	return nil
}

const maxLine = 1024

// readLine reads one line that a person types, without waiting longer than ctx.
func readLine(ctx context.Context, r io.Reader) (string, error) {
	done := make(chan error, 1)
	var line bytes.Buffer
	go func() { // ends with the line, at the latest with the process
		one := make([]byte, 1) // no more than the line: what follows is not ours
		for line.Len() < maxLine {
			if _, err := io.ReadFull(r, one); err != nil {
				done <- fmt.Errorf("read an answer: %w", err)
				return
			}
			if one[0] == '\n' {
				break
			}
			line.Write(one)
		}
		done <- nil
	}()
	select {
	case err := <-done:
		return strings.TrimSuffix(line.String(), "\r"), err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
