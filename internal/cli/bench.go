package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/posternhq/postern/internal/bench"
)

const measuredName = "measured"

func (a *app) benchCommand() *cobra.Command {
	var quick bool
	var keys, connections, only []string
	var plot string
	cmd := a.leaf(command{
		use: "bench", short: "Measure how fast keys are verified here, against the bare libraries",
		long: "It loads made-up keys into a process of its own, calls that over loopback addresses and sockets, and compares each door\n" +
			"with what the same process does without Postern, in interleaved pairs: docs/benchmarks.md says how to read it. It takes\n" +
			"all processors there are, some 3 GB of memory for 10M keys, and no store. Interrupted, it leaves nothing.",
		examples: [2]string{
			"postern bench --quick --only sdk --keys 10k",
			"postern bench --quick --only verify --keys 1k --json",
		},
		run: func(ctx context.Context, _ *cobra.Command, _ []string) error {
			plan, err := benchPlan(quick, keys, connections, only)
			if err != nil {
				return usagef("%w", err)
			}
			report, err := bench.Run(ctx, bench.Options{Plan: plan, Command: measuredCommand, Progress: a.benchProgress(), Now: a.Now})
			if report == nil {
				return err
			}
			if err := errors.Join(err, a.showBench(report)); err != nil || plot == "" {
				return err
			}
			return a.writePlot(plot, report)
		},
	})
	f := cmd.Flags()
	f.BoolVar(&quick, "quick", false, "end within 50 seconds")
	f.StringSliceVar(&keys, "keys", nil, "`numbers` of keys, such as 1k,1M,10M: doors are measured with 1M of them or what is next below")
	f.StringSliceVar(&connections, "connections", nil, "`numbers` of connections (default 1,16,64,256)")
	f.StringSliceVar(&only, "only", nil, "`parts` to measure, some of verify, ext_authz, gateway, batch, sdk, sizes, connections")
	f.StringVar(&plot, "plot", "", "write a picture of it to a `file`, as SVG")
	return cmd
}

// measuredCommand is the process that a benchmark measures. It is no command for people.
func (a *app) measuredCommand() *cobra.Command {
	return &cobra.Command{
		Use: measuredName, Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return bench.Measured(cmd.Context(), a.Stdin, a.Stdout) },
	}
}

// measuredCommand starts this very program as the process that is measured.
func measuredCommand(ctx context.Context) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return exec.CommandContext(ctx, self, measuredName), nil
}

func benchPlan(quick bool, keys, connections, only []string) (bench.Plan, error) {
	keyCounts, err := counts("keys", keys)
	connectionCounts, other := counts("connections", connections)
	if err := errors.Join(err, other); err != nil {
		return bench.Plan{}, err
	}
	return bench.NewPlan(quick, keyCounts, connectionCounts, only)
}

func counts(flag string, texts []string) ([]int, error) {
	var all []int
	for _, text := range texts {
		n, err := bench.ParseCount(text)
		if err != nil {
			return nil, fmt.Errorf("--%s: %q: %w", flag, safe(text), err)
		}
		all = append(all, n)
	}
	return all, nil
}

// benchProgress says each step and when it began.
func (a *app) benchProgress() func(string) {
	begun := a.Now()
	return func(text string) {
		if !a.global.quiet {
			fmt.Fprintf(a.Stderr, "%4.0f s  %s\n", a.Now().Sub(begun).Seconds(), text)
		}
	}
}

func (a *app) showBench(r *bench.Report) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if a.global.field != "" || a.global.output != formatTable {
		return a.showJSON(raw)
	}
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "door\tconnections\trequests/s\tCPU µs/request\tp50 µs\tp99 µs\tfailed\t")
	for _, d := range r.Doors {
		fmt.Fprintf(w, "%s\t%d\t%.0f\t%.2f\t%.0f\t%.0f\t%d\t\n", d.Name, d.Connections, d.PerSecond, d.CPU, d.P50, d.P99, d.Failed)
	}
	for i, s := range r.Sizes {
		if i == 0 {
			fmt.Fprintln(w, "\n/v1/verify with keys\t\trequests/s\tCPU µs/request\tbytes/key\tratio\t\t")
		}
		fmt.Fprintf(w, "%s\t\t%.0f\t%.2f\t%.1f\t%s\t\t\n", bench.Count(s.Keys), s.PerSecond, s.CPU, s.BytesPerKey, orDash(s.Ratio))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return writeFigures(a.Stdout, r)
}

// writeFigures writes what there are targets for, beside them.
func writeFigures(out io.Writer, r *bench.Report) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nfigure\tmeasured\ttarget")
	for _, f := range r.Figures() {
		fmt.Fprintf(w, "%s\t%s\t%s\n", f.Name, orDash(f.Value), f.Target)
	}
	m := r.Machine
	fmt.Fprintf(w, "\nMedians of %d interleaved pairs, %s keys, in %v. %d processors (%s), %s memory, %s, %s; load %.1f before, %.1f after.\n",
		r.Pairs, bench.Count(r.Keys), time.Duration(r.Took*float64(time.Second)).Round(time.Second), m.CPUs, m.Model, m.Memory, m.Platform, m.Go, m.LoadBegan, m.LoadEnded)
	for _, note := range r.Notes {
		fmt.Fprintf(w, "Left out: %s.\n", note)
	}
	return w.Flush()
}

func orDash(value *float64) string {
	if value == nil {
		return "-"
	}
	return fmt.Sprint(*value)
}

func (a *app) writePlot(file string, r *bench.Report) error {
	if err := os.WriteFile(file, []byte(bench.Plot(r)), 0o644); err != nil {
		return fmt.Errorf("write the picture: %w", err)
	}
	return nil
}
