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

// runTimes measures what the programs take for an established packet: request and response over one connection, so that no
// packet is large and none is merged.
func (l *benchLab) runTimes(o options) error {
	was, err := os.ReadFile(statsSwitch)
	if err != nil {
		return err
	}
	if err := os.WriteFile(statsSwitch, []byte("1"), 0o644); err != nil {
		return err
	}
	defer os.WriteFile(statsSwitch, was, 0o644)
	fmt.Println()
	bare := func() (func(), error) { return l.bareTunnel("red1", "red2") }
	for _, w := range []way{
		{name: "bare redirect, across hosts", from: l.place("red1"), to: l.place("red2"), on: bare},
		{name: "weft, same subnet, across hosts", from: l.place("red1"), to: l.place("red2")},
		{name: "weft, routed, across hosts", from: l.place("red1"), to: l.place("blue2")},
	} {
		sum, err := w.cost(o.each)
		if err != nil {
			return fmt.Errorf("run time, %s: %w", w.name, err)
		}
		fmt.Printf("run time per established packet, sender's and receiver's programs summed: %-34s %6.0f ns\n", w.name, sum)
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
	if _, err := requests(w.from, w.to, 2*each); err != nil {
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

// scale makes further ports on the network and measures what they cost a packet and a connection.
func (l *benchLab) scale(ctx context.Context, o options) error {
	home, err := l.api.home(l.instances["red1"])
	if err != nil {
		return err
	}
	var net struct {
		Network struct {
			Project string `json:"project_id"`
		}
	}
	if err := l.api.do("GET", "/networks/"+home.Network, nil, &net); err != nil {
		return err
	}
	if err := l.api.do("PUT", "/quotas/"+net.Network.Project, map[string]any{"quota": map[string]any{"port": -1, "network": -1, "subnet": -1}}, nil); err != nil {
		return err
	}
	// A subnet of its own: the demo's /24 has not that many addresses.
	err = l.api.do("POST", "/subnets", map[string]any{"subnet": map[string]any{"network_id": home.Network, "project_id": net.Network.Project,
		"ip_version": 4, "cidr": "172.20.0.0/16", "gateway_ip": nil, "enable_dhcp": false}}, nil)
	if err != nil {
		return err
	}
	var subnets struct{ Subnets []struct{ ID, CIDR string } }
	if err := l.api.do("GET", "/subnets?cidr=172.20.0.0/16", nil, &subnets); err != nil {
		return err
	}
	w := way{from: l.place("red1"), to: l.place("red2")}
	before := map[string][]float64{}
	for _, k := range kinds {
		for range o.pairs {
			v, err := w.once(k, o.each)
			if err != nil {
				return err
			}
			before[k.name] = append(before[k.name], v)
		}
	}
	began := time.Now()
	for made := 0; made < o.ports; made += 100 {
		var ports []any
		for i := range min(100, o.ports-made) {
			ports = append(ports, map[string]any{"network_id": home.Network, "project_id": net.Network.Project, "binding:host_id": fmt.Sprintf("compute%d", 1+i%2),
				"device_owner": "compute:bench", "fixed_ips": []any{map[string]any{"subnet_id": subnets.Subnets[0].ID}}})
		}
		if err := l.api.do("POST", "/ports", map[string]any{"ports": ports}, nil); err != nil {
			return err
		}
	}
	fmt.Printf("\n%d further ports on the network, made in %.1f s:\n", o.ports, time.Since(began).Seconds())
	for _, k := range kinds {
		var after []float64
		for range o.pairs {
			if err := ctx.Err(); err != nil {
				return err
			}
			v, err := w.once(k, o.each)
			if err != nil {
				return err
			}
			after = append(after, v)
		}
		fmt.Printf("%-34s %.1f%% of what it was before (medians; same subnet, across hosts)\n", k.name, 100*quantile(after, 0.5)/quantile(before[k.name], 0.5))
	}
	return nil
}
