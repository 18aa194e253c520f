package compute

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/weft-cloud/weft/internal/lab/osclient"
	"github.com/weft-cloud/weft/internal/lab/rest"
)

// nic is one entry of "networks" in a request.
type nic struct {
	UUID    string `json:"uuid"`
	Port    string `json:"port"`
	FixedIP string `json:"fixed_ip"`
}

type createRequest struct {
	Server struct {
		Name      string            `json:"name"`
		ImageRef  string            `json:"imageRef"`
		FlavorRef string            `json:"flavorRef"`
		Zone      string            `json:"availability_zone"`
		KeyName   string            `json:"key_name"`
		Metadata  map[string]string `json:"metadata"`
		UserData  string            `json:"user_data"`
		Networks  json.RawMessage   `json:"networks"`
		MinCount  int               `json:"min_count"`
		MaxCount  int               `json:"max_count"`
		Groups    []struct {
			Name string `json:"name"`
		} `json:"security_groups"`
	} `json:"server"`
}

// order is what a build is to do beyond what the server's record says.
type order struct {
	caller Caller
	nic    nic
	groups []string // names or ids of security groups; nil: the project's default
}

func (s *Service) createServer(r *http.Request, c Caller) (*rest.Response, error) {
	var req createRequest
	if err := rest.ReadJSON(r, &req); err != nil {
		return nil, err
	}
	in := &req.Server
	if in.Name == "" {
		return nil, rest.Errf(http.StatusBadRequest, "Invalid input for field/attribute server. 'name' is a required property")
	}
	if utf8.RuneCountInString(in.Name) > maxServerName {
		return nil, rest.Errf(http.StatusBadRequest, "Invalid input for field/attribute name. Value: %s. It is too long: %d characters at most.", in.Name, maxServerName)
	}
	if max(in.MinCount, in.MaxCount) > 1 {
		return nil, rest.Errf(http.StatusBadRequest, "min_count and max_count: the lab makes one server a request.")
	}
	flavorID := in.FlavorRef[strings.LastIndexByte(in.FlavorRef, '/')+1:]
	if _, ok := flavorByID(flavorID); !ok {
		return nil, rest.Errf(http.StatusBadRequest, "Flavor %s could not be found.", flavorID)
	}
	host, err := s.schedule(in.Zone)
	if err != nil {
		return nil, err
	}
	userData, err := readUserData(in.UserData)
	if err != nil {
		return nil, err
	}
	o := order{caller: c}
	if o.nic, err = s.chooseNIC(r.Context(), c, in.Networks); err != nil {
		return nil, err
	}
	for _, g := range in.Groups {
		o.groups = append(o.groups, g.Name)
	}
	now := s.deps.Now()
	sv := server{ID: newID(), Name: in.Name, Project: c.Project, User: c.User, Image: in.ImageRef, Flavor: flavorID, KeyName: in.KeyName,
		Metadata: in.Metadata, UserData: userData, Status: "BUILD", Task: "scheduling", Created: now, Updated: now,
		Guest: Guest{Name: s.deps.Hypervisor.Name(in.Name), Host: host}, OwnPort: o.nic.Port == ""}
	if sv.Metadata == nil {
		sv.Metadata = map[string]string{}
	}
	s.mu.Lock()
	s.st.Servers = append(s.st.Servers, sv)
	if err = s.save(); err == nil {
		s.startBuild(sv.ID, o)
	}
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return &rest.Response{Status: http.StatusAccepted, Body: doc{"server": doc{"id": sv.ID, "links": selfLinks(r, "servers", sv.ID),
		"OS-DCF:diskConfig": "MANUAL", "adminPass": newID()[:12], "security_groups": []doc{{"name": "default"}}}}}, nil
}

// maxServerName is Nova's bound, in characters.
const maxServerName = 255

// maxUserData is Nova's bound, in characters of base64.
const maxUserData = 65535

func readUserData(text string) ([]byte, error) {
	if len(text) > maxUserData {
		return nil, rest.Errf(http.StatusBadRequest, "Invalid input for field/attribute user_data. It has %d characters, and may have %d.", len(text), maxUserData)
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, rest.Errf(http.StatusBadRequest, "Invalid input for field/attribute user_data. It is not base64: %v.", err)
	}
	return raw, nil
}

