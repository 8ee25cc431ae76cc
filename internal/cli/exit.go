package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

// The exit codes. They are part of the interface and do not change.
const (
	exitDone        = 0
	exitFailed      = 1 // or a check's no
	exitUsage       = 2
	exitNotFound    = 3
	exitSignIn      = 4
	exitForbidden   = 5
	exitConflict    = 6 // or a name that fits several things
	exitUnreachable = 7 // or timed out
	exitUnconfirmed = 8 // recorded, not yet confirmed by every node
	exitInterrupted = 130
)

// failure is an error that says with which code to exit.
type failure struct {
	code int
	err  error // nil: there is nothing to say
}

func (f *failure) Error() string {
	if f.err == nil {
		return ""
	}
	return f.err.Error()
}

func (f *failure) Unwrap() error { return f.err }

func failf(code int, format string, args ...any) error {
	return &failure{code: code, err: fmt.Errorf(format, args...)}
}

// usagef returns the error of a wrong use.
func usagef(format string, args ...any) error { return failf(exitUsage, format, args...) }

// usageShown ends a wrong use that the help has answered already.
func usageShown(err error) error {
	if err != nil {
		return err
	}
	return &failure{code: exitUsage}
}

// errNo ends a question that was answered with no: the answer has been printed.
var errNo error = &failure{code: exitFailed}

// exit tells the person what went wrong, if anything, and returns the exit code.
func (a *app) exit(ctx context.Context, err error) int {
	if err == nil {
		return exitDone
	}
	code := exitCode(ctx, err)
	if code == exitInterrupted {
		return code
	}
	if words := explain(err); words != "" {
		fmt.Fprintln(a.Stderr, "postern: "+words)
	}
	return code
}

// exitCode returns the code that an error stands for.
func exitCode(ctx context.Context, err error) int {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.code
	}
	if p, ok := errors.AsType[*api.Problem](err); ok {
		return problemCode(p)
	}
	if e, ok := errors.AsType[*iam.Error](err); ok {
		return kindCode(e.Kind)
	}
	if e, ok := errors.AsType[*postern.AnswerError](err); ok {
		if e.Status == 502 || e.Status == 503 || e.Status == 504 {
			return exitUnreachable
		}
		return exitFailed
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return exitInterrupted
	}
	if _, ok := errors.AsType[net.Error](err); ok || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, iam.Unavailable) {
		return exitUnreachable
	}
	return exitFailed
}

// problemCode goes by the code first, then by the status, so that a code of a
// newer server still means something.
func problemCode(p *api.Problem) int {
	switch p.Code {
	case api.CodeRevocationUnconfirmed:
		return exitUnconfirmed
	case api.CodePolicyViolation:
		return exitForbidden
	case api.CodeGone:
		return exitNotFound
	case api.CodeOutcomeUnknown:
		return exitUnreachable
	}
	switch p.Status {
	case 400, 405, 413, 415, 422:
		return exitUsage
	case 401:
		return exitSignIn
	case 403:
		return exitForbidden
	case 404:
		return exitNotFound
	case 409, 412:
		return exitConflict
	case 429, 502, 503, 504:
		return exitUnreachable
	}
	return exitFailed
}

// kindCode is problemCode for commands that work on the store itself.
func kindCode(k iam.Kind) int {
	switch k {
	case iam.ValidationFailed:
		return exitUsage
	case iam.NotFound:
		return exitNotFound
	case iam.Gone, iam.NameTaken:
		return exitConflict
	case iam.Unavailable, iam.Unknown:
		return exitUnreachable
	}
	return exitFailed
}

// explain puts an error into words for a terminal. Whatever the server or the
// input brought along, no control character gets there.
func explain(err error) string {
	if p, ok := errors.AsType[*api.Problem](err); ok {
		return explainProblem(p)
	}
	if e, ok := errors.AsType[*iam.Error](err); ok {
		return safe(e.Reason)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return safe(err.Error()) + "\n  That took longer than --timeout allows."
	}
	return safeLines(err.Error())
}

func explainProblem(p *api.Problem) string {
	lines := []string{p.Detail}
	if p.Detail == "" {
		lines[0] = p.Title
	}
	for _, f := range p.Errors {
		if f.Pointer == "" { // it is about no field: the details are the lines of the detail
			lines[0] = p.Title + ":"
			lines = append(lines, "  "+f.Detail)
			continue
		}
		if f.Detail != p.Detail {
			lines = append(lines, fmt.Sprintf("  %s: %s", f.Pointer, f.Detail))
		} else {
			lines[0] = fmt.Sprintf("%s: %s", f.Pointer, f.Detail)
		}
	}
	switch {
	case p.Code == api.CodeUnauthenticated:
		lines = append(lines, "  Sign in with POSTERN_KEY_FILE, or with a context: postern context add --help")
	case p.Code == api.CodeValueAlreadyIssued:
		lines = append(lines, fmt.Sprintf("  It was made as %s, but its value was lost on the way. Revoke it and make another.", p.ID))
	case p.Code == api.CodeRevocationUnconfirmed:
		lines = append(lines, waitingWords(p))
	case p.Status >= 500:
		lines = append(lines, "  Request "+p.RequestID)
	}
	for i := range lines {
		lines[i] = safe(lines[i])
	}
	return strings.Join(lines, "\n")
}

// waitingWords says which nodes have not confirmed a change, and how to look again.
func waitingWords(p *api.Problem) string {
	words := fmt.Sprintf("  It is recorded as revision %d and goes on.", p.Revision)
	if p.Receipt == nil {
		return words
	}
	return words + unconfirmedWords(*p.Receipt)
}
