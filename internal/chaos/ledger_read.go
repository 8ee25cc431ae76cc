package chaos

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
)

// read fills in what the audit log says and what there is, as a node tells it.
func (l *Ledger) read(ctx context.Context, n *Node, header string) error {
	if err := n.AwaitReady(ctx); err != nil {
		return err
	}
	c := newClient(n, header, Clock{})
	status, text, err := c.do(ctx, http.MethodGet, workspace+"audit_events/export?format=jsonl", nil)
	if err != nil || status != http.StatusOK {
		return fmt.Errorf("export the audit log: %d %.200s: %w", status, text, err)
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e struct {
			Event
			RequestID string `json:"request_id"`
			Target    struct {
				ID string `json:"id"`
			} `json:"target"`
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("read the audit log: %w", err)
		}
		e.Event.Request, e.Event.Target = e.RequestID, e.Target.ID
		l.Events = append(l.Events, e.Event)
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if err := l.list(ctx, c, "service_accounts", "service_account"); err != nil {
		return err
	}
	return l.list(ctx, c, "keys", "key")
}

// list adds all things of a list.
func (l *Ledger) list(ctx context.Context, c *Client, path, kind string) error {
	at, err := url.Parse(workspace + path)
	if err != nil {
		return err
	}
	for query := at.Query(); ; {
		query.Set("limit", "200")
		status, text, err := c.do(ctx, http.MethodGet, at.Path+"?"+query.Encode(), nil)
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("list %s: %d %.200s: %w", path, status, text, err)
		}
		var page struct {
			Data []struct {
				ID          string `json:"id"`
				State       string `json:"state"`
				Description string `json:"description"`
			} `json:"data"`
			Next *string `json:"next_cursor"`
		}
		if err := json.Unmarshal(text, &page); err != nil {
			return err
		}
		for _, x := range page.Data {
			l.Things = append(l.Things, Thing{ID: x.ID, Kind: kind, Ended: x.State == "revoked", Description: x.Description})
		}
		if page.Next == nil {
			return nil
		}
		query.Set("cursor", *page.Next)
	}
}
