// Protect is a service that lets in who holds a key, and decides that by itself: it
// follows a Postern server, and asks it nothing while it answers.
//
//	POSTERN_URL=http://localhost:7070 POSTERN_KEY=… go run ./examples/protect
//
// Its own key needs iam.keys:verify, which the role verifier gives.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/posternhq/postern"
)

const address = "localhost:7080"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	verifier, err := postern.New(ctx)
	if err != nil {
		return err
	}
	server := &http.Server{Addr: address, Handler: handler(verifier), ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	fmt.Println("answering at http://" + address + "/tickets")
	select {
	case err = <-ended:
	case <-ctx.Done():
		err = server.Shutdown(context.WithoutCancel(ctx))
	}
	return errors.Join(err, verifier.Close())
}

// handler is the service: tickets for keys that may read them, and a probe.
func handler(v *postern.Verifier) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /tickets", postern.Require(v, "tickets:read")(http.HandlerFunc(tickets)))
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := v.Ready(r.Context()); err != nil {
			http.Error(w, "keys cannot be verified just now", http.StatusServiceUnavailable)
		}
	})
	return mux
}

func tickets(w http.ResponseWriter, r *http.Request) {
	who, _ := postern.FromContext(r.Context())
	fmt.Fprintf(w, "the tickets, for %s\n", who.Principal.Name)
}
