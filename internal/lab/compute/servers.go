package compute

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weft-cloud/weft/internal/lab/osclient"
	"github.com/weft-cloud/weft/internal/lab/rest"
)

func (s *Service) serverRoutes() {
	s.Handle("GET /v2.1/servers", s.authed(s.listServers))
	s.Handle("GET /v2.1/servers/detail", s.authed(s.listServers))
	s.Handle("POST /v2.1/servers", s.authed(s.createServer))
	s.Handle("GET /v2.1/servers/{id}", s.authed(s.showServer))
	s.Handle("PUT /v2.1/servers/{id}", s.authed(s.updateServer))
	s.Handle("DELETE /v2.1/servers/{id}", s.authed(s.deleteServer))
	s.Handle("POST /v2.1/servers/{id}/action", s.authed(s.actOnServer))
	s.Handle("GET /v2.1/servers/{id}/os-interface", s.authed(s.listInterfaces))
	s.Handle("GET /v2.1/servers/{id}/os-security-groups", s.authed(func(r *http.Request, c Caller) (*rest.Response, error) {
		if _, err := s.mine(r, c); err != nil {
			return nil, err
		}
		return rest.OK(doc{"security_groups": []doc{}})
	}))
	s.Handle("POST /v2.1/os-server-external-events", s.authed(s.externalEvents))
}

// visible are the servers that the caller sees, newest first as in Nova.
func (s *Service) visible(c Caller, all bool) []server {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []server
	for _, sv := range slices.Backward(s.st.Servers) {
		if sv.Project == c.Project || all && c.Admin {
			out = append(out, sv)
		}
	}
	return out
}

// mine is the server that the path names, if the caller may have it.
func (s *Service) mine(r *http.Request, c Caller) (server, error) {
	sv, ok := s.get(r.PathValue("id"))
	if !ok || sv.Project != c.Project && !c.Admin {
		return sv, rest.Errf(http.StatusNotFound, "Instance %s could not be found.", r.PathValue("id"))
	}
	return sv, nil
}

func truth(v string) bool {
	return v == "1" || strings.EqualFold(v, "true") || strings.EqualFold(v, "yes") || strings.EqualFold(v, "t")
}

func (s *Service) listServers(r *http.Request, c Caller) (*rest.Response, error) {
	q := r.URL.Query()
	detail := strings.HasSuffix(r.URL.Path, "/detail")
	list := s.visible(c, truth(q.Get("all_tenants")) || q.Get("project_id") != "" || q.Get("tenant_id") != "")
	list = slices.DeleteFunc(list, func(sv server) bool { return !wanted(sv, q) })
	if m := q.Get("marker"); m != "" {
		i := slices.IndexFunc(list, func(sv server) bool { return sv.ID == m })
		if i < 0 {
			return nil, rest.Errf(http.StatusBadRequest, "marker [%s] not found", m)
		}
		list = list[i+1:]
	}
	if n, err := strconv.Atoi(q.Get("limit")); err == nil && n >= 0 && n < len(list) {
		list = list[:n]
	}
	var nets networks
	if detail && len(list) > 0 {
		nets = s.networksOf(r.Context(), "")
	}
	out := []doc{}
	for _, sv := range list {
		if detail {
			out = append(out, s.view(r, c, sv, nets))
		} else {
			out = append(out, doc{"id": sv.ID, "name": sv.Name, "links": selfLinks(r, "servers", sv.ID)})
		}
	}
	return rest.OK(doc{"servers": out})
}

func wanted(sv server, q url.Values) bool {
	is := func(key, have string) bool { v := q.Get(key); return v == "" || v == have }
	return (q.Get("name") == "" || strings.Contains(sv.Name, strings.Trim(q.Get("name"), "^$"))) &&
		(q.Get("status") == "" || strings.EqualFold(q.Get("status"), sv.Status)) && !truth(q.Get("deleted")) &&
		is("host", sv.Guest.Host) && is("image", sv.Image) && is("flavor", sv.Flavor) && is("uuid", sv.ID) &&
		is("project_id", sv.Project) && is("tenant_id", sv.Project) && is("user_id", sv.User)
}

func (s *Service) showServer(r *http.Request, c Caller) (*rest.Response, error) {
	sv, err := s.mine(r, c)
	if err != nil {
		return nil, err
	}
	return rest.OK(doc{"server": s.view(r, c, sv, s.networksOf(r.Context(), sv.ID))})
}

// networks is what the Networking API says of servers' ports.
type networks struct {
	ports    map[string][]osPort // by server
	names    map[string]string   // networks by id
	floating map[string][]string // by port: floating addresses
}

