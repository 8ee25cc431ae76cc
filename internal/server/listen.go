package server

import (
	"net/http"
	"time"
)

// HTTPServer returns how a handler of this package is to be served: bounds on
// how long a client may take, and on how much it may say before it is heard. What
// is written for long, such as an export, moves the deadline for writing itself.
func HTTPServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      2 * time.Minute, // beyond the longest wait for a revocation
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
}
