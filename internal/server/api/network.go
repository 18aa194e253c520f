package api

import (
	"slices"
	"strconv"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

type networks = Resource[model.Network, rules.NetworkExtra]

func networkResource(ru *rules.Rules) *networks {
	r := &networks{
		name: "network", plural: "networks", word: "Network", quota: model.KindNetwork, tagged: true,
		source: table(func(w *world.World) *world.Table[model.NetworkID, model.Network] { return &w.Networks.Table }),
		id:     func(n *model.Network) model.UUID { return n.ID.UUID },
		meta:   func(n *model.Network) *model.Meta { return &n.Meta },
		project: func(n *model.Network) string {
			return n.ProjectID
		},
		setProject: func(n *model.Network, p string) { n.ProjectID = p },
		create:     ru.CreateNetwork,
		update: func(tx *world.Tx, by *rules.Actor, c Change[model.Network, rules.NetworkExtra]) error {
			return ru.UpdateNetwork(tx, by, c.Old, c.New, c.X)
		},
		remove:   ru.DeleteNetwork,
		shared:   networkShared,
		external: func(n *model.Network, x *View) bool { return rules.ExternalFor(x.W, n.ID, x.By.Project) },
		indexes: []index[model.Network]{
			{"name", func(w *world.World, v string) rows[model.Network] { return w.Networks.ByName(v) }},
			{"project_id", func(w *world.World, v string) rows[model.Network] { return w.Networks.ByProject(v) }},
			{"tenant_id", func(w *world.World, v string) rows[model.Network] { return w.Networks.ByProject(v) }},
		},
	}
	r.extra = rules.NewNetworkExtra
	r.identified()
	r.text("name", func(n *model.Network) *string { return &n.Name }).rw()
	r.owned()
	r.flag("admin_state_up", func(n *model.Network) *bool { return &n.AdminStateUp }).rw().
		initially(func(n *model.Network, _ *rules.NetworkExtra) { n.AdminStateUp = true })
	networkStatus(r)
	networkMTU(r)
	r.flag("router:external", func(n *model.Network) *bool { return &n.External }).rw().guard()
	r.flag("is_default", func(n *model.Network) *bool { return &n.IsDefault }).rw().guard().
		when(func(n *model.Network, x *View) bool { return n.External || x.Created })
	r.flag("port_security_enabled", func(n *model.Network) *bool { return &n.PortSecurity }).rw().guardAny().
		initially(func(n *model.Network, _ *rules.NetworkExtra) { n.PortSecurity = true })
	lowered(r.text("dns_domain", func(n *model.Network) *string { return &n.DNSDomain }).rw(), domainFault)
	r.uuid("qos_policy_id", func(n *model.Network) *model.UUID { return &n.QoSPolicy.UUID }).rw().guardAny().check(checkQoSPolicyID)
	networkTransparency(r, ru)
	sharedAttr(r)
	networkProvider(r)
	networkDerived(r)
	r.standard()
	return r
}

func networkStatus(r *networks) {
	r.derived("status", func(b []byte, _ *model.Network, _ *View) []byte { return append(b, `"ACTIVE"`...) }).
		filterBy(func(_ *View, values []string) (func(*model.Network) bool, error) {
			has := slices.Contains(values, model.StatusActive)
			return func(*model.Network) bool { return has }, nil
		}).sortBy(func(_, _ *model.Network) int { return 0 })
}

func networkMTU(r *networks) {
	mtu := r.number("mtu", func(n *model.Network) int64 { return int64(n.MTU) }).rw().guard()
	mtu.explicit = func(v Value) bool { // 0 is the default
		n, err := intValue(v)
		return err != nil || n != 0
	}
	mtu.
		convert(func(v Value) (assign[model.Network, rules.NetworkExtra], error) {
			mtu, err := intValue(v)
			if err != nil {
				return nil, err
			}
			if mtu < 0 || mtu > 1<<31-1 {
				return nil, reasonf("'%s' should be non-negative.", v)
			}
			return func(n *model.Network, _ *rules.NetworkExtra) { n.MTU = uint32(mtu) }, nil
		})
}

// networkTransparency declares vlan_transparent: shown where the cloud allows it.
func networkTransparency(r *networks, ru *rules.Rules) {
	r.derived("vlan_transparent", func(b []byte, n *model.Network, _ *View) []byte {
		if n.VLANTransparent == nil {
			return append(b, "null"...)
		}
		return appendBool(b, *n.VLANTransparent)
	}).inPost().when(func(*model.Network, *View) bool { return ru.Config().VLANTransparent }).
		convert(func(v Value) (assign[model.Network, rules.NetworkExtra], error) {
			if v.kind == isNull {
				return func(*model.Network, *rules.NetworkExtra) {}, nil
			}
			on, err := boolValue(v)
			return func(n *model.Network, _ *rules.NetworkExtra) { n.VLANTransparent = &on }, err
		}).filterBy(func(_ *View, values []string) (func(*model.Network) bool, error) {
		return boolFilter(values, func(n *model.Network) bool { return n.VLANTransparent != nil && *n.VLANTransparent })
	})
}

func sharedAttr(r *networks) {
	r.flagOf("shared", networkShared).rw().guard().
		convert(func(v Value) (assign[model.Network, rules.NetworkExtra], error) {
			on, err := boolValue(v)
			return func(_ *model.Network, x *rules.NetworkExtra) { x.Shared = rules.Some(on) }, err
		})
}

// networkShared reports whether a network is shared with the viewer's project.
func networkShared(n *model.Network, x *View) bool {
	return rules.Shared(x.W, model.KindNetwork, n.ID.UUID, x.By.Project)
}

// soleSegment is the segment that the provider attributes show; nil if there are several.
func soleSegment(n *model.Network, x *View) *model.Segment {
	var one *model.Segment
	for s := range x.W.Segments.ByNetwork(n.ID) {
		if one != nil {
			return nil
		}
		one = s
	}
	return one
}

// networkProvider declares provider:* and segments.
func networkProvider(r *networks) {
	sole := func(n *model.Network, x *View) bool { return soleSegment(n, x) != nil }
	provider := func(name string, show func(b []byte, s *model.Segment) []byte, set func(q *rules.SegmentRequest, v Value) error) {
		a := r.derived("provider:"+name, func(b []byte, n *model.Network, x *View) []byte { return show(b, soleSegment(n, x)) }).
			rw().guard().when(sole)
		a.convert(func(v Value) (assign[model.Network, rules.NetworkExtra], error) {
			q := rules.SegmentRequest{SegmentationID: -1}
			if err := set(&q, v); err != nil {
				return nil, err
			}
			return func(_ *model.Network, x *rules.NetworkExtra) { merge(&x.Provider, q) }, nil
		})
		a.filterBy(func(x *View, values []string) (func(*model.Network) bool, error) {
			for _, text := range values {
				if _, err := strconv.Atoi(text); err != nil && name == "segmentation_id" {
					return nil, model.Invalid("'%s' is not an integer.", text)
				}
			}
			return func(n *model.Network) bool {
				for s := range x.W.Segments.ByNetwork(n.ID) {
					if text, err := strconv.Unquote(string(show(nil, s))); err == nil && slices.Contains(values, text) {
						return true
					}
					if slices.Contains(values, string(show(nil, s))) {
						return true
					}
				}
				return false
			}, nil
		})
	}
	provider("network_type", func(b []byte, s *model.Segment) []byte { return appendString(b, s.NetworkType) }, setType)
	provider("physical_network", func(b []byte, s *model.Segment) []byte { return appendStringOrNull(b, s.Physnet) }, setPhysnet)
	provider("segmentation_id", appendSegmentationID, setSegmentationID)
	r.derived("segments", func(b []byte, n *model.Network, x *View) []byte {
		return appendList(b, rules.NetworkSegments(x.W, n.ID), func(b []byte, s *model.Segment) []byte {
			b = appendString(append(b, `{"provider:network_type": `...), s.NetworkType)
			b = appendStringOrNull(append(b, `, "provider:physical_network": `...), s.Physnet)
			return append(appendSegmentationID(append(b, `, "provider:segmentation_id": `...), s), '}')
		})
	}).rw().guard("provider:network_type", "provider:physical_network", "provider:segmentation_id").fill().
		when(func(n *model.Network, x *View) bool { return !sole(n, x) }).convert(segmentsValue)
}

func appendSegmentationID(b []byte, s *model.Segment) []byte {
	if s.SegmentationID == 0 {
		return append(b, "null"...)
	}
	return strconv.AppendUint(b, uint64(s.SegmentationID), 10)
}

func merge(to *rules.SegmentRequest, q rules.SegmentRequest) {
	if q.Type != "" {
		to.Type = q.Type
	}
	if q.Physnet != "" {
		to.Physnet = q.Physnet
	}
	if q.SegmentationID >= 0 {
		to.SegmentationID = q.SegmentationID
	}
}

func setType(q *rules.SegmentRequest, v Value) (err error) {
	q.Type, err = textValue(v, 32)
	return err
}

func setPhysnet(q *rules.SegmentRequest, v Value) (err error) {
	q.Physnet, err = textValue(v, 64)
	return err
}

func setSegmentationID(q *rules.SegmentRequest, v Value) (err error) {
	if q.SegmentationID, err = intValue(v); err == nil && q.SegmentationID < 0 {
		return model.Invalid("segmentation_id out of range (1 through 16777215).")
	}
	return err
}

// segmentsValue reads segments, a list of provider attributes.
func segmentsValue(v Value) (assign[model.Network, rules.NetworkExtra], error) {
	if !v.truthy() { // of whatever type; null is as if nothing had been said
		none := rules.Opt[[]rules.SegmentRequest]{Set: v.kind != isNull}
		return func(_ *model.Network, x *rules.NetworkExtra) { x.Segments = none }, nil
	}
	items, err := listValue(v)
	if err != nil {
		return nil, err
	}
	segments := make([]rules.SegmentRequest, 0, len(items))
	for _, item := range items {
		q := rules.SegmentRequest{SegmentationID: -1}
		if item.kind != isObject {
			return nil, reasonf("'%s' is not a dictionary.", item)
		}
		for _, m := range item.members {
			var err error
			switch m.name {
			case "provider:network_type":
				err = setType(&q, m.value)
			case "provider:physical_network":
				err = setPhysnet(&q, m.value)
			case "provider:segmentation_id":
				err = setSegmentationID(&q, m.value)
			default:
				err = reasonf("'%s' is not a key of a segment.", m.name)
			}
			if err != nil {
				return nil, err
			}
		}
		segments = append(segments, q)
	}
	return func(_ *model.Network, x *rules.NetworkExtra) { x.Segments = rules.Some(segments) }, nil
}

// networkDerived declares what a network shows of what is around it.
func networkDerived(r *networks) {
	r.derived("subnets", func(b []byte, n *model.Network, x *View) []byte {
		b = append(b, '[')
		first := true
		for s := range x.W.Subnets.ByNetwork(n.ID) {
			if !first {
				b = append(b, ',', ' ')
			}
			first = false
			b = appendUUID(b, s.ID.UUID)
		}
		return append(b, ']')
	})
	r.derived("l2_adjacency", func(b []byte, n *model.Network, x *View) []byte { return appendBool(b, !rules.Routed(x.W, n.ID)) })
	r.derived("ipv4_address_scope", func(b []byte, n *model.Network, x *View) []byte {
		return appendUUID(b, rules.NetworkScope(x.W, n.ID, 4).UUID)
	})
	r.derived("ipv6_address_scope", func(b []byte, n *model.Network, x *View) []byte {
		return appendUUID(b, rules.NetworkScope(x.W, n.ID, 6).UUID)
	})
	r.derived("availability_zone_hints", func(b []byte, n *model.Network, _ *View) []byte { return appendStrings(b, n.AZHints) }).inPost().
		sortBy(func(a, b *model.Network) int { return slices.Compare(a.AZHints, b.AZHints) }).
		convert(func(v Value) (assign[model.Network, rules.NetworkExtra], error) {
			hints, err := stringsValue(v)
			return func(n *model.Network, _ *rules.NetworkExtra) { n.AZHints = hints }, err
		})
	r.derived("availability_zones", func(b []byte, n *model.Network, x *View) []byte {
		for s := range x.W.Subnets.ByNetwork(n.ID) {
			if s.EnableDHCP {
				return appendStrings(b, zones(x, ""))
			}
		}
		return append(b, '[', ']')
	})
}

// zones are the availability zones of the hosts, or that of one host.
func zones(x *View, host string) []string {
	var out []string
	for h := range x.W.Hosts.All() {
		if host == "" || h.Name == host {
			out = append(out, h.AZ)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
