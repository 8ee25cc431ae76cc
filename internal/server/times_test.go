package server_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/api"
)

var oneShape = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$`)

// otherShape returns an error if a body holds a time that is not written as all
// are. The recorder holds every answer of the package's tests to it.
func otherShape(kind string, body []byte) error {
	texts := jsonTexts
	switch {
	case strings.HasPrefix(kind, "text/csv"):
		texts = csvTexts
	case !strings.Contains(kind, "json"):
		return nil
	}
	found, err := texts(body)
	if err != nil {
		return fmt.Errorf("look for times: %w", err)
	}
	for _, text := range found {
		if _, err := time.Parse(time.RFC3339, strings.ToUpper(text)); err == nil && !oneShape.MatchString(text) {
			return fmt.Errorf("the time %s is not written in UTC with six digits of fraction", text)
		}
	}
	return nil
}

// jsonTexts returns every text of a JSON value, or of lines of them.
func jsonTexts(body []byte) ([]string, error) {
	var texts []string
	for dec := json.NewDecoder(bytes.NewReader(body)); ; {
		switch token, err := dec.Token(); text := token.(type) {
		case string:
			texts = append(texts, text)
		case nil:
			if errors.Is(err, io.EOF) {
				return texts, nil
			} else if err != nil {
				return nil, err
			}
		}
	}
}

func csvTexts(body []byte) ([]string, error) {
	lines, err := csv.NewReader(bytes.NewReader(body)).ReadAll()
	var texts []string
	for _, line := range lines {
		texts = append(texts, line...)
	}
	return texts, err
}

// A time of the clock mostly has six digits by itself. These have none.
func TestWholeSecondIsWrittenWithSixDigits(t *testing.T) {
	eachTown(t, func(t *testing.T, w *town) {
		c := w.acme.in(t)
		at := time.Now().AddDate(0, 0, 30).Truncate(time.Second)
		text := at.UTC().Format("2006-01-02T15:04:05") + ".000000Z"
		account := c.account("viewer")
		body := fmt.Sprintf(`{"name":"k","expires_at":%q}`, at.In(time.FixedZone("", 7200)).Format(time.RFC3339))
		var made api.CreatedKey
		replies := []*reply{c.post(here("/service_accounts/"+account.ID+"/keys"), body).want(http.StatusCreated, &made)}
		holder := c.client(made.Value)
		for _, path := range []string{
			here("/keys/" + made.ID), here("/keys"), here("/service_accounts/" + account.ID + "/keys"),
			here("/audit_events?action=key.created"), here("/audit_events/export"), here("/audit_events/export?format=csv"),
		} {
			replies = append(replies, c.get(path))
		}
		replies = append(replies, holder.get("/v1/whoami"), holder.get("/v1/keys/self"), c.post("/v1/verify", api.Verify{Key: made.Value}),
			c.post("/v1/verify/batch", api.VerifyBatch{Items: []api.Verify{{Key: made.Value}}}))
		for _, r := range replies {
			if !bytes.Contains(r.body, []byte(text)) {
				t.Errorf("%s %s: got %.900s, want %s in it", r.call.method, r.call.path, r.body, text)
			}
		}
	})
}

// Each answer is looked at while the other tests run; that the looking finds
// something is proved here.
func TestTimeOfAnotherShapeIsFound(t *testing.T) {
	for _, test := range []struct {
		kind, body string
		found      bool
	}{
		{"application/json", `{"at":"2026-11-23T03:00:00.120000Z","n":1,"b":true,"z":null}`, false},
		{"application/json", `{"a":[{"at":"2026-11-23T03:00:00.12Z"}]}`, true},
		{"application/problem+json", `{"receipt":{"decided_at":"2026-11-23T03:00:00Z"}}`, true},
		{"application/json", `{"at":"2026-11-23T05:00:00.120000+02:00"}`, true},
		{"application/json", `{"at":"2026-11-23t03:00:00.120000z"}`, true},
		{"application/json", `{"at":"2026-11-23T03:00:00.123456789Z"}`, true},
		{"application/jsonl", `{"at":"2026-11-23T03:00:00.120000Z"}` + "\n" + `{"at":"2026-11-23T03:00:00Z"}` + "\n", true},
		{"text/csv; charset=utf-8", "at\r\n\"2026-11-23T03:00:00Z\"\r\n", true},
		{"text/csv; charset=utf-8", "at\r\n\"2026-11-23T03:00:00.000000Z\"\r\n", false},
		{"text/plain", "2026-11-23T03:00:00Z", false},
	} {
		if err := otherShape(test.kind, []byte(test.body)); (err != nil) != test.found {
			t.Errorf("%s %s: got %v, want found: %t", test.kind, test.body, err, test.found)
		}
	}
}

// What package time writes by itself is documented without an example.
func TestEveryDocumentedTimeHasAnExampleInItsShape(t *testing.T) {
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	times := 0
	for name, schema := range doc.Components.Schemas {
		for member, p := range schema.Value.Properties {
			if p.Value.Format != "date-time" {
				continue
			}
			times++
			if len(p.Value.Examples) != 1 || !oneShape.MatchString(fmt.Sprint(p.Value.Examples[0])) {
				t.Errorf("%s.%s: got examples %v, want one of the shape 2026-11-23T03:00:00.000000Z", name, member, p.Value.Examples)
			}
		}
	}
	if times == 0 {
		t.Error("the document has no times")
	}
}
