package server

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/posternhq/postern/internal/iam"
)

// What a proof of who somebody is was for.
const (
	toSignIn = "sign_in"
	toStepUp = "step_up"
)

// newSignInMetric counts proofs of who somebody is. Nothing of what was typed is in it:
// who guesses at many accounts is seen in the sum, and whom they meant in no label.
func newSignInMetric() *prometheus.CounterVec {
	m := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "postern_sign_ins_total",
		Help: "Passwords and passkeys by what they were for, sign_in or step_up, and how that ended: let_in; refused, they prove nothing; " +
			"locked, there were too many wrong ones; invalid, the call made no sense; failed, the store could not be asked.",
	}, []string{"for", "method", "outcome"})
	for _, what := range []string{toSignIn, toStepUp} {
		for _, method := range []string{"password", "passkey"} {
			for _, outcome := range []string{"let_in", "refused", "locked", "invalid", "failed"} {
				m.WithLabelValues(what, method, outcome)
			}
		}
	}
	return m
}

// countSignIn notes how a proof of who somebody is ended.
func (m *Metrics) countSignIn(what string, byPasskey bool, err error) {
	method := "password"
	if byPasskey {
		method = "passkey"
	}
	m.signIns.WithLabelValues(what, method, signInOutcome(err)).Inc()
}

func signInOutcome(err error) string {
	switch {
	case err == nil:
		return "let_in"
	case errors.Is(err, iam.Unauthenticated):
		return "refused"
	case errors.Is(err, iam.RateLimited):
		return "locked"
	case errors.Is(err, iam.InvalidRequest), errors.Is(err, iam.ValidationFailed):
		return "invalid"
	}
	return "failed"
}
