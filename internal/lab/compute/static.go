package compute

import (
	"crypto/ed25519"
	"crypto/md5" //nolint:gosec // the fingerprint that clients expect, no protection
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/weft-cloud/weft/internal/lab/rest"
)

// maxVersion is the only microversion: 2.1, which every client speaks.
const maxVersion = "2.1"

func microversion(r *http.Request) (string, error) {
	v := r.Header.Get("X-OpenStack-Nova-API-Version")
	if h, ok := strings.CutPrefix(r.Header.Get("OpenStack-API-Version"), "compute "); ok {
		v = h
	}
	switch v = strings.TrimSpace(v); {
	case v == "" || v == "latest":
		return maxVersion, nil
	case !strings.HasPrefix(v, "2."):
		return "", rest.Errf(http.StatusBadRequest, "API Version String %s is of invalid format. Must be of format MajorNum.MinorNum.", v)
	}
	return v, nil
}

// flavor is a size of instance; the figures are for show, as a guest here is a few processes.
type flavor struct {
	id, name         string
	vcpus, ram, disk int
}

func flavors() []flavor {
	return []flavor{{"1", "m1.nano", 1, 64, 0}, {"2", "m1.tiny", 1, 128, 0}}
}

func (f flavor) doc(r *http.Request, detail bool) doc {
	d := doc{"id": f.id, "name": f.name, "links": selfLinks(r, "flavors", f.id)}
	if detail {
		d["vcpus"], d["ram"], d["disk"], d["swap"], d["rxtx_factor"] = f.vcpus, f.ram, f.disk, "", 1.0
		d["OS-FLV-EXT-DATA:ephemeral"], d["OS-FLV-DISABLED:disabled"], d["os-flavor-access:is_public"] = 0, false, true
	}
	return d
}

func selfLinks(r *http.Request, kind, id string) []doc {
	return []doc{{"rel": "self", "href": rest.Base(r) + "/v2.1/" + kind + "/" + id}, {"rel": "bookmark", "href": rest.Base(r) + "/" + kind + "/" + id}}
}

func version(r *http.Request) doc {
	return doc{"id": "v2.1", "status": "CURRENT", "version": maxVersion, "min_version": maxVersion, "updated": "2013-07-23T11:33:21Z",
		"links":       []doc{{"rel": "self", "href": rest.Base(r) + "/v2.1/"}},
		"media-types": []doc{{"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"}}}
}

func (s *Service) routes() {
	s.Handle("GET /{$}", func(r *http.Request) (*rest.Response, error) { return rest.OK(doc{"versions": []doc{version(r)}}) })
	s.Handle("GET /v2.1", func(r *http.Request) (*rest.Response, error) { return rest.OK(doc{"version": version(r)}) })
	s.flavorRoutes()
	s.hostRoutes()
	s.accountRoutes()
	s.serverRoutes()
}

func (s *Service) flavorRoutes() {
	list := func(detail bool) rest.Handler {
		return s.authed(func(r *http.Request, _ Caller) (*rest.Response, error) {
			out := []doc{}
			if r.URL.Query().Get("marker") == "" {
				for _, f := range flavors() {
					out = append(out, f.doc(r, detail))
				}
			}
			return rest.OK(doc{"flavors": out})
		})
	}
	s.Handle("GET /v2.1/flavors", list(false))
	s.Handle("GET /v2.1/flavors/detail", list(true))
	s.Handle("GET /v2.1/flavors/{id}", s.authed(func(r *http.Request, _ Caller) (*rest.Response, error) {
		f, ok := flavorByID(r.PathValue("id"))
		if !ok {
			return nil, rest.Errf(http.StatusNotFound, "Flavor %s could not be found.", r.PathValue("id"))
		}
		return rest.OK(doc{"flavor": f.doc(r, true)})
	}))
	s.Handle("GET /v2.1/flavors/{id}/os-extra_specs", s.authed(func(*http.Request, Caller) (*rest.Response, error) {
		return rest.OK(doc{"extra_specs": doc{}})
	}))
}

func flavorByID(id string) (flavor, bool) {
	i := slices.IndexFunc(flavors(), func(f flavor) bool { return f.id == id })
	if i < 0 {
		return flavor{}, false
	}
	return flavors()[i], true
}