type osPort struct {
	ID             string `json:"id"`
	NetworkID      string `json:"network_id"`
	DeviceID       string `json:"device_id"`
	MAC            string `json:"mac_address"`
	Status         string `json:"status"`
	VIFType        string `json:"binding:vif_type"`
	HostID         string `json:"binding:host_id"`
	FixedIPs       []fip  `json:"fixed_ips"`
	SecurityGroups []string
}

type fip struct {
	SubnetID  string `json:"subnet_id"`
	IPAddress string `json:"ip_address"`
}

// networksOf asks for the ports of one server, or of all; what cannot be had is left out, as a list without addresses is
// better than none.
func (s *Service) networksOf(ctx context.Context, server string) networks {
	n := networks{ports: map[string][]osPort{}, names: map[string]string{}, floating: map[string][]string{}}
	query := ""
	if server != "" {
		query = "?device_id=" + url.QueryEscape(server)
	}
	var ports struct{ Ports []osPort }
	var nets struct{ Networks []struct{ ID, Name string } }
	var fips struct {
		FloatingIPs []struct {
			PortID  string `json:"port_id"`
			Address string `json:"floating_ip_address"`
		} `json:"floatingips"`
	}
	for _, get := range []struct {
		path string
		into any
	}{{"/v2.0/ports" + query, &ports}, {"/v2.0/networks?fields=id&fields=name", &nets}, {"/v2.0/floatingips", &fips}} {
		err := s.deps.Network.Do(ctx, "network", http.MethodGet, get.path, nil, get.into)
		if err != nil && !osclient.IsStatus(err, http.StatusNotFound) { // no floating IPs: not an extension of that server
			s.deps.Log.Warn("ask the Networking API", "path", get.path, "err", err)
		}
	}
	for _, p := range ports.Ports {
		n.ports[p.DeviceID] = append(n.ports[p.DeviceID], p)
	}
	for _, w := range nets.Networks {
		n.names[w.ID] = w.Name
	}
	for _, f := range fips.FloatingIPs {
		n.floating[f.PortID] = append(n.floating[f.PortID], f.Address)
	}
	return n
}

// addresses is a server's in Nova's form, by name of network.
func (n networks) addresses(server string) doc {
	out := map[string][]doc{}
	for _, p := range n.ports[server] {
		name := n.names[p.NetworkID]
		add := func(addr, kind string) {
			version := 4
			if strings.Contains(addr, ":") {
				version = 6
			}
			out[name] = append(out[name], doc{"addr": addr, "version": version, "OS-EXT-IPS:type": kind, "OS-EXT-IPS-MAC:mac_addr": p.MAC})
		}
		for _, f := range p.FixedIPs {
			add(f.IPAddress, "fixed")
		}
		for _, f := range n.floating[p.ID] {
			add(f, "floating")
		}
	}
	d := doc{}
	for k, v := range out {
		d[k] = v
	}
	return d
}

// view is a server as clients see it.
func (s *Service) view(r *http.Request, c Caller, sv server, nets networks) doc {
	status, power, vm := sv.Status, 0, strings.ToLower(sv.Status)
	switch sv.Status {
	case "ACTIVE":
		power = 1
		if !s.deps.Hypervisor.Running(sv.Guest) {
			status, power, vm = "SHUTOFF", 4, "stopped"
		}
	case "SHUTOFF":
		power, vm = 4, "stopped"
	case "BUILD":
		vm = "building"
	}
	sum := sha256.Sum224([]byte(sv.Project + sv.Guest.Host))
	d := doc{"id": sv.ID, "name": sv.Name, "status": status, "tenant_id": sv.Project, "user_id": sv.User, "metadata": sv.Metadata,
		"hostId": hex.EncodeToString(sum[:]), "image": doc{"id": sv.Image, "links": selfLinks(r, "images", sv.Image)[1:]},
		"flavor":  doc{"id": sv.Flavor, "links": selfLinks(r, "flavors", sv.Flavor)[1:]},
		"created": sv.Created.UTC().Format(time.RFC3339), "updated": sv.Updated.UTC().Format(time.RFC3339),
		"addresses": nets.addresses(sv.ID), "accessIPv4": "", "accessIPv6": "", "links": selfLinks(r, "servers", sv.ID), "config_drive": "",
		"OS-DCF:diskConfig": "MANUAL", "OS-EXT-AZ:availability_zone": Zone, "key_name": nil, "OS-SRV-USG:launched_at": nil,
		"OS-SRV-USG:terminated_at": nil, "OS-EXT-STS:task_state": nil, "OS-EXT-STS:vm_state": vm, "OS-EXT-STS:power_state": power,
		"os-extended-volumes:volumes_attached": []doc{}, "security_groups": []doc{{"name": "default"}}}
	if sv.KeyName != "" {
		d["key_name"] = sv.KeyName
	}
	if sv.Task != "" {
		d["OS-EXT-STS:task_state"] = sv.Task
	}
	if !sv.Launched.IsZero() {
		d["OS-SRV-USG:launched_at"] = sv.Launched.UTC().Format("2006-01-02T15:04:05.000000")
	}
	if sv.Status == "ACTIVE" {
		d["progress"] = 0
	}
	if sv.Fault != "" {
		d["fault"] = doc{"code": 500, "message": sv.Fault, "created": sv.Updated.UTC().Format(time.RFC3339)}
	}
	if c.Admin {
		d["OS-EXT-SRV-ATTR:host"], d["OS-EXT-SRV-ATTR:hypervisor_hostname"] = sv.Guest.Host, sv.Guest.Host
		d["OS-EXT-SRV-ATTR:instance_name"] = sv.Guest.Name
	}
	return d
}

