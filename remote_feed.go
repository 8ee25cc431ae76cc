package postern

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/replica"
)

var (
	errNoLink = errors.New("there is no connection to the server yet")
	errUnread = errors.New("the connection begins with a snapshot, which has not been read")
	errReload = errors.New("the verifier loads anew")
)

// away returns the error of what cannot be asked now. r.mu is held.
func (r *remote) away() error {
	return fmt.Errorf("%w: %w", iam.Unavailable, cmp.Or(r.failure, errNoLink))
}

// Changes implements [replica.Feed]: it returns what the stream has said, and waits for
// what it is known to be about to say.
func (r *remote) Changes(ctx context.Context, after iam.Position, limit int) ([]iam.Change, iam.Position, error) {
	for {
		changes, at, changed, err := r.next(after, limit)
		if changed == nil {
			return changes, at, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, after, fmt.Errorf("%w: revision %d has been promised and not heard of", iam.Unavailable, r.owed())
		}
	}
}

// next returns what was heard after a position, or what is closed when there may be
// more. Batches stay whole: only their ends are known to be positions.
func (r *remote) next(after iam.Position, limit int) (changes []iam.Change, at iam.Position, changed <-chan struct{}, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.news) > 0 && r.news[0].At.Seq <= after.Seq {
		r.from, r.news = r.news[0].At, r.news[1:]
		r.tell()
	}
	switch {
	case len(r.news) == 0 && r.link == nil:
		return nil, after, nil, r.away()
	case r.heard.Seq == 0 || after.Seq < r.from.Seq:
		return nil, after, nil, fmt.Errorf("%w: revision %d", replica.ErrTooOld, after.Seq)
	case after.Seq == r.from.Seq && after.Chain != r.from.Chain:
		return nil, after, nil, fmt.Errorf("%w: revision %d", iam.Diverged, after.Seq)
	case len(r.news) == 0 && after.Seq < r.promised:
		return nil, after, r.changed, nil
	}
	at = after
	for _, told := range r.news {
		if len(changes) > 0 && len(changes)+len(told.Changes) > limit {
			break
		}
		changes, at = append(changes, told.Changes...), told.At
	}
	return changes, at, nil, nil
}

// owed returns the last change that will be heard of.
func (r *remote) owed() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.promised
}

// Snapshot implements [replica.Feed]: it pours what a new stream begins with. Whoever
// asks for it while a stream goes on knows that it cannot go on from there.
func (r *remote) Snapshot(ctx context.Context, sink iam.Sink) (iam.Position, error) {
	l, err := r.loading(ctx)
	if err != nil {
		return iam.Position{}, err
	}
	stop := context.AfterFunc(ctx, func() { l.end(context.Cause(ctx)) })
	defer stop()
	deaf := l.listen()
	at, err := l.reader.Snapshot(sink)
	deaf()
	if err != nil {
		err = cmp.Or(context.Cause(l.ctx), err)
		l.end(err)
		return iam.Position{}, fmt.Errorf("%w: read the snapshot: %w", iam.Unavailable, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.news, r.from, r.heard = nil, at, at
	close(l.loaded)
	r.tell()
	return at, nil
}

// loading returns a connection whose snapshot nobody has read, which is the caller's to
// read. It waits for one that is being made.
func (r *remote) loading(ctx context.Context) (*link, error) {
	for {
		r.mu.Lock()
		l, changed, failure := r.link, r.changed, r.failure
		if l != nil && l.loads {
			l.loads = false
			r.mu.Unlock()
			return l, nil
		}
		if l != nil {
			r.link, r.heard, r.news = nil, iam.Position{}, nil
			l.end(errReload)
		}
		r.mu.Unlock()
		if l == nil && failure != nil {
			return nil, fmt.Errorf("%w: %w", iam.Unavailable, failure)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", iam.Unavailable, cmp.Or(failure, errNoLink))
		}
	}
}
