// Package doctor finds the first broken link in the chain of things that an instance needs to have a network.
//
// It is PURE: Facts go in, the steps with their verdicts come out. Collecting the facts is the command's business; this
// package asks no kernel, no agent and no server. It looks at one port on its own host: what happens elsewhere is
// `weft trace`'s.
package doctor

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/weft-cloud/weft/internal/agent"
	"github.com/weft-cloud/weft/internal/agent/tally"
)

// Facts are what could be found out.
type Facts struct {
	// Want is what the operator asked about: the id of a port or of an instance (or its beginning), a name, an address, a
	// MAC or an interface.
	Want string
	// Status is what the agent says; nil: it does not answer, for the reason in AgentError.
	Status     *agent.Status
	AgentError string
	// Device is the port's interface; nil: there is none of that name.
	Device *Device
	// Strangers are interfaces that look like instances' and belong to no port of this host.
	Strangers []string
	// Drops are the packets from and to the port that the data plane dropped, by reason's name; nil: not known.
	Drops map[string]uint64
	// Lately are those of them that were told in the last minute: at most ten a second.
	Lately map[string]int
	// TunnelPort is what else has UDP 4789 on this host, "" for nothing.
	TunnelPort string
	Now        time.Time
}

// Device is what the kernel says of the interface.
type Device struct {
	Name string
	Up   bool
	MTU  int
	// Attached: our program is on it. Unknown: that could not be found out.
	Attached, Unknown bool
	// Received are packets from the instance, Sent to it.
	Received, Sent uint64
}

// Step is one link of the chain.
type Step struct {
	Name string `json:"name"`
	// OK false: the link is broken; Found says how, Cure what to do.
	OK    bool   `json:"ok"`
	Found string `json:"found"`
	Cure  string `json:"cure,omitempty"`
	// Warning: not broken, but wrong; OK is false then, too.
	Warning bool `json:"warning,omitempty"`
}

// clockLimit is how far clocks may be apart before times in logs, leases and certificates mislead.
const clockLimit = 2 * time.Second

// patient is under the packets that any system sends in its first seconds.
const patient = 1

// lately is below half of a day's lease, in which a client asks for nothing.
const lately = 10 * time.Hour

// together is how long before its port an interface may come when an instance is made: the server is told of the port before, but tells the host
// when it can.
const together = 5 * time.Second

// Diagnose walks the chain and stops at the first broken link, which is then the last step.
func Diagnose(f Facts) []Step {
	var out []Step
	d := diagnosis{f: f}
	for _, check := range []func() Step{d.agent, d.feed, d.plane, d.port, d.problem, d.admin, d.device, d.deviceUp, d.mtu, d.program, d.attached,
		d.speaks, d.own, d.asks, d.limited, d.answered, d.delivered, d.bound, d.rogue, d.resolver, d.gateway, d.rules, d.metadata, d.clock} {
		s := check()
		if s.Name == "" {
			continue // nothing to say
		}
		out = append(out, s)
		if !s.OK && !s.Warning {
			break
		}
	}
	return out
}

// DeviceOf is the interface of the one port that was asked about, "" if it is not one.
func DeviceOf(f Facts) string {
	d := diagnosis{f: f}
	if f.Status == nil || !d.port().OK {
		return ""
	}
	return d.ep.Device
}

// Knows reports whether a host's agent knows a port, or several, by that word.
func Knows(s *agent.Status, want string) bool {
	d := diagnosis{f: Facts{Want: want, Status: s}}
	want = strings.ToLower(want)
	_, astray := d.astray(want)
	return astray || slices.ContainsFunc(s.Endpoints, func(e agent.EndpointStatus) bool { return matches(&e, want) })
}

// Broken is the step that explains the trouble; ok false: all links hold.
func Broken(steps []Step) (Step, bool) {
	if n := len(steps); n > 0 && !steps[n-1].OK && !steps[n-1].Warning {
		return steps[n-1], true
	}
	return Step{}, false
}

type diagnosis struct {
	f  Facts
	ep *agent.EndpointStatus
}

func good(name, format string, args ...any) Step {
	return Step{Name: name, OK: true, Found: fmt.Sprintf(format, args...)}
}

func bad(name, cure, format string, args ...any) Step {
	return Step{Name: name, Cure: cure, Found: fmt.Sprintf(format, args...)}
}

func warn(name, cure, format string, args ...any) Step {
	return Step{Name: name, Cure: cure, Found: fmt.Sprintf(format, args...), Warning: true}
}

