package forward

import (
	"maps"
	"net/netip"

	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// Conns is the state of connections, fragments and neighbours outside on one host. It is a value: nothing that is passed a Conns writes it,
// and nil is the empty one. There is no clock here: an entry lives until Keep or Expire removes it, or it leaves the cloud in another way.
type Conns struct {
	conns map[connKey]conn
	frags map[fragKey]fragPorts
	// cut are the connections that ended since they would leave the cloud in another way now.
	cut map[connKey]bool
	// outer is who has which address outside.
	outer map[netAddr]model.MAC
}

// connKey is a connection as one endpoint sees it. For ICMP both ports are the query's identifier.
type connKey struct {
	port          model.PortID
	local, remote netip.Addr
	lport, rport  uint16
	proto         uint8
}

// conn is a connection's state.
type conn struct {
	egress    bool // the endpoint opened it
	replied   bool
	typ, code uint8 // of the ICMP query that opened it
	nat       natUse
}

type fragKey struct {
	from     Input // without Conns; from a tunnel only the VNI
	src, dst netip.Addr
	id       uint32
	proto    uint8
}

type fragPorts struct {
	sport, dport uint16
	typ, code    uint8
	ports        bool
}

// Len is the number of connections.
func (c *Conns) Len() int {
	if c == nil {
		return 0
	}
	return len(c.conns)
}

// Expire is the table without connections and fragments: what a long time makes of it. Who is outside stays known.
func (c *Conns) Expire() *Conns {
	n := c.clone()
	clear(n.conns)
	clear(n.frags)
	clear(n.cut)
	return n
}

// Settle is the table after a second: no plane remembers a decision of a connection any more that is not there.
func (c *Conns) Settle() *Conns {
	n := c.clone()
	clear(n.cut)
	return n
}

// Keep is the table without what belongs to endpoints that h does not have: a port that leaves a host loses its
// connections there.
func (c *Conns) Keep(h *Host) *Conns {
	if c == nil {
		return nil
	}
	n := c.clone()
	maps.DeleteFunc(n.conns, func(k connKey, _ conn) bool { return h.endpoints[k.port] == nil })
	maps.DeleteFunc(n.frags, func(k fragKey, _ fragPorts) bool {
		return !k.from.Port.IsZero() && h.endpoints[k.from.Port] == nil
	})
	maps.DeleteFunc(n.outer, func(k netAddr, _ model.MAC) bool { return h.networks[k.net] == nil })
	return n
}

func (c *Conns) clone() *Conns {
	if c == nil {
		return &Conns{conns: map[connKey]conn{}, frags: map[fragKey]fragPorts{}, cut: map[connKey]bool{}, outer: map[netAddr]model.MAC{}}
	}
	return &Conns{conns: maps.Clone(c.conns), frags: maps.Clone(c.frags), cut: maps.Clone(c.cut), outer: maps.Clone(c.outer)}
}

// Learn is the table with the MAC that has an address on an external network.
func (c *Conns) Learn(external model.NetworkID, addr netip.Addr, mac model.MAC) *Conns {
	n := c.clone()
	n.outer[netAddr{external, addr}] = mac
	return n
}

func (c *Conns) outside(at netAddr) (model.MAC, bool) {
	if c == nil {
		return model.MAC{}, false
	}
	m, ok := c.outer[at]
	return m, ok
}

func (c *Conns) with(k connKey, v conn) *Conns {
	if old, ok := c.get(k); ok && old == v {
		return c
	}
	n := c.clone()
	n.conns[k] = v
	delete(n.cut, k)
	return n
}

func (c *Conns) without(k connKey, cut bool) *Conns {
	n := c.clone()
	delete(n.conns, k)
	if cut {
		n.cut[k] = true
	}
	return n
}

func (c *Conns) wasCut(k connKey) bool { return c != nil && c.cut[k] }

func (c *Conns) get(k connKey) (conn, bool) {
	if c == nil {
		return conn{}, false
	}
	v, ok := c.conns[k]
	return v, ok
}

func (c *Conns) fragment(k fragKey) (fragPorts, bool) {
	if c == nil {
		return fragPorts{}, false
	}
	f, ok := c.frags[k]
	return f, ok
}

func (r *run) fragKey() fragKey {
	h := r.p.ip
	k := fragKey{from: Input{Port: r.in.Port, Physnet: r.in.Physnet, VLAN: r.in.VLAN}, src: h.src, dst: h.dst, id: h.id, proto: h.proto}
	if r.in.Tunnel() {
		k.from.VNI = r.in.VNI
	}
	return k
}

// keepFragment notes the ports of a first fragment for those that follow it.
func (r *run) keepFragment() {
	h := r.p.ip
	if h == nil || r.bad != reason.None || !h.frag || h.later() {
		return
	}
	f := fragPorts{sport: h.sport, dport: h.dport, typ: h.icmpType, code: h.icmpCode, ports: h.upper}
	k := r.fragKey()
	if old, ok := r.res.Conns.fragment(k); ok && old == f {
		return
	}
	n := r.res.Conns.clone()
	n.frags[k] = f
	r.res.Conns = n
}

// stateful judges a packet by e's connections and, if it belongs to none, by the rules.
func (r *run) stateful(e *hostplan.Endpoint, v view) judgement {
	if related, ok := r.related(e, v); ok {
		return related
	}
	k, tracked := connKeyOf(e, r.p.ip, v)
	if tracked {
		if c, ok := r.res.Conns.get(k); ok {
			if j := r.known(e, v, k, c); !j.reopens {
				return j
			}
		}
		if !opens(v) {
			return judgement{reason: reason.InvalidState, cut: r.res.Conns.wasCut(k)}
		}
	}
	cut := tracked && r.res.Conns.wasCut(k)
	rules := r.h.rules(e.Policy, v)
	if len(rules) == 0 {
		return judgement{reason: refusal(v.egress), cut: cut}
	}
	j := judgement{rules: rules, cut: cut, text: "allowed by rule " + rules[0].String()}
	if tracked {
		j.open = &opening{k, conn{egress: v.egress, typ: v.typ, code: v.code, nat: r.use(v.egress)}}
		j.text = "a new connection, " + j.text
	}
	return j
}

// known judges a packet of a connection: the rules must still allow what opened it. If none does, the connection is refused in both directions
// for as long as it lives, but for a SYN of the other end, which opens another one in its place. One that would leave the cloud in another way
// than before is over.
func (r *run) known(e *hostplan.Endpoint, v view, k connKey, c conn) judgement {
	rules := r.h.rules(e.Policy, v.opening(c))
	if len(rules) == 0 {
		if v.egress != c.egress && v.h.proto == protoTCP && !v.h.later() && v.h.tcpFlags&(tcpFIN|tcpSYN|tcpRST|tcpACK) == tcpSYN {
			r.res.Conns = r.res.Conns.without(k, false)
			return judgement{reopens: true}
		}
		return judgement{reason: refusal(c.egress)}
	}
	use := r.use(v.egress)
	if c.nat.kind != natUnknown && use.kind != natUnknown && c.nat != use {
		return judgement{reason: reason.InvalidState, end: &k, cut: true}
	}
	if c.nat.kind == natUnknown {
		c.nat = use
	}
	c.replied = c.replied || c.egress != v.egress
	return judgement{rules: rules, text: "a known connection, allowed by rule " + rules[0].String(), open: &opening{k, c}}
}

// opening is a packet of the connection c as it was when it opened that: rules must go on allowing this.
func (v view) opening(c conn) view {
	if c.egress != v.egress {
		v.sport, v.dport = v.dport, v.sport
	}
	v.egress = c.egress
	if tracksICMP(v.h) {
		v.typ, v.code = c.typ, c.code
	}
	return v
}

// connKeyOf is the connection that a packet of or to e belongs to; false: it is of a kind that is not tracked.
func connKeyOf(e *hostplan.Endpoint, h *ipHeader, v view) (connKey, bool) {
	k := connKey{port: e.Port, local: v.local, remote: v.remote, lport: v.dport, rport: v.sport, proto: h.proto}
	if v.egress {
		k.lport, k.rport = v.sport, v.dport
	}
	if !tracksICMP(h) {
		return k, true
	}
	if !query(h, v.typ) && !answers(h, v.typ) {
		return k, false
	}
	k.lport, k.rport = v.sport, v.sport
	return k, true
}

// tracksICMP reports whether the packet is ICMP of its family: its connections go by identifier.
func tracksICMP(h *ipHeader) bool {
	return !h.v6 && h.proto == protoICMP || h.v6 && h.proto == protoICMPv6
}

// query and answers are the ICMP types that ask and answer (RFC 792, RFC 950; RFC 4443).
func query(h *ipHeader, t uint8) bool {
	if h.v6 {
		return t == icmp6Echo
	}
	return t == icmp4Echo || t == 13 || t == 15 || t == 17
}

func answers(h *ipHeader, t uint8) bool {
	if h.v6 {
		return t == icmp6EchoReply
	}
	return t == icmp4EchoReply || t == 14 || t == 16 || t == 18
}

// TCP flags.
const (
	tcpFIN = 1
	tcpSYN = 2
	tcpRST = 4
	tcpACK = 16
)

// opens reports whether a packet may open a connection.
func opens(v view) bool {
	h := v.h
	switch {
	case h.later():
		return true
	case tracksICMP(h):
		return query(h, v.typ)
	case h.proto == protoTCP:
		f := h.tcpFlags & (tcpFIN | tcpSYN | tcpRST | tcpACK)
		return f == tcpSYN || f == tcpACK
	}
	return true
}

// related judges ICMP errors that quote a packet of one of e's connections, in the opposite direction.
func (r *run) related(e *hostplan.Endpoint, v view) (judgement, bool) {
	h := v.h
	if !tracksICMP(h) || !h.upper || !relatedType(h, v.typ) {
		return judgement{}, false
	}
	quote, ok := parseQuote(r.p.payload()[icmpLen:], h.v6)
	if !ok {
		return judgement{}, false
	}
	qv := view{h: quote, egress: !v.egress, sport: quote.sport, dport: quote.dport, typ: quote.icmpType, ports: quote.upper}
	qv.local, qv.remote = quote.dst, quote.src
	if qv.egress { // the error comes in, and what it quotes is translated as it is
		qv.local, qv.remote = quote.src, quote.dst
		if r.nat.dst.IsValid() && qv.local == h.dst {
			qv.local = r.nat.dst
		}
		if r.nat.src.IsValid() && qv.remote == h.src {
			qv.remote = r.nat.src
		}
	}
	k, tracked := connKeyOf(e, quote, qv)
	if !tracked {
		return judgement{}, false
	}
	c, ok := r.res.Conns.get(k)
	if !ok || len(r.h.rules(e.Policy, qv.opening(c))) == 0 {
		return judgement{}, false
	}
	return judgement{text: "related to a known connection"}, true
}

func relatedType(h *ipHeader, t uint8) bool {
	if h.v6 {
		return t >= icmp6Unreachable && t <= icmp6Parameter
	}
	return t == icmp4Unreachable || t == icmp4Quench || t == icmp4Exceeded || t == icmp4Parameter
}

// parseQuote reads the packet inside an ICMP error, which may be cut after the first 8 bytes of its upper layer.
func parseQuote(b []byte, v6 bool) (*ipHeader, bool) {
	h := &ipHeader{v6: v6}
	switch {
	case v6:
		if len(b) < ipv6Len || b[0]>>4 != 6 {
			return nil, false
		}
		h.src, h.dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		h.proto, h.l4 = b[6], ipv6Len
	default:
		if len(b) < ipv4Len || b[0]>>4 != 4 || int(b[0]&15)*4 < ipv4Len {
			return nil, false
		}
		h.src, h.dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		h.proto, h.l4 = b[9], int(b[0]&15)*4
		if be16(b[6:])&0x1fff != 0 {
			return nil, false
		}
	}
	if len(b) < h.l4+8 {
		return nil, false
	}
	readPorts(h, b[h.l4:])
	return h, true
}
