package server

import (
	"errors"
	"strings"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/audit"
	"github.com/posternhq/postern/internal/iam"
)

// The functions of these files say in words of package api what package iam
// answered. Lists and maps come out empty rather than null.

func ref[ID ~string](r iam.Ref[ID]) api.Ref { return api.Ref{ID: string(r.ID), Name: r.Name} }

func actor(a iam.Actor) api.Actor {
	return api.Actor{ID: a.ID, Type: string(a.Type), Name: a.Name, State: string(a.State)}
}

func target(t audit.Target) api.Target { return api.Target{Type: t.Type, ID: t.ID, Name: t.Name} }

func source(s audit.Source) api.Source {
	return api.Source{IP: s.IP, UserAgent: s.UserAgent, Node: s.Node}
}

// lastUse is null for what was never accepted.
func lastUse(u *iam.LastUse) *api.LastUse {
	if u == nil {
		return nil
	}
	return &api.LastUse{At: api.NewTime(u.At), Key: &api.Ref{ID: string(u.Key), Name: u.KeyName}, Source: source(u.Source)}
}

func keyCounts(n iam.KeyCounts) api.KeyCounts { return api.KeyCounts{Active: n.Active, Total: n.Total} }

func revocation(r *iam.Revocation) *api.Revocation {
	if r == nil {
		return nil
	}
	return &api.Revocation{At: api.NewTime(r.At), By: actor(r.By), Reason: orNull(r.Reason), Note: orNull(r.Note)}
}

func receipt(r iam.Receipt) api.Receipt {
	waiting := make([]api.WaitingNode, len(r.Nodes.Waiting))
	for i, n := range r.Nodes.Waiting {
		waiting[i] = api.WaitingNode{Name: n.Name, LeaseLeftMS: n.LeaseLeft.Milliseconds()}
	}
	out := api.Receipt{
		ID: string(r.ID), Revision: r.Revision, DecidedAt: api.NewTime(r.DecidedAt), KeysStopped: r.KeysStopped,
		Confirmed: r.Confirmed, Durability: orNull(r.Durability),
		Nodes: api.ReceiptNodes{
			Total: r.Nodes.Total, Confirmed: r.Nodes.Confirmed,
			Expired: orEmpty(r.Nodes.Expired), Bounded: orEmpty(r.Nodes.Bounded), Waiting: waiting,
		},
		TookMS: float64(r.Took) / float64(time.Millisecond),
	}
	if r.Confirmed {
		out.By = orNull(r.By)
	}
	return out
}

// answer is an output that has no entity tag of its own.
type answer[Body any] struct{ Body Body }

// tagged is an output that is one thing, with its entity tag.
type tagged[Body any] struct {
	ETag string `header:"ETag" doc:"For If-Match."`
	Body Body
}

// created is an output that is one new thing.
type created[Body any] struct {
	Location string `header:"Location" doc:"The path of the new thing."`
	ETag     string `header:"ETag" doc:"For If-Match."`
	Body     Body
}

// listed answers a part of a list, or why there is none.
func listed[T, U any](p page, part iam.List[T], err error, convert func(T) U) (*answer[api.List[U]], error) {
	if err != nil {
		return nil, ofQuery(err)
	}
	list, err := listOf(p, part, convert)
	if err != nil {
		return nil, err
	}
	return &answer[api.List[U]]{list}, nil
}

// ofQuery returns err with its pointers, which package iam writes as if into a
// body, as names of parameters.
func ofQuery(err error) error {
	shown, ok := errors.AsType[*iam.Error](err)
	if !ok || len(shown.Fields) == 0 {
		return err
	}
	out := *shown
	out.Fields = each(shown.Fields, func(f iam.Field) iam.Field {
		f.Pointer = strings.TrimPrefix(f.Pointer, "/")
		return f
	})
	return &out
}

// location returns the path of a thing in a workspace.
func location(ws iam.WorkspaceID, collection, id string) string {
	return workspacesPath + "/" + string(ws) + "/" + collection + "/" + id
}

// each converts the items of a list.
func each[T, U any](items []T, convert func(T) U) []U {
	out := make([]U, len(items))
	for i, item := range items {
		out[i] = convert(item)
	}
	return out
}

// orEmpty returns list, or an empty one, which JSON does not write as null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// metadata returns m, or an empty map, which JSON does not write as null.
func metadata(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// orNull returns nil for the zero value, which JSON writes as null.
func orNull[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// timeOrNull returns nil for a time that is not set.
func timeOrNull(t time.Time) *api.Time {
	if t.IsZero() {
		return nil
	}
	return new(api.NewTime(t))
}
