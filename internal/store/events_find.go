package store

import (
	"context"
	"fmt"
	"iter"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
)

// The audit log is the one list that is never short. A page of it, narrowed in
// whichever way, is to cost what a page costs: each filter has an index that yields
// what it lets through in the order of the list. Words have one too, event_terms,
// in the order of the words: it serves those that few events have, and what many
// have is soon met when one goes back from the newest.
const (
	recent   = 4_000  // events that are looked through one by one before the index of words is
	fewTerms = 20_000 // entries of that index that are sorted for a page

	// disorder is more than what events that were numbered one after the other can be
	// apart in the wrong direction: their times are of when their transactions began.
	disorder = 24 * time.Hour
)

// Events implements [iam.Reader].
func (r reader) Events(ctx context.Context, ws iam.WorkspaceID, f iam.EventFilter, p iam.Page) (iam.List[iam.AuditEvent], error) {
	words := strings.Fields(f.Query)
	if len(words) > maxQueryWords {
		return iam.List[iam.AuditEvent]{}, iam.Invalid("/q", "too_many_words", "has more than %d words", maxQueryWords)
	}
	if f.Source != "" {
		words = append(words, f.Source) // an address is a word of its event
	}
	for i, word := range words {
		words[i] = clip(strings.ToLower(word))
		if !storable([]any{words[i]}) {
			return iam.List[iam.AuditEvent]{}, nil // nor has any event such a word
		}
	}
	s := eventSearch{r, ws, f, words}
	if len(words) == 0 {
		return s.page(ctx, p, func(*where) {}, p.Sort == "")
	}
	return s.worded(ctx, p)
}

// eventSearch is a search of the audit log.
type eventSearch struct {
	reader
	ws    iam.WorkspaceID
	f     iam.EventFilter
	words []string // in lower case; an event has, for each, one that begins with it
}

// page returns a page of what the filter lets through and more lets through. byParts
// says that the parts of the filter are to yield it in order; else more is to.
func (s eventSearch) page(ctx context.Context, p iam.Page, more func(*where), byParts bool) (iam.List[iam.AuditEvent], error) {
	f, w := s.f, &where{}
	w.add(`e.workspace_id = ?`, string(s.ws))
	w.between(s.ws, f.From, f.To, p.Sort == "")
	match(w, `e.actor_id = ?`, f.Actor)
	match(w, `e.target_id = ?`, f.Target)
	match(w, `e.ip = ?`, f.Source)
	for _, word := range s.words {
		w.add(`e.words LIKE ? ESCAPE '\'`, "%\n"+literal(word)+"%")
	}
	more(w)
	if byParts && f.Actor == "" && f.Target == "" {
		w.eventParts(f)
	} else { // || keeps the planner from the indexes of these
		match(w, `e.actor_type || '' = ?`, f.ActorType)
		match(w, `e.action || '' = ?`, f.Action)
		match(w, `e.outcome || '' = ?`, f.Outcome)
	}
	return events.page(ctx, s.reader, w, p)
}

// between adds that an event is of a time. In the list's own order it adds the
// numbers too that events of that time can have.
func (w *where) between(ws iam.WorkspaceID, from, to time.Time, numbers bool) {
	if !from.IsZero() {
		w.add(`e.at >= ?`, from.UnixMicro())
		if numbers {
			w.add(`e.seq > COALESCE((SELECT b.seq FROM events b WHERE b.workspace_id = ? AND b.at < ? ORDER BY b.at DESC, b.seq DESC LIMIT 1), 0)`,
				string(ws), from.Add(-disorder).UnixMicro())
		}
	}
	if !to.IsZero() {
		w.add(`e.at < ?`, to.UnixMicro())
		if numbers {
			w.add(`e.seq < COALESCE((SELECT b.seq FROM events b WHERE b.workspace_id = ? AND b.at >= ? ORDER BY b.at, b.seq LIMIT 1), ?)`,
				string(ws), to.Add(disorder).UnixMicro(), int64(math.MaxInt64))
		}
	}
}

// eventParts adds what a filter says of actions, outcomes and types of actors, as the
// parts that an index yields in the order of the list.
func (w *where) eventParts(f iam.EventFilter) {
	if f.ActorType == "" && f.Action == "" && f.Outcome == "" {
		return
	}
	types := []audit.ActorType{audit.Member, audit.ServiceAccount, audit.System, audit.Anonymous}
	outcomes := []audit.Outcome{audit.Done, audit.Refused}
	if f.ActorType != "" {
		types = []audit.ActorType{f.ActorType}
	}
	if f.Outcome != "" {
		outcomes = []audit.Outcome{f.Outcome}
	}
	match(w, `e.action = ?`, f.Action)
	for _, t := range types {
		of := w.arg(string(t))
		for _, o := range outcomes {
			w.parts = append(w.parts, fmt.Sprintf(`e.actor_type = %s AND e.outcome = %s`, of, w.arg(string(o))))
		}
	}
}

