// Command many fills an initialised store with what lists and searches are measured
// with: ten thousand accounts, a hundred thousand keys, a million events.
//
//	go run ./internal/store/storetest/many sqlite:postern.db
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/posternhq/postern/internal/store"
	"github.com/posternhq/postern/internal/store/storetest"
)

func main() {
	if err := fill(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func fill(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: many STORE-URL")
	}
	ctx := context.Background()
	s, err := store.Open(ctx, args[0], store.Options{})
	if err != nil {
		return err
	}
	if err := storetest.Shipped.Fill(ctx, s); err != nil {
		return err
	}
	return s.Close()
}
