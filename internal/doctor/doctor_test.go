package doctor

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weft-cloud/weft/internal/agent"
	"github.com/weft-cloud/weft/internal/agent/tally"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

var (
	portID   = model.PortID{UUID: model.UUID{0xab, 0xcd, 0xef, 1}}
	routerID = model.RouterID{UUID: model.UUID{7}}
)

// healthy is an instance with which nothing is wrong.
func healthy() Facts {
	s := &agent.Status{Host: "compute1", InSync: true, StartedAt: time.Unix(1, 0), Endpoints: []agent.EndpointStatus{{
		Port: portID, Name: "red1", MAC: model.MAC{0xfa, 0x16, 0x3e, 0, 0, 1}, Addresses: []string{"10.0.0.5"}, Device: portID.DeviceName(), Instance: "5e55-vm",
		AdminUp: true, MTU: 1450, Lease: "10.0.0.5", Present: true, Appeared: time.Unix(50, 0), Since: time.Unix(49, 0), Programmed: true, Secured: true, Rules: 4, Resolvers: []string{"10.0.0.2"},
		Gateways: []agent.GatewayStatus{{Address: netip.MustParseAddr("10.0.0.1"), Router: routerID, Up: true}},
		Services: &tally.Port{Asked: 4, Answered: 4, Last: []tally.Exchange{
			{Service: "dhcpv4", Got: "DISCOVER", Answer: "OFFER 10.0.0.5"}, {Service: "dhcpv4", Got: "REQUEST", Answer: "ACK 10.0.0.5"},
			{Service: "metadata", Got: "GET /openstack", Answer: "200 OK"},
		}},
	}}}
	s.Server.Connected, s.Server.Server = true, "controller"
	return Facts{Want: "red1", Status: s, Device: &Device{Name: portID.DeviceName(), Up: true, MTU: 1450, Attached: true, Received: 20, Sent: 20}, Drops: map[string]uint64{}, Lately: map[string]int{}, Now: time.Unix(100, 0)}
}

func ep(f *Facts) *agent.EndpointStatus { return &f.Status.Endpoints[0] }

// last puts an exchange behind the others.
func last(e tally.Exchange) func(*Facts) {
	return func(f *Facts) { ep(f).Services.Last = append(ep(f).Services.Last, e) }
}