func (d *diagnosis) agent() Step {
	if d.f.Status == nil && d.f.TunnelPort != "" {
		return bad("agent runs", "stop "+d.f.TunnelPort+", or give it another port: VXLAN's is the data plane's; then start the agent (systemctl start weft-agent)",
			"it does not answer (%s), and UDP port 4789 is taken by %s", d.f.AgentError, d.f.TunnelPort)
	}
	if d.f.Status == nil {
		return bad("agent runs", "start the agent on this host (systemctl start weft-agent) and read its log; packets of ports that were programmed before still flow",
			"it does not answer: %s", d.f.AgentError)
	}
	return good("agent runs", "host %s, since %s", d.f.Status.Host, d.f.Status.StartedAt.Format(time.RFC3339))
}

func (d *diagnosis) feed() Step {
	s := d.f.Status
	reason := cmp.Or(s.Server.Error, "the agent is still trying for the first time")
	switch {
	case s.Server.Connected && s.Held:
		return warn("server connected", "check that the server was restored on purpose, then release the host", "yes, but it asks to delete nothing until an operator confirms")
	case s.Server.Connected:
		return good("server connected", "%s", s.Server.Server)
	case s.InSync || len(s.Endpoints) > 0:
		return warn("server connected", "check [weft] server, the certificates and the way to the server; what is new since then is not known here", "no: %s; working from what is known", reason)
	}
	return bad("server connected", "check [weft] server, the certificates and the way to the server", "no: %s; and nothing is known from before", reason)
}

// port finds the endpoint that was asked about.
func (d *diagnosis) port() Step {
	var hits []*agent.EndpointStatus
	want := strings.ToLower(d.f.Want)
	for i := range d.f.Status.Endpoints {
		if e := &d.f.Status.Endpoints[i]; matches(e, want) {
			hits = append(hits, e)
		}
	}
	switch len(hits) {
	case 0:
		if s, ok := d.astray(want); ok {
			return s
		}
		return bad("port on this host", "see binding:host_id and binding:vif_type in `openstack port show`: run this command on that host; unbound or binding_failed: boot or migrate the instance to a host with a live agent",
			"no port of host %s is %q", d.f.Status.Host, d.f.Want)
	case 1:
		d.ep = hits[0]
		return good("port on this host", "%s %s %v, interface %s", d.ep.Port, d.ep.MAC, d.ep.Addresses, d.ep.Device)
	}
	var ids []string
	for _, e := range hits {
		ids = append(ids, e.Port.String())
	}
	return bad("port on this host", "name one of them", "%q are %d ports: %s", d.f.Want, len(hits), strings.Join(ids, ", "))
}

// astray tells of a port that was asked about and is bound elsewhere than where its interface is; a name and an instance's id are not known
// of such a port.
func (d *diagnosis) astray(want string) (Step, bool) {
	for _, a := range d.f.Status.Astray {
		id := a.Port.String()
		if want != a.Device && want != a.MAC.String() && (len(want) < 4 || !strings.HasPrefix(id, want)) &&
			!slices.ContainsFunc(a.Addresses, func(x netip.Addr) bool { return x.String() == want }) {
			continue
		}
		where := "bound to " + a.Bound
		if a.Bound == "" {
			where = "bound to no host"
		}
		return bad("port on this host", "if the instance is to run here: openstack port set --host "+d.f.Status.Host+" "+id+", else find out who started it here (binding:host_id is what Nova said last)",
			"port %s is %s, but its interface %s is on %s", id, where, a.Device, d.f.Status.Host), true
	}
	return Step{}, false
}

func matches(e *agent.EndpointStatus, want string) bool {
	id := e.Port.String()
	return want != "" && (e.Name == want || strings.ToLower(e.Name) == want || e.Device == want || e.MAC.String() == want || slices.Contains(e.Addresses, want) ||
		len(want) >= 4 && (strings.HasPrefix(id, want) || strings.HasPrefix(strings.ToLower(e.Instance), want)))
}

func (d *diagnosis) problem() Step {
	for _, p := range d.f.Status.Problems {
		if p.ID == d.ep.Port.String() || p.ID == d.ep.Network.String() || p.ID == d.ep.Device {
			return bad("can be carried out", "change the "+p.Kind+" as the sentence says", "%s %s: %s", p.Kind, p.ID, p.Why)
		}
	}
	return good("can be carried out", "no problems reported")
}