func (s *Service) hostRoutes() {
	s.Handle("GET /v2.1/os-hypervisors", s.authed(s.hypervisors))
	s.Handle("GET /v2.1/os-hypervisors/detail", s.authed(s.hypervisors))
	s.Handle("GET /v2.1/os-hypervisors/{id}", s.authed(func(r *http.Request, c Caller) (*rest.Response, error) {
		for i, h := range s.deps.Hosts {
			if r.PathValue("id") == fmt.Sprint(i+1) && c.Admin {
				return rest.OK(doc{"hypervisor": s.hypervisor(i, h)})
			}
		}
		return nil, rest.Errf(http.StatusNotFound, "Compute host %s could not be found.", r.PathValue("id"))
	}))
	zones := func(detail bool) rest.Handler {
		return s.authed(func(*http.Request, Caller) (*rest.Response, error) {
			z := doc{"zoneName": Zone, "zoneState": doc{"available": true}, "hosts": nil}
			if detail {
				hosts := doc{}
				for _, h := range s.deps.Hosts {
					hosts[h.Name] = doc{"nova-compute": doc{"available": true, "active": true, "updated_at": s.deps.Now().UTC().Format(time.RFC3339)}}
				}
				z["hosts"] = hosts
			}
			return rest.OK(doc{"availabilityZoneInfo": []doc{z}})
		})
	}
	s.Handle("GET /v2.1/os-availability-zone", zones(false))
	s.Handle("GET /v2.1/os-availability-zone/detail", zones(true))
	s.Handle("GET /v2.1/os-services", s.authed(func(_ *http.Request, c Caller) (*rest.Response, error) {
		if !c.Admin {
			return nil, rest.Errf(http.StatusForbidden, "Policy doesn't allow os_compute_api:os-services:list to be performed.")
		}
		out := []doc{}
		for i, h := range s.deps.Hosts {
			out = append(out, doc{"id": i + 1, "binary": "nova-compute", "host": h.Name, "zone": Zone, "status": "enabled", "state": "up",
				"disabled_reason": nil, "updated_at": s.deps.Now().UTC().Format("2006-01-02T15:04:05.000000")})
		}
		return rest.OK(doc{"services": out})
	}))
}

func (s *Service) hypervisors(r *http.Request, c Caller) (*rest.Response, error) {
	if !c.Admin {
		return nil, rest.Errf(http.StatusForbidden, "Policy doesn't allow os_compute_api:os-hypervisors:list to be performed.")
	}
	detail := strings.HasSuffix(r.URL.Path, "/detail")
	out := []doc{}
	for i, h := range s.deps.Hosts {
		d := s.hypervisor(i, h)
		if !detail {
			d = doc{"id": d["id"], "hypervisor_hostname": h.Name, "state": "up", "status": "enabled"}
		}
		out = append(out, d)
	}
	return rest.OK(doc{"hypervisors": out})
}

func (s *Service) hypervisor(i int, host Host) doc {
	running := 0
	s.mu.Lock()
	for _, sv := range s.st.Servers {
		if sv.Guest.Host == host.Name {
			running++
		}
	}
	s.mu.Unlock()
	return doc{"id": i + 1, "hypervisor_hostname": host.Name, "hypervisor_type": "weft-lab", "hypervisor_version": 1, "state": "up", "status": "enabled",
		"host_ip": host.IP, "vcpus": 64, "vcpus_used": running, "memory_mb": 65536, "memory_mb_used": 64 * running, "free_ram_mb": 65536 - 64*running,
		"local_gb": 0, "local_gb_used": 0, "free_disk_gb": 0, "disk_available_least": 0, "running_vms": running, "current_workload": 0,
		"cpu_info": "", "service": doc{"id": i + 1, "host": host.Name, "disabled_reason": nil}}
}

func (s *Service) accountRoutes() {
	empty := func(key string) rest.Handler {
		return s.authed(func(*http.Request, Caller) (*rest.Response, error) { return rest.OK(doc{key: []doc{}}) })
	}
	s.Handle("GET /v2.1/extensions", empty("extensions"))
	s.Handle("GET /v2.1/os-aggregates", empty("aggregates"))
	s.Handle("GET /v2.1/os-server-groups", empty("server_groups"))
	s.Handle("GET /v2.1/limits", s.authed(func(_ *http.Request, c Caller) (*rest.Response, error) {
		n := len(s.visible(c, false))
		return rest.OK(doc{"limits": doc{"rate": []doc{}, "absolute": doc{
			"maxTotalInstances": -1, "maxTotalCores": -1, "maxTotalRAMSize": -1, "maxTotalKeypairs": -1, "maxServerMeta": 128,
			"maxServerGroups": 0, "maxServerGroupMembers": 0, "maxImageMeta": 128, "maxPersonality": 0, "maxPersonalitySize": 0,
			"maxTotalFloatingIps": -1, "maxSecurityGroups": -1, "maxSecurityGroupRules": -1, "totalInstancesUsed": n, "totalCoresUsed": n,
			"totalRAMUsed": 64 * n, "totalServerGroupsUsed": 0, "totalFloatingIpsUsed": 0, "totalSecurityGroupsUsed": 0}}})
	}))
	quota := s.authed(func(r *http.Request, _ Caller) (*rest.Response, error) {
		d := doc{"id": r.PathValue("id")}
		for _, k := range []string{"instances", "cores", "ram", "key_pairs", "metadata_items", "server_groups", "server_group_members",
			"injected_files", "injected_file_content_bytes", "injected_file_path_bytes", "fixed_ips", "floating_ips", "security_groups", "security_group_rules"} {
			d[k] = -1
		}
		return rest.OK(doc{"quota_set": d})
	})
	s.Handle("GET /v2.1/os-quota-sets/{id}", quota)
	s.Handle("GET /v2.1/os-quota-sets/{id}/defaults", quota)
	s.Handle("GET /v2.1/os-keypairs", s.authed(s.listKeypairs))
	s.Handle("POST /v2.1/os-keypairs", s.authed(s.createKeypair))
	s.Handle("GET /v2.1/os-keypairs/{name}", s.authed(s.showKeypair))
	s.Handle("DELETE /v2.1/os-keypairs/{name}", s.authed(s.deleteKeypair))
}

