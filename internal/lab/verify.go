package lab

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/weft-cloud/weft/internal/lab/guest"
	"github.com/weft-cloud/weft/internal/lab/hypervisor"
	"github.com/weft-cloud/weft/internal/lab/verify"
)

// Verify proves by packet capture which way traffic goes between all instances.
func (r *Record) Verify(ctx context.Context) (*verify.Report, error) {
	if err := CheckRoot(); err != nil {
		return nil, err
	}
	t, err := r.topology(ctx)
	if err != nil {
		return nil, err
	}
	rep, err := verify.Run(ctx, t, verify.Options{Count: 3, Timeout: time.Second})
	if err != nil && ctx.Err() != nil {
		return nil, errors.New("interrupted: nothing was proved, and nothing was changed")
	}
	return rep, err
}

func (r *Record) topology(ctx context.Context) (verify.Topology, error) {
	var t verify.Topology
	admin := r.Admin()
	defer admin.Close()
	list, err := Instances(ctx, admin)
	if err != nil {
		return t, err
	}
	for _, h := range r.Hosts() {
		t.Hosts = append(t.Hosts, verify.Host{Name: h.Name, Netns: h.Netns, VTEP: h.Underlay, NICs: []string{UnderlayNIC, ExternalNIC}, Controller: h.Name == Controller})
	}
	var bad error
	for _, in := range list {
		if in.Status != "ACTIVE" || in.Port.ID == "" {
			bad = errors.Join(bad, fmt.Errorf("instance %s is %s %s", in.Name, in.Status, in.Fault))
			continue
		}
		v := verify.Instance{Name: in.Name, Netns: hypervisor.Netns(in.Guest), Interface: guest.Interface, Host: in.Host, Tenant: in.Project,
			Network: in.Network.Name, NetworkID: in.Network.ID, VNI: in.Network.VNI, MAC: in.Port.MAC, Device: "tap" + in.Port.ID[:11]}
		for _, f := range in.Port.FixedIPs {
			v.Addrs = append(v.Addrs, f.IP)
		}
		t.Instances = append(t.Instances, v)
	}
	return t, bad
}
