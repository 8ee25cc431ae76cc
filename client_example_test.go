package postern_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/api"
)

func ExampleClient_Workspace() {
	// A server that stands in for Postern.
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/v1/workspaces/-/service_accounts" {
			fmt.Fprint(w, `{"id":"sa_01jn8x0c2vf3hs5r6tq7w8y9za","name":"support-bot-prod"}`)
			return
		}
		fmt.Fprint(w, `{"id":"key_01jn8x0c2vf3hs5r6tq7w8y9zd","name":"prod","hint":"pst_sa_7Qm2…x9Kd"}`)
	}))
	defer server.Close()

	ctx := context.Background()
	client := &postern.Client{Server: server.URL, Key: postern.NewSecret("an admin's key")}
	own := client.Workspace("-")
	account, err := own.CreateServiceAccount(ctx, api.CreateServiceAccount{Name: "support-bot-prod", Role: "operator"},
		postern.IdempotencyKey("deployment-42"))
	if err != nil {
		fmt.Println(err)
		return
	}
	key, err := own.CreateServiceAccountKey(ctx, account.ID, api.CreateKey{Name: "prod"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(account.Name, key.Hint) // key.Value is shown this once
	// Output: support-bot-prod pst_sa_7Qm2…x9Kd
}

func ExampleWorkspaceClient_AllKeys() {
	// A server that stands in for Postern.
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"data":[{"name":"laptop","hint":"pst_usr_7Qm2…x9Kd"}],"has_more":false,"next_cursor":null}`)
	}))
	defer server.Close()

	client := &postern.Client{Server: server.URL, Key: postern.NewSecret("an admin's key")}
	for key, err := range client.Workspace("-").AllKeys(context.Background(), api.ListKeys{UnusedFor: "90d"}) {
		if postern.HasCode(err, api.CodePermissionDenied) {
			fmt.Println("the admin's key may not read keys")
		}
		if err != nil {
			break
		}
		fmt.Println(key.Name, key.Hint)
	}
	// Output: laptop pst_usr_7Qm2…x9Kd
}
