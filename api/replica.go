package api

// RenewReplica is the body of POST /v1/replica/{child}/renew: a verifier's question
// for the next part of its node's right to answer.
type RenewReplica struct {
	N        int64  `json:"n" minimum:"1" doc:"The answer repeats it: a verifier counts from when it sent this one."`
	Seq      int64  `json:"seq" minimum:"0" doc:"The revision that the verifier answers from: all before is acknowledged."`
	Chain    string `json:"chain" minLength:"64" maxLength:"64" pattern:"^[0-9a-f]{64}$" doc:"The chain of the change log there, as the stream told it."`
	WantedMS int64  `json:"wanted_ms" minimum:"1" maximum:"60000" doc:"For how long it wants to answer; it gets two seconds at the most."`
}

// ReplicaGrant answers it.
type ReplicaGrant struct {
	N     int64  `json:"n"`
	Seq   int64  `json:"seq" doc:"The grant may be used once the verifier answers from this revision or a later one."`
	Chain string `json:"chain"`
	ForUS int64  `json:"for_us" doc:"For how many microseconds, counted from when question n was sent; use four fifths."`
	Time  Time   `json:"time" doc:"The latest that the database's time can be."`
}

// ReportReplicaUse is the body of POST /v1/replica/{child}/usage: what a verifier
// counted since its last report.
type ReportReplicaUse struct {
	Number int64        `json:"number" minimum:"1" doc:"1, 2, …, of one reporter: a report that was taken is not taken again."`
	Covers *Time        `json:"covers,omitempty" doc:"All that was accepted before it has been reported. Left out: nothing is said."`
	Last   bool         `json:"last,omitempty" doc:"The verifier accepts nothing any more, and has now said all."`
	Keys   []ReplicaUse `json:"keys,omitempty" maxItems:"10000"`
}

// ReplicaUse is how one key was used at a verifier.
type ReplicaUse struct {
	Key         string             `json:"key"`
	Principal   string             `json:"principal"`
	Workspace   string             `json:"workspace"`
	Minutes     []UsagePoint       `json:"minutes,omitempty" doc:"In order."`
	LastOK      *Time              `json:"last_ok,omitempty"`
	LastRefused *Time              `json:"last_refused,omitempty"`
	Sources     []ReplicaUseSource `json:"sources,omitempty"`
	Asks        []ReplicaUseAsk    `json:"asks,omitempty"`
}

// ReplicaUseSource is how a key was used from one place.
type ReplicaUseSource struct {
	IP        string `json:"ip,omitempty"`
	UserAgent string `json:"user_agent,omitempty"`
	Others    bool   `json:"others,omitempty"`
	First     Time   `json:"first"`
	Last      Time   `json:"last"`
	LastOK    *Time  `json:"last_ok,omitempty"`
	OK        int64  `json:"ok" minimum:"0"`
	Refused   int64  `json:"refused" minimum:"0"`
}

// ReplicaUseAsk is how often a key was asked about with the same permissions.
type ReplicaUseAsk struct {
	Ask     string `json:"ask,omitempty"`
	Others  bool   `json:"others,omitempty"`
	Last    Time   `json:"last"`
	OK      int64  `json:"ok" minimum:"0"`
	Refused int64  `json:"refused" minimum:"0"`
}

// ReportedReplicaUse answers it.
type ReportedReplicaUse struct {
	Now Time `json:"now" doc:"The database's time."`
}