// schedule chooses the host: the one named in "nova:HOST", else the one with the fewest servers.
func (s *Service) schedule(zone string) (string, error) {
	name, host, forced := strings.Cut(zone, ":")
	var names []string
	for _, h := range s.deps.Hosts {
		names = append(names, h.Name)
	}
	if name != "" && name != Zone {
		return "", rest.Errf(http.StatusBadRequest, "The requested availability zone is not available: %s. There is %s.", name, Zone)
	}
	if forced && host != "" {
		host, _, _ = strings.Cut(host, ":") // nova:HOST:NODE; here a host is its node
		if !slices.Contains(names, host) {
			return "", rest.Errf(http.StatusBadRequest, "Compute host %s could not be found. The hosts are %s.", host, strings.Join(names, ", "))
		}
		return host, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	load := map[string]int{}
	for _, sv := range s.st.Servers {
		load[sv.Guest.Host]++
	}
	return slices.MinFunc(names, func(a, b string) int { return load[a] - load[b] }), nil
}

// chooseNIC reads "networks": a list of one, "auto", or nothing; then the project must have just one network.
func (s *Service) chooseNIC(ctx context.Context, c Caller, raw json.RawMessage) (nic, error) {
	var list []nic
	if text := string(raw); text == `"none"` {
		return nic{}, rest.Errf(http.StatusBadRequest, "networks: an instance of the lab has one interface, so it cannot have none.")
	} else if len(raw) > 0 && text != `"auto"` && text != "null" {
		if err := json.Unmarshal(raw, &list); err != nil {
			return nic{}, rest.Errf(http.StatusBadRequest, "networks: %v.", err)
		}
	}
	switch {
	case len(list) > 1:
		return nic{}, rest.Errf(http.StatusBadRequest, "networks: an instance of the lab has one interface, not %d.", len(list))
	case len(list) == 1 && (list[0].Port != "" || list[0].UUID != ""):
		return list[0], s.checkNIC(ctx, c, list[0])
	}
	var nets struct{ Networks []struct{ ID string } }
	if err := s.userDo(ctx, c, http.MethodGet, "/v2.0/networks?router:external=False&tenant_id="+c.Project, nil, &nets); err != nil {
		return nic{}, relay(err)
	}
	if len(nets.Networks) != 1 {
		return nic{}, rest.Errf(http.StatusConflict, "%d possible networks found, use a Network ID to be more specific.", len(nets.Networks))
	}
	return nic{UUID: nets.Networks[0].ID}, nil
}

// checkNIC refuses early what the caller cannot see, or what is taken.
func (s *Service) checkNIC(ctx context.Context, c Caller, n nic) error {
	if n.Port == "" {
		err := s.userDo(ctx, c, http.MethodGet, "/v2.0/networks/"+n.UUID, nil, nil)
		if osclient.IsStatus(err, http.StatusNotFound) {
			return rest.Errf(http.StatusBadRequest, "Network %s could not be found.", n.UUID)
		}
		return relay(err)
	}
	var p struct{ Port osPort }
	err := s.userDo(ctx, c, http.MethodGet, "/v2.0/ports/"+n.Port, nil, &p)
	switch {
	case osclient.IsStatus(err, http.StatusNotFound):
		return rest.Errf(http.StatusBadRequest, "Port id %s could not be found.", n.Port)
	case err != nil:
		return relay(err)
	case p.Port.DeviceID != "":
		return rest.Errf(http.StatusConflict, "Port %s is still in use.", n.Port)
	}
	return nil
}

// relay hands on what the Networking API refused, and hides nothing of it.
func relay(err error) error {
	if err == nil {
		return nil
	}
	return rest.Errf(http.StatusBadRequest, "The Networking API: %v", err)
}

// userDo sends a request to the Networking API in the caller's name.
func (s *Service) userDo(ctx context.Context, c Caller, method, path string, in, out any) error {
	_, err := s.deps.Network.Send(ctx, osclient.Request{Method: method, URL: s.deps.NetworkURL + path, Token: c.Token, In: in, Out: out})
	return err
}

func (s *Service) spawn(ctx context.Context, fn func(context.Context)) {
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		fn(ctx)
	}()
}

// startBuild builds in the background; mu is held.
func (s *Service) startBuild(id string, o order) {
	ctx, cancel := context.WithCancel(s.ctx)
	b := build{cancel: cancel, done: make(chan struct{})}
	s.builds[id] = b
	s.spawn(ctx, func(ctx context.Context) {
		s.build(ctx, id, o)
		cancel()
		s.mu.Lock()
		delete(s.builds, id)
		s.mu.Unlock()
		close(b.done)
	})
}

