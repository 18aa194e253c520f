package compute

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Metadata is Nova's metadata service: it answers for an instance whose id was signed with the secret that Neutron
// shares (nova/api/metadata/handler.py). Requests come from hosts' agents, never from instances themselves.
func (s *Service) Metadata(secret string) http.Handler {
	mux := http.NewServeMux()
	text := func(pattern, body string) {
		mux.HandleFunc("GET "+pattern, plain(func(*http.Request) string { return body }))
	}
	text("/{$}", "1.0\n2009-04-04\nlatest")
	text("/openstack", "2012-08-10\n2018-08-27\nlatest")
	mux.HandleFunc("GET /openstack/{version}", plain(func(r *http.Request) string {
		list := "meta_data.json\nnetwork_data.json\n"
		if len(of(r).UserData) > 0 {
			list += "user_data\n"
		}
		return list + "vendor_data.json\nvendor_data2.json"
	}))
	mux.HandleFunc("GET /openstack/{version}/meta_data.json", asJSON(func(r *http.Request) any { return s.metaData(of(r)) }))
	mux.HandleFunc("GET /openstack/{version}/network_data.json", s.networkData)
	mux.HandleFunc("GET /openstack/{version}/user_data", userData)
	for _, v := range []string{"vendor_data.json", "vendor_data2.json"} {
		mux.HandleFunc("GET /openstack/{version}/"+v, asJSON(func(*http.Request) any { return doc{} }))
	}
	for _, v := range []string{"1.0", "2009-04-04", "latest"} {
		mux.HandleFunc("GET /"+v, plain(func(r *http.Request) string {
			if len(of(r).UserData) > 0 {
				return "meta-data/\nuser-data"
			}
			return "meta-data/"
		}))
		mux.HandleFunc("GET /"+v+"/user-data", userData)
		mux.HandleFunc("GET /"+v+"/meta-data", s.ec2)
		mux.HandleFunc("GET /"+v+"/meta-data/{key...}", s.ec2)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("X-Instance-ID")
		want := hmac.New(sha256.New, []byte(secret))
		want.Write([]byte(id))
		have, err := hex.DecodeString(r.Header.Get("X-Instance-ID-Signature"))
		if err != nil || !hmac.Equal(have, want.Sum(nil)) {
			http.Error(w, "Invalid proxy request signature.", http.StatusForbidden)
			return
		}
		sv, ok := s.get(id)
		if !ok || sv.Project != r.Header.Get("X-Tenant-ID") {
			http.Error(w, "Metadata for this instance could not be found.", http.StatusNotFound)
			return
		}
		r = r.WithContext(context.WithValue(r.Context(), serverKey{}, sv))
		if p := r.URL.Path; len(p) > 1 && strings.HasSuffix(p, "/") {
			r.URL.Path = strings.TrimRight(p, "/")
		}
		mux.ServeHTTP(w, r)
	})
}

// serverKey is where a request's context has its server.
type serverKey struct{}

func of(r *http.Request) server {
	sv, _ := r.Context().Value(serverKey{}).(server)
	return sv
}

func plain(body func(*http.Request) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
		fmt.Fprint(w, body(r))
	}
}

func asJSON(body func(*http.Request) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(body(r)) //nolint:errcheck // a client that is gone
	}
}

// userData is what the server's maker gave it, as it is.
func userData(w http.ResponseWriter, r *http.Request) {
	if d := of(r).UserData; len(d) > 0 {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Write(d) //nolint:errcheck // a client that is gone
		return
	}
	http.Error(w, "Not Found", http.StatusNotFound)
}

func (s *Service) metaData(sv server) doc {
	d := doc{"uuid": sv.ID, "name": sv.Name, "hostname": hostname(sv), "availability_zone": Zone, "project_id": sv.Project, "launch_index": 0, "devices": []doc{}}
	if len(sv.Metadata) > 0 {
		d["meta"] = sv.Metadata
	}
	if key, ok := s.publicKey(sv); ok {
		d["public_keys"] = doc{sv.KeyName: key}
		d["keys"] = []doc{{"name": sv.KeyName, "type": "ssh", "data": key}}
	}
	return d
}

func hostname(sv server) string { return strings.ToLower(sv.Guest.Name) + ".novalocal" }

func (s *Service) publicKey(sv server) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.findKeypair(Caller{User: sv.User}, sv.KeyName)
	if i < 0 {
		return "", false
	}
	return s.st.Keypairs[i].PublicKey, true
}

// ec2 answers the older tree, a file a value, in which a directory lists its files.
func (s *Service) ec2(w http.ResponseWriter, r *http.Request) {
	sv := of(r)
	local := ""
	for _, p := range s.networksOf(r.Context(), sv.ID).ports[sv.ID] {
		for _, f := range p.FixedIPs {
			if local == "" && !strings.Contains(f.IPAddress, ":") {
				local = f.IPAddress
			}
		}
	}
	values := map[string]string{"ami-id": "ami-00000001", "ami-launch-index": "0", "hostname": hostname(sv), "local-hostname": hostname(sv),
		"instance-id": "i-" + sv.ID[:8], "instance-type": sv.Flavor, "local-ipv4": local, "placement/availability-zone": Zone, "security-groups": "default"}
	if key, ok := s.publicKey(sv); ok {
		values["public-keys/0/openssh-key"] = key
	}
	key := strings.TrimSuffix(r.PathValue("key"), "/")
	if v, ok := values[key]; ok {
		plain(func(*http.Request) string { return v })(w, r)
		return
	}
	list := below(values, key)
	if len(list) == 0 {
		http.Error(w, "Not Found", http.StatusNotFound)
		return
	}
	plain(func(*http.Request) string { return strings.Join(list, "\n") })(w, r)
}

// below lists what is in a directory of the keys, directories with a slash.
func below(values map[string]string, dir string) []string {
	if dir != "" {
		dir += "/"
	}
	var out []string
	for k := range values {
		rest, ok := strings.CutPrefix(k, dir)
		if !ok {
			continue
		}
		if name, _, deeper := strings.Cut(rest, "/"); deeper {
			rest = name + "/"
		}
		if !slices.Contains(out, rest) {
			out = append(out, rest)
		}
	}
	slices.Sort(out)
	return out
}
