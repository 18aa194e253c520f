package dptest

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/forward"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// NewPlane makes the plane of one host; it may program s at once. What it needs to undo goes into t.Cleanup.
type NewPlane func(t testing.TB, s *hostplan.State) Plane

// RunCases puts the table of hard packets to planes made by newPlane, one for each host of a case.
func RunCases(t *testing.T, newPlane NewPlane) {
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) { c.run(t, newPlane) })
	}
}

func (c Case) run(t *testing.T, newPlane NewPlane) {
	cloud := Demo()
	if c.Change != nil {
		c.Change(cloud)
	}
	states := cloud.States()
	planes := map[string]Plane{}
	for _, h := range cloud.Hosts {
		planes[h.Name] = newPlane(t, states[h.Name])
		if err := planes[h.Name].Forget(); err != nil {
			t.Fatal(err)
		}
	}
	apply := func() {
		states = cloud.States()
		for name, p := range planes {
			if err := p.Apply(states[name]); err != nil {
				t.Fatalf("apply on %s: %v", name, err)
			}
		}
	}
	apply()
	for name, p := range planes {
		if len(cloud.Externals) == 0 || states[name].Externals[ExternalID(cloud.Externals[0].Name)] == nil {
			continue
		}
		for _, a := range []netip.Addr{OutsideRouter, OutsideRouter6} {
			if err := p.Learn(ExternalID(cloud.Externals[0].Name), a, OutsideRouterMAC); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, m := range cloud.Met {
		for name, p := range planes {
			if states[name].Networks[NetworkID(m.Network)] == nil && states[name].Externals[NetworkID(m.Network)] == nil {
				continue
			}
			if err := p.Learn(NetworkID(m.Network), m.Address, m.MAC); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, s := range c.Sends {
		if s.Before != nil {
			s.Before(cloud)
			apply()
		}
		got, err := walk(cloud, planes, states, s)
		if errors.Is(err, ErrSkip) && s.odd() {
			t.Skip(err)
		}
		if err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		if diff := cmp.Diff(s.Want.text(), got.text()); diff != "" {
			t.Errorf("frame %d: %s\n%s(-want +got)\n%s", i, forward.Summary(s.Frame), dump(s.Frame), diff)
		}
	}
}

// odd reports whether BPF_PROG_RUN refuses such a frame: it takes none shorter than its headers, and none longer than a page. No
// other case may be skipped.
func (s Send) odd() bool { return len(s.Frame) < 14+40 || len(s.Frame) > 3500 }

// walk sends one frame through the planes, across hosts.
func walk(cloud *Cloud, planes map[string]Plane, states map[string]*hostplan.State, s Send) (Want, error) {
	names := cloud.PortNames()
	got := Want{To: map[string][]byte{}}
	take := func(o Outcome) (tunnels []forward.Output) {
		if got.Reason == reason.None {
			got.Reason = o.Reason
		}
		for _, x := range o.Outputs {
			switch x.Kind {
			case forward.Deliver:
				got.To[names[x.Port]] = x.Frame
			case forward.Reply:
				got.Reply = x.Frame
			case forward.Punt:
				switch x.Punt {
				case dataplane.PuntNeighbor:
					got.Told = true
				case dataplane.PuntAsk:
					got.Asked = true
				default:
					got.Punt = x.Punt
				}
			case forward.Outside:
				got.Out, got.VLAN = x.Frame, x.VLAN
			case forward.ToHost:
				got.ToHost = true
			case forward.Tunnel:
				tunnels = append(tunnels, x)
			}
		}
		return tunnels
	}
	host := s.NIC
	if host == "" {
		host = cloud.hostOf(s.From)
	}
	out, err := planes[host].Send(s.input(), s.Frame)
	if err != nil {
		return got, err
	}
	for _, x := range take(out) {
		for name, st := range states {
			if st.VTEP != x.VTEP {
				continue
			}
			in := forward.FromTunnel(x.VNI, states[host].VTEP)
			in.Segment = s.Segment
			far, err := planes[name].Send(in, x.Frame)
			if err != nil {
				return got, err
			}
			take(far)
		}
	}
	return got, nil
}

func (s Send) input() forward.Input {
	in := forward.FromPort(s.port())
	if s.NIC != "" {
		in = forward.FromNIC(Physnet, s.VLAN)
	}
	in.Segment = s.Segment
	return in
}

// Physnet is the physical network of the cases.
const Physnet = "external"

// port is the sender's id: of an instance, or of a leg of a central part, as Cloud.outsideNames names it.
func (s Send) port() model.PortID {
	c := Demo()
	NorthSouth(c)
	for id, name := range c.outsideNames() {
		if name == s.From {
			return id
		}
	}
	return PortID(s.From)
}

// hostOf is where a port or a leg is.
func (c *Cloud) hostOf(port string) string {
	if p := c.Port(port); p != nil {
		return p.Host
	}
	for _, r := range c.Routers {
		if r.Gateway != nil {
			return r.Gateway.Host
		}
	}
	return ""
}
