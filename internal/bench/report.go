package bench

import (
	"os"
	"runtime"
	"strings"
	"time"
)

// Report is what a run found. A ratio that was not measured is null.
type Report struct {
	Ratios Ratios `json:"ratios"`

	BytesPerKey  *float64 `json:"bytes_per_key"`                  // of the greatest number of keys
	BatchPerCore *float64 `json:"batch_keys_per_second_per_core"` // keys verified in a second of one processor's time
	SDKAllocs    *float64 `json:"sdk_allocations"`                // of one verification in the same process

	Doors   []Door    `json:"doors"`
	Sizes   []Size    `json:"sizes"`
	SDK     *SDK      `json:"sdk"`
	Machine Machine   `json:"machine"`
	Quick   bool      `json:"quick"`
	Pairs   int       `json:"pairs"` // that each ratio is the median of
	Keys    int       `json:"keys"`  // that the doors were measured with
	Began   time.Time `json:"began"`
	Took    float64   `json:"took_seconds"`
	Failed  int       `json:"failed_calls"` // that were not answered as a good key is; a run with any is no success
	Notes   []string  `json:"notes"`        // what was left out, and why
}

// Ratios are medians over interleaved pairs. Those of requests a second are better the
// greater they are, those of processor time the smaller.
type Ratios struct {
	VerifyHTTP    *float64 `json:"verify_http"`     // requests a second: /v1/verify ÷ bare net/http
	VerifyHTTPCPU *float64 `json:"verify_http_cpu"` // processor time of the server for each, the same
	VerifyFast    *float64 `json:"verify_fast"`     // requests a second: the fast listener ÷ bare net/http
	VerifyFastCPU *float64 `json:"verify_fast_cpu"`
	VerifySDK     *float64 `json:"verify_sdk"` // time: verifying in the same process ÷ (SHA-256 + look-up)
	Gateway       *float64 `json:"gateway"`    // requests a second: /v1/authorize on a Unix socket ÷ bare net/http
	GatewayCPU    *float64 `json:"gateway_cpu"`
	ExtAuthz      *float64 `json:"ext_authz"` // requests a second: ext_authz ÷ bare grpc-go
	ExtAuthzCPU   *float64 `json:"ext_authz_cpu"`
	Flat10M       *float64 `json:"flat_10m"` // processor time for each /v1/verify: with 10 M keys ÷ with 1 k
}

// Door is one door under one load: medians over its measurements.
type Door struct {
	Name        string  `json:"name"`
	Connections int     `json:"connections"`
	PerSecond   float64 `json:"requests_per_second"`
	CPU         float64 `json:"cpu_us_per_request"` // of the server alone, in microseconds
	P50         float64 `json:"p50_us"`
	P99         float64 `json:"p99_us"`
	Failed      int     `json:"failed"`
}

// Size is /v1/verify with a number of keys in memory.
type Size struct {
	Keys        int      `json:"keys"`
	PerSecond   float64  `json:"requests_per_second"`
	CPU         float64  `json:"cpu_us_per_request"`
	Ratio       *float64 `json:"ratio"` // processor time ÷ that with the fewest keys, in pairs
	BytesPerKey float64  `json:"bytes_per_key"`
}

// SDK is a verification in the same process, in nanoseconds.
type SDK struct {
	Verify float64 `json:"verify_ns"`
	Least  float64 `json:"hash_and_lookup_ns"`
}

// Machine is what a run was made on.
type Machine struct {
	CPUs      int     `json:"cpus"`
	Model     string  `json:"model"`
	Memory    string  `json:"memory"`
	Platform  string  `json:"platform"`
	Go        string  `json:"go"`
	LoadBegan float64 `json:"load_began"` // average of the last minute: what others wanted of it too
	LoadEnded float64 `json:"load_ended"`
}

func thisMachine() Machine {
	return Machine{
		CPUs: runtime.GOMAXPROCS(0), Model: fieldOf("/proc/cpuinfo", "model name"), Memory: fieldOf("/proc/meminfo", "MemTotal"),
		Platform: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(), LoadBegan: loadAverage(),
	}
}

// fieldOf returns a field of a file of Linux's about itself, or nothing elsewhere.
func fieldOf(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if field, value, _ := strings.Cut(line, ":"); strings.TrimSpace(field) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Figure is one figure beside what it is held to.
type Figure struct {
	Name   string
	Value  *float64
	Target string
}

// Figures returns the figures that there are targets for.
func (r *Report) Figures() []Figure {
	to := r.Ratios
	return []Figure{
		{"/v1/verify ÷ bare net/http, requests/s", to.VerifyHTTP, "≥ 0.85"},
		{"/v1/verify ÷ bare net/http, CPU", to.VerifyHTTPCPU, "≤ 1.20"},
		{"fast listener ÷ bare net/http, requests/s", to.VerifyFast, "≥ 1.4"},
		{"fast listener ÷ bare net/http, CPU", to.VerifyFastCPU, ""},
		{"/v1/authorize on a Unix socket ÷ bare net/http, requests/s", to.Gateway, ""},
		{"ext_authz ÷ bare grpc-go, requests/s", to.ExtAuthz, "≥ 0.85"},
		{"ext_authz ÷ bare grpc-go, CPU", to.ExtAuthzCPU, ""},
		{"in the same process ÷ (SHA-256 + look-up)", to.VerifySDK, "≤ 2.0"},
		{"its allocations", r.SDKAllocs, "0"},
		{"CPU of /v1/verify with 10M keys ÷ with 1k", to.Flat10M, "≤ 1.5"},
		{"bytes per key, the most keys", r.BytesPerKey, "≤ 100"},
		{"keys a second and core, batches", r.BatchPerCore, "≥ 500000"},
	}
}
