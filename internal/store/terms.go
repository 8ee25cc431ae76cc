package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/posternhq/postern/internal/audit"
)

// The words of events are found in an index of their own, event_terms. A row of
// it for each word of each event, in the transaction of the event, would touch
// more of the database than all else that the transaction writes. So events are
// put into the index by blocks, by the one that completes a block, whose words
// share most of what has to be written; the events of the last, incomplete block
// are few and are looked through one by one.
const (
	termBlock     = 64 // events
	maxTerms      = 32 // of one event
	maxTermLen    = 64 // bytes
	maxQueryWords = 8
)

// indexTerms puts the events of each block that became complete into the index.
// placed says how many were placed just now, by workspace.
func (t *tx) indexTerms(ctx context.Context, placed map[string]int64) error {
	for _, ws := range slices.Sorted(maps.Keys(placed)) {
		last := t.numbers[ws].last - t.numbers[ws].free
		from, to := (last-placed[ws])/termBlock*termBlock, last/termBlock*termBlock
		if from == to {
			continue
		}
		if err := t.send(ctx); err != nil { // the events themselves
			return err
		}
		if err := t.indexBlock(ctx, ws, from, to); err != nil {
			return err
		}
	}
	return nil
}

// indexBlock indexes the events of a workspace after from and up to to.
func (t *tx) indexBlock(ctx context.Context, ws string, from, to int64) error {
	type worded struct {
		seq   int64
		words string
	}
	r := reader{querier: t.tx, heard: t.heard}
	found, err := collect(ctx, r, func(e *worded) []any { return []any{&e.seq, &e.words} },
		`SELECT seq, words FROM events WHERE workspace_id = $1 AND seq > $2 AND seq <= $3`, ws, from, to)
	if err != nil {
		return fmt.Errorf("read what events are found by: %w", err)
	}
	var terms []term
	for _, e := range found {
		for word := range strings.FieldsSeq(e.words) {
			terms = append(terms, term{word, e.seq})
		}
	}
	for len(terms) > 0 {
		n := rowsAtOnce(len(terms))
		t.writes = append(t.writes, insertTerms(ws, terms[:n]))
		terms = terms[n:]
	}
	return nil
}

type term struct {
	word string
	seq  int64
}

// rowsAtOnce returns how many of n rows one statement inserts: of few different
// sizes, for each is a statement that the database prepares and keeps.
func rowsAtOnce(n int) int {
	for _, size := range []int{256, 64, 16, 4} {
		if n >= size {
			return size
		}
	}
	return 1
}

func insertTerms(ws string, terms []term) statement {
	var text strings.Builder
	text.WriteString(`INSERT INTO event_terms (workspace_id, term, seq) VALUES `)
	args := []any{ws}
	for i, t := range terms {
		if i > 0 {
			text.WriteString(", ")
		}
		args = append(args, t.word, t.seq)
		text.WriteString("($1, $" + strconv.Itoa(len(args)-1) + ", $" + strconv.Itoa(len(args)) + ")")
	}
	return statement{text: text.String(), args: args}
}

// wordsOf returns what an event is found by, each after a line feed: each word of
// what it says, in lower case, and the parts of the word that punctuation
// separates. What identifies comes first, for there is a limit.
func wordsOf(e audit.Event) string {
	var key audit.Ref
	if e.Key != nil {
		key = *e.Key
	}
	var words []string
	for _, id := range []string{e.Actor.ID, e.Target.ID, key.ID, e.RequestID, e.Source.IP} {
		words = addWord(words, id)
	}
	for _, said := range []string{e.Action, e.Actor.Name, e.Target.Name, key.Name, e.Reason} {
		for word := range strings.FieldsSeq(said) {
			words = addWord(words, word)
			for part := range strings.FieldsFuncSeq(word, isPunctuation) {
				words = addWord(words, part)
			}
		}
	}
	return "\n" + strings.Join(words, "\n")
}

func isPunctuation(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }

func addWord(words []string, word string) []string {
	word = clip(strings.ToLower(strings.Join(strings.Fields(plain(word)), "_")))
	if word == "" || len(words) == maxTerms || slices.Contains(words, word) {
		return words
	}
	return append(words, word)
}

// clip cuts a word to the length of a term, between two characters.
func clip(word string) string {
	if len(word) <= maxTermLen {
		return word
	}
	return strings.ToValidUTF8(word[:maxTermLen], "")
}

// plain returns text without what PostgreSQL cannot store.
func plain(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}