func (k keypair) doc() doc {
	return doc{"name": k.Name, "public_key": k.PublicKey, "fingerprint": k.Fingerprint}
}

func (s *Service) listKeypairs(_ *http.Request, c Caller) (*rest.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []doc{}
	for _, k := range s.st.Keypairs {
		if k.User == c.User {
			out = append(out, doc{"keypair": k.doc()})
		}
	}
	return rest.OK(doc{"keypairs": out})
}

func (s *Service) findKeypair(c Caller, name string) int {
	return slices.IndexFunc(s.st.Keypairs, func(k keypair) bool { return k.User == c.User && k.Name == name })
}

func (s *Service) createKeypair(r *http.Request, c Caller) (*rest.Response, error) {
	var req struct {
		Keypair struct {
			Name      string `json:"name"`
			PublicKey string `json:"public_key"`
		} `json:"keypair"`
	}
	if err := rest.ReadJSON(r, &req); err != nil {
		return nil, err
	}
	if req.Keypair.Name == "" {
		return nil, rest.Errf(http.StatusBadRequest, "Invalid input for field/attribute keypair. 'name' is a required property")
	}
	private := ""
	if req.Keypair.PublicKey == "" {
		pub, priv, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("make key pair: %w", err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(priv)
		if err != nil {
			return nil, fmt.Errorf("make key pair: %w", err)
		}
		private = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
		req.Keypair.PublicKey = sshPublicKey(pub)
	}
	fields := strings.Fields(req.Keypair.PublicKey)
	if len(fields) < 2 {
		return nil, rest.Errf(http.StatusBadRequest, "Keypair data is invalid: failed to generate fingerprint")
	}
	blob, err := base64.StdEncoding.DecodeString(fields[1])
	if err != nil {
		return nil, rest.Errf(http.StatusBadRequest, "Keypair data is invalid: failed to generate fingerprint")
	}
	k := keypair{User: c.User, Name: req.Keypair.Name, PublicKey: req.Keypair.PublicKey, Fingerprint: fingerprint(blob), Created: s.deps.Now()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.findKeypair(c, k.Name) >= 0 {
		return nil, rest.Errf(http.StatusConflict, "Key pair '%s' already exists.", k.Name)
	}
	s.st.Keypairs = append(s.st.Keypairs, k)
	if err := s.save(); err != nil {
		return nil, err
	}
	d := k.doc()
	d["user_id"] = c.User
	if private != "" {
		d["private_key"] = private
	}
	return rest.OK(doc{"keypair": d})
}

func sshPublicKey(pub ed25519.PublicKey) string {
	const kind = "ssh-ed25519"
	var b []byte
	for _, part := range [][]byte{[]byte(kind), pub} { // RFC 8709, section 4: two strings, each with its length before it
		n := len(part)
		b = append(append(b, byte(n>>24), byte(n>>16), byte(n>>8), byte(n)), part...)
	}
	return kind + " " + base64.StdEncoding.EncodeToString(b) + " Generated-by-Nova"
}

func fingerprint(blob []byte) string {
	sum := md5.Sum(blob) //nolint:gosec // see the import
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = fmt.Sprintf("%02x", b)
	}
	return strings.Join(parts, ":")
}

func (s *Service) showKeypair(r *http.Request, c Caller) (*rest.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.findKeypair(c, r.PathValue("name"))
	if i < 0 {
		return nil, rest.Errf(http.StatusNotFound, "Keypair %s not found for user %s", r.PathValue("name"), c.User)
	}
	k := s.st.Keypairs[i]
	d := k.doc()
	d["user_id"], d["id"], d["deleted"], d["created_at"], d["updated_at"], d["deleted_at"] = k.User, i+1, false, k.Created.UTC().Format("2006-01-02T15:04:05.000000"), nil, nil
	return rest.OK(doc{"keypair": d})
}

func (s *Service) deleteKeypair(r *http.Request, c Caller) (*rest.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.findKeypair(c, r.PathValue("name"))
	if i < 0 {
		return nil, rest.Errf(http.StatusNotFound, "Keypair %s not found for user %s", r.PathValue("name"), c.User)
	}
	s.st.Keypairs = slices.Delete(s.st.Keypairs, i, i+1)
	if err := s.save(); err != nil {
		return nil, err
	}
	return &rest.Response{Status: http.StatusAccepted}, nil
}
