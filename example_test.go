package postern_test

import (
	"context"
	"errors"
	"fmt"
	"log"
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

// The two lines of the README, with what a program has around them.
func ExampleRequire() {
	ctx := context.Background()
	tickets := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, _ := postern.FromContext(r.Context())
		fmt.Fprintln(w, "the tickets, for", who.Principal.Name)
	})

	v, err := postern.New(ctx) // POSTERN_URL, and POSTERN_KEY of an account with the role verifier
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	http.Handle("/tickets", postern.Require(v, "tickets:read")(tickets))
}

func ExampleVerifier_Verify() {
	check := func(v *postern.Verifier, key string) {
		id, err := v.Verify(context.Background(), key, "tickets:read")
		denied, refused := errors.AsType[*postern.Denied](err)
		switch {
		case refused:
			fmt.Println(denied.Status(), denied.Code)
		case err != nil:
			fmt.Println("503: it cannot be known now:", err)
		default:
			fmt.Println("200", id.Principal.Name)
		}
	}
	_ = check // with a verifier of postern.New, or of posterntest.NewVerifier in a test
}
