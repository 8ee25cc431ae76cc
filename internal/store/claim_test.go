package store_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/posternhq/postern/internal/store"
	"github.com/posternhq/postern/internal/store/storetest"
)

func claim(t *testing.T, url string) *store.Claim {
	t.Helper()
	c, err := store.NewClaim(url)
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
	url := storetest.SQLite(t)
	first := claim(t, url)
	_, err := store.NewClaim(url)
	if want := fmt.Sprint("in use by process ", os.Getpid()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a second claim: error %v, want %q", err, want)
	}
	open(t, url, store.Options{}) // the database itself can be used beside it
	release(t, first)
	release(t, claim(t, url))
}

func TestAServerIsNotClaimed(t *testing.T) {
	if _, err := store.NewClaim("postgres://localhost/postern"); err == nil {
		t.Error("a claim on PostgreSQL was given")
	}
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
	if _, err := store.NewClaim("sqlite:" + path); err == nil {
		t.Error("the file was claimed twice, once by a link to it")
	}
	release(t, first)
}

func TestAClaimEndsWithItsProcess(t *testing.T) {
	if url := os.Getenv("STORE_TEST_CLAIM"); url != "" {
		claim(t, url)
		fmt.Println("claimed")
		_, _ = io.Copy(io.Discard, os.Stdin) // until it is killed
	}
	url := storetest.SQLite(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestAClaimEndsWithItsProcess$")
	cmd.Env = append(os.Environ(), "STORE_TEST_CLAIM="+url)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cmd.StdinPipe(); err != nil { // open until the process is killed: it waits for it
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "claimed\n" {
		t.Fatalf("the other process says %q, %v", line, err)
	}
	_, err = store.NewClaim(url)
	if !strings.Contains(fmt.Sprint(err), fmt.Sprint("process ", cmd.Process.Pid)) {
		t.Errorf("error %v, want one that names process %d", err, cmd.Process.Pid)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	heir := claim(t, url)
	if heir.Lingering() == 0 {
		t.Error("nobody is told that the process was killed")
	}
	release(t, heir)
}

func TestAClaimSaysThatItWasGivenUpWithoutAWord(t *testing.T) {
	url := storetest.SQLite(t)
	lingers := func(when string, want bool) *store.Claim {
		t.Helper()
		c := claim(t, url)
		if left := c.Lingering(); left > 0 != want || left > 2*time.Second {
			t.Errorf("%s: others may answer for %v", when, left)
		}
		return c
	}
	release(t, lingers("at first", false))
	if err := lingers("after one that was released", false).Abandon(); err != nil {
		t.Fatal(err)
	}
	release(t, lingers("after one that was abandoned", true))
	release(t, lingers("after one that was released before that was over", true))
}
