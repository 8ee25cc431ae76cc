// Package cli is the command postern: the server, its client and the tools
// around them. Data goes to stdout, words go to stderr, and the exit code says
// what happened.
package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/posternhq/postern/internal/token"
)

// Program is one run of the command, with all that it knows of the outside.
type Program struct {
	Args    []string // without the program's name
	Environ []string // in the form of [os.Environ]
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer

	Now      func() time.Time      // nil: [time.Now]
	Terminal func(stream any) bool // nil: whether it is an open terminal
}

// Run does what the arguments say and returns the exit code. It ends early when
// ctx does, which is how an interrupt arrives.
func (p Program) Run(ctx context.Context) int {
	a := newApp(p)
	if err := refuseKeys(p.Args); err != nil {
		return a.exit(ctx, err)
	}
	root := a.root()
	root.SetArgs(p.Args)
	return a.exit(ctx, root.ExecuteContext(ctx))
}

// Root returns the tree of commands, for tests that walk it.
func Root() *cobra.Command { return newApp(Program{}).root() }

// app is what the commands of one run share.
type app struct {
	Program
	env    map[string]string
	global global
	vaults []vault
}

func newApp(p Program) *app {
	a := &app{Program: p, env: map[string]string{}}
	for _, entry := range p.Environ {
		name, value, _ := strings.Cut(entry, "=")
		a.env[name] = value
	}
	if a.Now == nil {
		a.Now = time.Now
	}
	if a.Terminal == nil {
		a.Terminal = isTerminal
	}
	a.vaults = a.newVaults()
	return a
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// refuseKeys keeps keys off the command line, where other users of the machine
// and the shell's history would find them. It does not repeat them.
func refuseKeys(args []string) error {
	for i, arg := range args {
		if token.LooksLikeSecret(arg) || secretLike.MatchString(arg) {
			return usagef("argument %d looks like a secret, and the command line is no place for one: "+
				"use --key -, --key-file, POSTERN_KEY_FILE or --token-file", i+1)
		}
	}
	return nil
}

// root builds the tree of commands.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "postern",
		Short:         "Durable, auditable, revocable access for callers that are not people",
		Example:       "  postern dev\n  postern version",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE:          func(cmd *cobra.Command, args []string) error { return a.runGroup(cmd, args) },
	}
	a.global.register(root.PersistentFlags())
	hideHelpFlag(root)
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(&cobra.Command{Use: "help [COMMAND]", Hidden: true, RunE: func(_ *cobra.Command, args []string) error {
		found, _, err := root.Find(args)
		if err != nil {
			return usagef("there is no command %s", safe(strings.Join(args, " ")))
		}
		return found.Help()
	}})
	root.SetHelpTemplate(helpTemplate)
	root.SetUsageTemplate("")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usagef("%s: %w", cmd.CommandPath(), err) })
	root.SetOut(a.Stdout)
	root.SetErr(a.Stderr)
	root.SetIn(a.Stdin)
	root.AddCommand(
		a.devCommand(), a.serveCommand(), a.initCommand(), a.setupLinkCommand(), a.recoverCommand(),
		a.loginCommand(), a.logoutCommand(), a.whoamiCommand(), a.contextCommand(),
		a.accountCommand(), a.keyCommand(), a.rotationCommand(), a.roleCommand(), a.permissionCommand(),
		a.workspaceCommand(), a.memberCommand(), a.seatCommand(), a.checkCommand(),
		a.auditCommand(), a.receiptCommand(), a.nodeCommand(), a.doctorCommand(), a.configCommand(), a.apiCommand(),
		a.completionCommand(), a.versionCommand(), a.benchCommand(), a.measuredCommand(),
	)
	return root
}

// runGroup answers a group of commands that was called without one of them.
func (a *app) runGroup(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		if cmd.HasParent() {
			cmd.SetOut(a.Stderr)
			return usageShown(cmd.Help())
		}
		return cmd.Help()
	}
	words := fmt.Sprintf("there is no command %s %s", cmd.CommandPath(), safe(args[0]))
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		words += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return usagef("%s", words)
}

// command describes a command that does something.
type command struct {
	use      string    // its name, then what it needs, such as "extend KEY" or "get [WORKSPACE]"
	short    string    // one line
	long     string    // more, below the flags
	examples [2]string // what the help leads with; the tests run them
	aliases  []string
	complete func(ctx context.Context, prefix string) []string // of the first argument
	run      func(ctx context.Context, cmd *cobra.Command, args []string) error
}

// leaf makes a command out of its description. The caller adds flags.
func (a *app) leaf(c command) *cobra.Command {
	cmd := &cobra.Command{
		Use: c.use, Short: c.short, Long: c.long, Aliases: c.aliases,
		Example: "  " + strings.Join(c.examples[:], "\n  "),
		Args:    countArgs(c.use), DisableFlagsInUseLine: true,
		ValidArgsFunction: a.completer(c.complete),
	}
	hideHelpFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := a.global.check(); err != nil {
			return err
		}
		return c.run(cmd.Context(), cmd, args)
	}
	return cmd
}

// group makes a command of commands; its examples are those of the first two, or
// of the only one.
func (a *app) group(use, short string, commands ...*cobra.Command) *cobra.Command {
	var examples []string
	for _, c := range commands[:min(2, len(commands))] {
		first, _, _ := strings.Cut(c.Example, "\n")
		examples = append(examples, first)
	}
	if len(commands) == 1 {
		examples = strings.Split(commands[0].Example, "\n")
	}
	cmd := &cobra.Command{
		Use: use, Short: short, Example: strings.Join(examples, "\n"), Args: cobra.ArbitraryArgs,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.runGroup(cmd, args) },
		ValidArgsFunction: cobra.NoFileCompletions, DisableFlagsInUseLine: true,
	}
	hideHelpFlag(cmd)
	cmd.AddCommand(commands...)
	return cmd
}

// hideHelpFlag keeps --help, which everybody knows, out of the lists of flags.
func hideHelpFlag(cmd *cobra.Command) {
	cmd.InitDefaultHelpFlag()
	cmd.Flags().Lookup("help").Hidden = true
}

// countArgs reads from a usage line how many arguments a command takes.
func countArgs(use string) cobra.PositionalArgs {
	wants := strings.Fields(use)[1:]
	least := 0
	for _, w := range wants {
		if !strings.HasPrefix(w, "[") {
			least++
		}
	}
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return usagef("%s needs %s", cmd.CommandPath(), wants[len(args)])
		case len(args) > len(wants):
			return usagef("%s: %s is one argument too many", cmd.CommandPath(), safe(args[len(wants)]))
		}
		return nil
	}
}

// helpTemplate leads with the examples.
const helpTemplate = `{{.Short}}.

Examples:
{{.Example}}

Usage:
  {{if .HasAvailableSubCommands}}{{.CommandPath}} COMMAND{{else}}{{.UseLine}}{{if .HasAvailableLocalFlags}} [FLAGS]{{end}}{{end}}
{{- if .Aliases}}

Also: {{.NameAndAliases}}
{{- end}}
{{- if .HasAvailableSubCommands}}

Commands:
{{- range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}
{{- end}}
{{- if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}
{{- end}}
{{- if .Long}}

{{.Long}}
{{- end}}
{{- if .HasParent}}

Flags that every command has: postern --help
{{- end}}
`

// sortedKeys returns the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
