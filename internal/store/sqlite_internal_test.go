package store

import "testing"

func TestPlaceholdersInOrderHaveNoNumbers(t *testing.T) {
	for text, want := range map[string]string{
		"SELECT 1":                            "SELECT 1",
		"VALUES ($1, $2), ($3, $4)":           "VALUES (?, ?), (?, ?)",
		"a = $1 AND b = $10":                  "a = ?1 AND b = ?10",
		"a = $2 AND b = $1":                   "a = ?2 AND b = ?1",
		"a = $1 AND b = $2 OR c = $1":         "a = ?1 AND b = ?2 OR c = ?1",
		"$1 $2 $3 $4 $5 $6 $7 $8 $9 $10 $11)": "? ? ? ? ? ? ? ? ? ? ?)",
	} {
		if got := placeholders(text); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}
