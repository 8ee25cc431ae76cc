package config

import (
	"fmt"
	"strings"
)

// Reference returns docs/reference/configuration.md.
func Reference() string {
	var b strings.Builder
	b.WriteString(`# Settings

<!-- Written by internal/config from the tags of its Config: make generate. -->

A setting has one name in three forms: the flag ` + "`--store-url`" + `, the variable ` + "`POSTERN_STORE_URL`" + ` and, in a TOML
file, ` + "`store.url`" + `. A flag wins over the environment, which wins over the file; an empty variable counts as not set.
What nobody knows is an error, wherever it stands. The file is named by ` + "`--config`" + ` or ` + "`POSTERN_CONFIG`" + `.

` + "```toml" + `
listen = "localhost:7070"

[store]
url = "postgres://postern@db.internal/postern"
` + "```" + `

` + "`postern config check`" + ` says whether a server would start with what it finds; ` + "`postern config show`" + ` lists each
setting and where it came from, without passwords.

| setting | flag | variable | default | |
|---|---|---|---|---|
`)
	for _, s := range Settings() {
		def := ""
		if s.Default != "" {
			def = "`" + s.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | `--%s` | `%s` | %s | %s |\n", s.Name, s.Flag, s.Env, def, s.Doc)
	}
	b.WriteString("\n`postern dev` keeps its data in `sqlite:postern-dev.db` instead.\n" +
		"\n## Variables that commands read\n\n| variable | |\n|---|---|\n")
	for _, v := range clientVariables {
		fmt.Fprintf(&b, "| `%s` | %s |\n", v.Env, v.Doc)
	}
	return b.String()
}
