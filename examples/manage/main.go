// Manage makes a service account with a key, and puts another key in its place without
// refusing anybody: both work until the old one is known to be quiet.
//
//	POSTERN_URL=http://localhost:7070 POSTERN_KEY=… go run ./examples/manage
//
// Its own key needs iam.service_accounts:write and iam.keys:write, and all that the
// account is to hold: nobody gives what they do not have.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/posternhq/postern"
	"github.com/posternhq/postern/api"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	admin := &postern.Client{Server: os.Getenv("POSTERN_URL"), Key: postern.NewSecret(os.Getenv("POSTERN_KEY"))}
	if err := run(ctx, admin, "report-writer", os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, admin *postern.Client, name string, out io.Writer) error {
	own := admin.Workspace("-")
	account, err := own.CreateServiceAccount(ctx, api.CreateServiceAccount{
		Name: name, Role: "operator", Owner: "Reporting",
	}, postern.IdempotencyKey("make-"+name)) // run again, it makes no second one
	if err != nil {
		return fmt.Errorf("make the account: %w", err)
	}
	first, err := own.CreateServiceAccountKey(ctx, account.ID, api.CreateKey{Name: "first", ExpiresIn: new("90d")})
	if err != nil {
		return fmt.Errorf("make its key: %w", err)
	}
	fmt.Fprintf(out, "%s has the key %s, %s\n", account.Name, first.Name, first.Hint)

	rotation, err := own.StartRotation(ctx, first.ID, api.StartRotation{QuietFor: new("1s")})
	if err != nil {
		return fmt.Errorf("begin the rotation: %w", err)
	}
	if err := deploy(ctx, admin.Server, rotation.NewKey.Value); err != nil {
		return fmt.Errorf("deploy the new key: %w", err)
	}
	fmt.Fprintf(out, "%s takes its place, %s\n", rotation.NewKey.Name, rotation.NewKey.Hint)

	done, err := finish(ctx, own, rotation.Rotation.ID)
	if err != nil {
		return fmt.Errorf("revoke the old key: %w", err)
	}
	fmt.Fprintf(out, "%s is %s, confirmed by %d of %d nodes in %.0f ms\n", first.Name, done.Rotation.OldKey.State,
		done.Receipt.Nodes.Confirmed, done.Receipt.Nodes.Total, done.Receipt.TookMS)
	return nil
}

// deploy stands for giving a key to the program that uses it: here it is used once.
func deploy(ctx context.Context, server, key string) error {
	program := &postern.Client{Server: server, Key: postern.NewSecret(key)}
	_, err := program.Whoami(ctx)
	return err
}

// finish revokes the old key of a rotation as soon as nobody uses it.
func finish(ctx context.Context, own postern.WorkspaceClient, rotation string) (api.RotationAnswer, error) {
	for {
		done, err := own.FinishRotation(ctx, rotation, api.FinishRotation{})
		if !postern.HasCode(err, api.CodeNotReady) {
			return done, err
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return done, ctx.Err()
		}
	}
}