func (s *Service) updateServer(r *http.Request, c Caller) (*rest.Response, error) {
	sv, err := s.mine(r, c)
	if err != nil {
		return nil, err
	}
	var req struct{ Server struct{ Name *string } }
	if err := rest.ReadJSON(r, &req); err != nil {
		return nil, err
	}
	if req.Server.Name != nil {
		s.change(sv.ID, func(v *server) { v.Name = *req.Server.Name })
	}
	return s.showServer(r, c)
}

func (s *Service) listInterfaces(r *http.Request, c Caller) (*rest.Response, error) {
	sv, err := s.mine(r, c)
	if err != nil {
		return nil, err
	}
	out := []doc{}
	for _, p := range s.networksOf(r.Context(), sv.ID).ports[sv.ID] {
		out = append(out, doc{"port_id": p.ID, "net_id": p.NetworkID, "mac_addr": p.MAC, "port_state": p.Status, "fixed_ips": p.FixedIPs})
	}
	return rest.OK(doc{"interfaceAttachments": out})
}

func (s *Service) deleteServer(r *http.Request, c Caller) (*rest.Response, error) {
	sv, err := s.mine(r, c)
	if err != nil {
		return nil, err
	}
	s.change(sv.ID, func(v *server) { v.Task = "deleting" })
	s.spawn(s.ctx, func(ctx context.Context) { s.destroy(ctx, sv.ID) })
	return rest.NoContent()
}

// actOnServer carries out {"action": arguments}.
func (s *Service) actOnServer(r *http.Request, c Caller) (*rest.Response, error) {
	sv, err := s.mine(r, c)
	if err != nil {
		return nil, err
	}
	var req map[string]json.RawMessage
	if err := rest.ReadJSON(r, &req); err != nil {
		return nil, err
	}
	for action, args := range req {
		switch action {
		case "os-getConsoleOutput":
			return s.consoleOutput(sv, args)
		case "os-stop":
			return s.power(r.Context(), sv, true, false)
		case "os-start":
			return s.power(r.Context(), sv, false, true)
		case "reboot":
			return s.power(r.Context(), sv, true, true)
		default:
			return nil, rest.Errf(http.StatusBadRequest, "The lab's compute service has no action %s.", action)
		}
	}
	return nil, rest.Errf(http.StatusBadRequest, "There is no such action: the body names none.")
}

func (s *Service) power(ctx context.Context, sv server, halt, boot bool) (*rest.Response, error) {
	if sv.Status == "BUILD" || sv.Status == "ERROR" || sv.Task != "" {
		return nil, rest.Errf(http.StatusConflict, "Cannot do this with instance %s while it is in vm_state %s.", sv.ID, strings.ToLower(sv.Status))
	}
	status := sv.Status
	if halt {
		if err := s.deps.Hypervisor.Halt(ctx, sv.Guest); err != nil {
			return nil, err
		}
		status = "SHUTOFF"
	}
	if boot {
		if err := s.deps.Hypervisor.Boot(ctx, sv.Guest); err != nil {
			return nil, err
		}
		status = "ACTIVE"
	}
	s.change(sv.ID, func(v *server) { v.Status = status })
	return &rest.Response{Status: http.StatusAccepted}, nil
}

func (s *Service) consoleOutput(sv server, raw json.RawMessage) (*rest.Response, error) {
	var args struct{ Length any }
	if err := json.Unmarshal(raw, &args); err != nil {
		return nil, rest.Errf(http.StatusBadRequest, "os-getConsoleOutput: %v.", err)
	}
	text, err := s.deps.Hypervisor.Console(sv.Guest)
	if err != nil {
		return nil, rest.Errf(http.StatusConflict, "Guest does not have a console available: %v.", err)
	}
	n := -1
	switch l := args.Length.(type) {
	case float64:
		n = int(l)
	case string:
		if n, err = strconv.Atoi(l); err != nil {
			n = -1
		}
	}
	if lines := strings.SplitAfter(text, "\n"); n >= 0 && len(lines) > n {
		text = strings.Join(lines[max(0, len(lines)-1-n):], "")
	}
	return rest.OK(doc{"output": text})
}
