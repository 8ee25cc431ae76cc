package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/token"
)

// session is a server, who we are there, and the workspace to work on.
type session struct {
	*postern.Client
	workspace string
	timeout   time.Duration // of each call
}

// session returns what the commands work with: from flags, else variables, else
// the current context. A context's key is sent to that context's server alone.
func (a *app) session(ctx context.Context) (session, error) {
	s, err := a.openSession(ctx)
	if err == nil && s.Key.IsZero() {
		err = failf(exitSignIn, "there is no key for %s: set POSTERN_KEY_FILE, or add a context: postern context add --help", safe(s.Server))
	}
	return s, err
}

// openSession is like session, but a key may be missing.
func (a *app) openSession(ctx context.Context) (session, error) {
	current, stored, err := a.currentContext()
	if err != nil {
		return session{}, err
	}
	server := cmp.Or(a.global.server, a.env["POSTERN_SERVER"], stored.Server)
	if server == "" {
		return session{}, failf(exitSignIn, "there is no server to speak to: say --server URL, set POSTERN_SERVER, or add a context: postern context add --help")
	}
	key, err := a.keyFromEnvironment()
	if err != nil {
		return session{}, err
	}
	if key.IsZero() && sameServer(server, stored.Server) {
		if key, err = a.storedKey(ctx, current); err != nil {
			return session{}, err
		}
	}
	return session{
		Client: &postern.Client{
			Server: server, Key: key, UserAgent: "postern-cli/" + buildVersion(),
			PlainHTTP: a.global.plainHTTP || stored.PlainHTTP && sameServer(server, stored.Server),
		},
		timeout:   a.global.timeout,
		workspace: cmp.Or(a.global.workspace, a.env["POSTERN_WORKSPACE"], stored.Workspace, "-"),
	}, nil
}

func sameServer(a, b string) bool {
	return strings.TrimRight(a, "/") == strings.TrimRight(b, "/")
}

// keyFromEnvironment returns the key that variables give.
func (a *app) keyFromEnvironment() (token.Secret, error) {
	text, file := a.env["POSTERN_KEY"], a.env["POSTERN_KEY_FILE"]
	switch {
	case text != "" && file != "":
		return token.Secret{}, usagef("POSTERN_KEY and POSTERN_KEY_FILE are both set: leave one")
	case file != "":
		return readSecretFile(file)
	case text != "":
		return token.NewSecret(strings.TrimSpace(text)), nil
	}
	return token.Secret{}, nil
}

// path returns the path of something in the workspace. Each part is one segment,
// whatever characters it has.
func (s session) path(parts ...string) string {
	return below("/v1/workspaces/", append([]string{s.workspace}, parts...)...)
}

func below(root string, parts ...string) string {
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
		if p == "" || p == "." || p == ".." {
			parts[i] = "%00" // nothing has this name; the one given would name another path
		}
	}
	return root + strings.Join(parts, "/")
}

// call calls the server and returns the answer, read and as it came.
func call[T any](ctx context.Context, s session, method, path string, in any) (out T, raw json.RawMessage, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if err := s.Do(ctx, method, path, in, &raw); err != nil {
		return out, nil, err
	}
	return out, raw, json.Unmarshal(raw, &out)
}

// maxPage is the most that the server gives at once.
const maxPage = 200

// fetch reads a list, page after page, up to a number of items or, when that is
// zero, to its end. It says whether there is more.
func (s session) fetch(ctx context.Context, path string, query url.Values, most int) (items []json.RawMessage, more bool, err error) {
	for {
		limit := maxPage
		if most > 0 {
			limit = min(limit, most-len(items))
		}
		query.Set("limit", strconv.Itoa(limit))
		page, _, err := call[api.List[json.RawMessage]](ctx, s, http.MethodGet, path+"?"+query.Encode(), nil)
		if err != nil {
			return nil, false, err
		}
		items = append(items, page.Data...)
		if !page.HasMore || page.NextCursor == nil {
			return items, false, nil
		}
		if most > 0 && len(items) >= most {
			return items, true, nil
		}
		query.Set("cursor", *page.NextCursor)
	}
}

// list prints a list of the server's.
func list[T any](ctx context.Context, a *app, s session, path string, query url.Values, columns []column[T]) error {
	items, more, err := s.fetch(ctx, path, query, a.global.max)
	if err != nil {
		return err
	}
	if err := showAll(a, items, columns); err != nil {
		return err
	}
	if more {
		a.note("There are more: these are the first %d. Say --max N, or --max 0 for all.", len(items))
	}
	return nil
}

// find returns the things of a list that a name fits.
func find[T any](ctx context.Context, s session, path string, query url.Values, fits func(T) bool) ([]T, error) {
	items, _, err := s.fetch(ctx, path, query, 0)
	if err != nil {
		return nil, err
	}
	var found []T
	for _, raw := range items {
		var item T
		if err := json.Unmarshal(raw, &item); err != nil {
			return nil, fmt.Errorf("read the answer: %w", err)
		}
		if fits(item) {
			found = append(found, item)
		}
	}
	return found, nil
}