// TestFaults injects one fault at a time; each must be found, by name, with a cure.
func TestFaults(t *testing.T) {
	for _, tc := range []struct {
		name        string
		inject      func(*Facts)
		step, found string
	}{
		{"agent dead", func(f *Facts) { f.Status, f.AgentError = nil, "connection refused" }, "agent runs", "refused"},
		{"server away from the start", func(f *Facts) {
			f.Status.Server.Connected, f.Status.Server.Error, f.Status.InSync, f.Status.Endpoints = false, "no route", false, nil
		}, "server connected", "no route"},
		{"port elsewhere", func(f *Facts) { f.Want = "blue9" }, "port on this host", "blue9"},
		{"port bound elsewhere than where its interface is", func(f *Facts) {
			f.Want = portID.DeviceName()
			f.Status.Endpoints, f.Status.Astray = nil, []agent.Astray{{Port: portID, Device: portID.DeviceName(), Bound: "compute2"}}
		}, "port on this host", "bound to compute2, but its interface tapabcdef01-00 is on compute1"},
		{"an ambiguous name", func(f *Facts) { f.Status.Endpoints = append(f.Status.Endpoints, f.Status.Endpoints[0]) }, "port on this host", "2 ports"},
		{"port quarantined", func(f *Facts) {
			f.Status.Problems = []hostplan.Problem{{Kind: "port", ID: portID.String(), Why: "no network"}}
		}, "can be carried out", "no network"},
		{"UDP 4789 taken, agent down", func(f *Facts) { f.Status, f.AgentError, f.TunnelPort = nil, "no such file", "ovs-vswitchd (pid 7)" }, "agent runs", "ovs-vswitchd"},
		{"UDP 4789 taken", func(f *Facts) {
			f.Status.Problems, f.TunnelPort = []hostplan.Problem{{Kind: "data_plane", ID: "compute1", Why: "set up weft-vxlan: address already in use"}}, "nc (pid 8)"
		}, "data plane works", "address already in use"},
		{"the kernel refuses the programs", func(f *Facts) {
			f.Status.Problems = []hostplan.Problem{{Kind: "data_plane", ID: "compute1", Why: "load the BPF programs: operation not permitted"}}
		}, "data plane works", "not permitted"},
		{"another address inside, set by hand", func(f *Facts) { f.Drops["spoofed_arp"], f.Lately["spoofed_arp"] = 15, 9 }, "uses its own address", "15 of 20 packets had another address"},
		{"another MAC inside", func(f *Facts) { f.Drops["spoofed_mac"], f.Lately["spoofed_mac"] = 19, 9 }, "uses its own address", "19 of 20 packets had another MAC"},
		{"router down", func(f *Facts) { ep(f).Gateways[0].Up = false }, "gateway answers", "administratively down"},
		{"no security group", func(f *Facts) { ep(f).Rules = 0 }, "security groups allow", "no security group rule"},
		{"port disabled", func(f *Facts) { ep(f).AdminUp = false }, "administratively up", "admin_state_up"},
		{"interface missing", func(f *Facts) { f.Device = nil }, "interface there", "no interface tapabcdef01-00"},
		{"interface of a wrong name", func(f *Facts) { f.Device, f.Strangers = nil, []string{"tapred1"} }, "interface there", "tapred1"},
		{"interface down", func(f *Facts) { f.Device.Up = false }, "interface up", "down"},
		{"MTU too small", func(f *Facts) { f.Device.MTU = 1400 }, "interface MTU", "1450"},
		{"port not programmed", func(f *Facts) { ep(f).Programmed = false }, "port programmed", "not taken"},
		{"program taken off", func(f *Facts) { f.Device.Attached = false }, "program attached", "no program"},
		{"instance silent", func(f *Facts) { f.Device.Received = 0 }, "instance speaks", "not one packet"},
		{"no DHCP client", func(f *Facts) { ep(f).Services = nil }, "asks for an address", "asked for nothing"},
		{"no DHCP client, told of the port a little late", func(f *Facts) { ep(f).Services, ep(f).Since = nil, time.Unix(52, 0) }, "asks for an address", "asked for nothing"},
		{"no DHCP client for half a day after it was moved here", func(f *Facts) {
			ep(f).Services, ep(f).Since, f.Now = nil, time.Unix(90, 0), time.Unix(90, 0).Add(lately)
		}, "asks for an address", "since the port came to this host"},
		{"a storm of questions", func(f *Facts) {
			ep(f).Services.Asked, ep(f).Services.Limited = 5000, 900
			ep(f).Services.Services = map[string]tally.Share{"dns": {Asked: 4000}, "ra": {Asked: 1000, Limited: 900}}
		}, "asks in measure", "900 of 1000 questions for ra"},
		{"subnet without DHCP", last(tally.Exchange{Service: "dhcpv4", Got: "DISCOVER", Why: "the port has no address on an IPv4 subnet with enable_dhcp"}), "DHCP answered", "enable_dhcp"},
		{"wrong MAC inside", last(tally.Exchange{Service: "dhcpv4", Got: "DISCOVER", Why: "the hardware address 02:00:00:00:00:01 is not the port's"}), "DHCP answered", "hardware address"},
		{"another DHCP server", last(tally.Exchange{Service: "dhcpv4", Got: "REQUEST", Why: "the instance chose another DHCP server, 10.0.0.66"}), "DHCP answered", "10.0.0.66"},
		{"another address inside", last(tally.Exchange{Service: "dhcpv4", Got: "REQUEST", Answer: "NAK", Why: "the instance asked for 10.0.0.9"}), "DHCP answered", "10.0.0.9"},
		{"address in use twice", last(tally.Exchange{Service: "dhcpv4", Got: "DECLINE", Why: "somebody else uses 10.0.0.5"}), "DHCP answered", "somebody else"},
		{"lease given back", last(tally.Exchange{Service: "dhcpv4", Got: "RELEASE", Why: "no answer"}), "DHCP answered", "gave its address back"},
		{"answers undelivered", func(f *Facts) { f.Status.Punts, f.Device.Sent = map[string]uint64{"undelivered": 3}, 0 }, "answers delivered", "3 answers"},
		{"answers unheard", func(f *Facts) {
			offer := tally.Exchange{Service: "dhcpv4", Got: "DISCOVER", Answer: "OFFER 10.0.0.5"}
			ep(f).Services.Last = []tally.Exchange{offer, offer, offer}
		}, "address taken", "3 offers"},
		{"Nova's metadata service away", last(tally.Exchange{Service: "metadata", Got: "GET /", Answer: "502 Bad Gateway", Why: "connection refused"}), "metadata answered", "refused"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := healthy()
			tc.inject(&f)
			s, broken := Broken(Diagnose(f))
			if !broken || s.Name != tc.step || !strings.Contains(s.Found, tc.found) || s.Cure == "" {
				t.Errorf("found %+v", s)
			}
		})
	}
}