// worded returns a page of the events that have all words.
func (s eventSearch) worded(ctx context.Context, p iam.Page) (iam.List[iam.AuditEvent], error) {
	var all iam.List[iam.AuditEvent]
	rarest, err := s.rarest(ctx)
	if err != nil {
		return all, err
	}
	if p.Sort != "" { // an export, which takes its time
		return s.page(ctx, p, func(w *where) { w.known(s.ws, rarest) }, false)
	}
	last, err := s.last(ctx, p)
	if err != nil {
		return all, err
	}
	limit, after := min(max(p.Limit, 1), maxPage), p.After
	for part := range s.windows(ctx, rarest, last, &err) {
		missing := limit - len(all.Items)
		list, failure := s.page(ctx, iam.Page{Limit: max(missing, 1), After: after}, part.where, part.byParts)
		switch {
		case failure != nil:
			return all, failure
		case missing > 0:
			all.Items, all.Next = append(all.Items, list.Items...), list.Next
		case len(list.Items) > 0: // only that there is one was asked
			e := all.Items[limit-1]
			all.Next = []string{strconv.FormatInt(e.Seq, 10), e.ID}
		}
		if all.Next != nil {
			break
		}
	}
	return all, err
}

// window is a part of the log, and how to look through it.
type window struct {
	where   func(*where)
	byParts bool
}

// windows yields the log up to an event, the newest part first: what is looked
// through one by one, and then, if there is a rare word, ever longer parts that have
// more and more events with it. An error is left in failed.
func (s eventSearch) windows(ctx context.Context, rarest string, last int64, failed *error) iter.Seq[window] {
	return func(yield func(window) bool) {
		border := max(last-recent, 0)
		if !yield(window{func(w *where) { w.add(`e.seq > ?`, border) }, true}) || border == 0 {
			return
		}
		if rarest == "" {
			yield(window{func(w *where) { w.add(`e.seq <= ?`, border) }, true})
			return
		}
		for some := int64(maxPage); border > 0; some *= 8 {
			begin, err := number(ctx, s.reader, "where words are", fmt.Sprintf(`
				SELECT COALESCE(MIN(seq), 0) FROM (
					SELECT DISTINCT seq FROM event_terms WHERE workspace_id = $1 AND term >= $2 AND term < $3 AND seq <= $4
					ORDER BY seq DESC LIMIT %d) t`, some),
				string(s.ws), rarest, rarest+afterAll, border)
			if err != nil {
				*failed = err
				return
			}
			end := border
			within := func(w *where) { s.within(w, rarest, begin, end) }
			if begin == 0 || !yield(window{within, false}) {
				return
			}
			border = begin - 1
		}
	}
}

// last returns the number of the newest event that can be on a page.
func (s eventSearch) last(ctx context.Context, p iam.Page) (int64, error) {
	if p.After != nil {
		value, _, err := events.orders[0].read(p.After)
		if err != nil {
			return 0, err
		}
		return value.(int64) - 1, nil
	}
	return number(ctx, s.reader, "how many events there are", `SELECT COALESCE(MAX(seq), 0) FROM audit_heads WHERE workspace_id = $1`, string(s.ws))
}

// rarest returns the word that the fewest events have, and nothing if all are in many.
func (s eventSearch) rarest(ctx context.Context) (string, error) {
	rarest, least := "", int64(fewTerms)
	for _, word := range s.words {
		n, err := number(ctx, s.reader, "how many events have a word", fmt.Sprintf(
			`SELECT COUNT(*) FROM (SELECT 1 FROM event_terms WHERE workspace_id = $1 AND term >= $2 AND term < $3 LIMIT %d) t`, fewTerms),
			string(s.ws), word, word+afterAll)
		if err != nil {
			return "", err
		}
		if n < least {
			rarest, least = word, n
		}
	}
	return rarest, nil
}

// within adds that an event is in a part of the log, and that the index of words has
// a word that begins so for it. PostgreSQL, which cannot know how rare the word is,
// is to go by the word and not by the part: an array is made before anything else.
func (s eventSearch) within(w *where, word string, begin, end int64) {
	among := `e.seq IN (%s)`
	if s.reader.words.arrays {
		among = `e.seq = ANY (ARRAY(%s))`
	}
	w.add(fmt.Sprintf(among, `SELECT DISTINCT t.seq FROM event_terms t
		WHERE t.workspace_id = ? AND t.term >= ? AND t.term < ? AND t.seq >= ? AND t.seq <= ?`),
		string(s.ws), word, word+afterAll, begin, end)
}

// known adds that the index of words has a word that begins so for the event. The
// events of the last block, which is not complete, are not in it, and pass. No word
// stands for none.
func (w *where) known(ws iam.WorkspaceID, word string) {
	if word == "" {
		return
	}
	w.add(fmt.Sprintf(`(e.seq IN (SELECT t.seq FROM event_terms t WHERE t.workspace_id = ? AND t.term >= ? AND t.term < ?)
		OR e.seq > (SELECT MAX(h.seq) / %[1]d * %[1]d FROM audit_heads h WHERE h.workspace_id = ?))`, termBlock),
		string(ws), word, word+afterAll, string(ws))
}

// afterAll is the last character there is: it comes after all that may follow a word.
const afterAll = "\U0010FFFF"