func (d *diagnosis) admin() Step {
	if !d.ep.AdminUp {
		return bad("administratively up", "openstack port set --enable "+d.ep.Port.String()+", or the same for its network", "port or network is down (admin_state_up false): it drops everything")
	}
	return good("administratively up", "yes")
}

func (d *diagnosis) device() Step {
	if d.f.Device != nil {
		return good("interface there", "%s", d.f.Device.Name)
	}
	hint := ""
	if len(d.f.Strangers) > 0 {
		hint = "; interfaces without a port are here: " + strings.Join(d.f.Strangers, ", ") + " (a wrong name?)"
	}
	return bad("interface there", "the hypervisor makes it: is the instance running here, and is binding:vif_type `tap`? Its name must be "+d.ep.Device,
		"there is no interface %s%s", d.ep.Device, hint)
}

func (d *diagnosis) deviceUp() Step {
	if !d.f.Device.Up {
		return bad("interface up", "ip link set "+d.f.Device.Name+" up, and find out who took it down", "%s is down", d.f.Device.Name)
	}
	return good("interface up", "yes")
}

func (d *diagnosis) mtu() Step {
	if d.f.Device.MTU < int(d.ep.MTU) {
		return bad("interface MTU", fmt.Sprintf("ip link set %s mtu %d", d.f.Device.Name, d.ep.MTU), "%d, less than the network's %d: larger packets vanish", d.f.Device.MTU, d.ep.MTU)
	}
	return good("interface MTU", "%d", d.f.Device.MTU)
}

func (d *diagnosis) program() Step {
	if !d.ep.Programmed {
		return bad("port programmed", "the agent tries again by itself; its log says what the kernel refuses", "the data plane has not taken the port (applied %s of %s)", d.f.Status.Applied, d.f.Status.Position)
	}
	return good("port programmed", "yes")
}

func (d *diagnosis) attached() Step {
	switch dev := d.f.Device; {
	case dev.Unknown:
		return Step{}
	case !dev.Attached:
		return bad("program attached", "restart the agent, and find out who took the program off (bpftool net)", "no program of ours is on %s: its packets go nowhere, or into the host", dev.Name)
	}
	return good("program attached", "yes")
}

func (d *diagnosis) speaks() Step {
	if d.f.Device.Received < patient {
		return bad("instance speaks", "look at the instance's console: has it booted, has it a driver for the network card, is the interface up inside?", "not one packet has come from it")
	}
	return good("instance speaks", "%d packets from it, %d to it", d.f.Device.Received, d.f.Device.Sent)
}

// last is the newest exchange of a service; ok false: none.
func (d *diagnosis) last(services ...string) (tally.Exchange, bool) {
	if d.ep.Services == nil {
		return tally.Exchange{}, false
	}
	for _, e := range slices.Backward(d.ep.Services.Last) {
		if slices.Contains(services, e.Service) {
			return e, true
		}
	}
	return tally.Exchange{}, false
}

func (d *diagnosis) asks() Step {
	if d.ep.Lease == "" && d.ep.Services != nil && d.ep.Services.Asked > 0 {
		return warn("asks for an address", "enable_dhcp on the subnet, or set the address inside", "%d questions; no IPv4 subnet of the port has DHCP now", d.ep.Services.Asked)
	}
	if d.ep.Services == nil || d.ep.Services.Asked == 0 {
		if d.ep.Lease == "" {
			return warn("asks for an address", "enable_dhcp on the subnet, or set the address inside", "it never asked, and no subnet of the port has DHCP")
		}
		return d.neverAsked()
	}
	return good("asks for an address", "%d questions, %d answered", d.ep.Services.Asked, d.ep.Services.Answered)
}

// neverAsked: an instance that was there before the agent, or before its port came to this host (its interface is made first when it is moved
// here), may have asked before.
func (d *diagnosis) neverAsked() Step {
	known, what := d.f.Status.StartedAt, "the agent started"
	if d.ep.Since.After(known) {
		known, what = d.ep.Since, "the port came to this host"
	}
	heard := !d.ep.Appeared.IsZero() && d.ep.Appeared.Add(together).After(known)
	if ago := d.f.Now.Sub(known); !heard && ago < lately {
		return warn("asks for an address", "nothing, if it had its address before; else start its DHCP client", "not since %s, %s ago; %d packets have come from it",
			what, ago.Round(time.Second), d.f.Device.Received)
	}
	return bad("asks for an address", "start a DHCP client inside; an instance with an address of its own needs "+d.ep.Lease,
		"since %s, it has asked for nothing (DHCP, router advertisements)", what)
}

