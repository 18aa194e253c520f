package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"regexp"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"

	"github.com/weft-cloud/weft/internal/linux"
)

// client speaks the Networking API as the lab's administrator.
type client struct{ base, token string }

var export = regexp.MustCompile(`(?m)^export (OS_\w+)='?([^'\n]*)'?$`)

func login(ctx context.Context, weft string) (*client, error) {
	out, err := exec.CommandContext(ctx, weft, "lab", "env").Output()
	if err != nil {
		return nil, fmt.Errorf("weft lab env: %w", err)
	}
	env := map[string]string{}
	for _, m := range export.FindAllStringSubmatch(string(out), -1) {
		env[m[1]] = m[2]
	}
	body := map[string]any{"auth": map[string]any{
		"identity": map[string]any{"methods": []string{"password"}, "password": map[string]any{"user": map[string]any{
			"name": env["OS_USERNAME"], "password": env["OS_PASSWORD"], "domain": map[string]any{"id": env["OS_USER_DOMAIN_ID"]}}}},
		"scope": map[string]any{"project": map[string]any{"name": env["OS_PROJECT_NAME"], "domain": map[string]any{"id": env["OS_PROJECT_DOMAIN_ID"]}}},
	}}
	b, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	r, err := http.Post(env["OS_AUTH_URL"]+"/auth/tokens", "application/json", bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusCreated {
		text, _ := io.ReadAll(r.Body)
		return nil, fmt.Errorf("log in to the lab: %s: %s", r.Status, text)
	}
	return &client{"http://127.0.0.1:9696/v2.0", r.Header.Get("X-Subject-Token")}, nil
}

func (c *client) do(method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	r, err := http.NewRequest(method, c.base+path, body)
	if err != nil {
		return err
	}
	r.Header.Set("X-Auth-Token", c.token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, answer.Status, b)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}

type apiPort struct {
	ID       string
	MAC      string `json:"mac_address"`
	Network  string `json:"network_id"`
	FixedIPs []struct {
		Address string `json:"ip_address"`
	} `json:"fixed_ips"`
}

// home finds the port of an instance, for its network.
func (c *client) home(i instance) (apiPort, error) {
	var got struct{ Ports []apiPort }
	err := c.do("GET", "/ports?mac_address="+i.MAC, nil, &got)
	if err == nil && len(got.Ports) == 0 {
		err = fmt.Errorf("no port has MAC %s", i.MAC)
	}
	if err != nil {
		return apiPort{}, err
	}
	return got.Ports[0], nil
}

// samples is how many ports the time to the first ping is measured with. A kernel that asked for a neighbour in vain asks again after a
// second: a first ping of lateMS or more is one whose question was lost.
const (
	samples = 60
	lateMS  = 900.0
)

// firstPings measures from POST of a port, bound to compute2, to the first ping that it answers to red1 on compute1; the
// interface is made as soon as the answer names it, as a hypervisor would.
func firstPings(ctx context.Context, l *benchLab, _ options, r *labResult) error {
	home, err := l.api.home(l.instances["red1"])
	if err != nil {
		return err
	}
	project, group, err := l.ownerOf(home.ID)
	if err != nil {
		return err
	}
	var took []float64
	for range samples {
		if err := ctx.Err(); err != nil {
			return err
		}
		d, err := l.firstPing(home.Network, project, group)
		if err != nil {
			return fmt.Errorf("first ping: %w", err)
		}
		took = append(took, ms(d))
		if ms(d) >= lateMS {
			r.Late++
		}
	}
	x := spreadOf(took)
	r.FirstPing = &x
	return nil
}

// ownerOf is the project and the security groups of a port.
func (l *benchLab) ownerOf(id string) (project string, groups []string, err error) {
	var got struct {
		Port struct {
			Project string   `json:"project_id"`
			Groups  []string `json:"security_groups"`
		}
	}
	err = l.api.do("GET", "/ports/"+id, nil, &got)
	return got.Port.Project, got.Port.Groups, err
}

func (l *benchLab) firstPing(network, project string, groups []string) (time.Duration, error) {
	began := time.Now()
	var made struct{ Port apiPort }
	err := l.api.do("POST", "/ports", map[string]any{"port": map[string]any{"network_id": network, "project_id": project, "binding:host_id": "compute2",
		"device_owner": "compute:bench", "device_id": "bench", "security_groups": groups}}, &made)
	if err != nil {
		return 0, err
	}
	p := made.Port
	defer l.api.do("DELETE", "/ports/"+p.ID, nil, nil)
	const ns = "weft-bench-new"
	mac, err := net.ParseMAC(p.MAC)
	if err != nil {
		return 0, err
	}
	addr := netip.Addr{}
	for _, f := range p.FixedIPs {
		if a, err := netip.ParseAddr(f.Address); err == nil && a.Is4() {
			addr = a
		}
	}
	if err := linux.CreateNetns(ns, "weft-bench"); err != nil {
		return 0, err
	}
	defer linux.DeleteNetns(ns)
	dev := "tap" + p.ID[:11]
	if err := linux.AddVeth(linux.Veth{Name: dev, Netns: "weft-compute2", Peer: linux.End{Name: "eth0", Netns: ns, MAC: mac}, MTU: 1450}); err != nil {
		return 0, err
	}
	for _, f := range []func() error{
		func() error { return linux.AddAddr(ns, "eth0", netip.PrefixFrom(addr, 24)) },
		func() error { return linux.SetUp(ns, "eth0") },
		func() error { return linux.SetUp("weft-compute2", dev) },
		func() error { return awaitOperational(ns, "eth0") },
	} {
		if err := f(); err != nil {
			return 0, err
		}
	}
	err = linux.InNetns("weft-vm-red1", func() error { return ping(addr) })
	return time.Since(began), err
}

// awaitOperational waits until the instance's own kernel lets out what its interface is to send. What is sent before is lost in the instance, among it
// its question for whoever pings it, and would be asked again a second later: no data plane can help that.
func awaitOperational(ns, link string) error {
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		if ok, err := linux.Operational(ns, link); ok || err != nil {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("the kernel has not activated %s of %s within 5 s", link, ns)
		}
	}
}

// ping asks every 2 ms until the address answers.
func ping(to netip.Addr) error {
	c, err := icmp.ListenPacket("ip4:icmp", "0.0.0.0")
	if err != nil {
		return err
	}
	defer c.Close()
	b := make([]byte, 1500)
	for seq := range 5000 {
		m := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: 77, Seq: seq, Data: []byte("weft")}}
		raw, err := m.Marshal(nil)
		if err != nil {
			return err
		}
		// An address not yet resolved gives errors that pass.
		_, _ = c.WriteTo(raw, &net.IPAddr{IP: to.AsSlice()})
		if err := c.SetReadDeadline(time.Now().Add(2 * time.Millisecond)); err != nil {
			return err
		}
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				break
			}
			if got, err := icmp.ParseMessage(1, b[:n]); err == nil && got.Type == ipv4.ICMPTypeEchoReply && from.String() == to.String() {
				return nil
			}
		}
	}
	return fmt.Errorf("%s never answered", to)
}
