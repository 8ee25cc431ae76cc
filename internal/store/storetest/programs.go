package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
)

var errNoPrograms = errors.New("storetest: PostgreSQL's initdb, pg_ctl and postgres are neither in PATH nor in /usr/lib/postgresql; install them (Debian: apt-get install postgresql)")

// findPrograms returns the folder of PostgreSQL's programs. As root it installs
// Debian's when there are none.
func findPrograms(ctx context.Context) (string, error) {
	if bin, ok := installed(); ok {
		return bin, nil
	}
	if os.Getuid() != 0 {
		return "", errNoPrograms
	}
	if err := install(ctx); err != nil {
		return "", errors.Join(errNoPrograms, err)
	}
	if bin, ok := installed(); ok {
		return bin, nil
	}
	return "", errNoPrograms
}

func installed() (bin string, ok bool) {
	folders := filepath.SplitList(os.Getenv("PATH"))
	debian, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // the pattern is well formed
	slices.SortFunc(debian, func(a, b string) int { return cmp.Compare(version(b), version(a)) })
	for _, folder := range slices.Concat(debian, folders) {
		if hasPrograms(folder) {
			return folder, true
		}
	}
	return "", false
}

func version(bin string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(bin))) // 0: some other folder, last
	return n
}

func hasPrograms(folder string) bool {
	for _, name := range []string{"initdb", "pg_ctl", "postgres"} {
		if _, err := exec.LookPath(filepath.Join(folder, name)); err != nil {
			return false
		}
	}
	return true
}

func install(ctx context.Context) error {
	for _, args := range [][]string{
		{"update"},
		{"install", "-y", "--no-install-recommends", "postgresql"},
	} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, out)
		}
	}
	return nil
}
