package server

import (
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

func member(m iam.Member) api.Member {
	return api.Member{
		ID: string(m.ID), Name: m.Name, Email: m.Person.Email,
		Person: api.Person{ID: string(m.Person.ID), Name: m.Person.Name, Email: m.Person.Email},
		Role:   ref(m.Role), State: string(m.State()), Keys: keyCounts(m.Keys),
		CreatedAt: api.NewTime(m.CreatedAt), Etag: etag(m.Version),
	}
}

func seats(s iam.Seats) api.Seats { return api.Seats{Used: s.Used, Pending: s.Pending, Limit: s.Limit} }

func invitation(i iam.Invitation, now time.Time) api.Invitation {
	return api.Invitation{
		ID: string(i.ID), Email: i.Email, Role: ref(i.Role), State: string(i.State(now)),
		InvitedBy: actor(i.InvitedBy), CreatedAt: api.NewTime(i.CreatedAt), ExpiresAt: api.NewTime(i.ExpiresAt),
	}
}
