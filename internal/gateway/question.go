package gateway

import (
	"fmt"
	"net/url"
	"strings"
	"sync"

	"github.com/posternhq/postern/internal/iam"
)

// The names of what a proxy's configuration says about a request.
const (
	permissionName = "permission"
	workspaceName  = "workspace"
)

// noPermission is written where every key that works is enough, so that a
// permission that was forgotten is not one that is not needed.
const noPermission = "none"

// question is what a proxy's configuration asks about the requests of one place.
// It is read once for each way in which it is written.
type question struct {
	wanted    []iam.Permission
	asked     []string
	workspace string
	err       error // why it has no answer
}

// newQuestion returns the question of a permission and a workspace, either of
// which may be missing.
func newQuestion(permission, workspace string) question {
	switch permission {
	case "":
		return question{err: fmt.Errorf("%w does not say which permission is needed: add permission=…, or permission=none", errMisconfigured)}
	case noPermission:
		return question{workspace: workspace}
	}
	p, err := iam.ParsePermission(permission)
	if err != nil {
		return question{err: fmt.Errorf("%w asks for what is not a permission, such as tickets:read", errMisconfigured)}
	}
	return question{wanted: []iam.Permission{p}, asked: []string{permission}, workspace: workspace}
}

// parseQuestion reads the query of the address that a proxy asks at. What can be
// read in two ways, and what nobody knows, has no answer: an address that a
// client's own query got into fails as a whole.
func parseQuestion(query string) question {
	values, err := url.ParseQuery(query)
	if err != nil {
		return question{err: fmt.Errorf("%w asks at an address whose query is not well formed", errMisconfigured)}
	}
	for name, all := range values {
		switch {
		case name != permissionName && name != workspaceName:
			return question{err: fmt.Errorf("%w asks with a parameter that nobody knows: there are permission and workspace", errMisconfigured)}
		case len(all) > 1:
			return question{err: fmt.Errorf("%w gives the parameter %s twice", errMisconfigured, name)}
		}
	}
	return newQuestion(values.Get(permissionName), values.Get(workspaceName))
}

// questions remembers how the few questions of a deployment are written, which are
// asked again with each request.
type questions struct {
	mu    sync.RWMutex // guards known
	known map[string]question
}

const mostQuestions = 1024 // remembered; a proxy has as many as it has places

func (q *questions) of(query string) question {
	q.mu.RLock()
	found, ok := q.known[query]
	q.mu.RUnlock()
	if ok {
		return found
	}
	found = parseQuestion(query)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.known == nil {
		q.known = map[string]question{}
	}
	if len(q.known) < mostQuestions {
		q.known[strings.Clone(query)] = found
	}
	return found
}
