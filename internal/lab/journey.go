package lab

import (
	"net/netip"
	"slices"

	"github.com/weft-cloud/weft/internal/lab/verify"
)

// journeyMaker writes down which way each journey must take.
type journeyMaker struct {
	t    verify.Topology
	list []verify.Journey
}

func (j *journeyMaker) host(name string) verify.Host {
	return j.t.Hosts[slices.IndexFunc(j.t.Hosts, func(h verify.Host) bool { return h.Name == name })]
}

func (j *journeyMaker) outside(v6 bool) netip.Addr {
	for _, a := range j.t.Outside.Addrs {
		if a.Is6() == v6 {
			return a
		}
	}
	return netip.Addr{}
}

// wire is the external network at a host.
func wire(h verify.Host, out bool) verify.Crossing {
	return verify.Crossing{Host: h.Name, NIC: h.NICs[1], Out: out}
}

// own: packets to and from an address that the outside knows an instance by, a floating IP or one with an NDP proxy, touch the instance's own
// host, and no other.
func (j *journeyMaker) own(name string, in verify.Instance, known netip.Addr) {
	h, out := j.host(in.Host), j.outside(known.Is6())
	j.list = append(j.list,
		verify.Journey{Name: name + ", in", From: j.t.Outside, To: in, Dst: known, SeenAs: out, TTL: 63, Greets: true,
			Way: []verify.Crossing{wire(h, false)}, Back: []verify.Crossing{wire(h, true)}},
		verify.Journey{Name: name + ", out", From: in, To: j.t.Outside, Dst: out, SeenAs: known, TTL: 63,
			Way: []verify.Crossing{wire(h, true)}, Back: []verify.Crossing{wire(h, false)}})
}

// between two floating IPs packets cross the external network, or nothing at all within a host.
func (j *journeyMaker) between(from verify.Instance, fromFloat netip.Addr, to verify.Instance, toFloat netip.Addr) {
	a, b := j.host(from.Host), j.host(to.Host)
	v := verify.Journey{Name: "floating IP to floating IP, same host", From: from, To: to, Dst: toFloat, SeenAs: fromFloat, TTL: 62, Greets: true}
	if a.Name != b.Name {
		v.Name = "floating IP to floating IP, different host"
		v.Way = []verify.Crossing{wire(a, true), wire(b, false)}
		v.Back = []verify.Crossing{wire(b, true), wire(a, false)}
	}
	j.list = append(j.list, v)
}

// snat: an instance without a floating IP leaves through the router's gateway host, in both families.
func (j *journeyMaker) snat(in verify.Instance, rt Router) {
	h := j.host(in.Host)
	gw := j.t.Hosts[slices.IndexFunc(j.t.Hosts, func(h verify.Host) bool { return h.Controller })]
	way := slices.Concat(verify.Through(h, gw, in.VNI, true), []verify.Crossing{wire(gw, true)})
	back := slices.Concat([]verify.Crossing{wire(gw, false)}, verify.Through(gw, h, in.VNI, true))
	if a := rt.Addr(false); a.IsValid() {
		j.list = append(j.list, verify.Journey{Name: "SNAT", From: in, To: j.t.Outside, Dst: j.outside(false), SeenAs: a, TTL: 62, Way: way, Back: back})
	}
	var own netip.Addr
	for _, a := range in.Addrs {
		if a.Is6() {
			own = a
		}
	}
	if rt.Addr(true).IsValid() && own.IsValid() {
		j.list = append(j.list, verify.Journey{Name: "no floating IP, not translated", From: in, To: j.t.Outside, Dst: j.outside(true), SeenAs: own, TTL: 62, Way: way, Back: back})
	}
}
