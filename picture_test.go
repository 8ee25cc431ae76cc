package postern_test

import (
	"image/png"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestTheReadmeShowsTheConsole looks for the pictures of the README. That they are of
// the console as it is, a browser test sees to: it makes them from what it looks at.
func TestTheReadmeShowsTheConsole(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile(`(?:src|srcset)="(docs/pictures/[^"]+\.png)"`).FindAllStringSubmatch(string(text), -1)
	if len(shown) != 2 || !strings.Contains(shown[0][1], "dark") || !strings.Contains(shown[1][1], "light") {
		t.Fatalf("the README shows %v, want a picture for the dark and one for the light", shown)
	}
	for _, match := range shown {
		const most = 150_000 // bytes
		file, err := os.Open(match[1])
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		about, err := file.Stat()
		if err != nil {
			t.Fatal(err)
		}
		size, err := png.DecodeConfig(file)
		if err != nil || size.Width < 1000 || size.Width < 2*size.Height || about.Size() > most {
			t.Errorf("%s: %v, %d×%d in %d bytes; want one that is wide, in %d at most", match[1], err, size.Width, size.Height, about.Size(), most)
		}
	}
}
