package rules

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/world"
)

// Problem is what is wrong with an object of the cloud, in words, as far as the objects tell.
type Problem struct{ Kind, ID, Why string }

// Problems are those of the world outside: external networks that have no address left, and routers that need a gateway host
// and have none. They are derived; nothing records them.
func (r *Rules) Problems(w *world.World) []Problem {
	var out []Problem
	for n := range w.Networks.External() {
		if why := exhausted(w, n); why != "" {
			out = append(out, Problem{string(model.KindNetwork), n.ID.String(), why})
		}
	}
	for v := range w.Routers.All() {
		if v.GatewayHost == "" && needsCentral(w, v) {
			out = append(out, Problem{string(model.KindRouter), v.ID.String(), r.homeless(w, v)})
		}
	}
	return out
}

// HostProblems are those of a host which can have central parts: external networks that it reaches and that have no address left, and
// ones that it does not reach, while routers with a gateway there have no host.
func (r *Rules) HostProblems(w *world.World, host string) []Problem {
	h := w.Hosts.Get(host)
	if h == nil || h.AgentMode != model.ModeDVRSNAT && h.AgentMode != model.ModeLegacy {
		return nil
	}
	var out []Problem
	for n := range w.Networks.External() {
		if !carries(w, h, n.ID) {
			if why := unreached(w, h, n); why != "" {
				out = append(out, Problem{string(model.KindNetwork), n.ID.String(), why})
			}
		} else if why := exhausted(w, n); why != "" {
			out = append(out, Problem{string(model.KindNetwork), n.ID.String(), why})
		}
	}
	return out
}

// unreached says that a host cannot have gateways on an external network, which routers without a host have need of; "": none has.
func unreached(w *world.World, h *model.Host, n *model.Network) string {
	waiting := 0
	for v := range w.Routers.All() {
		p := w.Ports.Get(v.GatewayPort)
		if v.GatewayHost == "" && p != nil && p.NetworkID == n.ID && (h.AgentMode == model.ModeDVRSNAT || !v.Distributed) {
			waiting++
		}
	}
	if waiting == 0 {
		return ""
	}
	var physnets []string
	for s := range w.Segments.ByNetwork(n.ID) {
		physnets = append(physnets, s.Physnet)
	}
	slices.Sort(physnets)
	return fmt.Sprintf("bridge_mappings of this host does not name the physical network %[1]s of the external network %[2]s, on which %[3]d routers have a gateway and no host; add %[1]s:BRIDGE or %[1]s:INTERFACE to it",
		strings.Join(physnets, " or "), n.Name, waiting)
}

func (r *Rules) homeless(w *world.World, v *model.Router) string {
	mode := "dvr_snat"
	if !v.Distributed {
		mode = "dvr_snat or legacy"
	}
	why := fmt.Sprintf("router %s has no gateway host: there is no live L3 agent in mode %s that may have it", v.Name, mode)
	if p := w.Ports.Get(v.GatewayPort); p != nil {
		for s := range w.Segments.ByNetwork(p.NetworkID) {
			why += fmt.Sprintf(" and whose bridge_mappings name the physical network %s", s.Physnet)
		}
	}
	return why + "; it is placed when such a host registers, or by `openstack network agent add router --l3`"
}

// exhausted says that an external network has no IPv4 address left, or no subnet; "": it has one.
func exhausted(w *world.World, n *model.Network) string {
	subnets := 0
	for s := range w.Subnets.ByNetwork(n.ID) {
		if s.IPVersion() != 4 {
			continue
		}
		subnets++
		for _, p := range s.Pools {
			if free(w, s.ID, p) {
				return ""
			}
		}
	}
	if subnets == 0 {
		return "" // an external network may be for IPv6 alone, or not ready yet
	}
	return fmt.Sprintf("external network %s has no free IPv4 address: no router gets a gateway and no floating IP can be made there until one is given back; add a subnet or widen its allocation_pools", n.Name)
}

// free reports whether a range has an address that no port has.
func free(w *world.World, s model.SubnetID, p model.AddrRange) bool {
	want := p.First
	for used := range w.Ports.Addresses(s, p.First) {
		if used != want || p.Last.Less(want) {
			break
		}
		want = want.Next()
	}
	return want != netip.Addr{} && !p.Last.Less(want)
}
