package postern_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/api"
)

func ExampleClient_Verify() {
	// A server that stands in for Postern.
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"valid":true,"code":"valid","principal":{"type":"service_account","name":"support-bot-prod"}}`)
	}))
	defer server.Close()

	client := &postern.Client{
		Server: server.URL,
		Key:    postern.NewSecret("the verifying service's own key"),
	}
	verdict, err := client.Verify(context.Background(), api.Verify{
		Key:         "the key that the caller presented",
		Permissions: []string{"tickets:read"},
	})
	switch {
	case err != nil:
		fmt.Println("503: could not ask:", err)
	case !verdict.Valid:
		fmt.Println("401:", verdict.Code)
	default:
		fmt.Println("200:", verdict.Principal.Name)
	}
	// Output: 200: support-bot-prod
}
