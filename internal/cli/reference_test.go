package cli_test

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/posternhq/postern/internal/cli"
)

func TestGoldenReferenceOfCommandsIsWhatTheyAre(t *testing.T) {
	const path = "../../docs/reference/commands.md"
	got := cli.Reference()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s is not what the commands are; run make generate (-file +commands):\n%s", path, d)
	}
}
