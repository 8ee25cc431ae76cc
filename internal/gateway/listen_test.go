package gateway_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/posternhq/postern/internal/gateway"
)

func TestOnlyUserAndGroupConnectToASocket(t *testing.T) {
	for _, mask := range []int{0, 0o022, 0o077} {
		path := filepath.Join(t.TempDir(), "s")
		old := syscall.Umask(mask)
		l, err := gateway.ListenUnix(t.Context(), path)
		syscall.Umask(old)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode(); got != os.ModeSocket|0o660 {
			t.Errorf("umask %#o: the socket has mode %v, want srw-rw----", mask, got)
		}
	}
}

func TestASocketThatAProcessLeftBehindIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	if err := left.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := gateway.ListenUnix(t.Context(), path)
	if err != nil {
		t.Fatalf("listen where a process left its socket: %v", err)
	}
	defer l.Close()
	if _, err := gateway.ListenUnix(t.Context(), path); err == nil || !strings.Contains(err.Error(), "another process listens") {
		t.Errorf("a second listener: got %v, want that another process listens there", err)
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("the first listener is gone: %v", err)
	}
	defer conn.Close()
}

func TestWhatIsNoSocketIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := path + ".link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, link} {
		if _, err := gateway.ListenUnix(t.Context(), p); err == nil || !strings.Contains(err.Error(), "left alone") {
			t.Errorf("%s: got %v, want that it is left alone", p, err)
		}
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
		t.Errorf("the file now has %q, %v", text, err)
	}
}
