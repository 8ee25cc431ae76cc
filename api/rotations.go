package api

// Rotation is the change from an old key to a new one while both work. What it says
// of the keys' use is as of the moment of the answer.
type Rotation struct {
	ID        string     `json:"id"`
	Principal Principal  `json:"principal" doc:"It owns both keys."`
	OldKey    RotatedKey `json:"old_key"`
	NewKey    RotatedKey `json:"new_key"`
	State     string     `json:"state" enum:"waiting_for_first_use,overlapping,ready,completed,cancelled,overdue" doc:"overdue is not final: a rotation that is late may still become ready."`
	Ready     bool       `json:"ready" doc:"The old key is known to have been quiet for quiet_for, and the new one is in use. What is not known counts as use."`

	QuietFor       string `json:"quiet_for" doc:"For how long the old key must have been quiet." example:"10m"`
	QuietForLearnt bool   `json:"quiet_for_learnt" doc:"Nobody asked for that period: it is the policy's, or twice the longest gap between two uses that was seen."`
	QuietSince     *Time  `json:"quiet_since" doc:"Null while the old key is in use, or nobody can know that it is not."`
	AutoRevoke     bool   `json:"auto_revoke" doc:"Once the rotation is ready, the old key is revoked by the server. Never before."`
	Deadline       *Time  `json:"deadline" doc:"When a rotation that is not ready becomes overdue."`

	FirstUseAt *Time  `json:"first_use_at" doc:"Of the new key."`
	StartedAt  Time   `json:"started_at"`
	StartedBy  Actor  `json:"started_by"`
	EndedAt    *Time  `json:"ended_at" doc:"Null while it is under way."`
	EndedBy    *Actor `json:"ended_by"`

	Sources  []RotationSource  `json:"sources" doc:"Where the keys are used from: who has not moved comes first."`
	Blockers []RotationBlocker `json:"blockers" doc:"What is in the way; nothing when the rotation is ready, or over."`
	Trial    *RotationTrial    `json:"trial" doc:"The last attempt to do without the old key."`
}

// RotatedKey is one of the two keys of a rotation.
type RotatedKey struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Hint      string `json:"hint" example:"pst_sa_7Qm2…x9Kd"`
	State     string `json:"state" enum:"active,paused,expired,revoked"`
	ExpiresAt *Time  `json:"expires_at" doc:"Null: never."`
}

// RotationSource is where the keys of a rotation are used from.
type RotationSource struct {
	IP          string `json:"ip" doc:"Empty when nobody said."`
	UserAgent   string `json:"user_agent"`
	Node        string `json:"node" doc:"That saw it last."`
	Via         string `json:"via" enum:"server,gateway,verifier," doc:"What that was: see UsageSource."`
	Others      bool   `json:"others" doc:"The sum of those that were too many to be told apart."`
	OldLastSeen *Time  `json:"old_last_seen" doc:"When it was last accepted with the old key."`
	NewLastSeen *Time  `json:"new_last_seen"`
	Moved       bool   `json:"moved" doc:"It has used the new key, and not the old one since."`
}

// RotationBlocker is one thing that is in the way of a rotation.
type RotationBlocker struct {
	Code   string          `json:"code" enum:"new_key_unused,source_not_moved,node_silent,uses_unknown,not_quiet,old_key_paused,new_key_paused"`
	Detail string          `json:"detail" doc:"The same in words."`
	Source *RotationSource `json:"source" doc:"Who has not moved."`
	Node   *string         `json:"node" doc:"Which node has not said what it accepted."`
	Until  *Time           `json:"until" doc:"When it is over, if nothing new is learnt."`
}

// RotationTrial is a while for which the old key of a rotation is paused, to see who
// still needs it.
type RotationTrial struct {
	StartedAt Time            `json:"started_at"`
	EndsAt    Time            `json:"ends_at" doc:"The old key works again then, whoever watches."`
	EndedAt   *Time           `json:"ended_at" doc:"Null while it runs."`
	Refused   []RefusedSource `json:"refused" doc:"Who was refused since it began."`
}

// RefusedSource is who was refused the old key of a rotation.
type RefusedSource struct {
	IP        string `json:"ip"`
	UserAgent string `json:"user_agent"`
	Node      string `json:"node"`
	Via       string `json:"via" enum:"server,gateway,verifier," doc:"What refused it last: see UsageSource."`
	Others    bool   `json:"others" doc:"The sum of those that were too many to be told apart."`
	LastSeen  Time   `json:"last_seen"`
	Count     int64  `json:"count"`
}

// StartRotation is the body of POST W/keys/{id}/rotations and /v1/keys/self/rotations.
type StartRotation struct {
	ExpiresIn  *string `json:"expires_in,omitempty" doc:"How long the new key works: a whole number and s, m, h or d. Absent: as long as the old one was made to." example:"90d"`
	QuietFor   *string `json:"quiet_for,omitempty" doc:"For how long the old key must be quiet, 1s to 30d. Absent: what the workspace's policy says, or twice the longest gap between two uses that was seen." example:"10m"`
	AutoRevoke bool    `json:"auto_revoke,omitempty" doc:"Revoke the old key as soon as the rotation is ready. That never happens while the old key is in use, or may be."`
	Deadline   *Time   `json:"deadline,omitempty" doc:"When the rotation is overdue if it is not ready. Nothing is revoked by that."`
}

// UpdateRotation is the body of PATCH W/rotations/{id}.
type UpdateRotation struct {
	QuietFor   Optional[string] `json:"quiet_for,omitzero" doc:"For how long the old key must be quiet, 1s to 30d. Null: what the workspace's policy says, or twice the longest gap between two uses that was seen." example:"1h"`
	AutoRevoke *bool            `json:"auto_revoke,omitempty" doc:"Revoke the old key as soon as the rotation is ready. That never happens while the old key is in use, or may be."`
	Deadline   Optional[Time]   `json:"deadline,omitzero" doc:"When the rotation is overdue if it is not ready. Null: never. Nothing is revoked by that."`
}

// StartedRotation answers the start of a rotation. It is the only time that the value
// of the new key is shown.
type StartedRotation struct {
	Rotation Rotation  `json:"rotation"`
	NewKey   IssuedKey `json:"new_key"`
	Revision int64     `json:"revision"`
}

// IssuedKey is a key and its value.
type IssuedKey struct {
	Key
	Value string `json:"value" doc:"Shown once. Postern keeps only a hash."`
}

// FinishRotation is the body of POST W/rotations/{id}/finish.
type FinishRotation struct {
	Force bool `json:"force,omitempty" doc:"Revoke the old key whoever still uses it."`
}

// CancelRotation is the body of POST W/rotations/{id}/cancel.
type CancelRotation struct {
	Keep string `json:"keep" enum:"both,old" doc:"both: the two keys go on working. old: the new one is revoked."`
}

// TryWithout is the body of POST W/rotations/{id}/try_without.
type TryWithout struct {
	For string `json:"for" doc:"How long the old key is paused, 1s to 1h." example:"5m"`
}

// RotationAnswer answers an action on a rotation.
type RotationAnswer struct {
	Rotation Rotation `json:"rotation"`
	Receipt  Receipt  `json:"receipt"`
	Revision int64    `json:"revision"`
}
