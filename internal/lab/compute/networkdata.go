package compute

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
)

// osSubnet is what network_data.json needs of a subnet.
type osSubnet struct {
	ID          string    `json:"id"`
	CIDR        string    `json:"cidr"`
	Version     int       `json:"ip_version"`
	Gateway     string    `json:"gateway_ip"`
	DHCP        bool      `json:"enable_dhcp"`
	AddressMode string    `json:"ipv6_address_mode"`
	Resolvers   []string  `json:"dns_nameservers"`
	Routes      []osRoute `json:"host_routes"`
}

type osRoute struct {
	Destination string `json:"destination"`
	NextHop     string `json:"nexthop"`
}

// networkData answers with a server's links, networks and services as Nova does (nova/virt/netutils.py,
// get_network_metadata): of each port the first subnet of either family.
func (s *Service) networkData(w http.ResponseWriter, r *http.Request) {
	out, err := s.networkDocument(r.Context(), of(r))
	if err != nil {
		s.deps.Log.Warn("network_data.json", "err", err)
		http.Error(w, "The Networking API cannot be asked.", http.StatusInternalServerError)
		return
	}
	asJSON(func(*http.Request) any { return out })(w, r)
}

func (s *Service) networkDocument(ctx context.Context, sv server) (doc, error) {
	var list struct{ Ports []osPort }
	if err := s.deps.Network.Do(ctx, "network", http.MethodGet, "/v2.0/ports?device_id="+url.QueryEscape(sv.ID), nil, &list); err != nil {
		return nil, fmt.Errorf("read the ports of server %s: %w", sv.ID, err)
	}
	links, networks, services := []doc{}, []doc{}, []doc{}
	for _, p := range list.Ports {
		var subs struct{ Subnets []osSubnet }
		if err := s.deps.Network.Do(ctx, "network", http.MethodGet, "/v2.0/subnets?network_id="+url.QueryEscape(p.NetworkID), nil, &subs); err != nil {
			return nil, fmt.Errorf("read the subnets of network %s: %w", p.NetworkID, err)
		}
		link := "tap" + p.ID[:min(11, len(p.ID))]
		links = append(links, doc{"id": link, "vif_id": p.ID, "type": "tap", "mtu": sv.Guest.MTU, "ethernet_mac_address": p.MAC})
		for _, version := range []int{4, 6} {
			f, sub, ok := firstOf(p, subs.Subnets, version)
			if !ok {
				continue
			}
			n, err := sub.entry(f.IPAddress)
			if err != nil {
				return nil, err
			}
			n["id"], n["link"], n["network_id"] = fmt.Sprintf("network%d", len(networks)), link, p.NetworkID
			networks = append(networks, n)
			for _, d := range sub.services() {
				if !hasService(services, d) {
					services = append(services, d)
				}
			}
		}
	}
	return doc{"links": links, "networks": networks, "services": services}, nil
}

func firstOf(p osPort, subnets []osSubnet, version int) (fip, osSubnet, bool) {
	for _, f := range p.FixedIPs {
		for _, sub := range subnets {
			if sub.ID == f.SubnetID && sub.Version == version {
				return f, sub, true
			}
		}
	}
	return fip{}, osSubnet{}, false
}

func hasService(list []doc, d doc) bool {
	for _, have := range list {
		if have["address"] == d["address"] {
			return true
		}
	}
	return false
}

func (n *osSubnet) services() []doc {
	out := []doc{}
	for _, a := range n.Resolvers {
		out = append(out, doc{"type": "dns", "address": a})
	}
	return out
}

// entry is the subnet as a network of network_data.json. DHCP tells everything itself, so that nothing else is said then,
// unless the subnet has an IPv6 address mode, which becomes part of the type.
func (n *osSubnet) entry(address string) (doc, error) {
	kind := fmt.Sprintf("ipv%d", n.Version)
	switch {
	case n.AddressMode != "":
		kind += "_" + n.AddressMode
	case n.DHCP:
		return doc{"type": kind + "_dhcp"}, nil
	}
	mask, _, err := maskOf(n.CIDR)
	if err != nil {
		return nil, err
	}
	routes := []doc{}
	if n.Gateway != "" {
		all := map[int]string{4: "0.0.0.0", 6: "::"}[n.Version]
		routes = append(routes, doc{"network": all, "netmask": all, "gateway": n.Gateway})
	}
	for _, r := range n.Routes {
		m, network, err := maskOf(r.Destination)
		if err != nil {
			return nil, err
		}
		routes = append(routes, doc{"network": network, "netmask": m, "gateway": r.NextHop})
	}
	return doc{"type": kind, "ip_address": address, "netmask": mask, "routes": routes, "services": n.services()}, nil
}

// maskOf writes a prefix's length as an address, in either family, and its network.
func maskOf(cidr string) (mask, network string, err error) {
	p, err := netip.ParsePrefix(cidr)
	if err != nil {
		return "", "", fmt.Errorf("prefix %q of the Networking API: %w", cidr, err)
	}
	a, _ := netip.AddrFromSlice(net.CIDRMask(p.Bits(), p.Addr().BitLen()))
	return a.String(), p.Masked().Addr().String(), nil
}
