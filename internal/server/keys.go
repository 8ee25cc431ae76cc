package server

import (
	"context"
	"net/http"
	"time"

	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
	"github.com/posternhq/postern/internal/token"
)

const (
	keysPath        = workspacePath + "/keys"
	keyPath         = keysPath + "/{id}"
	accountKeysPath = accountPath + "/keys"
	myKeysPath      = workspacePath + "/me/keys"
	selfPath        = "/v1/keys/self"
	keysTag         = "Keys"
)

// InKey is the part of an input that every path of one key has.
type InKey struct {
	InWorkspace
	ID string `path:"id" doc:"Id of the key." example:"key_01jn8x0c2vf3hs5r6tq7w8y9zd"`
}

func (s *Server) registerKeys() {
	register(s, operation{
		id: "list-keys", method: http.MethodGet, path: keysPath, tag: keysTag,
		summary: "List all keys of a workspace", access: permission, needs: iam.ReadKeys, success: http.StatusOK,
	}, s.listKeys)
	register(s, operation{
		id: "get-key", method: http.MethodGet, path: keyPath, tag: keysTag,
		summary: "Read a key", description: "The value of a key was shown once, when it was made; it is nowhere now.",
		access: permission, needs: iam.ReadKeys, success: http.StatusOK,
	}, s.getKey)
	register(s, operation{
		id: "update-key", method: http.MethodPatch, path: keyPath, tag: keysTag,
		summary: "Change a key",
		description: "Members that are left out stay as they are. What widens the key, or lets it last longer, " +
			"is a gift: the caller must hold all that the key can do.",
		access: permission, needs: iam.WriteKeys, success: http.StatusOK,
		problems: []string{api.CodeNameTaken, api.CodeKeyRevoked, api.CodePrincipalInactive, api.CodePolicyViolation},
	}, s.updateKey)
	s.registerKeyActions()
	s.registerMyKeys()
	s.registerSelf()
}

func (s *Server) registerKeyActions() {
	register(s, operation{
		id: "pause-key", method: http.MethodPost, path: keyPath + "/pause", tag: keysTag,
		summary: "Pause a key", description: "Once this has answered 200, no node accepts the key, until it is resumed.",
		access: permission, needs: iam.WriteKeys, success: http.StatusOK,
		problems: []string{api.CodeKeyRevoked, api.CodePrincipalInactive},
	}, s.onKey(s.iam.PauseKey))
	register(s, operation{
		id: "resume-key", method: http.MethodPost, path: keyPath + "/resume", tag: keysTag,
		summary: "Resume a paused key", description: "It gives all that the key can do, so the caller must hold that.",
		access: permission, needs: iam.WriteKeys, success: http.StatusOK,
		problems: []string{api.CodeKeyRevoked, api.CodePrincipalInactive},
	}, s.onKey(s.iam.ResumeKey))
	register(s, operation{
		id: "revoke-key", method: http.MethodPost, path: keyPath + "/revoke", tag: keysTag,
		summary: "Revoke a key, for good",
		description: "Once this has answered 200, no node accepts the key, ever. What was made with the key is listed, " +
			"and revoked in the same revision when the body says descendants. " +
			"Revoking again is no error: that call waits for every node as well.",
		access: permission, needs: iam.WriteKeys, success: http.StatusOK,
	}, s.revokeKey)
}

func (s *Server) registerAccountKeys() {
	register(s, operation{
		id: "list-service-account-keys", method: http.MethodGet, path: accountKeysPath, tag: keysTag,
		summary: "List the keys of a service account", access: permission, needs: iam.ReadKeys, success: http.StatusOK,
	}, s.listAccountKeys)
	register(s, operation{
		id: "create-service-account-key", method: http.MethodPost, path: accountKeysPath, tag: keysTag,
		summary: "Create a key of a service account",
		description: "The value is in the answer, this once. The key works on every node when the answer arrives. " +
			"The caller must hold all that the key can do.",
		access: permission, needs: iam.WriteKeys, success: http.StatusCreated,
		problems: []string{api.CodeStepUpRequired, api.CodeNameTaken, api.CodePrincipalInactive, api.CodePolicyViolation, api.CodeValueAlreadyIssued},
	}, s.createAccountKey)
}

func (s *Server) registerMyKeys() {
	register(s, operation{
		id: "list-my-keys", method: http.MethodGet, path: myKeysPath, tag: keysTag,
		summary: "List the caller's own keys", access: holder, success: http.StatusOK,
	}, s.listMyKeys)
	register(s, operation{
		id: "create-my-key", method: http.MethodPost, path: myKeysPath, tag: keysTag,
		summary:     "Create a personal key",
		description: "For members. No permission of Postern's own is needed, only what the key is to hold. The value is in the answer, this once.",
		access:      holder, success: http.StatusCreated,
		problems: []string{api.CodeStepUpRequired, api.CodePermissionDenied, api.CodeNameTaken, api.CodePolicyViolation, api.CodeValueAlreadyIssued},
	}, s.createMyKey)
}

