package store

import (
	"errors"
	"syscall"
	"time"
)

// unacknowledged is how long what was sent may go without an acknowledgement.
const unacknowledged = 5 * time.Second

// giveUpUnacknowledged is a [net.Dialer] Control. Keepalives do not run while
// something that was sent waits to be acknowledged, and without this a statement
// into a network that swallows it would wait for a quarter of an hour (RFC 5482).
func giveUpUnacknowledged(_, _ string, c syscall.RawConn) error {
	const tcpUserTimeout = 18 // of linux/tcp.h; package syscall does not name it
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(unacknowledged.Milliseconds()))
	})
	if errors.Is(failed, syscall.ENOPROTOOPT) || errors.Is(failed, syscall.EOPNOTSUPP) {
		failed = nil // a Unix socket, where nothing is swallowed
	}
	return errors.Join(err, failed)
}
