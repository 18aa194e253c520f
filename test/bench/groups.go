package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/weft-cloud/weft/internal/linux"
)

// groupResult is the traffic of instances whose security group has that many rules.
type groupResult struct {
	Rules int `json:"rules"`
	// Made is how long the API took for all the rules, in requests of ruleBatch; Programmed from the last PUT of the ports' group until
	// a connection that the group allows was opened, which none had been before.
	Made       float64      `json:"made_seconds"`
	Programmed float64      `json:"programmed_seconds"`
	Kinds      []kindResult `json:"kinds"`
}

const (
	// ruleBatch is bounded by the largest request that a server takes (max_request_body_size).
	ruleBatch = 250
	// programmedLimit is how long a change of a port's groups may take until it works.
	programmedLimit = 30 * time.Second
	// groupRounds is how many rounds are measured for each count, if -pairs is not less: three counts are measured.
	groupRounds = 5
)

// groups measures the traffic of two pairs of instances whose only group is stateful and has 1, 100 and 10,000 ingress rules, of
// which the last alone allows it, beside bare programs.
func groups(ctx context.Context, l *benchLab, o options, r *labResult) (err error) {
	names := []string{"red1", "red2", "red3"}
	former, project, err := l.takeGroups(names)
	if err != nil {
		return err
	}
	defer func() {
		for id, g := range former {
			if e := l.setGroups(id, g); err == nil {
				err = e
			}
		}
	}()
	if err := l.api.do("PUT", "/quotas/"+project, map[string]any{"quota": map[string]any{"security_group_rule": -1, "security_group": -1}}, nil); err != nil {
		return err
	}
	o.pairs = min(o.pairs, groupRounds)
	for _, n := range policyCounts {
		progress("  %d rules", n)
		x, err := l.underRules(ctx, o, project, former, n)
		if err != nil {
			return fmt.Errorf("%d rules: %w", n, err)
		}
		r.Groups = append(r.Groups, x)
	}
	return nil
}

// takeGroups are the groups of the instances' ports, by port, and the project that they are of.
func (l *benchLab) takeGroups(names []string) (former map[string][]string, project string, err error) {
	former = map[string][]string{}
	for _, n := range names {
		home, err := l.api.home(l.instances[n])
		if err != nil {
			return nil, "", err
		}
		if project, former[home.ID], err = l.ownerOf(home.ID); err != nil {
			return nil, "", err
		}
	}
	return former, project, nil
}

func (l *benchLab) setGroups(port string, groups []string) error {
	if groups == nil {
		groups = []string{}
	}
	return l.api.do("PUT", "/ports/"+port, map[string]any{"port": map[string]any{"security_groups": groups}}, nil)
}

// underRules gives the ports a group of n rules and measures.
func (l *benchLab) underRules(ctx context.Context, o options, project string, ports map[string][]string, n int) (x groupResult, err error) {
	x.Rules = n
	began := time.Now()
	group, err := l.groupOf(ctx, project, n)
	if err != nil {
		return x, err
	}
	x.Made = time.Since(began).Seconds()
	for id := range ports {
		if err := l.setGroups(id, nil); err != nil {
			return x, err
		}
	}
	red1, red2, red3 := l.place("red1"), l.place("red2"), l.place("red3")
	for _, to := range []place{red2, red3} {
		if _, err := opens(ctx, red1, to, false); err != nil {
			return x, err
		}
	}
	for id := range ports {
		if err := l.setGroups(id, []string{group}); err != nil {
			return x, err
		}
	}
	for _, to := range []place{red2, red3} {
		took, err := opens(ctx, red1, to, true)
		if err != nil {
			return x, err
		}
		x.Programmed = max(x.Programmed, took.Seconds())
	}
	x.Kinds, err = l.measureGroups(ctx, o)
	return x, err
}

func (l *benchLab) measureGroups(ctx context.Context, o options) ([]kindResult, error) {
	red1, red2, red3 := l.place("red1"), l.place("red2"), l.place("red3")
	ways := []way{
		{name: "bare redirect, across hosts", from: red1, to: red2, on: func() (func(), error) { return l.bareTunnel("red1", "red2") }},
		{name: "weft, across hosts", from: red1, to: red2, against: "bare redirect, across hosts"},
		{name: "bare redirect, within a host", from: red1, to: red3, on: func() (func(), error) { return l.bareLocal("red1", "red3") }},
		{name: "weft, within a host", from: red1, to: red3, against: "bare redirect, within a host"},
	}
	return measured(ctx, ways, o)
}

// groupOf makes a stateful group that lets the benchmark's port in by the last of n ingress rules; half of the others are of
// single UDP ports, half of TCP from prefixes elsewhere. Everything may go out, as with every new group.
func (l *benchLab) groupOf(ctx context.Context, project string, n int) (string, error) {
	var made struct {
		Group struct{ ID string } `json:"security_group"`
	}
	if err := l.api.do("POST", "/security-groups", map[string]any{"security_group": map[string]any{"project_id": project,
		"name": fmt.Sprintf("bench, %d rules", n)}}, &made); err != nil {
		return "", err
	}
	var rules []any
	for i := range n {
		r := benchRule(i, n)
		r["security_group_id"], r["project_id"] = made.Group.ID, project
		rules = append(rules, r)
		if len(rules) < ruleBatch && i < n-1 {
			continue
		}
		if err := ctx.Err(); err != nil {
			return "", err
		}
		if err := l.api.do("POST", "/security-group-rules", map[string]any{"security_group_rules": rules}, nil); err != nil {
			return "", err
		}
		rules = nil
	}
	return made.Group.ID, nil
}

// benchRule is the i-th of n rules.
func benchRule(i, n int) map[string]any {
	r := map[string]any{"direction": "ingress", "ethertype": "IPv4", "protocol": "tcp",
		"port_range_min": port, "port_range_max": port}
	switch {
	case i == n-1:
	case i%2 == 0:
		r["protocol"], r["port_range_min"], r["port_range_max"] = "udp", 10000+i, 10000+i
	default:
		r["remote_ip_prefix"] = fmt.Sprintf("10.%d.%d.0/24", 64+i>>8, i&255)
	}
	return r
}

// opens waits until a connection can be opened, or cannot any more.
func opens(ctx context.Context, from, to place, want bool) (time.Duration, error) {
	l, err := serve(to, echo)
	if err != nil {
		return 0, err
	}
	defer l.Close()
	began := time.Now()
	for time.Since(began) < programmedLimit {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		err = linux.InNetns(from.ns, func() error {
			c, err := dialWithin(to, 100*time.Millisecond)
			if err == nil {
				_ = c.SetLinger(0)
				c.Close()
			}
			return err
		})
		if (err == nil) == want {
			return time.Since(began), nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return 0, fmt.Errorf("the change of the ports' groups does not work after %v: %s to %s, open wanted %v: %w", programmedLimit, from.ns, to.addr, want, err)
}

func printGroups(w io.Writer, r *labResult) {
	for _, g := range r.Groups {
		fmt.Fprintf(w, "\nstateful group of %d rules at both ends: made in %.1f s, in force %.2f s after the ports had it\n", g.Rules, g.Made, g.Programmed)
		printKinds(w, g.Kinds)
	}
}
