package postern

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/posternhq/postern/api"
)

// CallOption says how one call is made. A method that does not honour an option
// returns an error, and makes no call.
type CallOption func(*callOptions)

// callOptions is what the options of a call say together.
type callOptions struct {
	given          takes
	ifMatch        string
	idempotencyKey string
	wait           time.Duration
}

// takes is which options a method honours.
type takes int

const (
	takesIfMatch takes = 1 << iota
	takesIdempotencyKey
	takesWait
	takesAsync
)

// String names the options.
func (t takes) String() string {
	var names []string
	for i, name := range []string{"IfMatch", "IdempotencyKey", "Wait", "RespondAsync"} {
		if t&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// IfMatch makes a change only if the thing is still as it was when it had this
// entity tag, which is its field Etag. Otherwise the call ends with the problem
// precondition_failed, which says what changed and who did it.
func IfMatch(etag string) CallOption {
	return func(o *callOptions) { o.given, o.ifMatch = o.given|takesIfMatch, etag }
}

// IdempotencyKey names a call, so that it has its effect once however often it is
// made within 24 hours, also by another process: 1 to 255 visible characters, such
// as the number of a deployment. The client makes one itself for each call, which
// covers what it asks again by itself.
//
// What shows a value once, such as CreateServiceAccountKey, ends with the problem
// value_already_issued when it is made again; its ID is the thing's that was made.
func IdempotencyKey(key string) CallOption {
	return func(o *callOptions) { o.given, o.idempotencyKey = o.given|takesIdempotencyKey, key }
}

// Wait says for how long the server is to wait until every node has confirmed the
// change, 1 to 90 seconds. If they have not by then, the call ends with the problem
// revocation_unconfirmed: the change is recorded and goes on. Without it, the
// server answers before the deadline of the call's context.
func Wait(d time.Duration) CallOption {
	return func(o *callOptions) { o.given, o.wait = o.given|takesWait, d }
}

// RespondAsync makes the server answer as soon as the change is recorded, or no
// later than [Wait] says. The receipt of the answer then may not be confirmed: see
// [WorkspaceClient.AwaitReceipt].
func RespondAsync() CallOption {
	return func(o *callOptions) { o.given |= takesAsync }
}

// HasCode reports whether err is a problem with one of these codes, such as
// [api.CodeNotFound].
func HasCode(err error, codes ...string) bool {
	p, ok := errors.AsType[*api.Problem](err)
	return ok && slices.Contains(codes, p.Code)
}

// operation is one call of an operation of the API.
type operation struct {
	id        string // in the OpenAPI document
	method    string
	path      []string
	workspace string
	query     any // a struct whose fields are tagged query; nil: none
	body      any // nil: none
	takes     takes
	options   []CallOption
}

// ask makes a call whose answer is JSON.
func ask[Out any](ctx context.Context, c *Client, o operation) (Out, error) {
	var out Out
	r, err := c.newOperation(o)
	if err != nil {
		return out, err
	}
	err = c.run(ctx, r, &out)
	return out, err
}

// open makes a call whose answer is read as it arrives. The caller of the method
// must close it.
func open(ctx context.Context, c *Client, o operation) (io.ReadCloser, error) {
	r, err := c.newOperation(o)
	if err != nil {
		return nil, err
	}
	return c.runOpen(ctx, r)
}

func (c *Client) newOperation(o operation) (call, error) {
	path, err := o.url()
	if err != nil {
		return call{}, fmt.Errorf("postern: %s: %w", o.id, err)
	}
	r, err := c.newCall(o.method, path, o.body)
	if err != nil {
		return call{}, err
	}
	r.operation, r.workspace = o.id, o.workspace
	if err := o.setOptions(&r); err != nil {
		return call{}, fmt.Errorf("postern: %s: %w", o.id, err)
	}
	return r, nil
}

// url returns the path and the query.
func (o operation) url() (string, error) {
	var path strings.Builder
	for _, segment := range o.path {
		if segment == "" || segment == "." || segment == ".." {
			return "", fmt.Errorf("%q is neither an id nor a name", segment) // it would lead elsewhere
		}
		path.WriteString("/" + url.PathEscape(segment))
	}
	query, err := encodeQuery(o.query)
	if err != nil {
		return "", err
	}
	if len(query) > 0 {
		path.WriteString("?" + query.Encode())
	}
	return path.String(), nil
}

// encodeQuery returns the fields of a struct that are not zero, by their tag query.
func encodeQuery(in any) (url.Values, error) {
	query := url.Values{}
	if in == nil {
		return query, nil
	}
	for field, v := range reflect.ValueOf(in).Fields() {
		name := field.Tag.Get("query")
		if v.IsZero() {
			continue
		}
		switch value := v.Interface().(type) {
		case string:
			query.Set(name, value)
		case bool:
			query.Set(name, strconv.FormatBool(value))
		case int:
			query.Set(name, strconv.Itoa(value))
		case []string:
			query.Set(name, strings.Join(value, ","))
		case api.Time:
			text, err := value.MarshalText()
			if err != nil {
				return nil, err
			}
			query.Set(name, string(text))
		default:
			return nil, fmt.Errorf("a query cannot hold the %T %s", value, field.Name)
		}
	}
	return query, nil
}

const leastWait, mostWait = time.Second, maxWait * time.Second

func (o operation) setOptions(r *call) error {
	var said callOptions
	for _, option := range o.options {
		option(&said)
	}
	is := func(t takes) bool { return said.given&t != 0 }
	switch {
	case said.given&^o.takes != 0:
		return fmt.Errorf("it does not honour %s", said.given&^o.takes)
	case is(takesIfMatch) && said.ifMatch == "":
		return errors.New("IfMatch without an entity tag would match everything")
	case is(takesIdempotencyKey) && said.idempotencyKey == "":
		return errors.New("an IdempotencyKey cannot be empty")
	case is(takesWait) && (said.wait < leastWait || said.wait > mostWait):
		return fmt.Errorf("Wait takes %v to %v", leastWait, mostWait)
	}
	r.ifMatch = said.ifMatch
	if is(takesIdempotencyKey) {
		r.idempotencyKey = said.idempotencyKey
	}
	var prefer []string
	if is(takesAsync) {
		prefer = append(prefer, "respond-async")
	}
	if is(takesWait) {
		prefer = append(prefer, "wait="+strconv.Itoa(int(math.Ceil(said.wait.Seconds()))))
	}
	r.prefer = strings.Join(prefer, ", ")
	return nil
}

// decode reads an answer.
func decode(r call, body []byte, out any) error {
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("%s %s: read the answer: %w", r.method, r.url, err)
	}
	return nil
}