func (s *Server) registerSelf() {
	register(s, operation{
		id: "get-self", method: http.MethodGet, path: selfPath, tag: keysTag,
		summary: "Read the calling key", access: holder, success: http.StatusOK, problems: []string{api.CodeNotFound},
	}, s.getSelf)
	register(s, operation{
		id: "revoke-self", method: http.MethodPost, path: selfPath + "/revoke", tag: keysTag,
		summary: "Revoke the calling key, for good",
		description: "Whoever holds a key can stop it. The key no longer works then, for this call neither: " +
			"a client that did not hear the answer and asks again hears 401 once it is revoked, and its `Idempotency-Key` changes nothing about that.",
		access: holder, success: http.StatusOK, problems: []string{api.CodeNotFound},
	}, s.revokeSelf)
}

// KeyFilters narrow a list of the keys of one principal.
type KeyFilters struct {
	State         string    `query:"state" enum:"active,paused,expired,revoked" doc:"Only keys in this state."`
	ExpiresBefore time.Time `query:"expires_before" doc:"Only keys that end before this time." example:"2027-01-01T00:00:00.000000Z"`
	UnusedFor     string    `query:"unused_for" doc:"Only keys that were made so long ago or longer, and not accepted since." example:"90d"`
	NeverUsed     bool      `query:"never_used" doc:"Only keys that were never accepted."`
	NeverExpires  bool      `query:"never_expires" doc:"Only keys without an end."`
	Query         string    `query:"q" doc:"Only keys whose name, or whose owner's name, has this in it."`
}

func (f KeyFilters) filter() iam.KeyFilter {
	return iam.KeyFilter{State: iam.State(f.State), ExpiresBefore: f.ExpiresBefore, Query: f.Query, NeverUsed: f.NeverUsed, NeverExpires: f.NeverExpires}
}

// unusedSince returns since when the keys are to have been unused; zero: they may
// be in use.
func (f KeyFilters) unusedSince(now time.Time) (time.Time, error) {
	if f.UnusedFor == "" {
		return time.Time{}, nil
	}
	d, err := iam.ParseDuration(f.UnusedFor)
	if err != nil {
		return time.Time{}, iam.Invalid("/unused_for", "not_a_duration", "must be a whole number and s, m, h or d, such as 90d")
	}
	return now.Add(-d), nil
}

type listKeysInput struct {
	InWorkspace
	Paging
	KeyFilters
	Principal     string `query:"principal" doc:"Only keys of this member or service account: its id."`
	PrincipalType string `query:"principal_type" enum:"member,service_account" doc:"Only keys of this type of principal."`
	MachineLike   bool   `query:"machine_like" doc:"Only keys of members that are used as people do not use one: on 3 of the last 7 whole days (UTC) in 18 of the 24 hours, or 5000 times."`
}

type keyList = answer[api.List[api.Key]]

func (s *Server) listKeys(ctx context.Context, c iam.Caller, in *listKeysInput) (*keyList, error) {
	f := in.filter()
	f.Principal, f.PrincipalType, f.MachineLike = iam.PrincipalID(in.Principal), iam.PrincipalType(in.PrincipalType), in.MachineLike
	return s.keyPage(c, in.Paging, keysPath, in.KeyFilters, f, func(f iam.KeyFilter, p iam.Page) (iam.List[iam.Key], error) {
		return s.iam.Keys(ctx, c, in.Workspace, f, p)
	})
}

type listAccountKeysInput struct {
	InAccount
	Paging
	KeyFilters
}

func (s *Server) listAccountKeys(ctx context.Context, c iam.Caller, in *listAccountKeysInput) (*keyList, error) {
	route := accountsPath + "/" + in.ID + "/keys"
	return s.keyPage(c, in.Paging, route, in.KeyFilters, in.filter(), func(f iam.KeyFilter, p iam.Page) (iam.List[iam.Key], error) {
		return s.iam.AccountKeys(ctx, c, in.Workspace, in.ID, f, p)
	})
}

type listMyKeysInput struct {
	InWorkspace
	Paging
	KeyFilters
}

func (s *Server) listMyKeys(ctx context.Context, c iam.Caller, in *listMyKeysInput) (*keyList, error) {
	return s.keyPage(c, in.Paging, myKeysPath, in.KeyFilters, in.filter(), func(f iam.KeyFilter, p iam.Page) (iam.List[iam.Key], error) {
		return s.iam.MyKeys(ctx, c, in.Workspace, f, p)
	})
}

// keyPage answers a part of a list of keys, whose states are as of now.
func (s *Server) keyPage(c iam.Caller, in Paging, route string, asked KeyFilters, f iam.KeyFilter, list func(iam.KeyFilter, iam.Page) (iam.List[iam.Key], error)) (*keyList, error) {
	p, err := s.page(c, in, route, []any{f, asked.UnusedFor})
	if err != nil {
		return nil, err
	}
	f.Now = s.now()
	if f.UnusedSince, err = asked.unusedSince(f.Now); err != nil {
		return nil, ofQuery(err)
	}
	keys, err := list(f, p.Page)
	return listed(p, keys, err, s.key)
}

// key says what a key is now.
func (s *Server) key(k iam.Key) api.Key { return key(k, s.now()) }

