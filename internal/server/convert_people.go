package server

import (
	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

func session(in iam.SignIn, current iam.SignInID) api.Session {
	return api.Session{
		ID: string(in.ID), Current: in.ID == current, Method: in.Method,
		CreatedAt: api.NewTime(in.CreatedAt), LastSeenAt: api.NewTime(in.SeenAt),
		AuthenticatedAt: api.NewTime(in.AuthenticatedAt), ExpiresAt: api.NewTime(in.ExpiresAt), Source: source(in.Source),
	}
}

func currentSession(now iam.SignedIn, who iam.Person, passkeys int64, password bool) api.CurrentSession {
	out := api.CurrentSession{
		Session:   session(now.SignIn, now.SignIn.ID),
		Person:    api.SessionPerson{ID: string(who.ID), Name: who.Name, Email: who.Email, HasPassword: password, Passkeys: passkeys},
		Workspace: string(now.SignIn.Workspace), Workspaces: []api.SessionPlace{},
		FreshUntil: api.NewTime(now.SignIn.AuthenticatedAt.Add(iam.StepUpLife)),
	}
	for _, m := range now.Places {
		ws, p := m.Workspace, m.Principal
		out.Workspaces = append(out.Workspaces, api.SessionPlace{
			Workspace: api.SessionWorkspace{ID: string(ws.ID), Slug: ws.Slug, Name: ws.Name, System: ws.System},
			Member:    api.Ref{ID: string(p.ID), Name: p.Name}, Role: api.Ref{ID: string(p.Role.ID), Name: p.Role.Name},
		})
	}
	return out
}

func passkey(k iam.Passkey) api.Passkey {
	out := api.Passkey{ID: string(k.ID), Name: k.Name, CreatedAt: api.NewTime(k.CreatedAt)}
	if !k.LastUsedAt.IsZero() {
		out.LastUsedAt = new(api.NewTime(k.LastUsedAt))
	}
	return out
}
