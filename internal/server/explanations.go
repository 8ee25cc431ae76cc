package server

import (
	"slices"

	"github.com/posternhq/postern/api"
)

// explanation is what the page of a code says beyond the table of failures.
type explanation struct {
	code   string
	means  string
	do     string
	detail string // of the example
}

// explanations has each code of the table of failures once.
func explanations() []explanation {
	return slices.Concat(requestExplanations(), conflictExplanations(), inputExplanations(), serverExplanations())
}

// requestExplanations are of what is wrong before anything is looked at.
func requestExplanations() []explanation {
	return []explanation{
		{api.CodeInvalidRequest,
			"The request as a whole cannot be read in one way: the body is not JSON, has a member twice, is nested too deep or is not UTF-8; there are two credentials; a header or parameter is malformed; a cursor belongs to another list; or a secret stands in the address.",
			"Correct the request; sending it again as it is will not help. errors[].pointer says where to look. If a real key stood in the address, replace it: logs on the way have it now.",
			"the body is not JSON that has one meaning: is there twice"},
		{api.CodeUnknownField,
			"The body or the query has a field that this operation does not know. Postern refuses it rather than pass over what may be a misspelt limit or expiry.",
			"Look at errors[].pointer and at the operation in /v1/openapi.json. Names are case-sensitive.",
			"the request has a field that does not exist"},
		{api.CodeAuthorizationPending,
			"A program without a browser asks whether somebody has approved it (RFC 8628, section 3.5), and nobody has.",
			"Ask again after interval seconds, until expires_in is over.",
			"nobody has approved this yet"},
		{api.CodeSlowDown,
			"A program without a browser asks more often than interval allows (RFC 8628, section 3.5).",
			"Wait five seconds longer between two calls.",
			"ask less often: wait 5 seconds between two calls"},
		{api.CodeAccessDenied,
			"Whoever was asked to approve a program refused it, or has signed out or ended since.",
			"Begin anew with postern login, if it was a mistake.",
			"this was refused"},
		{api.CodeExpiredToken,
			"The code of a program without a browser is over, was used, or never was.",
			"Begin anew with postern login.",
			"this code does not exist, was used, or is over"},
		{api.CodeUnauthenticated,
			"There is no key, or it does not work: it is unknown, revoked, expired or paused, its owner has ended, or it may not be used from this address. All of these are the same answer on purpose.",
			"Send Authorization: Bearer and the whole key. Whoever administers the workspace sees in the inventory of keys why one does not work.",
			"this needs a key that works, as Authorization: Bearer"},
		{api.CodePermissionDenied,
			"The key works and does not hold what this needs. permission names the first permission that is missing. Making, widening, resuming or extending something also needs every permission that the result would hold.",
			"Use a key whose role and limit allow it, or ask for the role. The attempt is in the audit log.",
			"this needs iam.keys:write, which the caller does not hold"},
		{api.CodeStepUpRequired,
			"This gives somebody power, such as a key or a role, and it has been more than 15 minutes since the person who signed in proved who they are. No key is ever answered so.",
			"POST /v1/sessions/step_up with the password or a passkey, then the same call again.",
			"prove again who you are: it has been more than 15 minutes"},
		{api.CodeCrossSite,
			"A browser sent this on behalf of another site, or to another name of this server than its public address. What changes something is taken from Postern's own pages alone, unless it brings a key.",
			"Programs send a key. For the console, check that public-url is the address in the browser's bar.",
			"this was sent on behalf of another site"},
		{api.CodeNotFound,
			"It does not exist, or it is not in a workspace that the calling key belongs to. Postern does not tell the two apart.",
			"Check the id and the workspace. GET /v1/whoami says which workspace a key belongs to.",
			"no such key"},
		{api.CodeMethodNotAllowed,
			"The address exists and does not answer this method.",
			"The header Allow names the methods that it answers.",
			"this address answers GET, HEAD, POST"},
	}
}

