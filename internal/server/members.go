package server

import (
	"context"
	"net/http"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

const (
	membersPath = workspacePath + "/members"
	memberPath  = membersPath + "/{id}"
	seatsPath   = workspacePath + "/seats"
	membersTag  = "Members"
)

// InMember is the part of an input that every path of one member has.
type InMember struct {
	InWorkspace
	ID string `path:"id" doc:"Id of the member." example:"mem_01jn8x0c2vf3hs5r6tq7w8y9zc"`
}

func (s *Server) registerMembers() {
	register(s, operation{
		id: "list-members", method: http.MethodGet, path: membersPath, tag: membersTag,
		summary: "List members", access: permission, needs: iam.ReadMembers, success: http.StatusOK,
	}, s.listMembers)
	register(s, operation{
		id: "get-member", method: http.MethodGet, path: memberPath, tag: membersTag,
		summary: "Read a member", access: permission, needs: iam.ReadMembers, success: http.StatusOK,
	}, s.getMember)
	register(s, operation{
		id: "update-member", method: http.MethodPatch, path: memberPath, tag: membersTag,
		summary:     "Give a member another role",
		description: "The caller must hold what the role adds. Only an owner makes or changes an owner, and a workspace keeps one.",
		access:      permission, needs: iam.WriteMembers, success: http.StatusOK,
		problems: []string{api.CodeStepUpRequired, api.CodePrincipalInactive, api.CodeLastOwner},
	}, s.updateMember)
	register(s, operation{
		id: "remove-member", method: http.MethodDelete, path: memberPath, tag: membersTag,
		summary: "Remove a member",
		description: "Once this has answered 200, no node accepts any key that the person owns here. " +
			"The accounts that they made, and those accounts' keys, go on.",
		access: permission, needs: iam.WriteMembers, success: http.StatusOK,
		problems: []string{api.CodeLastOwner},
	}, s.removeMember)
	register(s, operation{
		id: "get-seats", method: http.MethodGet, path: seatsPath, tag: membersTag,
		summary: "Count the seats", description: "People and pending invitations hold seats. Service accounts never do.",
		access: permission, needs: iam.ReadMembers, success: http.StatusOK,
	}, s.getSeats)
}

type listMembersInput struct {
	InWorkspace
	Paging
	State string `query:"state" enum:"active,removed" doc:"Only members in this state."`
	Role  string `query:"role" doc:"Only members with this role: its id or name."`
	Query string `query:"q" doc:"Only members whose name or address has this in it."`
}

func (s *Server) listMembers(ctx context.Context, c iam.Caller, in *listMembersInput) (*answer[api.List[api.Member]], error) {
	f := iam.MemberFilter{State: iam.State(in.State), Role: in.Role, Query: in.Query}
	p, err := s.page(c, in.Paging, membersPath, f)
	if err != nil {
		return nil, err
	}
	list, err := s.iam.Members(ctx, c, in.Workspace, f, p.Page)
	return listed(p, list, err, member)
}

func (s *Server) getMember(ctx context.Context, c iam.Caller, in *InMember) (*tagged[api.Member], error) {
	m, err := s.iam.Member(ctx, c, in.Workspace, iam.PrincipalID(in.ID))
	if err != nil {
		return nil, err
	}
	return &tagged[api.Member]{etag(m.Version), member(m)}, nil
}

type updateMemberInput struct {
	InMember
	Body api.UpdateMember
}

func (s *Server) updateMember(ctx context.Context, c iam.Caller, in *updateMemberInput) (*updated[api.UpdatedMember], error) {
	done, err := s.iam.UpdateMember(ctx, c, in.Workspace, iam.PrincipalID(in.ID), in.Body.Role)
	if err != nil {
		return nil, settled(done, err)
	}
	return updatedTo(done, done.Value.Version, api.UpdatedMember{
		Member: member(done.Value), Receipt: receipt(done.Receipt), Revision: done.Revision,
	}), nil
}

func (s *Server) removeMember(ctx context.Context, c iam.Caller, in *InMember) (*acted[api.RemovedMember], error) {
	done, err := s.iam.RemoveMember(ctx, c, in.Workspace, iam.PrincipalID(in.ID))
	if err != nil {
		return nil, settled(done, err)
	}
	return actedOn(done, api.RemovedMember{
		Member: member(done.Value.Member), KeysStopped: done.Value.KeysStopped,
		Receipt: receipt(done.Receipt), Revision: done.Revision,
	}), nil
}

func (s *Server) getSeats(ctx context.Context, c iam.Caller, in *InWorkspace) (*answer[api.Seats], error) {
	n, err := s.iam.Seats(ctx, c, in.Workspace)
	if err != nil {
		return nil, err
	}
	return &answer[api.Seats]{seats(n)}, nil
}
