// Command outside is a verifier in a process of its own, for package chaos: it
// follows the servers that it is told of, and says of keys what package postern says.
//
// A line of its input is a batch of questions, each a key and, after a comma, a
// permission; the answer is a line of as many codes, in the same order. It ends with
// its input.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/api"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// patience is how long the questions of a batch wait together for news. They do not
// wait when those before them waited for nothing: what is asked would pile up.
const patience = 200 * time.Millisecond

// run answers until the input ends. The arguments are what the verifier is called
// and its servers; its key is in the environment.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if len(args) < 2 {
		return errors.New("usage: outside NAME URL…")
	}
	v, err := postern.New(ctx, postern.Name(args[0]), postern.Server(args[1:]...), postern.Workspace("any"),
		postern.AtOnce(), postern.Logger(slog.New(slog.NewTextHandler(stderr, nil))))
	if err != nil {
		return err
	}
	if err := answer(ctx, v, bufio.NewReaderSize(stdin, 64<<10), bufio.NewWriterSize(stdout, 64<<10)); err != nil {
		return errors.Join(err, v.Close())
	}
	return v.Close()
}

// answer answers one batch after the other, and holds no answer back while it waits
// for the next.
func answer(ctx context.Context, v *postern.Verifier, in *bufio.Reader, out *bufio.Writer) error {
	for wait := patience; ; {
		line, err := in.ReadString('\n')
		switch {
		case errors.Is(err, io.EOF):
			return out.Flush()
		case err != nil:
			return err
		}
		said := batch(ctx, v, line, wait)
		if wait = patience; strings.Contains(said, api.CodeStale) {
			wait = 0
		}
		if _, err := out.WriteString(said + "\n"); err != nil {
			return err
		}
		if in.Buffered() > 0 {
			continue
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
}

// batch returns the codes of a line of questions, which wait for news for so long.
func batch(ctx context.Context, v *postern.Verifier, line string, wait time.Duration) string {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var codes []string
	for question := range strings.FieldsSeq(line) {
		key, permission, asked := strings.Cut(question, ",")
		var wanted []string
		if asked {
			wanted = []string{permission}
		}
		_, err := v.Verify(ctx, key, wanted...)
		codes = append(codes, code(err))
	}
	return strings.Join(codes, " ")
}

// code says in a word how a verification ended.
func code(err error) string {
	denied, refused := errors.AsType[*postern.Denied](err)
	switch {
	case err == nil:
		return api.VerdictValid
	case refused:
		return denied.Code
	case errors.Is(err, postern.ErrStale):
		return api.CodeStale
	}
	return strings.Join(strings.Fields(err.Error()), "_")
}
