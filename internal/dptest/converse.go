package dptest

import (
	"encoding/binary"

	"github.com/weft-cloud/weft/internal/forward"
	"github.com/weft-cloud/weft/internal/model"
)

// delivery is a frame that reached a port, which may answer it.
type delivery struct {
	host  string
	in    forward.Input // where the answer enters
	frame []byte
}

// answer draws what the receiver of a frame might send back: a reply of the same connection, an ICMP error about it, or a
// packet of its own on the same tuple. false: the frame is nothing that is answered.
func (g *Traffic) answer(d delivery) (Stimulus, bool) {
	x, ok := turned(d.frame)
	if !ok || d.in.Port.IsZero() && d.in.Physnet == "" {
		return Stimulus{}, false
	}
	if g.count("error instead of a reply", 0, 3) == 0 {
		x = g.complaint(x, d.frame)
	}
	dst := model.MAC(d.frame[6:12])
	return Stimulus{Host: d.host, In: d.in, Frame: x.Frame(dst, model.MAC(d.frame[:6]))}, true
}

// turned is the reply to an IP packet without options: addresses and ports swapped, a SYN answered with SYN and ACK, an echo
// request with a reply.
func turned(frame []byte) (IP, bool) {
	if len(frame) < 54 {
		return IP{}, false
	}
	var x IP
	switch binary.BigEndian.Uint16(frame[12:]) {
	case 0x0800:
		if frame[14] != 0x45 || frame[20]&0x3f != 0 || frame[21] != 0 {
			return IP{}, false
		}
		x = IP{Src: addrFrom(frame[30:34]), Dst: addrFrom(frame[26:30]), Proto: frame[23], Payload: bytesFrom(frame[34:])}
	case 0x86dd:
		x = IP{Src: addrFrom(frame[38:54]), Dst: addrFrom(frame[22:38]), Proto: frame[20], Payload: bytesFrom(frame[54:])}
	default:
		return IP{}, false
	}
	p := x.Payload
	switch {
	case x.Proto == 17 && len(p) >= 8, x.Proto == 132 && len(p) >= 12:
		p[0], p[1], p[2], p[3] = p[2], p[3], p[0], p[1]
	case x.Proto == 6 && len(p) >= 20:
		p[0], p[1], p[2], p[3] = p[2], p[3], p[0], p[1]
		if p[13]&SYN != 0 {
			p[13] |= ACK
		} else {
			p[13] = ACK
		}
	case x.Proto == 1 && len(p) >= 8 && p[0] == 8:
		p[0] = 0
	case x.Proto == 58 && len(p) >= 8 && p[0] == 128:
		p[0] = 129
	}
	return x, true
}

// complaint is an ICMP error from the receiver about the frame, quoting as much of it as it likes.
func (g *Traffic) complaint(x IP, frame []byte) IP {
	quote := bytesFrom(frame[14:])
	if g.rarely("a quote of something else") {
		quote[g.count("at", 0, min(len(quote)-1, 47))] ^= 1
	}
	quote = quote[:g.count("quoted", min(20, len(quote)), min(len(quote), 600))]
	if x.Src.Is4() {
		return x.ICMP(pickOne(&g.drawer, "ICMP error", []uint8{3, 11, 4, 12, 5}), uint8(g.count("code", 0, 4)), 0, quote)
	}
	return x.ICMP(pickOne(&g.drawer, "ICMPv6 error", []uint8{1, 2, 3, 4, 5}), uint8(g.count("code", 0, 4)), 1280, quote)
}

func bytesFrom(b []byte) []byte { return append([]byte(nil), b...) }

// change draws something that an operator or a tenant does to the cloud, and does it. sets: an address may have joined a set.
func (g *drawer) change() (sets bool) {
	if len(g.c.Ports) == 0 {
		return false
	}
	if g.limits.Outside && g.coin("change outside") {
		g.changeOutside()
		return false
	}
	p := &g.c.Ports[g.count("changed port", 0, len(g.c.Ports)-1)]
	switch g.count("change", 0, 15) {
	case 0:
		p.Down = !p.Down && g.coin("down")
	case 1:
		p.Open = !p.Open && g.coin("open")
	case 2: // migrates
		p.Host = pickOne(g, "new host", g.c.Hosts).Name
	case 3:
		if g.coin("unbind") {
			p.Host = ""
		}
	case 4:
		if len(g.c.Routers) > 0 {
			r := &g.c.Routers[g.count("changed router", 0, len(g.c.Routers)-1)]
			r.Down = !r.Down && g.coin("router down")
		}
	case 5:
		if len(g.c.Routers) > 0 {
			r := &g.c.Routers[g.count("rerouted router", 0, len(g.c.Routers)-1)]
			r.Routes = nil
			g.routes(r)
		}
	case 6:
		n := &g.c.Networks[g.count("changed network", 0, len(g.c.Networks)-1)]
		n.MTU = pickOne(g, "new MTU", []uint32{1450, 1400, 1500, 1280})
		g.c.Hosts[g.count("host of a changed path", 0, len(g.c.Hosts)-1)].PathMTU = g.narrow()
	case 7:
		g.c.Sets = nil
		if g.limits.Policies {
			g.sets()
		}
		return true
	default:
		if g.limits.Policies {
			g.changePolicy(p)
		}
	}
	return false
}

// changePolicy gives a port other groups, or takes a rule away.
func (g *drawer) changePolicy(p *Port) {
	if p.Policy == nil || len(p.Policy.Rules) == 0 || g.coin("other groups") {
		p.Policy, p.NoGroups = g.policy()
		return
	}
	q := *p.Policy
	i := g.count("removed rule", 0, len(q.Rules)-1)
	q.Rules = append(append(q.Rules[:0:0], q.Rules[:i]...), q.Rules[i+1:]...)
	p.Policy = &q
}
