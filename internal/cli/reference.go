package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// Reference returns docs/reference/commands.md, from the commands themselves.
func Reference() string {
	var b strings.Builder
	b.WriteString(`# Commands

<!-- Written by internal/cli from the commands: make generate. -->

What was asked for goes to stdout, words go to stderr. Accounts and roles are named by name or id, a key by its id, by its
name where only one has it, or as ` + "`ACCOUNT/NAME`" + `. No command takes a key as an argument: ` + "`--key -`" + ` reads one from stdin, and
` + "`--key-file`" + ` from a file.

| exit code | says |
|---|---|
`)
	for _, code := range endings() {
		fmt.Fprintf(&b, "| %d | %s |\n", code.code, code.says)
	}
	root := Root()
	b.WriteString("\n## Flags of every command\n\n" + fenced("text", root.PersistentFlags().FlagUsages()))
	for _, cmd := range root.Commands() {
		describeCommand(&b, cmd, 2)
	}
	return b.String()
}

// describeCommand writes the section of a command, and those of the commands below
// it. A group says only what it is.
func describeCommand(b *strings.Builder, cmd *cobra.Command, level int) {
	if cmd.Hidden {
		return
	}
	fmt.Fprintf(b, "\n%s %s\n\n%s.\n", strings.Repeat("#", level), cmd.CommandPath(), cmd.Short)
	if cmd.Runnable() {
		b.WriteString("\n" + fenced("text", cmd.UseLine()+"\n\n"+cmd.LocalNonPersistentFlags().FlagUsages()))
	}
	if cmd.Long != "" {
		fmt.Fprintf(b, "\n%s\n", strings.NewReplacer("*", `\*`, "<", `\<`).Replace(cmd.Long))
	}
	for _, below := range cmd.Commands() {
		describeCommand(b, below, min(level+1, 3))
	}
}

func fenced(language, text string) string {
	return "```" + language + "\n" + strings.Trim(text, "\n") + "\n```\n"
}

// ending is what an exit code says.
type ending struct {
	code int
	says string
}

// endings returns what each exit code says.
func endings() []ending {
	return []ending{
		{exitDone, "done"},
		{exitFailed, "failed, or a check's no"},
		{exitUsage, "wrong use"},
		{exitNotFound, "not found"},
		{exitSignIn, "there is no key, or it does not work"},
		{exitForbidden, "not allowed"},
		{exitConflict, "in conflict with how things are, or a name that fits several"},
		{exitUnreachable, "the server cannot be reached, or did not answer in time"},
		{exitUnconfirmed, "recorded, and not yet confirmed by every node"},
		{exitInterrupted, "interrupted"},
	}
}
