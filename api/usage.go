package api

// UsagePoint is how often keys were accepted and refused in one step of time.
type UsagePoint struct {
	T       Time  `json:"t" doc:"When the step begins."`
	OK      int64 `json:"ok"`
	Refused int64 `json:"refused"`
}

// UsageSource is where a key was used from: an address and a user agent, either of
// which is empty when nobody said.
type UsageSource struct {
	IP        string `json:"ip"`
	UserAgent string `json:"user_agent"`
	Node      string `json:"node" doc:"The node that saw it last."`
	Via       string `json:"via" enum:"server,gateway,verifier," doc:"What that was: server, the node's API; gateway, its listener for proxies; verifier, a verifier outside the server, which has the name in node. Empty for others, and where it was last seen before that was told."`
	Others    bool   `json:"others" doc:"True for the one entry that stands for all sources that were too many to be told apart."`
	FirstSeen Time   `json:"first_seen"`
	LastSeen  Time   `json:"last_seen"`
	LastOK    *Time  `json:"last_ok" doc:"When the key was last accepted from there; null: never."`
	OK        int64  `json:"ok"`
	Refused   int64  `json:"refused"`
}

// KeyUsage answers GET W/keys/{id}/usage.
type KeyUsage struct {
	From    Time          `json:"from"`
	To      Time          `json:"to"`
	Step    string        `json:"step" enum:"1m,1h,1d"`
	Points  []UsagePoint  `json:"points" doc:"One for each step, those without use too."`
	Sources []UsageSource `json:"sources" doc:"The last seen first; all that are known, whatever the time asked for."`
}

// Usage answers GET W/usage.
type Usage struct {
	From Time           `json:"from"`
	To   Time           `json:"to"`
	Step string         `json:"step" enum:"1m,1h,1d"`
	Data []SubjectUsage `json:"data" doc:"In the order of the ids that were asked for. What is not there is left out."`
}

// SubjectUsage is how one key, service account or workspace was used.
type SubjectUsage struct {
	ID      string       `json:"id"`
	OK      int64        `json:"ok" doc:"In all steps together."`
	Refused int64        `json:"refused" doc:"In all steps together."`
	Points  []UsagePoint `json:"points" doc:"One for each step, those without use too."`
}
