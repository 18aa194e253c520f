// Package drops tells, in words, what the data plane dropped and why: to whoever connects to a socket beside the agent's
// status socket.
//
// It adds to the plane's counters and events what only the agent knows: which port, which instance, what the rule says. It
// keeps the newest events only, holds no packet, and nothing waits for a reader that is slow.
package drops

import (
	"time"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/forward"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// Where names the port that something was dropped at. All fields are empty for packets of no port.
type Where struct {
	Port     string `json:"port,omitempty"`
	Name     string `json:"name,omitempty"`
	Instance string `json:"instance,omitempty"`
	Device   string `json:"device,omitempty"`
}

// Report is what a host dropped, one JSON object.
type Report struct {
	Host string    `json:"host"`
	Time time.Time `json:"time"`
	// Counts are by port and reason, Rules by security group rule, Kernel by interface: since the host's tables were made,
	// which outlive the agent, but for Kernel (see there).
	Counts []Count  `json:"counts"`
	Rules  []Rule   `json:"rules"`
	Kernel []Kernel `json:"kernel"`
	// Events are the newest that were told, oldest first: at most 256, since the agent started.
	Events []Event `json:"events"`
	// Missing says what cannot be told on this host, and why.
	Missing []string `json:"missing"`
}

// Count is one reason at one port.
type Count struct {
	Where
	Reason string `json:"reason"`
	What   string `json:"what"`
	Cure   string `json:"cure,omitempty"`
	// Packets and Bytes, from the Ethernet header on.
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// Rule is one security group rule of this host.
type Rule struct {
	ID string `json:"rule"`
	// Says is the rule in words; Ports are the ports of this host that have it.
	Says  string  `json:"says,omitempty"`
	Ports []Where `json:"ports"`
	// Connections are those that it opened, Drops the packets that it allowed and that were dropped all the same.
	Connections uint64 `json:"connections"`
	Drops       uint64 `json:"drops"`
	DropBytes   uint64 `json:"drop_bytes"`
}

// Kernel is what the kernel dropped behind the data plane: dataplane.Lost.
type Kernel struct {
	Where
	Source  string `json:"source"`
	Why     string `json:"why"`
	Packets uint64 `json:"packets"`
}

// Event is one dropped packet.
type Event struct {
	Time time.Time `json:"time"`
	Host string    `json:"host"`
	Where
	// Packet is its headers in words, Length that of the frame in bytes.
	Packet string `json:"packet"`
	Length int    `json:"length"`
	// Reason is "kernel" for what the kernel dropped; What has its words then.
	Reason string `json:"reason"`
	What   string `json:"what"`
	Cure   string `json:"cure,omitempty"`
	// Rule had allowed it before it was dropped all the same; "": none had.
	Rule string `json:"rule,omitempty"`
	Says string `json:"rule_says,omitempty"`
}

// words puts what a plane says into the words of a State, which may be nil.
type words struct {
	host  string
	state *hostplan.State
}

func (w words) port(id model.PortID) Where {
	if id.IsZero() {
		return Where{}
	}
	out := Where{Port: id.String()}
	if w.state != nil {
		if e := w.state.Endpoints[id]; e != nil {
			out.Name, out.Instance, out.Device = e.Name, e.DeviceID, e.Device
		}
	}
	return out
}

func (w words) device(name string) Where {
	if w.state != nil {
		for id, e := range w.state.Endpoints {
			if e.Device == name {
				return w.port(id)
			}
		}
	}
	return Where{Device: name}
}

// says is the rule in words; "" if no port here has it any more.
func (w words) says(id model.UUID) string {
	if w.state == nil || id.IsZero() {
		return ""
	}
	for _, e := range w.state.Endpoints {
		if e.Policy == nil {
			continue
		}
		for _, r := range e.Policy.Rules {
			if r.ID == id {
				return forward.RuleText(r)
			}
		}
	}
	return ""
}

func (w words) event(e dataplane.DropEvent) Event {
	out := Event{Time: e.Time, Host: w.host, Packet: summary(e), Length: e.Len}
	if e.Kernel != "" {
		out.Where, out.Reason = w.device(e.Device), "kernel"
		out.What = "the host's kernel dropped it after the data plane had sent it on: " + e.Kernel
		return out
	}
	advice := forward.Explain(e.Reason)
	out.Where, out.Reason, out.What, out.Cure = w.port(e.Port), e.Reason.String(), advice.What, advice.Cure
	if !e.Rule.IsZero() {
		out.Rule, out.Says = e.Rule.String(), w.says(e.Rule)
	}
	return out
}

func summary(e dataplane.DropEvent) string {
	if len(e.Data) == 0 {
		return "no bytes of it are known"
	}
	return forward.SummaryOf(e.Data, e.Len)
}

func (w words) count(c dataplane.DropCount) Count {
	a := forward.Explain(c.Reason)
	return Count{Where: w.port(c.Port), Reason: c.Reason.String(), What: a.What, Cure: a.Cure, Packets: c.Packets, Bytes: c.Bytes}
}

// rules adds to the counters what the rules say and whose they are.
func (w words) rules(counts []dataplane.RuleCount) []Rule {
	says, ports := map[model.UUID]string{}, map[model.UUID][]Where{}
	if w.state != nil {
		for id, e := range w.state.Endpoints {
			if e.Policy == nil {
				continue
			}
			for _, r := range e.Policy.Rules {
				if says[r.ID] == "" {
					says[r.ID] = forward.RuleText(r)
				}
				ports[r.ID] = append(ports[r.ID], w.port(id))
			}
		}
	}
	out := make([]Rule, 0, len(counts))
	for _, c := range counts {
		out = append(out, Rule{ID: c.Rule.String(), Says: says[c.Rule], Ports: sorted(ports[c.Rule]), Connections: c.Connections, Drops: c.Drops, DropBytes: c.DropBytes})
	}
	return out
}

// PolicyReason reports whether the reason is that no rule allowed the packet.
func PolicyReason(name string) bool {
	return name == reason.PolicyIngress.String() || name == reason.PolicyEgress.String()
}
