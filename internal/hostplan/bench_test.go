package hostplan

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/weft-cloud/weft/internal/model"
)

// crowd is the reference situation with that many further ports on red, at the other hosts.
func crowd(n int) *world {
	w := reference()
	w.Subnets[subID(1)].CIDR = netip.MustParsePrefix("172.16.0.0/12")
	for i := range n {
		p := instance(0, 1, 1, fmt.Sprintf("h%d", 1+i%2), "172.16.42.4")
		p.ID = model.PortID{UUID: model.UUID{'q', byte(i >> 16), byte(i >> 8), byte(i)}}
		p.MAC = model.MAC{2, 0, 0, byte(i >> 16), byte(i >> 8), byte(i)}
		p.FixedIPs[0].Address = netip.AddrFrom4([4]byte{172, 17 + byte(i>>16), byte(i >> 8), byte(i)})
		w.Ports[p.ID] = p
	}
	return w
}

func BenchmarkFull(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		w := crowd(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				w.compile()
			}
		})
	}
}

// BenchmarkPort is one port that comes and one that goes, each with a State.
func BenchmarkPort(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		w := crowd(n)
		for _, h := range w.Hosts {
			w.c.PutHost(h)
		}
		for _, v := range w.Networks {
			w.c.PutNetwork(v)
		}
		for _, v := range w.Subnets {
			w.c.PutSubnet(v)
		}
		for _, v := range w.Ports {
			w.c.PutPort(v)
		}
		for _, v := range w.Routers {
			w.c.PutRouter(v)
		}
		w.c.State(model.Position{})
		p := instance(9, 1, 1, "h1", "172.16.42.77")
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				w.c.PutPort(p)
				w.c.State(model.Position{})
				w.c.DeletePort(p.ID)
				w.c.State(model.Position{})
			}
		})
	}
}
