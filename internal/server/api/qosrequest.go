package api

import (
	"crypto/sha1"
	"strconv"
	"strings"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
)

// requestGroup is what a port needs of one provider of the placement service.
type requestGroup struct {
	rules  []*model.QoSRule
	traits []string
}

// appendResourceRequest shows what the minimum rules of a port's policy, or of its network's, ask of the placement
// service (extension port-resource-request-groups); null if nothing.
func appendResourceRequest(b []byte, p *model.Port, x *View) []byte {
	groups := requestGroups(p, x)
	if len(groups) == 0 {
		return append(b, "null"...)
	}
	b = appendList(append(b, `{"request_groups": `...), groups, func(b []byte, g requestGroup) []byte {
		b = appendUUID(append(b, `{"id": `...), g.id(p))
		b = appendStrings(append(b, `, "required": `...), g.traits)
		b = append(b, `, "resources": {`...)
		for i, q := range g.rules {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = strconv.AppendInt(append(appendString(b, resourceClass(q)), ": "...), q.Rate, 10)
		}
		return append(b, "}}"...)
	})
	b = appendList(append(b, `, "same_subtree": `...), groups, func(b []byte, g requestGroup) []byte { return appendUUID(b, g.id(p)) })
	return append(b, '}')
}

// requestGroups are the guarantees of bandwidth, which is had on a physical network, and of packet rates.
func requestGroups(p *model.Port, x *View) []requestGroup {
	policy := p.QoSPolicy
	if n := x.W.Networks.Get(p.NetworkID); policy.IsZero() && n != nil && !strings.HasPrefix(p.DeviceOwner, model.OwnerNetworkPrefix) {
		policy = n.QoSPolicy
	}
	if policy.IsZero() {
		return nil
	}
	bandwidth, packets := requestGroup{}, requestGroup{}
	for _, q := range rules.QoSRulesOf(x.W, policy) {
		switch q.Type {
		case model.QoSMinimumBandwidth:
			bandwidth.rules = append(bandwidth.rules, q)
		case model.QoSMinimumPacketRate:
			packets.rules = append(packets.rules, q)
		}
	}
	var out []requestGroup
	vnic := trait("VNIC_TYPE_" + p.VNICType)
	segments := rules.NetworkSegments(x.W, p.NetworkID)
	if bandwidth.rules != nil && len(segments) > 0 && segments[0].Physnet != "" {
		bandwidth.traits = []string{trait("PHYSNET_" + segments[0].Physnet), vnic}
		out = append(out, bandwidth)
	}
	if packets.rules != nil {
		packets.traits = []string{vnic}
		out = append(out, packets)
	}
	return out
}

// id is made of port and rules (RFC 4122, section 4.3, version 5), so that it stays the same.
func (g *requestGroup) id(p *model.Port) model.UUID {
	h := sha1.New()
	h.Write(p.ID.UUID[:])
	for i, q := range g.rules {
		if i > 0 {
			h.Write([]byte{':'})
		}
		h.Write([]byte(q.ID.String()))
	}
	u := model.UUID(h.Sum(nil)[:16])
	u[6], u[8] = u[6]&0x0f|0x50, u[8]&0x3f|0x80
	return u
}

// trait is a name as the placement service wants it.
func trait(name string) string {
	return "CUSTOM_" + strings.Map(func(c rune) rune {
		if c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			return c
		}
		return '_'
	}, strings.ToUpper(name))
}

func resourceClass(q *model.QoSRule) string {
	unit := "NET_BW_"
	rest := "KILOBIT_PER_SEC"
	if q.Type == model.QoSMinimumPacketRate {
		unit, rest = "NET_PACKET_RATE_", "KILOPACKET_PER_SEC"
	}
	switch q.Direction {
	case model.Egress:
		return unit + "EGR_" + rest
	case model.Ingress:
		return unit + "IGR_" + rest
	}
	return unit + rest
}
