// Package docs holds the documentation as it is written: Markdown that reads as well
// where the repository is shown as at /docs of a server, where package internal/docs
// shows it.
package docs

import "embed"

//go:embed *.md */*.md pictures/*.svg
var files embed.FS

// Files returns the pages, and the pictures that they show. Those of the folder are at
// the root.
func Files() embed.FS { return files }
