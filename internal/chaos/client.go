package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"syscall"
	"time"
)

// answerWait is how long a call that changes something waits for its
// confirmation, as the server is told; the client gives up a little later.
const answerWait = 6

// Client speaks to one node, over connections that stay open.
type Client struct {
	base          string
	authorization string // the value of the header, the same for every call
	client        *http.Client
	clock         Clock
}

// newClient returns a client of a node that signs in with the value of a header
// Authorization.
func newClient(n *Node, authorization string, clock Clock) *Client {
	return &Client{base: n.URL(), authorization: authorization, clock: clock, client: n.client}
}

// question is an item of a verification.
type question struct {
	Key         string   `json:"key"`
	Permissions []string `json:"permissions,omitempty"`
}

type verdict struct {
	Valid bool `json:"valid"`
	Code  Code `json:"code"`
}

// code returns what the verdict says, also where it contradicts itself.
func (v verdict) code() Code {
	if v.Valid != (v.Code == Valid) {
		return Code(fmt.Sprintf("valid: %t, code: %s", v.Valid, v.Code))
	}
	return v.Code
}

// asked is one answer to a verification.
type asked struct {
	begun, ended time.Duration
	codes        []Code // one for each question
	apart        bool   // each was decided by itself, though they were asked together
}

// Verify asks about one key.
func (c *Client) Verify(ctx context.Context, q question) asked {
	var v verdict
	a := c.ask(ctx, "/v1/verify", q, 1, &v)
	if a.codes == nil {
		a.codes = []Code{v.code()}
	}
	return a
}

// VerifyBatch asks about several keys at once.
func (c *Client) VerifyBatch(ctx context.Context, qs []question) asked {
	var in struct {
		Items []question `json:"items"`
	}
	var out struct {
		Results []verdict `json:"results"`
	}
	in.Items = qs
	a := c.ask(ctx, "/v1/verify/batch", in, len(qs), &out)
	if a.codes != nil {
		return a
	}
	a.codes = all(len(qs), Code("not as many results as questions"))
	if len(out.Results) == len(qs) {
		for i, v := range out.Results {
			a.codes[i] = v.code()
		}
	}
	return a
}

// ask sends a verification. Where there is no verdict it returns why not as the
// codes of all n questions.
func (c *Client) ask(ctx context.Context, path string, in any, n int, out any) (a asked) {
	body, err := json.Marshal(in)
	if err != nil {
		a.codes = all(n, Code(err.Error()))
		return a
	}
	a.begun = c.clock.Now() // before a connection is looked for
	status, text, err := c.do(ctx, http.MethodPost, path, body)
	a.ended = c.clock.Now()
	switch {
	case err != nil:
		a.codes = all(n, Silent)
	case status == http.StatusServiceUnavailable:
		a.codes = all(n, Stale)
	case status != http.StatusOK:
		a.codes = all(n, Code(fmt.Sprintf("%d %s", status, text)))
	default:
		if err := json.Unmarshal(text, out); err != nil {
			a.codes = all(n, Code(err.Error()))
		}
	}
	return a
}

func all(n int, code Code) []Code {
	codes := make([]Code, n)
	for i := range codes {
		codes[i] = code
	}
	return codes
}

// reply is what a call that changes something was answered, as far as it matters
// here.
type reply struct {
	status  int // 0: nobody answered
	text    string
	unsent  bool   // nobody was there to hear it
	ID      string `json:"id"`
	Value   string `json:"value"`
	Code    string `json:"code"`
	Receipt *struct {
		Confirmed  bool   `json:"confirmed"`
		By         string `json:"by"`
		Durability string `json:"durability"`
	} `json:"receipt"`
}

// Change calls for a change, and waits for its confirmation.
func (c *Client) Change(ctx context.Context, method, path string, in any) reply {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return reply{text: err.Error()}
		}
	}
	status, text, err := c.do(ctx, method, path, body)
	if err != nil {
		return reply{text: err.Error(), unsent: errors.Is(err, syscall.ECONNREFUSED)}
	}
	r := reply{status: status, text: string(text)}
	if err := json.Unmarshal(text, &r); err != nil {
		return reply{text: err.Error()}
	}
	return r
}

// outcome says what is known after a reply. Nothing but a success promises
// anything; only what is the caller's own fault has surely not happened.
func (r reply) outcome() Outcome {
	switch {
	case r.unsent:
		return Open // more than is known
	case r.status == 0:
		return Lost
	case r.status < 300:
		return Confirmed
	case r.status < 500:
		return Refused
	}
	return Open
}

// confirmed reports whether the receipt says that the change holds everywhere.
func (r reply) confirmed() bool { return r.Receipt != nil && r.Receipt.Confirmed }

// by returns what the receipt rests on.
func (r reply) by() string {
	if r.Receipt == nil {
		return ""
	}
	return r.Receipt.By
}

func (c *Client) do(ctx context.Context, method, path string, body []byte) (status int, text []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", c.authorization)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if method != http.MethodGet {
		req.Header.Set("Prefer", fmt.Sprint("wait=", answerWait))
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	text, err = io.ReadAll(resp.Body)
	return resp.StatusCode, text, err
}
