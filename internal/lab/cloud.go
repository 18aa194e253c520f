package lab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/weft-cloud/weft/internal/lab/compute"
	"github.com/weft-cloud/weft/internal/lab/hypervisor"
	"github.com/weft-cloud/weft/internal/lab/image"
	"github.com/weft-cloud/weft/internal/lab/osclient"
)

// This file is what the lab asks of the cloud, through its public APIs.

type doc = map[string]any

// Instance is a server with its port, as an administrator sees them.
type Instance struct {
	ID, Name, Status, Host, Project string
	Fault                           string
	Guest                           string // name of the guest: its namespace is weft-vm-…
	Port                            Port
	Network                         Network
}

// Port is a port as the Networking API shows it.
type Port struct {
	ID        string `json:"id"`
	NetworkID string `json:"network_id"`
	DeviceID  string `json:"device_id"`
	Owner     string `json:"device_owner"`
	MAC       string `json:"mac_address"`
	Status    string `json:"status"`
	Host      string `json:"binding:host_id"`
	FixedIPs  []struct {
		SubnetID string     `json:"subnet_id"`
		IP       netip.Addr `json:"ip_address"`
	} `json:"fixed_ips"`
}

// Addr is the port's first address of that family; invalid if it has none.
func (p Port) Addr(v6 bool) netip.Addr {
	for _, f := range p.FixedIPs {
		if f.IP.Is6() == v6 {
			return f.IP
		}
	}
	return netip.Addr{}
}

// Network is a network as the Networking API shows it to an administrator.
type Network struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Project string `json:"project_id"`
	Type    string `json:"provider:network_type"`
	VNI     uint32 `json:"provider:segmentation_id"`
	MTU     int    `json:"mtu"`
}

