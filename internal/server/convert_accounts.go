package server

import (
	"github.com/posternhq/postern/api"
	"github.com/posternhq/postern/internal/iam"
)

func serviceAccount(a iam.ServiceAccount) api.ServiceAccount {
	return api.ServiceAccount{
		ID: string(a.ID), Name: a.Name, Description: a.Description, Owner: a.Owner,
		Role: ref(a.Role), State: string(a.State()), Keys: keyCounts(a.Keys), LastUsed: lastUse(a.LastUse),
		CreatedAt: api.NewTime(a.CreatedAt), CreatedBy: actor(a.CreatedBy), CreatedByKey: orNull(string(a.CreatedByKey)),
		Revoked: revocation(a.Revoked), Metadata: metadata(a.Metadata), Etag: etag(a.Version),
	}
}

func newServiceAccount(in api.CreateServiceAccount) iam.NewServiceAccount {
	return iam.NewServiceAccount{
		Name: in.Name, Description: in.Description, Owner: in.Owner, Role: in.Role, Metadata: in.Metadata,
	}
}

func accountPatch(in api.UpdateServiceAccount) iam.AccountPatch {
	return iam.AccountPatch{
		Name: in.Name, Description: in.Description, Owner: in.Owner, Role: in.Role, Metadata: in.Metadata,
	}
}
