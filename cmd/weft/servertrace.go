package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/feed"
	"github.com/weft-cloud/weft/internal/server/world"
)

// foundPort is a port that somebody may have meant.
type foundPort struct {
	ID        model.PortID `json:"id"`
	Name      string       `json:"name"`
	Host      string       `json:"host"`
	Instance  string       `json:"instance"`
	Network   string       `json:"network"`
	Addresses []string     `json:"addresses"`
}

// serveTrace answers what `weft trace` asks: which ports are called that, what a host is told, what ids are called.
func (p *serverParts) serveTrace(mux *http.ServeMux) {
	mux.HandleFunc("GET /ports", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(findPorts(p.writer.Snapshot(), r.URL.Query().Get("text"))) // whoever asked may have gone
	})
	mux.HandleFunc("GET /scope", func(w http.ResponseWriter, r *http.Request) {
		b, err := proto.Marshal(feed.Scope(p.writer.Snapshot(), p.lives, r.URL.Query().Get("host")))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(b) // as above
	})
	mux.HandleFunc("POST /names", func(w http.ResponseWriter, r *http.Request) {
		var ids []model.UUID
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&ids); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		names, snapshot := map[string]string{}, p.writer.Snapshot()
		for _, id := range ids {
			if name := nameOf(snapshot, id); name != "" {
				names[id.String()] = name
			}
		}
		_ = json.NewEncoder(w).Encode(names) // as above
	})
}

// findPorts are the bound ports which that text names: by id or its first 8 characters or more, name, instance's id, MAC, fixed
// or floating IP.
func findPorts(w *world.World, text string) []foundPort {
	out := []foundPort{}
	for p := range w.Ports.All() {
		if p.Host == "" || p.IsRouterInterface() || !calledPort(w, p, text) {
			continue
		}
		f := foundPort{ID: p.ID, Name: p.Name, Host: p.Host, Instance: p.DeviceID, Network: nameOf(w, p.NetworkID.UUID)}
		for _, ip := range p.FixedIPs {
			f.Addresses = append(f.Addresses, ip.Address.String())
		}
		out = append(out, f)
	}
	return out
}

func calledPort(w *world.World, p *model.Port, text string) bool {
	switch {
	case text == "":
		return false
	case text == p.Name, text == p.DeviceID, strings.EqualFold(text, p.MAC.String()):
		return true
	case len(text) >= 8 && strings.HasPrefix(p.ID.String(), strings.ToLower(text)):
		return true
	}
	for f := range w.FloatingIPs.ByPort(p.ID) {
		if f.Address.String() == text {
			return true
		}
	}
	return slices.ContainsFunc(p.FixedIPs, func(f model.FixedIP) bool { return f.Address.String() == text })
}

// nameOf is what people call the object of that id; of a rule, what it says. "": it has no name, or is not there.
func nameOf(w *world.World, id model.UUID) string {
	if v := w.Networks.Get(model.NetworkID{UUID: id}); v != nil {
		return v.Name
	}
	if v := w.Routers.Get(model.RouterID{UUID: id}); v != nil {
		return v.Name
	}
	if v := w.SecurityGroups.Get(model.SecurityGroupID{UUID: id}); v != nil {
		return v.Name
	}
	if v := w.AddressGroups.Get(model.AddressGroupID{UUID: id}); v != nil {
		return v.Name
	}
	if v := w.SecurityGroupRules.Get(model.SecurityGroupRuleID{UUID: id}); v != nil {
		return ruleText(w, v)
	}
	if v := w.FloatingIPs.Get(model.FloatingIPID{UUID: id}); v != nil {
		return v.Address.String()
	}
	p := w.Ports.Get(model.PortID{UUID: id})
	switch {
	case p == nil:
		return ""
	case p.Name == "" && p.DeviceOwner == model.OwnerRouterGateway:
		return "gateway on " + nameOf(w, p.NetworkID.UUID)
	case p.Name == "" && p.DeviceOwner == model.OwnerRouterSNAT:
		return "central leg on " + nameOf(w, p.NetworkID.UUID)
	case p.Name == "" && p.IsRouterInterface():
		return "leg on " + nameOf(w, p.NetworkID.UUID)
	}
	return p.Name
}

// ruleText is what a rule says: "ingress IPv4 tcp 22-80 from 10.0.0.0/8, of group web".
func ruleText(w *world.World, r *model.SecurityGroupRule) string {
	text := r.Direction + " " + r.EtherType
	if r.Protocol != "" {
		text += " " + r.Protocol
	} else {
		text += " any protocol"
	}
	if r.PortMin != nil {
		text += fmt.Sprintf(" %d", *r.PortMin)
		if r.PortMax != nil && *r.PortMax != *r.PortMin {
			text += fmt.Sprintf("-%d", *r.PortMax)
		}
	}
	side := map[string]string{model.Ingress: " from ", model.Egress: " to "}[r.Direction]
	switch {
	case r.RemotePrefix.IsValid():
		text += side + r.RemotePrefix.String()
	case !r.RemoteGroup.IsZero():
		text += side + "group " + nameOf(w, r.RemoteGroup.UUID)
	case !r.RemoteAddrs.IsZero():
		text += side + "address group " + nameOf(w, r.RemoteAddrs.UUID)
	}
	return text + ", of group " + nameOf(w, r.GroupID.UUID)
}

// lives reports whether a host's agent was heard of lately.
func (p *serverParts) lives(host string) bool {
	_, alive := p.live.Alive(host)
	return alive
}