// Instances lists all servers of all projects with their ports and networks, by name.
func Instances(ctx context.Context, c *osclient.Client) ([]Instance, error) {
	var servers struct {
		Servers []struct {
			ID, Name, Status string
			TenantID         string `json:"tenant_id"`
			Host             string `json:"OS-EXT-SRV-ATTR:host"`
			Guest            string `json:"OS-EXT-SRV-ATTR:instance_name"`
			Fault            struct{ Message string }
		}
	}
	if err := c.Do(ctx, "compute", http.MethodGet, "/servers/detail?all_tenants=1", nil, &servers); err != nil {
		return nil, err
	}
	ports, err := Ports(ctx, c, nil)
	if err != nil {
		return nil, err
	}
	nets, err := Networks(ctx, c)
	if err != nil {
		return nil, err
	}
	var out []Instance
	for _, s := range servers.Servers {
		in := Instance{ID: s.ID, Name: s.Name, Status: s.Status, Host: s.Host, Project: s.TenantID, Guest: s.Guest, Fault: s.Fault.Message}
		if i := slices.IndexFunc(ports, func(p Port) bool { return p.DeviceID == s.ID }); i >= 0 {
			in.Port = ports[i]
		}
		if i := slices.IndexFunc(nets, func(n Network) bool { return n.ID == in.Port.NetworkID }); i >= 0 {
			in.Network = nets[i]
		}
		out = append(out, in)
	}
	slices.SortFunc(out, func(a, b Instance) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Ports lists ports by that query.
func Ports(ctx context.Context, c *osclient.Client, q url.Values) ([]Port, error) {
	var out struct{ Ports []Port }
	err := c.Do(ctx, "network", http.MethodGet, "/v2.0/ports?"+q.Encode(), nil, &out)
	return out.Ports, err
}

// Networks lists all networks.
func Networks(ctx context.Context, c *osclient.Client) ([]Network, error) {
	var out struct{ Networks []Network }
	err := c.Do(ctx, "network", http.MethodGet, "/v2.0/networks", nil, &out)
	return out.Networks, err
}

// BootRequest asks for an instance.
type BootRequest struct {
	Name, Host, NetworkID string
	FixedIP               string // "": any
}

// Boot makes an instance in the client's project and returns its id; it does not wait.
func Boot(ctx context.Context, c *osclient.Client, b BootRequest) (string, error) {
	nic := doc{"uuid": b.NetworkID}
	if b.FixedIP != "" {
		nic["fixed_ip"] = b.FixedIP
	}
	in := doc{"name": b.Name, "imageRef": image.ID, "flavorRef": "1", "networks": []doc{nic}}
	if b.Host != "" {
		in["availability_zone"] = compute.Zone + ":" + b.Host
	}
	var out struct{ Server struct{ ID string } }
	err := c.Do(ctx, "compute", http.MethodPost, "/servers", doc{"server": in}, &out)
	return out.Server.ID, err
}

// AwaitServer waits until the server is ACTIVE, or fails with its fault.
func AwaitServer(ctx context.Context, c *osclient.Client, id string, limit time.Duration) error {
	var fault error
	err := poll(ctx, limit, func() error {
		var out struct {
			Server struct {
				Name, Status string
				Fault        struct{ Message string }
			}
		}
		if err := c.Do(ctx, "compute", http.MethodGet, "/servers/"+id, nil, &out); err != nil {
			return err
		}
		switch s := out.Server; s.Status {
		case "ACTIVE":
			return nil
		case "ERROR":
			fault = fmt.Errorf("instance %s: %s", s.Name, s.Fault.Message)
			return nil
		default:
			return fmt.Errorf("instance %s is still %s", s.Name, s.Status)
		}
	})
	return errors.Join(err, fault)
}

// Delete deletes the servers of that name, of all projects, and waits until they are gone.
func Delete(ctx context.Context, c *osclient.Client, name string) error {
	list, err := Instances(ctx, c)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(in Instance) bool { return in.Name != name && in.ID != name })
	switch len(list) {
	case 0:
		return fmt.Errorf("no instance %q: `weft lab status` lists them", name)
	case 1:
	default:
		return fmt.Errorf("%d instances are named %q: give the id, one of %s, %s", len(list), name, list[0].ID, list[1].ID)
	}
	if err := c.Do(ctx, "compute", http.MethodDelete, "/servers/"+list[0].ID, nil, nil); err != nil {
		return err
	}
	return poll(ctx, 30*time.Second, func() error {
		err := c.Do(ctx, "compute", http.MethodGet, "/servers/"+list[0].ID, nil, nil)
		if osclient.IsStatus(err, http.StatusNotFound) {
			return nil
		} else if err == nil {
			err = fmt.Errorf("instance %s is still there", name)
		}
		return err
	})
}

// BootNamed boots an instance on a host and network given by name, in the project that owns the network, and waits
// until it has its address.
func (r *Record) BootNamed(ctx context.Context, name, host, network string) error {
	if host != "" && !slices.Contains(r.Computes(), host) {
		return fmt.Errorf("no compute %q: the hosts are %s", host, strings.Join(r.Computes(), ", "))
	}
	admin := r.Admin()
	defer admin.Close()
	nets, err := Networks(ctx, admin)
	if err != nil {
		return err
	}
	var names []string
	for _, n := range nets {
		names = append(names, n.Name)
	}
	i := slices.IndexFunc(nets, func(n Network) bool { return n.Name == network || n.ID == network })
	if network == "" {
		return fmt.Errorf("--network is missing: there is %s", strings.Join(names, ", "))
	}
	if i < 0 {
		return fmt.Errorf("no network %q: there is %s", network, strings.Join(names, ", "))
	}
	if err := freeName(ctx, admin, name); err != nil {
		return err
	}
	c, err := r.clientOf(ctx, admin, nets[i].Project)
	if err != nil {
		return err
	}
	defer c.Close()
	id, err := Boot(ctx, c, BootRequest{Name: name, Host: host, NetworkID: nets[i].ID})
	if err != nil {
		return err
	}
	err = AwaitServer(ctx, c, id, 70*time.Second)
	if err == nil {
		err = r.awaitAddresses(ctx, []string{id})
	}
	if ctx.Err() == nil {
		if err != nil {
			err = fmt.Errorf("%w\nthe instance stays, to be looked at; `weft lab delete %s` removes it", err, name)
		}
		return err
	}
	if err := Delete(context.WithoutCancel(ctx), admin, id); err != nil {
		return fmt.Errorf("interrupted, and instance %s could not be removed: %w", name, err)
	}
	return fmt.Errorf("interrupted; instance %s was removed", name)
}

// freeName wants a name by which the other commands find the instance. The compute API takes any, and also the same one twice.
func freeName(ctx context.Context, admin *osclient.Client, name string) error {
	if plain := hypervisor.Plain(name); name == "" || plain != name {
		return fmt.Errorf("instance name %q: letters, digits, '-', '_' and '.', up to %d of them, for it becomes the name of a network namespace", name, hypervisor.MaxName)
	}
	list, err := Instances(ctx, admin)
	if err != nil {
		return err
	}
	for _, in := range list {
		if in.Name == name || in.Guest == name {
			return fmt.Errorf("there is an instance %q on %s: take another name, or `weft lab delete %s` first", name, in.Host, name)
		}
	}
	return nil
}

// clientOf is a client that works in that project: the demo's user, or the administrator in its own.
func (r *Record) clientOf(ctx context.Context, admin *osclient.Client, project string) (*osclient.Client, error) {
	var out struct{ Project struct{ Name string } }
	if err := admin.Do(ctx, "identity", http.MethodGet, "/projects/"+project, nil, &out); err != nil {
		return nil, fmt.Errorf("look up the network's project: %w", err)
	}
	for _, t := range tenants() {
		if t.project == out.Project.Name {
			return r.client(t.project, r.Passwords.Demo, t.project), nil
		}
	}
	return r.Admin(), nil
}

// awaitAddresses waits until each guest really has all addresses of its port.
func (r *Record) awaitAddresses(ctx context.Context, servers []string) error {
	c := r.Admin()
	defer c.Close()
	list, err := Instances(ctx, c)
	if err != nil {
		return err
	}
	for _, in := range list {
		if !slices.Contains(servers, in.ID) {
			continue
		}
		err := poll(ctx, 20*time.Second, func() error { return hasAddresses(in) })
		if err != nil {
			return fmt.Errorf("%w; its console ends:\n%s", err, r.logTail("guest-"+in.Guest, 10))
		}
	}
	return nil
}

func hasAddresses(in Instance) error {
	have, err := GuestAddrs(in.Guest)
	if err != nil {
		return err
	}
	for _, f := range in.Port.FixedIPs {
		if !slices.Contains(have, f.IP) {
			return fmt.Errorf("instance %s has not got its address %s", in.Name, f.IP)
		}
	}
	return nil
}
