package forward

import (
	"slices"

	"net/netip"

	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// view is a packet as one endpoint's security groups see it.
type view struct {
	h      *ipHeader
	egress bool
	// remote is the other side's address, local the endpoint's own; the receiver knows both as they are translated. dport is the destination port; for ICMP typ and code instead.
	local, remote netip.Addr
	sport, dport  uint16
	typ, code     uint8
	// ports: sport and dport, or typ and code, are known.
	ports bool
}

// look is the packet as an endpoint's egress or ingress rules see it; a later fragment borrows its first one's ports.
func (r *run) look(egress bool) (view, bool) {
	h := r.p.ip
	v := view{h: h, egress: egress, local: h.dst, remote: h.src, sport: h.sport, dport: h.dport, typ: h.icmpType, code: h.icmpCode, ports: h.upper}
	switch {
	case egress:
		v.local, v.remote = h.src, h.dst
	default:
		if r.nat.src.IsValid() {
			v.remote = r.nat.src
		}
		if r.nat.dst.IsValid() {
			v.local = r.nat.dst
		}
	}
	if h.later() {
		f, ok := r.res.Conns.fragment(r.fragKey())
		if !ok {
			return v, false
		}
		v.sport, v.dport, v.typ, v.code, v.ports = f.sport, f.dport, f.typ, f.code, f.ports
	}
	return v, true
}

// matches reports whether rule ru allows v, connections aside.
func (h *Host) matches(ru *hostplan.Rule, v view) bool {
	if ru.Egress != v.egress || ru.IPv6 != v.h.v6 {
		return false
	}
	proto := ru.Protocol
	if proto == protoICMP && ru.IPv6 {
		proto = protoICMPv6
	}
	if proto != hostplan.AnyProtocol && proto != int16(v.h.proto) {
		return false
	}
	if ru.Remote.IsValid() && !ru.Remote.Contains(v.remote) {
		return false
	}
	if !ru.RemoteSet.IsZero() {
		set, ok := h.sets[ru.RemoteSet]
		if !ok || !set.Contains(v.remote) {
			return false
		}
	}
	return portsMatch(ru, v)
}

func portsMatch(ru *hostplan.Rule, v view) bool {
	if ru.PortMin < 0 && ru.PortMax < 0 {
		return true
	}
	if !v.ports {
		return false
	}
	if v.h.proto == protoICMP || v.h.proto == protoICMPv6 {
		return (ru.PortMin < 0 || ru.PortMin == int32(v.typ)) && (ru.PortMax < 0 || ru.PortMax == int32(v.code))
	}
	return int32(v.dport) >= ru.PortMin && (ru.PortMax < 0 || int32(v.dport) <= ru.PortMax)
}

// rules are those that allow v, the lowest id first: that one is credited.
func (h *Host) rules(p *hostplan.Policy, v view) []model.UUID {
	var out []model.UUID
	for i := range p.Rules {
		if ru := &p.Rules[i]; h.matches(ru, v) {
			out = append(out, ru.ID)
		}
	}
	slices.SortFunc(out, model.UUID.Compare)
	return out
}

// alwaysAllowed is what no security group can forbid: without it an instance could not get an address.
func alwaysAllowed(v view) bool {
	h := v.h
	if h.v6 && h.proto == protoICMPv6 && v.ports {
		switch v.typ {
		case icmp6MLDQuery, icmp6MLDReport, icmp6MLDDone, icmp6NS, icmp6NA, icmp6MLDv2:
			return true
		case icmp6RS:
			return v.egress
		case icmp6RA:
			return !v.egress
		}
		return false
	}
	if h.proto != protoUDP || !v.ports {
		return false
	}
	client, server := uint16(dhcp4Client), uint16(dhcp4Server)
	if h.v6 {
		client, server = dhcp6Client, dhcp6Server
	}
	if v.egress {
		return v.sport == client && v.dport == server
	}
	return v.sport == server && v.dport == client
}

// unfiltered reports whether e's packets are not judged at all.
func unfiltered(e *hostplan.Endpoint) bool {
	return !e.PortSecurity || e.Policy != nil && e.Policy.AllowAll
}

func refusal(egress bool) reason.Reason {
	if egress {
		return reason.PolicyEgress
	}
	return reason.PolicyIngress
}

// mayFlood judges a broadcast or multicast of e, without a connection.
func (r *run) mayFlood(e *hostplan.Endpoint) bool {
	why, rules := r.stateless(e, true)
	if why != reason.None {
		r.drop(why, "policy", "port %s may not send it", e.Port)
		return false
	}
	r.credit(rules)
	return true
}

// mayHear judges a copy of a broadcast or multicast for e.
func (r *run) mayHear(e *hostplan.Endpoint) reason.Reason {
	why, _ := r.stateless(e, false)
	return why
}

// credit notes the rules that allow the frame, unless an endpoint before had any.
func (r *run) credit(rules []model.UUID) {
	if len(rules) > 0 && r.res.Rule.IsZero() {
		r.res.Rule, r.res.Others = rules[0], rules[1:]
	}
}

// stateless judges by rules alone.
func (r *run) stateless(e *hostplan.Endpoint, egress bool) (reason.Reason, []model.UUID) {
	if r.p.ip == nil || unfiltered(e) {
		return reason.None, nil
	}
	v, ok := r.look(egress)
	if !ok {
		return reason.FragmentOrphan, nil
	}
	if alwaysAllowed(v) {
		return reason.None, nil
	}
	if e.Policy == nil {
		return refusal(egress), nil
	}
	if rules := r.h.rules(e.Policy, v); len(rules) > 0 {
		return reason.None, rules
	}
	return refusal(egress), nil
}

// judge asks the egress policy of s and the ingress policy of d (nil: not on this host). It notes a refusal, and puts
// what both allowed into the connection table.
func (r *run) judge(s, d *hostplan.Endpoint) bool {
	if r.p.ip == nil {
		return true
	}
	for _, side := range []struct {
		e      *hostplan.Endpoint
		egress bool
	}{{s, true}, {d, false}} {
		if side.e == nil {
			continue
		}
		v := r.verdict(side.e, side.egress)
		if v.end != nil {
			r.res.Conns = r.res.Conns.without(*v.end, v.cut)
		}
		r.res.Lingers = r.res.Lingers || v.cut && v.end == nil
		if v.open != nil {
			r.res.Conns = r.res.Conns.with(v.open.key, v.open.conn)
		}
		if v.reason != reason.None {
			r.drop(v.reason, "policy", "port %s: %s", side.e.Port, Explain(v.reason).What)
			return false
		}
		r.credit(v.rules)
		r.note("policy", "port %s: %s", side.e.Port, v.text)
	}
	return true
}

// judgement is what one endpoint's policy says of a packet.
type judgement struct {
	reason reason.Reason
	rules  []model.UUID
	text   string
	open   *opening // a connection to make, or how it is now
	end    *connKey // a connection to remove
	cut    bool     // it is, or was, removed for the way that it leaves the cloud by
	// reopens: the packet is no part of the connection, which is gone.
	reopens bool
}

type opening struct {
	key  connKey
	conn conn
}

func (r *run) verdict(e *hostplan.Endpoint, egress bool) judgement {
	if unfiltered(e) {
		return judgement{text: "not filtered"}
	}
	v, ok := r.look(egress)
	if !ok {
		return judgement{reason: reason.FragmentOrphan}
	}
	switch {
	case alwaysAllowed(v):
		return judgement{text: "always allowed"}
	case e.Policy == nil:
		return judgement{reason: refusal(egress)}
	case e.Policy.Stateful:
		return r.stateful(e, v)
	}
	if rules := r.h.rules(e.Policy, v); len(rules) > 0 {
		return judgement{rules: rules, text: "allowed by rule " + rules[0].String()}
	}
	return judgement{reason: refusal(egress)}
}
