// Package service carries the packets between instances and what the host itself serves over TCP and UDP: DNS and metadata
// (docs/pipeline.md, section 15).
//
// A Gate translates without any state of connections: each (port, instance's address, address called) has a synthetic
// source address of its own, inside a network namespace that nobody else can reach. That address is how a server knows who
// asks; no byte of the payload is looked at. The package knows nothing of DNS and HTTP and decides nothing about who may
// ask: the data plane has checked the sender before, or internal/agent/outside has.
package service

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"sync"

	"github.com/weft-cloud/weft/internal/agent/frame"
	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// The service's own addresses inside the namespace, and where synthetic addresses are from.
var (
	addr4  = netip.MustParseAddr("169.254.169.254")       //nolint:gochecknoglobals // a constant
	addr6  = netip.MustParseAddr("fd77:6566:7400:1::1")   //nolint:gochecknoglobals // a constant
	range4 = netip.MustParsePrefix("100.64.0.0/10")       //nolint:gochecknoglobals // a constant
	range6 = netip.MustParsePrefix("fd77:6566:7400::/64") //nolint:gochecknoglobals // a constant
)

// perPort is how many pairs of addresses one port may use at a time; a further one takes the oldest one's place.
const perPort = 64

type key struct {
	port           model.PortID
	instance, call netip.Addr
}

// way is one synthetic address and what it stands for.
type way struct {
	key
	synthetic netip.Addr
	// instMAC and callMAC are those of the last packet.
	instMAC, callMAC model.MAC
}

// Gate implements agent.Responder for dataplane.PuntDNS and PuntMetadata, of instances and of machines on a wire.
type Gate struct {
	d Deps

	mu    sync.Mutex // guards what follows
	ways  map[netip.Addr]*way
	byKey map[key]*way
	ports map[model.PortID][]*way // oldest first
	next  uint32
}

// Deps of New. Tun is the namespace's device; Inject gives a port a frame, and does not wait.
type Deps struct {
	Tun    io.ReadWriteCloser
	Inject func(model.PortID, []byte) error
	Log    *slog.Logger
}

// New returns a gate; nothing comes back before Run.
func New(d Deps) *Gate {
	return &Gate{d: d, ways: map[netip.Addr]*way{}, byKey: map[key]*way{}, ports: map[model.PortID][]*way{}}
}

// Handle sends one packet of an instance into the namespace. There are no replies: they come by Run.
func (g *Gate) Handle(p dataplane.Punt, st *hostplan.State) [][]byte {
	if st.Served(p.Port) == nil {
		return nil
	}
	pkt, err := frame.ParseIP(p.Frame)
	if err != nil || !pkt.Src.IsValid() || pkt.Src.IsUnspecified() || pkt.Src.IsMulticast() {
		return nil
	}
	w := g.way(key{p.Port, pkt.Src, pkt.Dst}, pkt.SrcMAC, pkt.DstMAC)
	pkt.Src = w
	pkt.Dst = addr6
	if w.Is4() {
		pkt.Dst = addr4
	}
	pkt.Hops = 64
	if !pkt.Checksum() {
		return nil
	}
	if _, err := g.d.Tun.Write(pkt.AppendPacket(nil)); err != nil {
		g.d.Log.Debug("packet to a service lost", "port", p.Port, "error", err)
	}
	return nil
}

// way finds or makes the synthetic address of k.
func (g *Gate) way(k key, instMAC, callMAC model.MAC) netip.Addr {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := g.byKey[k]
	if w == nil {
		if mine := g.ports[k.port]; len(mine) >= perPort {
			g.drop(mine[0])
			g.ports[k.port] = mine[1:]
		}
		w = &way{key: k, synthetic: g.free(k.instance.Is4())}
		g.ways[w.synthetic], g.byKey[k] = w, w
		g.ports[k.port] = append(g.ports[k.port], w)
	}
	w.instMAC, w.callMAC = instMAC, callMAC
	return w.synthetic
}

// free hands out addresses in turn, so that one is not used again before four million others have been.
func (g *Gate) free(v4 bool) netip.Addr {
	for {
		g.next++
		var a netip.Addr
		if v4 {
			b := range4.Addr().As4()
			a = netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, binary.BigEndian.Uint32(b[:])|g.next&(1<<22-1))))
		} else {
			b := range6.Addr().As16()
			binary.BigEndian.PutUint32(b[12:], g.next)
			a = netip.AddrFrom16(b)
		}
		if g.ways[a] == nil {
			return a
		}
	}
}

// drop forgets a way but for its place in ports. The caller holds mu.
func (g *Gate) drop(w *way) {
	delete(g.ways, w.synthetic)
	delete(g.byKey, w.key)
}

// Keep forgets every port for which here says no: what is still on its way to it is dropped.
func (g *Gate) Keep(here func(model.PortID) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, list := range g.ports {
		if here(id) {
			continue
		}
		for _, w := range list {
			g.drop(w)
		}
		delete(g.ports, id)
	}
}

// Attribute tells which port, and which of its addresses, a synthetic address stands for.
func (g *Gate) Attribute(a netip.Addr) (model.PortID, netip.Addr, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := g.ways[a]
	if w == nil {
		return model.PortID{}, netip.Addr{}, false
	}
	return w.port, w.instance, true
}

// Run carries answers back until ctx ends; it closes the device.
func (g *Gate) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { g.d.Tun.Close() })
	defer stop()
	buf := make([]byte, 65536)
	for {
		n, err := g.d.Tun.Read(buf)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, os.ErrClosed) || errors.Is(err, io.EOF) {
			return fmt.Errorf("service device: %w", err)
		} else if err != nil {
			g.d.Log.Warn("read from the service device", "error", err)
			continue
		}
		g.back(slices.Clone(buf[:n]))
	}
}

// back sends one packet out of the namespace to the instance that its destination stands for.
func (g *Gate) back(b []byte) {
	pkt, err := frame.ParsePacket(b)
	if err != nil {
		return // the namespace's own neighbour discovery and the like
	}
	g.mu.Lock()
	w := g.ways[pkt.Dst]
	var out way
	if w != nil {
		out = *w
	}
	g.mu.Unlock()
	if w == nil {
		return
	}
	pkt.Src, pkt.Dst, pkt.SrcMAC, pkt.DstMAC, pkt.Hops = out.call, out.instance, out.callMAC, out.instMAC, 64
	if !pkt.Checksum() {
		return
	}
	if err := g.d.Inject(out.port, pkt.Bytes()); err != nil {
		g.d.Log.Debug("answer of a service not delivered", "port", out.port, "error", err)
	}
}
