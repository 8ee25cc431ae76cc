package api

// Health says whether a node does its work.
type Health struct {
	Status string `json:"status" enum:"ok,stale,not_initialised"`
	Detail string `json:"detail,omitempty" doc:"Why not, in words."`
}