// build brings a new server up; on failure it leaves a server in error, with the reason, and nothing else.
func (s *Service) build(ctx context.Context, id string, o order) {
	err := s.tryBuild(ctx, id, o)
	if err == nil {
		s.change(id, func(v *server) {
			v.Status, v.Launched = "ACTIVE", s.deps.Now()
			v.setTask("")
		})
		return
	}
	s.deps.Log.Error("build server", "server", id, "err", err)
	sv, ok := s.get(id)
	if !ok || sv.Task == "deleting" {
		return // the deletion, which waits for this, cleans up
	}
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	if uerr := s.release(undo, sv); uerr != nil {
		s.deps.Log.Error("undo the build of a server", "server", id, "err", uerr)
	}
	s.change(id, func(v *server) { v.Status, v.Task, v.Fault = "ERROR", "", err.Error() })
}

// setTask says what is being done to the server; a deletion stands.
func (sv *server) setTask(task string) {
	if sv.Task != "deleting" {
		sv.Task = task
	}
}

func (s *Service) tryBuild(ctx context.Context, id string, o order) error {
	s.change(id, func(v *server) { v.setTask("networking") })
	sv, _ := s.get(id)
	p, err := s.bind(ctx, sv, o)
	if err != nil {
		return err
	}
	var net struct{ Network struct{ MTU int } }
	if err := s.deps.Network.Do(ctx, "network", http.MethodGet, "/v2.0/networks/"+p.NetworkID, nil, &net); err != nil {
		return fmt.Errorf("read the network of port %s: %w", p.ID, err)
	}
	if p.VIFType != "tap" {
		return fmt.Errorf("port %s has binding:vif_type %q on host %s; the lab plugs only \"tap\": is the agent of that host alive (openstack network agent list)?", p.ID, p.VIFType, sv.Guest.Host)
	}
	plugged := s.awaitEvent(p.ID)
	s.change(id, func(v *server) {
		v.setTask("spawning")
		v.Guest.MAC, v.Guest.MTU = p.MAC, net.Network.MTU
		sv = *v
	})
	if err := ctx.Err(); err != nil { // deleted, or the service ends
		return err
	}
	if err := s.deps.Hypervisor.Boot(ctx, sv.Guest); err != nil {
		return err
	}
	return s.awaitActive(ctx, p.ID, plugged)
}

// bind makes the port, or takes the one given, and binds it to the server's host. Like Nova it makes the port in the
// user's name and binds it in its own.
func (s *Service) bind(ctx context.Context, sv server, o order) (osPort, error) {
	var p struct{ Port osPort }
	portID := o.nic.Port
	if portID == "" {
		in := doc{"network_id": o.nic.UUID, "device_id": sv.ID, "admin_state_up": true, "tenant_id": sv.Project}
		if o.nic.FixedIP != "" {
			in["fixed_ips"] = []doc{{"ip_address": o.nic.FixedIP}}
		}
		if o.groups != nil {
			ids, err := s.groupIDs(ctx, o)
			if err != nil {
				return p.Port, err
			}
			in["security_groups"] = ids
		}
		// Not to be interrupted: the port's id is known from the answer only, and without it nobody could delete the port.
		if err := s.userDo(context.WithoutCancel(ctx), o.caller, http.MethodPost, "/v2.0/ports", doc{"port": in}, &p); err != nil {
			return p.Port, fmt.Errorf("create port: %w", err)
		}
		portID = p.Port.ID
	}
	s.change(sv.ID, func(v *server) { v.Guest.Port = portID })
	in := doc{"device_id": sv.ID, "device_owner": "compute:" + Zone, "binding:host_id": sv.Guest.Host}
	if err := s.deps.Network.Do(ctx, "network", http.MethodPut, "/v2.0/ports/"+portID, doc{"port": in}, &p); err != nil {
		return p.Port, fmt.Errorf("bind port %s to %s: %w", portID, sv.Guest.Host, err)
	}
	return p.Port, nil
}

func (s *Service) groupIDs(ctx context.Context, o order) ([]string, error) {
	var list struct {
		Groups []struct{ ID, Name string } `json:"security_groups"`
	}
	if err := s.userDo(ctx, o.caller, http.MethodGet, "/v2.0/security-groups?tenant_id="+o.caller.Project, nil, &list); err != nil {
		return nil, fmt.Errorf("list security groups: %w", err)
	}
	var ids []string
	for _, want := range o.groups {
		i := slices.IndexFunc(list.Groups, func(g struct{ ID, Name string }) bool { return g.ID == want || g.Name == want })
		if i < 0 {
			return nil, fmt.Errorf("security group %s not found", want)
		}
		ids = append(ids, list.Groups[i].ID)
	}
	return ids, nil
}

