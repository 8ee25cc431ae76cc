package attacks_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/posternhq/postern/internal/token"
)

// canaries are the secrets that a test has caused, to be searched wherever they
// must not be.
type canaries struct {
	mu     sync.Mutex // guards values
	values []string
}

// plant notes a secret and returns it.
func (c *canaries) plant(value string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if value != "" {
		c.values = append(c.values, value)
	}
	return value
}

func (c *canaries) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.values...)
}

// window is how many characters of a secret in a row count as a leak. A hint
// shows the first and the last four.
const window = 8

// search fails the test when text holds a piece of a planted secret, as it is or
// in another spelling, or the hash that is kept of it.
func (c *canaries) search(t *testing.T, where, text string) {
	t.Helper()
	for _, value := range c.all() {
		random := value[strings.LastIndexByte(value, '_')+1:]
		for i := 0; i+window <= len(random); i++ {
			if piece := random[i : i+window]; strings.Contains(text, piece) {
				t.Errorf("%s holds a piece of a secret: …%s", where, around(text, piece))
				break
			}
		}
		for name, spelling := range map[string]string{
			"hexadecimal": hex.EncodeToString([]byte(random[:16])),
			"base 64":     base64.StdEncoding.EncodeToString([]byte(random[:15])),
			"hash":        token.NewSecret(value).Hash().String(),
			"URL":         url.QueryEscape("Bearer " + value),
		} {
			if strings.Contains(text, spelling) {
				t.Errorf("%s holds a secret in the form %s", where, name)
			}
		}
	}
}

// around returns what stands before a piece, and not the piece.
func around(text, piece string) string {
	at := strings.Index(text, piece)
	return fmt.Sprintf("%q", text[max(0, at-60):at])
}

// rows returns all that the database holds, as text.
func (w *world) rows(t *testing.T) string {
	t.Helper()
	if path, ok := strings.CutPrefix(w.url, "sqlite:"); ok {
		var all strings.Builder
		for _, file := range []string{path, path + "-wal"} {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(content)
		}
		return all.String()
	}
	conn, err := pgx.Connect(t.Context(), w.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	tables, err := collect(t, conn, `SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'`)
	if err != nil || len(tables) < 10 {
		t.Fatalf("%d tables, %v", len(tables), err)
	}
	var all strings.Builder
	for _, table := range tables {
		lines, err := collect(t, conn, `SELECT row_to_json(r)::text FROM `+table+` r`)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(strings.Join(lines, "\n"))
	}
	return all.String()
}

func collect(t *testing.T, conn *pgx.Conn, query string) ([]string, error) {
	t.Helper()
	found, err := conn.Query(t.Context(), query)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(found, pgx.RowTo[string])
}
