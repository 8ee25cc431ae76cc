package iam

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
)

// inFlight knows which calls with an Idempotency-Key this process is working on.
type inFlight struct {
	mu    sync.Mutex // guards calls
	calls map[[2]string]bool
}

// enter notes a call until leave is called, or refuses the second of two.
func (f *inFlight) enter(id *Idempotency) (leave func(), err error) {
	if id == nil {
		return func() {}, nil
	}
	call := [2]string{id.Scope, id.Key}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls[call] {
		return nil, Errorf(IdempotencyInProgress, "a call with this Idempotency-Key is still running")
	}
	if f.calls == nil {
		f.calls = map[[2]string]bool{}
	}
	f.calls[call] = true
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.calls, call)
	}, nil
}

// replay looks for the outcome of the same call made before. again says that
// there is one; shown is what the caller is then told instead of the value, once
// the fence has confirmed. A value that was shown is not shown again.
func replay[T any](w *work, out *Done[T]) (again bool, shown, err error) {
	*out = Done[T]{}
	id := w.caller.Idempotency
	if id == nil {
		return false, nil, nil
	}
	r := w.Found().Replay
	switch {
	case r == nil:
		return false, nil, nil
	case r.Body != id.Body:
		return false, nil, Errorf(IdempotencyKeyReused, "this Idempotency-Key was used with another body")
	case r.Kind != "":
		refusal := new(Error)
		if err := json.Unmarshal([]byte(r.Result), refusal); err != nil {
			return false, nil, fmt.Errorf("read the outcome of a replay: %w", err)
		}
		return false, nil, refusal
	}
	out.Revision = r.Revision
	if err := json.Unmarshal([]byte(r.Result), &out.Value); err != nil {
		return false, nil, fmt.Errorf("read the outcome of a replay: %w", err)
	}
	if r.Object != "" {
		shown = &Error{
			Kind: ValueAlreadyIssued, Object: r.Object,
			Reason: "this call was done before, and its value is shown only once",
		}
	}
	return true, shown, nil
}

// remember keeps the outcome for a replay, in the transaction that brought it.
func (w *work) remember(value any, again bool) error {
	id := w.caller.Idempotency
	if id == nil || again {
		return nil
	}
	result, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode the outcome for a replay: %w", err)
	}
	return w.Remember(w.ctx, Replay{
		Scope: id.Scope, Key: id.Key, Body: id.Body, At: w.Now(),
		Result: string(result), Object: w.issued, Revision: w.Seq(),
	})
}

// replayOf returns what to keep of a refusal that would be the same again.
func replayOf(id *Idempotency, refusal error) (r Replay, keep bool) {
	shown, ok := errors.AsType[*Error](refusal)
	if id == nil || !ok || !isFinal(refusal) {
		return Replay{}, false
	}
	result, err := json.Marshal(shown)
	if err != nil {
		return Replay{}, false // strings only: it cannot fail
	}
	return Replay{Scope: id.Scope, Key: id.Key, Body: id.Body, Kind: shown.Kind, Result: string(result)}, true
}
