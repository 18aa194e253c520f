package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/weft-cloud/weft/internal/lab/guest"
	"github.com/weft-cloud/weft/internal/lab/hypervisor"
	"github.com/weft-cloud/weft/internal/lab/osclient"
	"github.com/weft-cloud/weft/internal/lab/verify"
)

// Verify proves by packet capture which way traffic goes between all instances, by the demo's distributed routers and by a
// centralized one that it makes for the time, and between instances and the outside.
func (r *Record) Verify(ctx context.Context) (rep *verify.Report, err error) {
	if err := CheckRoot(); err != nil {
		return nil, err
	}
	admin := r.Admin()
	defer admin.Close()
	list, err := Instances(ctx, admin)
	if err == nil && len(list) < 2 {
		err = fmt.Errorf("there are %d instances; verification needs two or more: boot some with `weft lab boot`", len(list))
	}
	if err != nil {
		return nil, err
	}
	// What an earlier run left when it was killed would be in the way.
	if err := unstage(ctx, admin); err != nil {
		return nil, fmt.Errorf("remove what an earlier verification left: %w", err)
	}
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = errInterrupted
		}
		if uerr := unstage(context.WithoutCancel(ctx), admin); uerr != nil {
			err = errors.Join(err, fmt.Errorf("remove the centralized router made for verification: %w", uerr))
		}
	}()
	if err := r.stage(ctx, admin); err != nil {
		return nil, fmt.Errorf("make a centralized router beside the distributed ones: %w", err)
	}
	t, err := r.topology(ctx, admin)
	if err != nil {
		return nil, err
	}
	return verify.Run(ctx, t, verify.Options{Count: 3, Timeout: time.Second})
}

var errInterrupted = errors.New("interrupted: nothing was proved, and nothing was changed")

func (r *Record) topology(ctx context.Context, admin *osclient.Client) (verify.Topology, error) {
	var t verify.Topology
	list, err := Instances(ctx, admin)
	if err != nil {
		return t, err
	}
	for _, h := range r.Hosts() {
		t.Hosts = append(t.Hosts, verify.Host{Name: h.Name, Netns: h.Netns, VTEP: h.Underlay, NICs: []string{UnderlayNIC, ExternalNIC}, Controller: h.Name == Controller})
	}
	var bad error
	ports := map[string]string{} // of instances, by name
	for _, in := range list {
		if in.Status != "ACTIVE" || in.Port.ID == "" {
			bad = errors.Join(bad, fmt.Errorf("instance %s is %s %s", in.Name, in.Status, in.Fault))
			continue
		}
		v := verify.Instance{Name: in.Name, Netns: hypervisor.Netns(in.Guest), Interface: guest.Interface, Host: in.Host, Tenant: in.Project,
			Network: in.Network.Name, NetworkID: in.Network.ID, VNI: in.Network.VNI, MAC: in.Port.MAC, Device: "tap" + in.Port.ID[:11],
			Central: strings.HasPrefix(in.Network.Name, stageMark)}
		for _, f := range in.Port.FixedIPs {
			v.Addrs = append(v.Addrs, f.IP)
		}
		t.Instances = append(t.Instances, v)
		ports[in.Name] = in.Port.ID
	}
	if bad != nil {
		return t, bad
	}
	t.Outside = verify.Instance{Name: internet, Netns: hypervisor.HostNetns(internet), Interface: ExternalNIC}
	for _, p := range internetAddrs() {
		t.Outside.Addrs = append(t.Outside.Addrs, p.Addr())
	}
	t.Journeys, err = r.journeys(ctx, admin, t, ports)
	return t, err
}

// journeys are those between the demo's instances and the outside, as far as these have not been taken apart.
func (r *Record) journeys(ctx context.Context, admin *osclient.Client, t verify.Topology, ports map[string]string) ([]verify.Journey, error) {
	floats, err := FloatingIPs(ctx, admin)
	if err != nil {
		return nil, err
	}
	proxies, err := NDPProxies(ctx, admin)
	if err != nil {
		return nil, err
	}
	routers, err := Routers(ctx, admin, nil)
	if err != nil {
		return nil, err
	}
	j := journeyMaker{t: t}
	find := func(name string) (in verify.Instance, float netip.Addr) {
		if i := slices.IndexFunc(t.Instances, func(v verify.Instance) bool { return v.Name == name }); i >= 0 {
			in = t.Instances[i]
		}
		if i := slices.IndexFunc(floats, func(f FloatingIP) bool { return f.PortID == ports[name] && f.Status == "ACTIVE" }); i >= 0 {
			float = floats[i].Address
		}
		return in, float
	}
	red1, _ := find("red1")
	red2, float := find("red2")
	for _, rt := range routers {
		if rt.Name == "router" && red1.Netns != "" {
			j.snat(red1, rt)
		}
	}
	if i := slices.IndexFunc(proxies, func(p NDPProxy) bool { return p.PortID == ports["red2"] }); i >= 0 && red2.Netns != "" {
		j.own("IPv6 by an NDP proxy", red2, proxies[i].Address)
	}
	if !float.IsValid() {
		return j.list, nil
	}
	j.own("floating IP", red2, float)
	for _, name := range []string{"blue1", "blue2"} {
		if to, its := find(name); its.IsValid() {
			j.between(red2, float, to, its)
		}
	}
	return j.list, nil
}
