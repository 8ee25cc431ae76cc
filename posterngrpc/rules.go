package posterngrpc

import (
	"fmt"
	"slices"
	"strings"

	"github.com/posternhq/postern/internal/iam"
)

// Rules say what methods ask of their callers. The zero Rule lets nobody in.
type Rules interface {
	// Rule returns the rule of a method, such as /tickets.v1.Tickets/List. It is
	// called by many goroutines at once.
	Rule(fullMethod string) Rule
}

// Rule is what a method asks of its callers. The zero Rule lets nobody in.
type Rule struct {
	kind        kind
	permissions []string
}

type kind int

const (
	closed kind = iota
	needsKey
	public
)

// Needs lets in callers with a key that may be used for all of the permissions, such
// as tickets:read. It panics when one is not a permission, as [postern.Require] does:
// the empty text is none, and where any key is enough there is [AnyKey].
func Needs(permission string, more ...string) Rule {
	permissions := slices.Insert(slices.Clone(more), 0, permission)
	for i, text := range permissions {
		if _, err := iam.ParsePermission(text); err != nil {
			panic(fmt.Sprintf("posterngrpc: permission number %d of a rule %v", i+1, err)) // it may be a key: not repeated
		}
	}
	return Rule{kind: needsKey, permissions: permissions}
}

// AnyKey lets in callers with a key that works, whatever it may do.
func AnyKey() Rule { return Rule{kind: needsKey} }

// Public lets in everybody, without a key: [postern.FromContext] knows nobody then.
func Public() Rule { return Rule{kind: public} }

// RuleFunc makes a function rules.
type RuleFunc func(fullMethod string) Rule

// Rule implements [Rules].
func (f RuleFunc) Rule(fullMethod string) Rule { return f(fullMethod) }

// Methods are rules by full method, such as /tickets.v1.Tickets/List, and by service:
// /tickets.v1.Tickets/* is for those of its methods that have none of their own. What
// is not there lets nobody in.
type Methods map[string]Rule

// Rule implements [Rules].
func (m Methods) Rule(fullMethod string) Rule {
	if rule, ok := m[fullMethod]; ok {
		return rule
	}
	service := fullMethod[:strings.LastIndex(fullMethod, "/")+1]
	return m[service+"*"]
}

// check panics when a name is none of a method or a service: it is written in the
// program, and would never be found.
func (m Methods) check() {
	for name := range m {
		service, method, ok := strings.Cut(strings.TrimPrefix(name, "/"), "/")
		if !strings.HasPrefix(name, "/") || !ok || service == "" || method == "" || strings.ContainsAny(service, "/*") ||
			strings.Contains(method, "/") || method != "*" && strings.Contains(method, "*") {
			panic(fmt.Sprintf("posterngrpc: %q is no method, such as /tickets.v1.Tickets/List", name))
		}
	}
}

// bearer returns the key of an Authorization (RFC 6750, section 2.1).
func bearer(authorization string) (key string, ok bool) {
	scheme, key, _ := strings.Cut(authorization, " ")
	return strings.TrimLeft(key, " "), strings.EqualFold(scheme, "Bearer")
}
