package audit

import (
	"fmt"
	"strings"
)

// Kind is what is to be known of one sort of event.
type Kind struct {
	Action string
	Means  string // what happened, when its outcome is done
}

// Kinds returns every sort of event that changes or notices leave. Besides them,
// an attempt to read that is refused is an event of the action TYPE.read.
func Kinds() []Kind {
	return []Kind{
		{"workspace.created", "A workspace was made."},
		{"workspace.updated", "Its name or its policy changed."},
		{"workspace.paused", "All its keys stopped until it is resumed."},
		{"workspace.resumed", "Its keys work again."},
		{"service_account.created", "A service account was made."},
		{"service_account.updated", "Its details changed."},
		{"service_account.role_changed", "It has another role, or had one taken."},
		{"service_account.paused", "All its keys stopped until it is resumed."},
		{"service_account.resumed", "Its keys work again."},
		{"service_account.revoked", "It and all its keys stopped, for good."},
		{"key.created", "A key was made, by hand or with something else."},
		{"key.updated", "Its name, end, limit or networks changed."},
		{"key.first_used", "It was accepted for the first time."},
		{"key.expiring", "It ends in 30, 14, 3 or 1 days: days_left says in how many."},
		{"key.expired", "Its end came."},
		{"key.paused", "It stopped until it is resumed, or until a trial without it is over."},
		{"key.resumed", "It works again."},
		{"key.revoked", "It stopped, for good."},
		{"rotation.started", "A key has a successor, and both work."},
		{"rotation.updated", "Its quiet period, its deadline or whether it ends by itself changed."},
		{"rotation.first_use", "The new key was accepted for the first time."},
		{"rotation.overlapping", "Both keys are in use again, after the old one had been quiet."},
		{"rotation.ready", "The old key has been quiet for as long as was asked."},
		{"rotation.try_without", "The old key was paused for a while, to see who still needs it; or that was over."},
		{"rotation.completed", "The old key was revoked."},
		{"rotation.cancelled", "It was given up, and what was to be kept goes on."},
		{"rotation.overdue", "Its deadline came while somebody still used the old key."},
		{"member.invited", "A person was invited."},
		{"member.joined", "A person accepted, or was made the first owner."},
		{"member.role_changed", "A member has another role."},
		{"member.removed", "A member and their own keys stopped, for good."},
		{"invitation.cancelled", "An invitation was taken back, or another took its place."},
		{"role.created", "A role was made."},
		{"role.updated", "It allows something else, or has another name."},
		{"role.deleted", "It is gone; nobody had it."},
		{"permissions.updated", "The product's own types and actions were registered."},
		{"session.created", "A person signed in."},
		{"session.renewed", "A person proved again who they are."},
		{"session.ended", "A person signed out, or somebody ended their session."},
		{"passkey.added", "A person may sign in with another passkey."},
		{"passkey.renamed", "It has another name."},
		{"passkey.removed", "It signs nobody in any more."},
		{"password.changed", "A person has another password."},
		{"identity.linked", "A provider of single sign-on named a member for the first time."},
		{"setup_link.created", "A link was made by which a member gets something to sign in with."},
		{"device.approved", "A person let a program ask for a key that acts as them."},
		{"device.denied", "A person refused such a program."},
		{"node.joined", "A server has its first lease, or started alone."},
		{"node.stale", "It has one again, after it had answered nothing for a while."},
		{"node.left", "It stopped, or was found dead."},
		{"export.created", "The audit log was exported."},
	}
}

// Reference returns docs/reference/events.md.
func Reference() string {
	var b strings.Builder
	b.WriteString(`# Events

<!-- Written by internal/audit from its list of kinds: make generate. -->

Each event of the audit log says who (` + "`actor`" + `, and the ` + "`key`" + ` used), what (` + "`action`" + `), to what (` + "`target`" + `), with which
` + "`outcome`" + `, from where (` + "`source`" + `), under which ` + "`request_id`" + `. ` + "`seq`" + ` numbers the events of a workspace from 1, without gaps.
Of a change, ` + "`before` and `after`" + ` say what is different. The actor ` + "`system`" + ` is Postern itself.

The outcome is ` + "`done` or `refused`" + `. A refused attempt has the action that it would have been, and the ` + "`reason`" + `; one to read
something has ` + "`key.read`, `audit_event.read`" + ` and the like, which are never done. [How to read the log](../how-to/audit.md).

| action | when it is done |
|---|---|
`)
	for _, k := range Kinds() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", k.Action, k.Means)
	}
	return b.String()
}
