package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// prog is a BPF program as bpftool tells of it.
type prog struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
	Time uint64 `json:"run_time_ns"`
	Runs uint64 `json:"run_cnt"`
}

func programs() (map[int]prog, error) {
	out, err := exec.Command("bpftool", "prog", "show", "-j").Output()
	if err != nil {
		return nil, fmt.Errorf("bpftool prog show (apt-get install bpftool): %w", err)
	}
	var all []prog
	if err := json.Unmarshal(out, &all); err != nil {
		return nil, fmt.Errorf("bpftool prog show: %w", err)
	}
	byID := map[int]prog{}
	for _, p := range all {
		byID[p.ID] = p
	}
	return byID, nil
}

const statsSwitch = "/proc/sys/kernel/bpf_stats_enabled"

// runTime is what the programs took for a packet on one way.
type runTime struct {
	Way         string `json:"way"`
	Nanoseconds spread `json:"nanoseconds"`
}

// runTimes measures what the programs take for an established packet: request and response over one connection, so that no
// packet is large and none is merged.
func runTimes(ctx context.Context, l *benchLab, o options, r *labResult) error {
	was, err := os.ReadFile(statsSwitch)
	if err != nil {
		return err
	}
	if err := os.WriteFile(statsSwitch, []byte("1"), 0o644); err != nil {
		return err
	}
	defer os.WriteFile(statsSwitch, was, 0o644)
	ways := []way{
		{name: "bare redirect, across hosts", from: l.place("red1"), to: l.place("red2"), on: func() (func(), error) { return l.bareTunnel("red1", "red2") }},
		{name: "weft, same subnet, across hosts", from: l.place("red1"), to: l.place("red2")},
		{name: "weft, routed, across hosts", from: l.place("red1"), to: l.place("blue2")},
	}
	got := map[string][]float64{}
	for range o.pairs {
		for _, w := range ways {
			if err := ctx.Err(); err != nil {
				return err
			}
			sum, err := w.cost(o.each)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			got[w.name] = append(got[w.name], sum)
		}
	}
	for _, w := range ways {
		r.RunTimes = append(r.RunTimes, runTime{w.name, spreadOf(got[w.name])})
	}
	return nil
}

// cost is the sum of the mean run times of the two programs that a packet meets.
func (w way) cost(each time.Duration) (float64, error) {
	if w.on != nil {
		off, err := w.on()
		if err != nil {
			return 0, err
		}
		defer off()
	}
	before, err := programs()
	if err != nil {
		return 0, err
	}
	if _, err := requests(w.from, w.to, each); err != nil {
		return 0, err
	}
	after, err := programs()
	if err != nil {
		return 0, err
	}
	var time, runs [2]float64
	for id, a := range after {
		side := -1
		switch a.Name {
		case "from_instance", "bare_instance":
			side = 0
		case "from_overlay", "bare_overlay":
			side = 1
		}
		if side >= 0 {
			time[side] += float64(a.Time - before[id].Time)
			runs[side] += float64(a.Runs - before[id].Runs)
		}
	}
	if runs[0] == 0 || runs[1] == 0 {
		return 0, fmt.Errorf("no program ran")
	}
	return time[0]/runs[0] + time[1]/runs[1], nil
}

// scaleResult is what further ports cost: the traffic beside the bare programs before they were made, and after.
type scaleResult struct {
	Ports   int          `json:"ports"`
	Seconds float64      `json:"made_in_seconds"`
	Before  []kindResult `json:"before"`
	After   []kindResult `json:"after"`
}

// scale makes further ports on the network and measures what they cost a packet and a connection.
func scale(ctx context.Context, l *benchLab, o options, r *labResult) error {
	if o.ports == 0 {
		return nil
	}
	g, err := l.ground()
	if err != nil {
		return err
	}
	res := &scaleResult{Ports: o.ports}
	if res.Before, err = l.besideBare(ctx, o); err != nil {
		return fmt.Errorf("before: %w", err)
	}
	began := time.Now()
	if err := l.manyPorts(ctx, g, o.ports); err != nil {
		return err
	}
	res.Seconds = time.Since(began).Seconds()
	if res.After, err = l.besideBare(ctx, o); err != nil {
		return fmt.Errorf("after: %w", err)
	}
	r.Scale = res
	return nil
}

// besideBare measures every kind in the same subnet across hosts, interleaved with the bare programs.
func (l *benchLab) besideBare(ctx context.Context, o options) ([]kindResult, error) {
	const bare = "bare redirect, across hosts"
	red1, red2 := l.place("red1"), l.place("red2")
	ways := []way{
		{name: bare, from: red1, to: red2, on: func() (func(), error) { return l.bareTunnel("red1", "red2") }},
		{name: "weft, same subnet, across hosts", from: red1, to: red2, against: bare},
	}
	return measured(ctx, ways, o)
}

// ground is where further ports are made.
type ground struct{ network, project, subnet string }

// ground makes room on red1's network: a subnet of its own, for the demo's /24 has not that many addresses, and no quota.
func (l *benchLab) ground() (g ground, err error) {
	home, err := l.api.home(l.instances["red1"])
	if err != nil {
		return g, err
	}
	var net struct {
		Network struct {
			Project string `json:"project_id"`
		}
	}
	if err := l.api.do("GET", "/networks/"+home.Network, nil, &net); err != nil {
		return g, err
	}
	g = ground{network: home.Network, project: net.Network.Project}
	if err := l.api.do("PUT", "/quotas/"+g.project, map[string]any{"quota": map[string]any{"port": -1, "network": -1, "subnet": -1}}, nil); err != nil {
		return g, err
	}
	var made struct{ Subnet struct{ ID string } }
	err = l.api.do("POST", "/subnets", map[string]any{"subnet": map[string]any{"network_id": g.network, "project_id": g.project,
		"ip_version": 4, "cidr": "172.20.0.0/16", "gateway_ip": nil, "enable_dhcp": false}}, &made)
	g.subnet = made.Subnet.ID
	return g, err
}

// manyPorts makes ports, bound to the two computes in turn, a hundred in a request.
func (l *benchLab) manyPorts(ctx context.Context, g ground, n int) error {
	for made := 0; made < n; made += 100 {
		if err := ctx.Err(); err != nil {
			return err
		}
		var ports []any
		for i := range min(100, n-made) {
			ports = append(ports, map[string]any{"network_id": g.network, "project_id": g.project, "binding:host_id": fmt.Sprintf("compute%d", 1+i%2),
				"device_owner": "compute:bench", "fixed_ips": []any{map[string]any{"subnet_id": g.subnet}}})
		}
		if err := l.api.do("POST", "/ports", map[string]any{"ports": ports}, nil); err != nil {
			return err
		}
	}
	return nil
}
