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
	e := st.Endpoints[p.Port]
	if e == nil {
		return 0, ErrRoute
	}
	mac := model.MAC(p.Frame[:6])
	r := find(st, e.Network, func(i hostplan.Interface) bool { return i.MAC == mac })
	dst := netip.AddrFrom4([4]byte(ip[16:20]))
	for range maxRouters {
		if r == nil {
			break
		}
		route, out := lookup(r, dst)
		if out == nil {
			break
		}
		hop := dst
		if route.Via.IsValid() {
			hop = route.Via
		}
		next := find(st, out.Network, func(i hostplan.Interface) bool { return i.Port != out.Port && has(i, hop) })
		if next == nil || next == r {
			return int(max(out.MTU, 68)), nil
		}
		r = next
	}
	return 0, ErrRoute
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
