package server_test

import (
	"flag"
	"strings"
	"testing"
)

// The last of the package's tests looks at what all the others made the server
// answer. Where only some of them were asked for, there is nothing to look at.
func TestEveryDocumentedStatusWasAnswered(t *testing.T) {
	for _, name := range []string{"test.run", "test.skip", "test.fuzz"} {
		if f := flag.Lookup(name); f.Value.String() != "" {
			t.Logf("only some tests run (-%s=%s)", name, f.Value)
			return
		}
	}
	if missing := answered.missing(t); len(missing) > 0 {
		t.Errorf("%d documented statuses were never produced:\n%s", len(missing), strings.Join(missing, "\n"))
	}
}