func (d *diagnosis) limited() Step {
	if d.ep.Services == nil {
		return Step{}
	}
	shares := d.ep.Services.Services
	for _, service := range slices.Sorted(maps.Keys(shares)) {
		if s := shares[service]; s.Limited > s.Asked/2 {
			return bad("asks in measure", "find the program inside that asks in a loop", "%d of %d questions for %s were past its share", s.Limited, s.Asked, service)
		}
	}
	return Step{}
}

// answered looks at the newest DHCP exchange that had no answer.
func (d *diagnosis) answered() Step {
	e, ok := d.last("dhcpv4", "dhcpv6")
	switch {
	case !ok:
		return Step{}
	case e.Got == "RELEASE":
		return bad("DHCP answered", "start its DHCP client again", "it gave its address back")
	case e.Got == "DECLINE":
		return bad("DHCP answered", "find the second owner of the address on the network", "%s", e.Why)
	case strings.Contains(e.Answer, "NAK"):
		return bad("DHCP answered", "let its DHCP client begin anew (release, then renew), or change the port's fixed IP", "refused: %s", e.Why)
	case e.Answer == "" && strings.Contains(e.Why, "another DHCP server"):
		return bad("DHCP answered", "find the other DHCP server on the network (openstack network agent list; a port without port security)", "%s", e.Why)
	case e.Answer == "" && strings.Contains(e.Why, "hardware address"):
		return bad("DHCP answered", "give the instance's interface the port's MAC, or the port the interface's", "%s", e.Why)
	case e.Answer == "" && strings.Contains(e.Why, "has no address"):
		return bad("DHCP answered", "set enable_dhcp on the subnet, or give the port an address there", "%s", e.Why)
	case e.Answer == "":
		return bad("DHCP answered", "look at its DHCP client", "%s: %s", e.Got, e.Why)
	case e.Why != "":
		return warn("DHCP answered", "correct extra_dhcp_opts", "%s → %s, but: %s", e.Got, e.Answer, e.Why)
	}
	return good("DHCP answered", "%s → %s, %s ago", e.Got, e.Answer, d.f.Now.Sub(e.At).Round(time.Second))
}

func (d *diagnosis) delivered() Step {
	if n := d.f.Status.Punts["undelivered"]; n > 0 && d.f.Device.Sent == 0 {
		return bad("answers delivered", "read the agent's log for the kernel's reason", "%d answers could not be put on their interface, and nothing went out on this one", n)
	}
	return Step{}
}

// bound: who was offered an address thrice and never asks for it does not hear the offers.
func (d *diagnosis) bound() Step {
	offers, other := 0, false
	if d.ep.Services != nil {
		for _, e := range d.ep.Services.Last {
			switch {
			case e.Got == "DISCOVER" && strings.HasPrefix(e.Answer, "OFFER"):
				offers++
			case strings.HasPrefix(e.Answer, "ACK"), strings.HasPrefix(e.Answer, "REPLY"):
				other = true
			}
		}
	}
	if offers >= 3 && !other {
		return bad("address taken", "a packet filter inside, checksum offload that its driver gets wrong, or a full queue of the hypervisor: look with tcpdump -ni "+d.f.Device.Name+" port 67 or port 68, and inside",
			"%d offers, and it never asked for the address: it does not hear them", offers)
	}
	return Step{}
}

func (d *diagnosis) metadata() Step {
	e, ok := d.last("metadata")
	switch {
	case !ok:
		return Step{}
	case e.Why != "":
		return bad("metadata answered", "see nova_metadata_host and metadata_proxy_shared_secret on the server, and Nova's metadata service", "%s → %s: %s", e.Got, e.Answer, e.Why)
	}
	if e.Answer == "" {
		return good("metadata answered", "%s: it hung up before it had the answer", e.Got)
	}
	return good("metadata answered", "%s → %s", e.Got, e.Answer)
}

func (d *diagnosis) clock() Step {
	if off := d.f.Status.Server.ClockOffset; off > clockLimit || off < -clockLimit {
		return warn("clocks agree", "run an NTP client on this host and on the server", "the server's is %s ahead; nothing here depends on it, but logs and certificates do", off.Round(time.Millisecond))
	}
	return good("clocks agree", "yes")
}
