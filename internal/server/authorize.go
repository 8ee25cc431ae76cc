package server

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/posternhq/postern/api"
)

// documentAuthorize adds to the document what proxies ask. Package gateway answers it,
// at a listener of its own; here there is nothing at that address.
func (s *Server) documentAuthorize() {
	doc := s.api.OpenAPI()
	doc.Components.SecuritySchemes["api_key"] = &huma.SecurityScheme{
		Type: "apiKey", In: "header", Name: "X-API-Key", Description: "A key in place of Authorization, not beside it.",
	}
	doc.AddOperation(&huma.Operation{
		OperationID: "authorize", Method: http.MethodGet, Path: "/v1/authorize", Tags: []string{"Verification"},
		Summary: "May this request pass?", Description: authorizeWords,
		Servers: []*huma.Server{{
			URL: "http://{listener}", Description: "The gateway's listener",
			Variables: map[string]*huma.ServerVariable{"listener": {
				Default: "127.0.0.1:7071", Description: "What `--gateway-listen` says; over a Unix socket, any name.",
			}},
		}},
		Security:   []map[string][]string{{"key": {}}, {"api_key": {}}},
		Parameters: authorizeParameters(),
		Responses:  s.authorizeAnswers(),
	})
}

const authorizeWords = "For reverse proxies, which ask about each request before they let it through, with whatever method they have. **Only the " +
	"gateway's listener answers it**, `--gateway-listen`, which serves nothing else but the same question of Envoy's over gRPC, and asks for no " +
	"credential of the proxy's own: the credential is that of the request.\n\n" +
	"Answered from memory, as strictly as `POST /v1/verify`. What is asked comes from the proxy's own configuration alone; no path, method or body " +
	"of the request is looked at. An answer is not to be kept."

func authorizeParameters() []*huma.Param {
	text := &huma.Schema{Type: huma.TypeString}
	return []*huma.Param{
		{
			Name: "permission", In: "query", Required: true, Schema: text, Example: "tickets:read",
			Description: "The one permission that is needed; `none`, if every key that works will do. Without it, with two, or with a parameter that nobody knows: 500.",
		},
		{
			Name: "workspace", In: "query", Schema: text, Example: "acme",
			Description: "Whose keys are accepted: an id, a slug, or `any`. Left out: what `--gateway-workspace` says, or else the system workspace's.",
		},
		{
			Name: "X-Forwarded-For", In: "header", Schema: text,
			Description: "Its last address, which the proxy has to set itself, is the client's. A key with allowed networks is refused without one.",
		},
		{Name: "User-Agent", In: "header", Schema: text, Description: "The client's, for those who look who used the key."},
		{Name: "X-Request-Id", In: "header", Schema: text, Description: "Is given back with a refusal."},
	}
}

// header is one of an answer, and what it says.
type header struct{ name, says string }

func (s *Server) authorizeAnswers() map[string]*huma.Response {
	challenge := header{"WWW-Authenticate", "`Bearer error=\"invalid_token\"`, or `\"insufficient_scope\"` (RFC 6750)."}
	return map[string]*huma.Response{
		"200": {
			Description: "Let the request through, with these headers in place of what it brought under their names",
			Headers: headersOf(
				header{"X-Postern-Principal", "The id of the service account or member. Decide by ids: names change hands."},
				header{"X-Postern-Principal-Name", "Its name. What is not printable ASCII is percent-encoded UTF-8, and so is the percent sign."},
				header{"X-Postern-Type", "`service_account` or `member`."},
				header{"X-Postern-Workspace", "The id of its workspace."},
				header{"X-Postern-Key", "The id of the key."},
				header{"X-Postern-Role", "The name of its role, encoded as names are."},
			),
		},
		"401": s.turnedAway("There is no key that works: `"+api.CodeUnauthenticated+"`. A workspace whose policy has `reveal_refusal_reason` "+
			"has the reason told, as `error_description`", challenge),
		"403": s.turnedAway("The key works, and may not do this: `"+api.CodePermissionDenied+"`", challenge),
		"500": s.turnedAway("The proxy's configuration asks in a way that has no answer, and Postern's log says why: `" + api.CodeInternal + "`"),
		"503": s.turnedAway("This node cannot know whether it has heard of every revocation: `"+api.CodeStale+"`", header{"Retry-After", "In seconds."}),
	}
}

func headersOf(all ...header) map[string]*huma.Param {
	described := map[string]*huma.Param{}
	for _, h := range append(all, header{"Cache-Control", "`no-store`."}) {
		described[h.name] = &huma.Param{Description: h.says, Required: true, Schema: &huma.Schema{Type: huma.TypeString}}
	}
	return described
}

// turnedAway describes an answer that lets nobody through.
func (s *Server) turnedAway(says string, more ...header) *huma.Response {
	return &huma.Response{
		Description: says, Headers: headersOf(append(more, header{"X-Request-Id", "As it came, or made here."})...),
		Content: map[string]*huma.MediaType{problemType: {Schema: schemaOf[api.Problem](s)}},
	}
}
