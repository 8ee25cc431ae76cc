package store

import (
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/posternhq/postern/internal/audit"
)

const (
	maxTerms      = 32 // of one event
	maxTermLen    = 64 // bytes
	maxQueryWords = 8
)

// termsOf returns what an event is found by: each word of what it says, in lower
// case, and the parts of the word that punctuation separates. What identifies
// comes first, for there is a limit.
func termsOf(e audit.Event) []string {
	var key audit.Ref
	if e.Key != nil {
		key = *e.Key
	}
	var terms []string
	for _, id := range []string{e.Actor.ID, e.Target.ID, key.ID, e.RequestID, e.Source.IP} {
		terms = addTerm(terms, id)
	}
	for _, said := range []string{e.Action, e.Actor.Name, e.Target.Name, key.Name, e.Reason} {
		for word := range strings.FieldsSeq(said) {
			terms = addTerm(terms, word)
			for part := range strings.FieldsFuncSeq(word, isPunctuation) {
				terms = addTerm(terms, part)
			}
		}
	}
	return terms
}

func isPunctuation(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }

func addTerm(terms []string, word string) []string {
	term := clip(strings.ToLower(plain(word)))
	if term == "" || len(terms) == maxTerms || slices.Contains(terms, term) {
		return terms
	}
	return append(terms, term)
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

// insertTerms inserts all terms of an event with one statement.
func insertTerms(e audit.Event, terms []string) statement {
	var text strings.Builder
	text.WriteString(`INSERT INTO event_terms (workspace_id, seq, term) VALUES ($1, $2, $3)`)
	args := []any{e.Workspace, e.Seq, terms[0]}
	for _, term := range terms[1:] {
		args = append(args, term)
		text.WriteString(`, ($1, $2, $` + strconv.Itoa(len(args)) + `)`)
	}
	return statement{text: text.String(), args: args}
}
