// Protect is a service that lets in who holds a key, and decides that by itself: it
// follows a Postern server, and asks it nothing while it answers.
//
//	POSTERN_URL=http://localhost:7070 POSTERN_KEY=… go run ./examples/protect localhost:7080
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
	"syscall"
	"time"

	"github.com/posternhq/postern"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) != 2 {
		log.Fatal("say where to listen, such as localhost:7080")
	}
	if err := run(ctx, os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx ends. A verifier that is closed says goodbye, so that no
// revocation waits for it.
func run(ctx context.Context, address string) error {
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
