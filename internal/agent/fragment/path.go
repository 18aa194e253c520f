package fragment

import (
	"errors"
	"net/netip"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// maxRouters is how many routers in a row a host routes for.
const maxRouters = 4

// ErrRoute: the packet's way is not the one by which it was punted, most likely because that has just changed.
var ErrRoute = errors.New("no router leads it anywhere any more")

// pathMTU is the MTU of the network behind the routers that the packet goes through, at least what IPv4 guarantees.
func pathMTU(p dataplane.Punt, st *hostplan.State) (int, error) {
	ip, _, err := parse(p.Frame)
	if err != nil {
		return 0, err
	}
	src, dst := netip.AddrFrom4([4]byte(ip[12:16])), netip.AddrFrom4([4]byte(ip[16:20]))
	e := st.Endpoints[p.Port]
	if e == nil {
		return inward(st, p.External, dst)
	}
	mac := model.MAC(p.Frame[:6])
	r := find(st, e.Network, func(i hostplan.Interface) bool { return i.MAC == mac })
	for range maxRouters {
		if r == nil {
			break
		}
		route, out := lookup(r, dst)
		if g := r.Gateway; g != nil && route.Interface == g.Port {
			return outward(st, r, e, src, dst)
		}
		if out == nil {
			break
		}
		hop := dst
		if route.Via.IsValid() {
			hop = route.Via
		}
		next := find(st, out.Network, func(i hostplan.Interface) bool { return i.Port != out.Port && has(i, hop) })
		if next == nil || next == r {
			return int(max(narrowest(st, out.MTU), 68)), nil
		}
		r = next
	}
	return 0, ErrRoute
}

// inward is the MTU behind a floating IP of this host.
func inward(st *hostplan.State, external model.NetworkID, addr netip.Addr) (int, error) {
	for _, f := range st.FloatingIPs {
		if e := st.Endpoints[f.Port]; f.External == external && f.Address == addr && !f.Central && e != nil {
			return int(max(e.MTU, 68)), nil
		}
	}
	return 0, ErrRoute
}

// outward is the MTU that the sender's packet meets on its way out of the cloud: by its floating IP on the external network, and behind
// another floating IP of this host; else on its own network, by which the router's central part is reached.
func outward(st *hostplan.State, r *hostplan.Router, e *hostplan.Endpoint, src, dst netip.Addr) (int, error) {
	for _, f := range st.FloatingIPs {
		x := st.Externals[f.External]
		if f.Port != e.Port || f.Fixed != src || f.Router != r.ID || f.Central || x == nil {
			continue
		}
		mtu := int(x.MTU)
		if mtu == 0 {
			mtu = 1500
		}
		if there, err := inward(st, f.External, dst); err == nil {
			mtu = min(mtu, there)
		}
		return max(mtu, 68), nil
	}
	return int(max(narrowest(st, e.MTU), 68)), nil
}

// narrowest is what every peer's tunnel carries of a network's MTU: pieces may be smaller than they need, but never too big.
func narrowest(st *hostplan.State, mtu uint32) uint32 {
	for _, p := range st.Peers {
		if p.MTU > 0 {
			mtu = min(mtu, p.MTU)
		}
	}
	return mtu
}

// find is the router with such an interface on the network.
func find(st *hostplan.State, n model.NetworkID, is func(hostplan.Interface) bool) *hostplan.Router {
	for _, r := range st.Routers {
		for _, i := range r.Interfaces {
			if i.Network == n && is(i) {
				return r
			}
		}
	}
	return nil
}

func has(i hostplan.Interface, a netip.Addr) bool {
	for _, p := range i.Addresses {
		if p.Addr() == a {
			return true
		}
	}
	return false
}

// lookup is the longest matching route and the interface that it leads out of; nil: none.
func lookup(r *hostplan.Router, dst netip.Addr) (best hostplan.Route, out *hostplan.Interface) {
	bits := -1
	for _, route := range r.Routes {
		if route.Dst.Contains(dst) && route.Dst.Bits() > bits {
			best, bits = route, route.Dst.Bits()
		}
	}
	if bits < 0 || best.Blackhole {
		return best, nil
	}
	for i := range r.Interfaces {
		if r.Interfaces[i].Port == best.Interface {
			return best, &r.Interfaces[i]
		}
	}
	return best, nil
}
