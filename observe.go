package postern

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/posternhq/postern/api"
)

// Observation is what is told of one call or one verification that has ended. It
// never has a key in it, nor a part of one, so that all of it may be shown.
type Observation struct {
	// Operation is "verify", or the call's name in the OpenAPI document, such as
	// create-key; of [Client.Do] and [Client.Open], which know none, the method.
	Operation string

	// Workspace is the one that the key belongs to, or the call is about, as it was
	// named there. Empty: none, or it is not known.
	Workspace string

	// Code says how it ended: a verdict, such as [api.VerdictRevoked]; of a call
	// [CodeOK] or the code of a problem; or [CodeNoAnswer].
	Code string

	Start time.Time
	Took  time.Duration
}

const (
	CodeOK       = "ok"        // of an [Observation]: the call did what it should
	CodeNoAnswer = "no_answer" // of an [Observation]: there was no answer, or none of Postern's
)

// Observer hears of observations. It is called by many goroutines at once, each
// time before the caller of what it hears of goes on. The context is that of the
// call.
type Observer func(ctx context.Context, o Observation)

// observe returns what tells the observer how a call ended.
func (c *Client) observe(ctx context.Context, r *call, err *error) func() {
	if c.Observe == nil {
		return func() {}
	}
	start := time.Now()
	return func() {
		o := Observation{Operation: r.operation, Workspace: r.workspace, Start: start, Took: time.Since(start)}
		o.Code = cmp.Or(r.code, CodeOK)
		if *err != nil {
			o.Code = codeOf(*err)
		}
		c.Observe(ctx, o)
	}
}

func codeOf(err error) string {
	if p, ok := errors.AsType[*api.Problem](err); ok {
		return p.Code
	}
	return CodeNoAnswer
}
