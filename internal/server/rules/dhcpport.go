package rules

import (
	"crypto/sha1" //nolint:gosec // a name-based identifier (RFC 9562, section 5.5), no secret
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// A network with a DHCP-enabled subnet has network:dhcp ports, as clients know them of Neutron's DHCP agents: they hold the
// addresses at which instances find DHCP and DNS. Every host answers there for its own ports, so such a port is of no host
// in particular; the host that it is bound to is the one whose agent the API shows as serving the network.

// dhcpDevice is the device_id of a DHCP port (neutron/common/utils.py, get_dhcp_agent_device_id). segment is the
// segmentation id on a routed network, else 0.
func dhcpDevice(host string, n model.NetworkID, segment uint32) string {
	name, _, _ := strings.Cut(host, ".")
	dns := model.UUID{0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8}
	sum := sha1.Sum(append(dns[:], name...)) //nolint:gosec // see above
	u := model.UUID(sum[:16])
	u[6], u[8] = u[6]&0x0f|0x50, u[8]&0x3f|0x80
	id := "dhcp" + u.String() + "-" + n.String()
	if segment != 0 {
		id += "-" + strconv.FormatUint(uint64(segment), 10)
	}
	return id
}

// isDHCPPort reports whether a port is one that settleDHCP makes, and not a client's of the same owner.
func isDHCPPort(p *model.Port) bool {
	return p.DeviceOwner == model.OwnerDHCP && strings.HasPrefix(p.DeviceID, "dhcp") && strings.Contains(p.DeviceID, p.NetworkID.String())
}

// dhcpGroup is the subnets with DHCP that one port can have addresses of: all of a network, or of one segment.
type dhcpGroup struct {
	segment *model.Segment // nil: the network is not routed
	subnets []*model.Subnet
}

func dhcpGroups(tx *world.Tx, n model.NetworkID) []dhcpGroup {
	var out []dhcpGroup
	for s := range tx.Subnets.ByNetwork(n) {
		if !s.EnableDHCP {
			continue
		}
		segment := tx.Segments.Get(s.SegmentID)
		i := slices.IndexFunc(out, func(g dhcpGroup) bool { return g.segment == segment })
		if i < 0 {
			i, out = len(out), append(out, dhcpGroup{segment: segment})
		}
		out[i].subnets = append(out[i].subnets, s)
	}
	for _, g := range out {
		slices.SortFunc(g.subnets, func(a, b *model.Subnet) int { return a.CIDR.Addr().Compare(b.CIDR.Addr()) })
	}
	return out
}

// reachedBy reports whether a host can hold the group's port.
func (g dhcpGroup) reachedBy(h *model.Host) bool { return g.segment == nil || reaches(h, g.segment) }

// settleDHCP brings a network's DHCP agents and network:dhcp ports in step with its subnets: agents are chosen up to
// dhcp_agents_per_network once there is a subnet with DHCP, each of them has one port with an address of each such subnet,
// and with the last such subnet the ports go. A subnet whose pool is exhausted gives no address, and is served all the same.
func (r *Rules) settleDHCP(tx *world.Tx, id model.NetworkID) {
	n := tx.Networks.Get(id)
	if n == nil {
		return
	}
	groups := dhcpGroups(tx, id)
	want := map[string]bool{}
	if len(groups) > 0 {
		n = r.scheduleDHCP(tx, n, groups)
	}
	for _, agent := range n.DHCPOn {
		a := tx.Agents.Get(agent)
		if a == nil {
			continue
		}
		h := tx.Hosts.Get(a.Host)
		for _, g := range groups {
			if h == nil || !g.reachedBy(h) {
				continue
			}
			device := dhcpDevice(a.Host, id, 0)
			if g.segment != nil {
				device = dhcpDevice(a.Host, id, g.segment.SegmentationID)
			}
			want[device] = r.putDHCPPort(tx, n, dhcpPlace{a.Host, device}, g.subnets)
		}
	}
	for _, p := range slices.Collect(tx.Ports.ByNetwork(id)) {
		if isDHCPPort(p) && !want[p.DeviceID] {
			_ = r.dropPort(tx, p) // what an administrator has made part of a trunk or local IP stays until that goes
		}
	}
}

// scheduleDHCP gives the network agents until each group has as many as it shall have, as far as there are live ones.
func (r *Rules) scheduleDHCP(tx *world.Tx, n *model.Network, groups []dhcpGroup) *model.Network {
	on := slices.DeleteFunc(slices.Clone(n.DHCPOn), func(id model.AgentID) bool { return tx.Agents.Get(id) == nil })
	for _, g := range groups {
		have := 0
		for _, id := range on {
			if h := tx.Hosts.Get(tx.Agents.Get(id).Host); h != nil && g.reachedBy(h) {
				have++
			}
		}
		for _, a := range r.dhcpCandidates(tx, n, g) {
			if have >= r.cfg.DHCPAgents {
				break
			}
			if !slices.Contains(on, a.ID) {
				on = append(on, a.ID)
				have++
			}
		}
	}
	if slices.Equal(on, n.DHCPOn) {
		return n
	}
	c := *n
	c.DHCPOn = on
	tx.Networks.Put(&c)
	return &c
}

// dhcpCandidates are the agents that may be given a network, in an order that is each network's own, so that networks are
// spread over agents without counting.
func (r *Rules) dhcpCandidates(tx *world.Tx, n *model.Network, g dhcpGroup) []*model.Agent {
	var out []*model.Agent
	for a := range tx.Agents.All() {
		h := tx.Hosts.Get(a.Host)
		if a.Type != model.AgentDHCP || !a.AdminStateUp || h == nil || slices.Contains(n.DHCPOff, a.ID) ||
			len(n.AZHints) > 0 && !slices.Contains(n.AZHints, a.AZ) || !r.serves(a.Host) || !carries(&tx.World, h, n.ID) || !g.reachedBy(h) {
			continue
		}
		out = append(out, a)
	}
	rank := func(a *model.Agent) string {
		sum := sha1.Sum(append(a.ID.UUID[:], n.ID.UUID[:]...)) //nolint:gosec // see above
		return string(sum[:])
	}
	slices.SortFunc(out, func(a, b *model.Agent) int { return strings.Compare(rank(a), rank(b)) })
	return out
}

// dhcpPlace is whose a DHCP port is.
type dhcpPlace struct{ host, device string }

// putDHCPPort makes or changes a DHCP port; false: there is no address for it.
func (r *Rules) putDHCPPort(tx *world.Tx, n *model.Network, at dhcpPlace, subnets []*model.Subnet) bool {
	var old *model.Port
	for p := range tx.Ports.ByDevice(at.device) {
		if isDHCPPort(p) && p.NetworkID == n.ID {
			old = p
		}
	}
	p := &model.Port{NetworkID: n.ID, ProjectID: n.ProjectID, DeviceOwner: model.OwnerDHCP, DeviceID: at.device, Host: at.host,
		AdminStateUp: true, Status: model.StatusActive, IPAllocation: AllocationImmediate}
	if old != nil {
		*p = *old
	} else {
		p.ID = model.PortID{UUID: tx.NewUUID()}
		if r.giveMAC(tx, p) != nil {
			return false
		}
	}
	a := &allocator{r: r, tx: tx, port: p}
	for _, s := range subnets {
		a.dhcpAddress(s)
	}
	if len(a.got) == 0 {
		return false
	}
	if old != nil && slices.Equal(a.got, old.FixedIPs) {
		return true
	}
	for _, f := range p.FixedIPs {
		if !slices.Contains(a.got, f) {
			r.release(f.SubnetID, f.Address)
		}
	}
	p.FixedIPs = a.got
	r.bind(tx, n, p)
	tx.Ports.Put(p)
	return true
}

// dhcpAddress gives a DHCP port its address of a subnet: the one that it has, else the automatic one, else the first that
// is free, so that clients who choose addresses of their own know which one to leave.
func (a *allocator) dhcpAddress(s *model.Subnet) {
	for _, f := range a.port.FixedIPs {
		if f.SubnetID == s.ID {
			a.got = append(a.got, f)
			return
		}
	}
	if s.AutoAddressed() {
		if addr := eui64(s.CIDR, a.port.MAC); !a.taken(s.ID, addr) {
			a.give(s, addr)
		}
		return
	}
	var second netip.Addr
	for _, p := range s.Pools {
		if addr, ok := a.gap(s.ID, p, &second); ok {
			a.give(s, addr)
			return
		}
	}
	if second.IsValid() {
		a.give(s, second)
	}
}

// settleAllDHCP settles the networks that have fewer agents than they shall have: a host has come.
func (r *Rules) settleAllDHCP(tx *world.Tx) {
	var wanting []model.NetworkID
	for n := range tx.Networks.All() {
		if len(n.DHCPOn) < r.cfg.DHCPAgents && hasDHCP(&tx.World, n.ID) {
			wanting = append(wanting, n.ID)
		}
	}
	for _, id := range wanting {
		r.settleDHCP(tx, id)
	}
}

// forgetDHCP takes a DHCP agent that is deleted from its networks, which then get another.
func (r *Rules) forgetDHCP(tx *world.Tx, a *model.Agent) {
	var its []*model.Network
	for n := range tx.Networks.All() {
		if slices.Contains(n.DHCPOn, a.ID) || slices.Contains(n.DHCPOff, a.ID) {
			its = append(its, n)
		}
	}
	for _, n := range its {
		c := *n
		c.DHCPOn, c.DHCPOff = without(n.DHCPOn, a.ID), without(n.DHCPOff, a.ID)
		tx.Networks.Put(&c)
		r.settleDHCP(tx, n.ID)
	}
}
