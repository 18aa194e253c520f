package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// result is how one test ended: "ok", "FAILED" or "SKIPPED".
type result struct{ outcome, detail string }

// line is what `tempest run` prints of a test.
var line = regexp.MustCompile(`^\{\d+\} (.+?) \[?[\d.]*s?\]? ?\.\.\. (ok|FAILED|SKIPPED)(?:: (.*))?$`)

// quick takes the 10 seconds out that Tempest's subnets client sleeps before each deletion, for servers which remove ports
// late.
const quick = `import time
_sleep = time.sleep
time.sleep = lambda s: _sleep(0 if s == 10 else s)
`

// tempest runs the tests named and returns how each ended.
func tempest(ctx context.Context, c *cloud, tests []string, workers int) (map[string]result, error) {
	ws := filepath.Join(c.dir, "tempest")
	if err := os.MkdirAll(filepath.Join(ws, "etc"), 0o755); err != nil {
		return nil, err
	}
	files := map[string]string{
		"etc/tempest.conf": c.tempestConf(ws),
		".stestr.conf":     "[DEFAULT]\ntest_path=/usr/lib/python3/dist-packages/tempest/test_discover\ntop_dir=/usr/lib/python3/dist-packages\ngroup_regex=([^\\.]*\\.)*\n",
		"sitecustomize.py": quick,
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(ws, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	if out, err := tempestCmd(ctx, ws, "stestr", "init").CombinedOutput(); err != nil && !strings.Contains(string(out), "already exists") {
		return nil, fmt.Errorf("stestr init: %w\n%s", err, out)
	}
	list, err := withTags(ctx, ws, tests)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(ws, "list"), []byte(strings.Join(list, "\n")+"\n"), 0o644); err != nil {
		return nil, err
	}
	cmd := tempestCmd(ctx, ws, "tempest", "run", "--load-list", "list", "--concurrency", fmt.Sprint(workers))
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(c.dir, "tempest.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start tempest (apt-get install tempest neutron-tempest-plugin): %w", err)
	}
	results := parse(bufio.NewScanner(out), log, len(tests))
	_ = cmd.Wait() // its exit code says "some failed"; the results say which
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(results) == 0 {
		b, _ := os.ReadFile(log.Name())
		return nil, fmt.Errorf("tempest ran nothing:\n%s", b)
	}
	return results, nil
}

// parse reads the run's output, prints progress, and gives failures the last line of their traceback.
func parse(s *bufio.Scanner, log *os.File, total int) map[string]result {
	results := map[string]result{}
	s.Buffer(nil, 1<<20)
	var failing string
	for s.Scan() {
		text := s.Text()
		fmt.Fprintln(log, text)
		if m := line.FindStringSubmatch(text); m != nil {
			name := withoutTags(m[1])
			results[name] = result{m[2], m[3]}
			failing = ""
			if m[2] == "FAILED" {
				failing = name
				fmt.Printf("  failed: %s\n", name)
			}
			if len(results)%100 == 0 {
				fmt.Printf("  %d of %d\n", len(results), total)
			}
			continue
		}
		text = strings.TrimSpace(text)
		if failing != "" && text != "" && !strings.HasPrefix(text, "~") && !strings.HasPrefix(text, "Captured") && len(results[failing].detail) < 4000 {
			r := results[failing]
			if strings.Contains(text, "Error") || strings.Contains(text, "Exception") || strings.Contains(text, "Details:") || strings.HasPrefix(text, "testtools.") || strings.HasPrefix(text, "tempest.lib.exceptions") || strings.Contains(text, "!=") {
				r.detail = text
				results[failing] = r
			}
		}
	}
	return results
}

// withoutTags takes "[id-…,smoke]" out of an id; what follows it names a scenario and stays.
func withoutTags(id string) string {
	name, rest, tagged := strings.Cut(id, "[")
	if _, scenario, ok := strings.Cut(rest, "]"); tagged && ok {
		return name + scenario
	}
	return name
}

// withTags turns names into the ids that stestr wants: with their tags in brackets.
func withTags(ctx context.Context, ws string, tests []string) ([]string, error) {
	cmd := tempestCmd(ctx, ws, "tempest", "run", "--list-tests")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("tempest run --list-tests: %w\n%s", err, out)
	}
	ids := map[string]string{}
	for _, id := range strings.Split(string(out), "\n") {
		ids[withoutTags(id)] = id
	}
	var list []string
	for _, t := range tests {
		if id, ok := ids[t]; ok {
			list = append(list, id)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("tempest finds none of the %d tests; its list begins %.300q", len(tests), out)
	}
	return list, nil
}

func tempestCmd(ctx context.Context, ws string, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = ws
	cmd.Env = append(os.Environ(), "TEMPEST_CONFIG_DIR="+filepath.Join(ws, "etc"), "TEMPEST_CONFIG=tempest.conf", "PYTHONWARNINGS=ignore", "PYTHONPATH="+ws, "LC_ALL=C.UTF-8")
	return cmd
}