// TestWarnings: what is wrong but breaks nothing is said, and the walk goes on.
func TestWarnings(t *testing.T) {
	for _, tc := range []struct {
		name   string
		inject func(*Facts)
		step   string
	}{
		{"server away", func(f *Facts) { f.Status.Server.Connected = false }, "server connected"},
		{"held", func(f *Facts) { f.Status.Held = true }, "server connected"},
		{"clocks apart", func(f *Facts) { f.Status.Server.ClockOffset = time.Minute }, "clocks agree"},
		{"a bad option", last(tally.Exchange{Service: "dhcpv4", Got: "REQUEST", Answer: "ACK 10.0.0.5", Why: `option "x": no such option`}), "DHCP answered"},
		{"no resolver", func(f *Facts) { ep(f).Resolvers = nil }, "has a resolver"},
		{"no router", func(f *Facts) { ep(f).Gateways[0].Router = model.RouterID{} }, "gateway answers"},
		{"a DHCP server inside", func(f *Facts) { f.Drops["rogue_dhcp"] = 3 }, "is no DHCP server"},
		{"a router inside", func(f *Facts) { f.Drops["rogue_ra"] = 3 }, "is no router"},
		{"a packet from an old address", func(f *Facts) { f.Drops["spoofed_ip"], f.Lately["spoofed_ip"] = 1, 1 }, "uses its own address"},
		{"packets that no rule allows", func(f *Facts) { f.Drops["policy_egress"] = 1 }, "security groups allow"},
		{"UDP 4789 taken since", func(f *Facts) { f.TunnelPort = "nc (pid 8)" }, "data plane works"},
		{"agent restarted", func(f *Facts) { ep(f).Services, ep(f).Appeared, ep(f).Since = nil, time.Time{}, time.Time{} }, "asks for an address"},
		{"bound here again", func(f *Facts) { ep(f).Services, ep(f).Since = nil, time.Unix(90, 0) }, "asks for an address"},
		{"DHCP switched off", func(f *Facts) { ep(f).Lease, ep(f).Resolvers = "", nil }, "asks for an address"},
		{"static address", func(f *Facts) { ep(f).Services, ep(f).Lease = nil, "" }, "asks for an address"},
	} {
		f := healthy()
		tc.inject(&f)
		steps := Diagnose(f)
		if s, broken := Broken(steps); broken {
			t.Errorf("%s: broken at %+v", tc.name, s)
		}
		n := 0
		for _, s := range steps {
			if s.Warning && s.Name == tc.step && s.Cure != "" && !strings.Contains(s.Found, ": ;") {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s: %+v", tc.name, steps)
		}
	}
}

func TestHealthy(t *testing.T) {
	for _, want := range []string{"red1", "RED1", "abcdef01", "10.0.0.5", "fa:16:3e:00:00:01", "tapabcdef01-00", "5e55-vm"} {
		f := healthy()
		f.Want = want
		for _, s := range Diagnose(f) {
			if !s.OK {
				t.Errorf("%s: %+v", want, s)
			}
		}
	}
}

func TestKnows(t *testing.T) {
	s := *healthy().Status
	twin := s.Endpoints[0]
	twin.Port = model.PortID{UUID: model.UUID{9}}
	s.Endpoints = append(s.Endpoints, twin)
	for want, known := range map[string]bool{"red1": true, "10.0.0.5": true, "FA:16:3E:00:00:01": true, "10.0.0.50": false, "abc": false, "": false} {
		if got := Knows(&s, want); got != known {
			t.Errorf("%q: %v", want, got)
		}
	}
}
