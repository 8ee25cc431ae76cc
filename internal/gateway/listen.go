package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
)

// socketMode lets the server's user and group connect, and nobody else: whoever
// can ask the gateway needs no other credential.
const socketMode = 0o660

// ListenUnix listens on a Unix socket that only the process's own user and group
// can connect to. A socket that a process left behind, which nobody answers on any
// more, is replaced; anything else at the path is left alone, and an error.
func ListenUnix(ctx context.Context, path string) (net.Listener, error) {
	if err := clearStale(ctx, path); err != nil {
		return nil, err
	}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		// On Linux the mode of the file comes from here, so that it is never wider
		// than it ends up. Elsewhere this fails, and the umask has to do until then.
		return c.Control(func(fd uintptr) { _ = syscall.Fchmod(int(fd), socketMode) })
	}}
	l, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on unix:%s: %w", path, err)
	}
	if err := os.Chmod(path, socketMode); err != nil {
		return nil, errors.Join(fmt.Errorf("listen on unix:%s: %w", path, err), l.Close())
	}
	return l, nil
}

// clearStale removes the socket of a process that has ended.
func clearStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("listen on unix:%s: %w", path, err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("listen on unix:%s: there is something else, which is left alone", path)
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err == nil {
		return errors.Join(fmt.Errorf("listen on unix:%s: another process listens there", path), conn.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("listen on unix:%s: is another process there? %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("listen on unix:%s: remove what a process left: %w", path, err)
	}
	return nil
}