// awaitActive waits until the port is ACTIVE: told by an event, or by asking.
func (s *Service) awaitActive(ctx context.Context, port string, plugged <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, s.deps.Plugged)
	defer cancel()
	status := "unknown"
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		var p struct{ Port osPort }
		err := s.deps.Network.Do(ctx, "network", http.MethodGet, "/v2.0/ports/"+port, nil, &p)
		if err == nil {
			status = p.Port.Status
		} else if ctx.Err() == nil {
			return fmt.Errorf("wait for port %s: %w", port, err)
		}
		if status == "ACTIVE" {
			return nil
		}
		select {
		case <-plugged:
			plugged = nil
		case <-time.After(wait):
		case <-ctx.Done():
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) { // the server was deleted, or this process ends
				return fmt.Errorf("wait for port %s: %w", port, ctx.Err())
			}
			return fmt.Errorf("port %s is still %s after %s: its host has not programmed it; see the agent's log and `openstack network agent list`", port, status, s.deps.Plugged)
		}
	}
}

func (s *Service) awaitEvent(port string) <-chan struct{} {
	ch := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiters[port] = append(s.waiters[port], ch)
	return ch
}

// externalEvents takes Neutron's words that a port was plugged.
func (s *Service) externalEvents(r *http.Request, c Caller) (*rest.Response, error) {
	if !c.Admin {
		return nil, rest.Errf(http.StatusForbidden, "Policy doesn't allow os_compute_api:os-server-external-events:create to be performed.")
	}
	var req struct{ Events []doc }
	if err := rest.ReadJSON(r, &req); err != nil {
		return nil, err
	}
	status := http.StatusOK
	for _, e := range req.Events {
		id, _ := e["server_uuid"].(string)
		if _, ok := s.get(id); !ok {
			e["status"], e["code"] = "failed", http.StatusNotFound
			status = http.StatusMultiStatus
			continue
		}
		if e["status"] == nil {
			e["status"] = "completed"
		}
		e["code"] = http.StatusOK
		if tag, _ := e["tag"].(string); e["name"] == "network-vif-plugged" {
			s.mu.Lock()
			for _, ch := range s.waiters[tag] {
				close(ch)
			}
			delete(s.waiters, tag)
			s.mu.Unlock()
		}
	}
	return &rest.Response{Status: status, Body: doc{"events": req.Events}}, nil
}

// destroy ends a server and gives back what it had.
func (s *Service) destroy(ctx context.Context, id string) {
	s.mu.Lock()
	b, building := s.builds[id]
	s.mu.Unlock()
	if building {
		b.cancel()
		<-b.done
	}
	sv, ok := s.get(id)
	if !ok {
		return
	}
	if err := s.release(ctx, sv); err != nil {
		s.deps.Log.Error("delete server", "server", id, "err", err)
		s.change(id, func(v *server) { v.Status, v.Task, v.Fault = "ERROR", "", err.Error() })
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.st.Servers = slices.DeleteFunc(s.st.Servers, func(v server) bool { return v.ID == id })
	delete(s.waiters, sv.Guest.Port)
	if err := s.save(); err != nil {
		s.deps.Log.Error("save servers", "err", err)
	}
}

// release halts the guest and deletes its port or, if the port is the user's, unbinds it.
func (s *Service) release(ctx context.Context, sv server) error {
	if err := s.deps.Hypervisor.Halt(ctx, sv.Guest); err != nil {
		return err
	}
	if sv.Guest.Port == "" {
		return nil
	}
	var err error
	if path := "/v2.0/ports/" + sv.Guest.Port; sv.OwnPort {
		err = s.deps.Network.Do(ctx, "network", http.MethodDelete, path, nil, nil)
	} else {
		err = s.deps.Network.Do(ctx, "network", http.MethodPut, path, doc{"port": doc{"device_id": "", "device_owner": "", "binding:host_id": ""}}, nil)
	}
	if err != nil && !osclient.IsStatus(err, http.StatusNotFound) {
		return fmt.Errorf("release port %s: %w", sv.Guest.Port, err)
	}
	return nil
}
