package store_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posternhq/postern/internal/store"
	"github.com/posternhq/postern/internal/store/storetest"
)

func claim(t *testing.T, url string) *store.Claim {
	t.Helper()
	c, err := store.NewClaim(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func release(t *testing.T, c *store.Claim) {
	t.Helper()
	if err := c.Release(); err != nil {
		t.Error(err)
	}
}

func TestOneProcessHasTheClaim(t *testing.T) {
	storetest.Each(t, func(t *testing.T, url string) {
		first := claim(t, url)
		_, err := store.NewClaim(t.Context(), url)
		if err == nil || !strings.Contains(err.Error(), "in use by") {
			t.Errorf("a second claim: error %v, want one that says who has it", err)
		}
		if strings.HasPrefix(url, "sqlite:") && !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
			t.Errorf("a second claim: error %v, want the first one's process", err)
		}
		open(t, url, store.Options{}) // the database itself can be used beside it
		release(t, first)
		release(t, claim(t, url))
	})
}

func TestTwoWaysToOneFileMeetAtOneClaim(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "postern.db")
	link := filepath.Join(folder, "link.db")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	open(t, "sqlite:"+path, store.Options{})
	first := claim(t, "sqlite:"+link)
	if _, err := store.NewClaim(t.Context(), "sqlite:"+path); err == nil {
		t.Error("the file was claimed twice, once by a link to it")
	}
	release(t, first)
}

func TestAClaimEndsWithItsProcess(t *testing.T) {
	if url := os.Getenv("STORE_TEST_CLAIM"); url != "" {
		claim(t, url)
		fmt.Println("claimed")
		select {}
	}
	storetest.Each(t, func(t *testing.T, url string) {
		cmd := exec.Command(os.Args[0], "-test.run=^TestAClaimEndsWithItsProcess$")
		cmd.Env = append(os.Environ(), "STORE_TEST_CLAIM="+url)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); line != "claimed\n" {
			t.Fatalf("the other process says %q, %v", line, err)
		}
		_, err = store.NewClaim(t.Context(), url)
		if err == nil {
			t.Error("two processes have the claim")
		}
		if strings.HasPrefix(url, "sqlite:") && !strings.Contains(fmt.Sprint(err), fmt.Sprint("process ", cmd.Process.Pid)) {
			t.Errorf("error %v, want one that names process %d", err, cmd.Process.Pid)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
		for {          // a server takes a moment to hear of it
			if c, err := store.NewClaim(t.Context(), url); err == nil {
				release(t, c)
				return
			}
		}
	})
}

func TestALostClaimIsHeardOf(t *testing.T) {
	url := storetest.Postgres(t)
	c := claim(t, url)
	select {
	case <-c.Lost():
		t.Fatal("the claim is lost at once")
	default:
	}
	_, err := raw(t, url).ExecContext(t.Context(), `
		SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	if err != nil {
		t.Fatal(err)
	}
	<-c.Lost()
	release(t, c)
}