func (s *Server) getKey(ctx context.Context, c iam.Caller, in *InKey) (*tagged[api.Key], error) {
	k, err := s.iam.Key(ctx, c, in.Workspace, iam.KeyID(in.ID))
	if err != nil {
		return nil, err
	}
	return &tagged[api.Key]{etag(k.Version), s.key(k)}, nil
}

func (s *Server) getSelf(ctx context.Context, c iam.Caller, _ *struct{}) (*tagged[api.Key], error) {
	k, err := s.iam.Self(ctx, c)
	if err != nil {
		return nil, err
	}
	return &tagged[api.Key]{etag(k.Version), s.key(k)}, nil
}

type createAccountKeyInput struct {
	InAccount
	Body api.CreateKey
}

func (s *Server) createAccountKey(ctx context.Context, c iam.Caller, in *createAccountKeyInput) (*created[api.CreatedKey], error) {
	want, err := newKey(in.Body)
	if err != nil {
		return nil, err
	}
	return s.createdKey(s.iam.CreateKey(ctx, c, in.Workspace, in.ID, want))
}

type createMyKeyInput struct {
	InWorkspace
	Body api.CreateKey
}

func (s *Server) createMyKey(ctx context.Context, c iam.Caller, in *createMyKeyInput) (*created[api.CreatedKey], error) {
	want, err := newKey(in.Body)
	if err != nil {
		return nil, err
	}
	return s.createdKey(s.iam.CreateMyKey(ctx, c, in.Workspace, want))
}

// createdKey answers the creation of a key. It shows the value, this once.
func (s *Server) createdKey(done iam.Done[iam.Key], value token.Secret, err error) (*created[api.CreatedKey], error) {
	if err != nil {
		return nil, settled(done, err)
	}
	made := s.key(done.Value)
	return &created[api.CreatedKey]{
		Location: location(done.Value.Workspace, "keys", made.ID), ETag: made.Etag,
		Body: api.CreatedKey{Key: made, Value: value.Reveal(), Revision: done.Revision},
	}, nil
}

type updateKeyInput struct {
	InKey
	Body api.UpdateKey
}

func (s *Server) updateKey(ctx context.Context, c iam.Caller, in *updateKeyInput) (*updated[api.UpdatedKey], error) {
	patch, err := keyPatch(in.Body)
	if err != nil {
		return nil, err
	}
	done, err := s.iam.UpdateKey(ctx, c, in.Workspace, iam.KeyID(in.ID), patch)
	if err != nil {
		return nil, settled(done, err)
	}
	return updatedTo(done, done.Value.Version, api.UpdatedKey{
		Key: s.key(done.Value), Receipt: receipt(done.Receipt), Revision: done.Revision,
	}), nil
}

type keyActionInput struct {
	InKey
	Body *api.Ending
}

type keyAction func(ctx context.Context, c iam.Caller, ws string, id iam.KeyID, why iam.Why) (iam.Done[iam.Key], error)

// onKey answers an action that concerns one key and nothing made with it.
func (s *Server) onKey(act keyAction) func(context.Context, iam.Caller, *keyActionInput) (*acted[api.KeyAnswer], error) {
	return func(ctx context.Context, c iam.Caller, in *keyActionInput) (*acted[api.KeyAnswer], error) {
		why, err := whyOfOne(in.Body)
		if err != nil {
			return nil, err
		}
		done, err := act(ctx, c, in.Workspace, iam.KeyID(in.ID), why)
		if err != nil {
			return nil, settled(done, err)
		}
		return actedOn(done, api.KeyAnswer{
			Key: s.key(done.Value), Descendants: []api.Descendant{},
			Receipt: receipt(done.Receipt), Revision: done.Revision,
		}), nil
	}
}

func (s *Server) revokeKey(ctx context.Context, c iam.Caller, in *keyActionInput) (*acted[api.KeyAnswer], error) {
	return s.revokedKey(s.iam.RevokeKey(ctx, c, in.Workspace, iam.KeyID(in.ID), whyOf(in.Body)))
}

type revokeSelfInput struct{ Body *api.Ending }

func (s *Server) revokeSelf(ctx context.Context, c iam.Caller, in *revokeSelfInput) (*acted[api.KeyAnswer], error) {
	why, err := whyOfOne(in.Body)
	if err != nil {
		return nil, err
	}
	return s.revokedKey(s.iam.RevokeSelf(ctx, c, why))
}

// whyOfOne reads the body of an action that cannot take in what was made with
// the key. It refuses the wish rather than forget it.
func whyOfOne(body *api.Ending) (iam.Why, error) {
	why := whyOf(body)
	if why.Descendants {
		return why, iam.Invalid("/descendants", "not_possible", "goes with revoking a key by its id only")
	}
	return why, nil
}

func (s *Server) revokedKey(done iam.Done[iam.RevokedKey], err error) (*acted[api.KeyAnswer], error) {
	if err != nil {
		return nil, settled(done, err)
	}
	return actedOn(done, api.KeyAnswer{
		Key: s.key(done.Value.Key), Descendants: descendants(done.Value, s.now()),
		Receipt: receipt(done.Receipt), Revision: done.Revision,
	}), nil
}