// conflictExplanations are of what goes against how things are.
func conflictExplanations() []explanation {
	return []explanation{
		{api.CodeNameTaken,
			"Something in the workspace has this name. The names of service accounts stay taken after revocation, so that an old audit log never means somebody new.",
			"Choose another name.",
			"a service account has this name"},
		{api.CodeRoleInUse,
			"Members or service accounts have the role.",
			"Give them another role first. GET the role to see how many there are.",
			"2 members and 1 service account have the role"},
		{api.CodeSeatLimitReached,
			"Every seat of the workspace is held by a member or a pending invitation. Service accounts take no seat.",
			"Remove a member, cancel an invitation, or raise seat_limit in the policy.",
			"all 5 seats are held; service accounts take none"},
		{api.CodeValueAlreadyIssued,
			"This call was made before with the same Idempotency-Key and was done. It showed a secret, which is shown only once. id says what was made.",
			"If the first answer was lost, revoke what was made and make another, with a new Idempotency-Key.",
			"this call was done before, and its value is shown only once"},
		{api.CodeLastOwner,
			"The change would leave the workspace without an owner.",
			"Make another member an owner first.",
			"a workspace keeps at least one owner"},
		{api.CodeLastCredential,
			"The passkey is the only thing that the person can sign in with.",
			"Set a password or add another passkey first.",
			"this is the only way to sign in that is left: add another first"},
		{api.CodePrincipalInactive,
			"The service account is revoked or the member was removed. Both are final, and nothing more can be given to them.",
			"Make a new account, or invite the person again.",
			"service account support-bot is revoked, and that is final"},
		{api.CodeKeyRevoked,
			"The key is revoked. Revoking is final.",
			"Make a new key.",
			"the key is revoked, and that is final"},
		{api.CodeAlreadyMember,
			"The address belongs to somebody who is a member of the workspace.",
			"Change their role instead.",
			"jo@example.com is a member already"},
		{api.CodeRotationInProgress,
			"The key takes part in a rotation that has not ended. A key takes part in one at a time.",
			"Finish that rotation or cancel it; the key names it.",
			"the key takes part in the rotation rot_01jn8x0c2vf3hs5r6tq7w8y9zd already; finish or cancel that first"},
		{api.CodeNotReady,
			"It is not known that nobody uses the old key any more. errors names what is in the way, each with a code and in words: who has not moved, which node has not reported, until when the key must be quiet.",
			"Wait until the rotation is ready, or finish it by force if those who are named may fail.",
			"10.2.0.7 (curl/8.5) has not moved: it last used the old key at 2026-11-23T09:30:00Z"},
		{api.CodeTooOld,
			"A verifier says that it answers from a revision that the node no longer keeps what followed on.",
			"Open GET /v1/replica anew without from, and load what it sends. The Go package postern does.",
			"what happened since that revision is not kept here: load anew"},
		{api.CodeDiverged,
			"A verifier says that it answers from a revision that is not of the node's change log: the database was restored from a backup, or lost changes in a failover.",
			"Open GET /v1/replica anew without from, and load what it sends. Answer nothing until then.",
			"that revision is of another history: load anew"},
		{api.CodeIdempotencyInProgress,
			"A call with the same Idempotency-Key is still running.",
			"Wait for it, then send the same request again to hear its outcome.",
			"a call with this Idempotency-Key is still running"},
		{api.CodeGone,
			"It worked once and does no more: an invitation that was used, cancelled or has expired, or that rests on somebody who may no longer invite; a rotation that is over.",
			"Ask for a new invitation. Read the rotation to see how it ended.",
			"this invitation does not exist, was used or cancelled, or can no longer be given"},
		{api.CodePreconditionFailed,
			"It changed since you read it: its version is not the one that If-Match names. The detail says what changed and who did it.",
			"Read it again, look at what changed, and send the change again with the new ETag.",
			"it changed since it was read: Jo changed role at 2026-11-23T09:30:00Z"},
	}
}

// inputExplanations are of what a body says.
func inputExplanations() []explanation {
	return []explanation{
		{api.CodeTooLarge,
			"The body has more than 1 MiB, or a batch more than 1000 items. Nothing of it was done.",
			"Send less at a time.",
			"a body has at most 1 MiB"},
		{api.CodeUnsupportedMediaType,
			"The body does not say that it is JSON.",
			"Send Content-Type: application/json.",
			"the body must be JSON, with Content-Type: application/json"},
		{api.CodeValidationFailed,
			"The request is well formed, and a field is missing, has the wrong type, or says something that cannot be done. Nothing was changed.",
			"errors lists everything that is wrong, each with a pointer to the field.",
			"is longer than 64 characters"},
		{api.CodePolicyViolation,
			"The workspace's policy forbids it. policy names the setting.",
			"Stay within the policy, or ask an admin to change it.",
			"the longest lifetime is 90 days"},
		{api.CodeIdempotencyKeyReused,
			"This Idempotency-Key was used with another body within the last 24 hours. Nothing was done.",
			"Use a new, random Idempotency-Key for each new request, and the old one only to repeat the same.",
			"this Idempotency-Key was used with another body"},
	}
}

// serverExplanations are of what the caller cannot help.
func serverExplanations() []explanation {
	return []explanation{
		{api.CodeRateLimited,
			"There were too many calls in too short a time. Verifications are never limited.",
			"Wait for as many seconds as Retry-After says. RateLimit and RateLimit-Policy say how much is left.",
			"too many calls; the next one is let through in 1 s"},
		{api.CodeInternal,
			"Something went wrong that is not the caller's doing.",
			"Report it with the request_id: the server's log says more under it. If the call changed something, send it again with the same Idempotency-Key.",
			seeLog},
		{api.CodeStale,
			"This node cannot know whether it has heard of every revocation, so it answers nothing that depends on it. valid is false, always.",
			"Try again after Retry-After, or ask another node. Treat it as a refusal that may pass, not as a revoked key.",
			messageStale},
		{api.CodeUnavailable,
			"The store cannot be asked, or not in time. Unless the request had already been sent to it, nothing was changed.",
			"Try again after Retry-After. Verification goes on meanwhile.",
			"the store cannot be asked"},
		{api.CodeOutcomeUnknown,
			"The store went away while the change was being committed: it may have been done, or not.",
			"Send the same request again with the same Idempotency-Key: that finds out, and does it if it was not done. Without one, look before you repeat.",
			"the connection was lost while the change was being committed"},
		{api.CodeRevocationUnconfirmed,
			"The change is recorded under the revision that the answer names, and goes on. It was not confirmed in time that every node knows of it, so until then some node may still answer as before. receipt.nodes.waiting names the nodes that have not confirmed, as far as is known, and for how long each could still answer.",
			"Read the receipt again at /v1/workspaces/-/receipts/ and its id, with Prefer: wait=30 to wait for it: confirmed says when it is true. Or repeat the call: a repeat waits for every node as well. To wait longer in the first place send Prefer: wait=90.",
			"revision 812 is recorded, and this node is not known to have applied it yet"},
	}
}
