// Command conformance runs the API test suites that other people wrote for Neutron (tempest.api.network and
// neutron_tempest_plugin.api, Debian's packages) against a Weft server of its own, and holds the outcome against the list of
// tests that a real Neutron (Zed) passes: reference.txt. A test named in deviations.txt may fail, for the reason given there;
// any other reference test that does not pass is a regression, and the exit code says so.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"
)

func main() {
	var o options
	flag.StringVar(&o.weft, "weft", "bin/weft", "the binary to test")
	flag.StringVar(&o.dir, "dir", "", "keep everything (logs, configuration, results) in this `directory`; default: a temporary one, removed after")
	flag.StringVar(&o.match, "match", "", "only tests whose name contains this `text`")
	flag.StringVar(&o.share, "share", "1/1", "which `share` of the tests: 2/5 is the second fifth")
	flag.IntVar(&o.concurrency, "concurrency", 2, "test `workers`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

type options struct {
	weft, dir, match, share string
	concurrency             int
}

func run(ctx context.Context, o options) error {
	dir := o.dir
	if dir == "" {
		d, err := os.MkdirTemp("", "weft-conformance-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(d)
		dir = d
	} else if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	// What an earlier run kept there would be in the way of this one.
	for _, old := range []string{"weft.db", "weft.db-wal", "weft.db-shm", "weft.db.journal", "identity.json", "host1", "host2"} {
		if err := os.RemoveAll(filepath.Join(dir, old)); err != nil {
			return err
		}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	reference, err := names("test/conformance/reference.txt")
	if err != nil {
		return err
	}
	deviations, err := reasons("test/conformance/deviations.txt")
	if err != nil {
		return err
	}
	chosen, err := choose(reference, o)
	if err != nil {
		return err
	}
	cloud, err := startCloud(ctx, o.weft, dir)
	if err != nil {
		return err
	}
	defer cloud.Close()
	began := time.Now()
	results, err := tempest(ctx, cloud, chosen, o.concurrency)
	if err != nil {
		return err
	}
	return report(chosen, deviations, results, time.Since(began))
}

// names reads one test name a line; whatever follows "[" (the test's id and tags) is cut off.
func names(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []string
	for s := bufio.NewScanner(f); s.Scan(); {
		line := withoutTags(strings.TrimSpace(s.Text()))
		if line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	sort.Strings(out)
	return out, nil
}

// reasons reads lines of "test name: why".
func reasons(path string) (map[string]string, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	out := map[string]string{}
	for s := bufio.NewScanner(f); s.Scan(); {
		line := strings.TrimSpace(s.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, why, ok := strings.Cut(line, ": ")
		if !ok || strings.TrimSpace(why) == "" {
			return nil, fmt.Errorf("%s: %q gives no reason", path, line)
		}
		out[name] = why
	}
	return out, nil
}

// choose picks the share: whole classes, dealt out in turn, since a class's tests share what setUpClass made.
func choose(all []string, o options) ([]string, error) {
	var part, parts int
	if _, err := fmt.Sscanf(o.share, "%d/%d", &part, &parts); err != nil || part < 1 || part > parts {
		return nil, fmt.Errorf("-share %q: want k/n with 1 ≤ k ≤ n", o.share)
	}
	var out []string
	class, n := "", -1
	for _, name := range all {
		if !strings.Contains(name, o.match) {
			continue
		}
		if c := name[:strings.LastIndexByte(name, '.')]; c != class {
			class, n = c, n+1
		}
		if n%parts == part-1 {
			out = append(out, name)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no test matches %q in share %s", o.match, o.share)
	}
	return out, nil
}

func report(chosen []string, deviations map[string]string, results map[string]result, took time.Duration) error {
	var passed, failed, skipped int
	var regressions, deviating []string
	for _, name := range chosen {
		r, ran := results[name]
		why := ""
		switch {
		case ran && r.outcome == "ok":
			passed++
			if deviations[name] != "" {
				fmt.Printf("%s passes; take it out of deviations.txt\n", name)
			}
			continue
		case ran && r.outcome == "SKIPPED":
			skipped++
			why = "skipped: " + r.detail
		case ran:
			failed++
			why = "failed: " + r.detail
		default:
			why = "did not run: " + setUpFault(results, name)
		}
		if d := deviations[name]; d != "" {
			deviating = append(deviating, name+": "+d)
		} else {
			regressions = append(regressions, name+": "+why)
		}
	}
	for _, d := range deviating {
		fmt.Println("deviation:", d)
	}
	for _, r := range regressions {
		fmt.Println("REGRESSION:", r)
	}
	fmt.Printf("\n%d tests that a real Neutron passes: here %d pass, %d fail, %d skip, %d did not run; of these %d deviate for a reason given, %d are regressions; %.0f s\n",
		len(chosen), passed, failed, skipped, len(chosen)-passed-failed-skipped, len(deviating), len(regressions), took.Seconds())
	if len(regressions) > 0 {
		return fmt.Errorf("%d reference tests do not pass", len(regressions))
	}
	return nil
}

// setUpFault is what the class of a test that did not run says.
func setUpFault(results map[string]result, name string) string {
	class := name[:strings.LastIndexByte(name, '.')]
	for _, k := range []string{"setUpClass (" + class + ")", "tearDownClass (" + class + ")"} {
		if r, ok := results[k]; ok {
			return k + ": " + r.detail
		}
	}
	return "not found by the suite"
}
