package store

import (
	"net"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestAConnectionGivesUpWhatNobodyAcknowledges(t *testing.T) {
	var cfg pgconn.Config
	cfg.RuntimeParams = map[string]string{}
	prepareConn(&cfg)
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "socket")} {
		listener, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		conn, err := cfg.DialFunc(t.Context(), network, listener.Addr().String())
		if err != nil {
			t.Fatalf("%s: %v", network, err)
		}
		defer conn.Close()
		if network == "unix" {
			continue
		}
		raw, err := conn.(syscall.Conn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var got int
		if err := raw.Control(func(fd uintptr) { got, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, 18) }); err != nil {
			t.Fatal(err)
		}
		if err != nil || got != 5000 {
			t.Errorf("it gives up after %d ms, %v; want 5000", got, err)
		}
	}
}
