package lab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/weft-cloud/weft/internal/lab/hypervisor"
	"github.com/weft-cloud/weft/internal/lab/osclient"
	"github.com/weft-cloud/weft/internal/linux"
)

// external is the name of the demo's external network.
const external = "external"

// Router is a router as the Networking API shows it.
type Router struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Distributed bool   `json:"distributed"`
	Gateway     *struct {
		NetworkID string `json:"network_id"`
		FixedIPs  []struct {
			IP netip.Addr `json:"ip_address"`
		} `json:"external_fixed_ips"`
	} `json:"external_gateway_info"`
}

// Addr is the first address of its gateway in that family; invalid: it has none.
func (r Router) Addr(v6 bool) netip.Addr {
	if r.Gateway != nil {
		for _, f := range r.Gateway.FixedIPs {
			if f.IP.Is6() == v6 {
				return f.IP
			}
		}
	}
	return netip.Addr{}
}

// Routers lists the routers that a query selects.
func Routers(ctx context.Context, c *osclient.Client, q url.Values) ([]Router, error) {
	var out struct{ Routers []Router }
	err := c.Do(ctx, "network", http.MethodGet, "/v2.0/routers?"+q.Encode(), nil, &out)
	return out.Routers, err
}

// FloatingIP is a floating IP as the Networking API shows it.
type FloatingIP struct {
	ID      string     `json:"id"`
	Address netip.Addr `json:"floating_ip_address"`
	Fixed   netip.Addr `json:"fixed_ip_address"`
	PortID  string     `json:"port_id"`
	Status  string     `json:"status"`
	// Description is the user's word.
	Description string `json:"description"`
}

// FloatingIPs lists all floating IPs.
func FloatingIPs(ctx context.Context, c *osclient.Client) ([]FloatingIP, error) {
	var out struct{ FloatingIPs []FloatingIP }
	err := c.Do(ctx, "network", http.MethodGet, "/v2.0/floatingips", nil, &out)
	return out.FloatingIPs, err
}

// networkID is the id of the network of that name; "": there is none.
func networkID(ctx context.Context, c *osclient.Client, name string) (string, error) {
	nets, err := Networks(ctx, c)
	for _, n := range nets {
		if n.Name == name {
			return n.ID, nil
		}
	}
	return "", err
}

// demoOutside joins the tenant's router to the external network, and lets everybody ping and be greeted.
func demoOutside(ctx context.Context, c *osclient.Client, router string) error {
	ext, err := networkID(ctx, c, external)
	if err != nil {
		return err
	}
	var out struct{ Router Router }
	err = c.Do(ctx, "network", http.MethodPut, "/v2.0/routers/"+router, doc{"router": doc{"external_gateway_info": doc{"network_id": ext}, "enable_ndp_proxy": true}}, &out)
	if err != nil {
		return fmt.Errorf("set the router's gateway: %w", err)
	}
	if err := routeFromInternet(out.Router); err != nil {
		return err
	}
	var groups struct {
		SecurityGroups []struct{ ID string } `json:"security_groups"`
	}
	if err := c.Do(ctx, "network", http.MethodGet, "/v2.0/security-groups?name=default", nil, &groups); err != nil {
		return err
	}
	for _, g := range groups.SecurityGroups {
		for _, rule := range []doc{
			{"protocol": "icmp"}, {"protocol": "ipv6-icmp", "ethertype": "IPv6"},
			{"protocol": "tcp", "port_range_min": 80, "port_range_max": 80},
			{"protocol": "tcp", "port_range_min": 80, "port_range_max": 80, "ethertype": "IPv6"},
		} {
			rule["security_group_id"], rule["direction"] = g.ID, "ingress"
			if err := c.Do(ctx, "network", http.MethodPost, "/v2.0/security-group-rules", doc{"security_group_rule": rule}, nil); err != nil {
				return fmt.Errorf("allow %v from everywhere: %w", rule["protocol"], err)
			}
		}
	}
	return nil
}

// routeFromInternet does what the provider of the external network does for IPv6, which is not translated: it sends the
// tenant's prefixes to the router.
func routeFromInternet(rt Router) error {
	via := rt.Addr(true)
	if !via.IsValid() {
		return nil
	}
	var err error
	for _, col := range colours() {
		err = errors.Join(err, linux.ReplaceRoute(hypervisor.HostNetns(internet), ExternalNIC, netip.MustParsePrefix(col.v6), via))
	}
	return err
}

// floatingFor gives an instance a floating IP in the client's project, and waits until it is in force.
func floatingFor(ctx context.Context, c *osclient.Client, port, description string) error {
	ext, err := networkID(ctx, c, external)
	if err != nil {
		return err
	}
	var out struct{ FloatingIP FloatingIP }
	err = c.Do(ctx, "network", http.MethodPost, "/v2.0/floatingips",
		doc{"floatingip": doc{"floating_network_id": ext, "port_id": port, "description": description}}, &out)
	if err != nil {
		return fmt.Errorf("make a floating IP: %w", err)
	}
	return poll(ctx, 10*time.Second, func() error {
		err := c.Do(ctx, "network", http.MethodGet, "/v2.0/floatingips/"+out.FloatingIP.ID, nil, &out)
		if err == nil && out.FloatingIP.Status != "ACTIVE" {
			err = fmt.Errorf("the floating IP %s is %s", out.FloatingIP.Address, out.FloatingIP.Status)
		}
		return err
	})
}

// NDPProxy is an NDP proxy as the Networking API shows it.
type NDPProxy struct {
	Address netip.Addr `json:"ip_address"`
	PortID  string     `json:"port_id"`
}

// NDPProxies lists all NDP proxies.
func NDPProxies(ctx context.Context, c *osclient.Client) ([]NDPProxy, error) {
	var out struct {
		Proxies []NDPProxy `json:"ndp_proxies"`
	}
	err := c.Do(ctx, "network", http.MethodGet, "/v2.0/ndp_proxies", nil, &out)
	return out.Proxies, err
}

// proxyFor gives an instance an NDP proxy for its IPv6 address, which weft-internet takes to be on its link from then on.
func proxyFor(ctx context.Context, c *osclient.Client, port string) error {
	routers, err := Routers(ctx, c, url.Values{"name": {"router"}})
	if err != nil {
		return err
	}
	if len(routers) != 1 {
		return fmt.Errorf("the project has %d routers named router", len(routers))
	}
	var out struct {
		Proxy NDPProxy `json:"ndp_proxy"`
	}
	err = c.Do(ctx, "network", http.MethodPost, "/v2.0/ndp_proxies", doc{"ndp_proxy": doc{"router_id": routers[0].ID, "port_id": port}}, &out)
	if err != nil {
		return fmt.Errorf("make an NDP proxy: %w", err)
	}
	return linux.ReplaceRoute(hypervisor.HostNetns(internet), ExternalNIC, netip.PrefixFrom(out.Proxy.Address, 128), netip.Addr{})
}

// demoFloating gives red2 its floating IP, and an NDP proxy for its IPv6 address.
func (r *Record) demoFloating(ctx context.Context) error {
	admin := r.Admin()
	defer admin.Close()
	list, err := Instances(ctx, admin)
	if err != nil {
		return err
	}
	c := r.client("demo", r.Passwords.Demo, "demo")
	defer c.Close()
	for _, in := range list {
		if in.Name == "red2" {
			return errors.Join(floatingFor(ctx, c, in.Port.ID, ""), proxyFor(ctx, c, in.Port.ID))
		}
	}
	return errors.New("there is no red2")
}
