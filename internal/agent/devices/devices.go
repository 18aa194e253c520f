// Package devices finds the interfaces of a host that concern Weft: those that hypervisors make for instances, the legs of
// routers, and the NICs behind bridge_mappings. It follows the kernel's word of changes and makes nothing itself.
package devices

import (
	"context"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/agent"
	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/linux"
)

// Watcher is an agent.Devices.
type Watcher struct {
	// Mappings is bridge_mappings: physical network to bridge or NIC.
	Mappings map[string]string
}

// Watch tells what is there, and again whenever that has changed, until ctx is done.
func (w Watcher) Watch(ctx context.Context, changed func(agent.Found)) error {
	var told *agent.Found
	return linux.WatchLinks(ctx, "", func(links map[string]linux.Link) {
		now := w.find(links)
		if told != nil && reflect.DeepEqual(*told, now) { // the host has interfaces of other people
			return
		}
		told = &now
		changed(now)
	})
}

// prefixes of the interfaces that endpoints may have: instances', and the host's ends of routers' legs. What follows are the first eleven
// characters of a port's id. Others' interfaces, as a VPN's tap0, are left alone.
var prefixes = []string{"tap", "wi-", "wg-"}

var idStart = regexp.MustCompile("^[0-9a-f]{8}-[0-9a-f]{2}$")

func ours(name string) bool {
	return len(name) > 3 && slices.Contains(prefixes, name[:3]) && idStart.MatchString(name[3:])
}

func (w Watcher) find(links map[string]linux.Link) agent.Found {
	f := agent.Found{Devices: map[string]dataplane.Device{}, Physical: map[string][]dataplane.Device{}}
	for name, l := range links {
		if ours(name) {
			f.Devices[name] = device(l)
		}
	}
	for net, name := range w.Mappings {
		nics, why := physical(name, links)
		if why != "" {
			f.Problems = append(f.Problems, hostplan.Problem{Kind: "bridge_mapping", ID: net, Why: fmt.Sprintf("bridge mapping %s:%s: %s", net, name, why)})
		}
		if len(nics) > 0 {
			f.Physical[net] = nics
		}
	}
	slices.SortFunc(f.Problems, func(a, b hostplan.Problem) int { return strings.Compare(a.ID, b.ID) })
	return f
}

func device(l linux.Link) dataplane.Device {
	return dataplane.Device{Name: l.Name, Index: l.Index, Up: l.Up, MTU: l.MTU}
}

// physical are the NICs behind a bridge, or the NIC itself, sorted by name. why says what an operator must do before
// packets pass.
func physical(name string, links map[string]linux.Link) (nics []dataplane.Device, why string) {
	l, ok := links[name]
	switch {
	case !ok:
		return nil, fmt.Sprintf("there is no interface %s; create it or correct bridge_mappings", name)
	case l.Kind == "openvswitch":
		return nil, fmt.Sprintf("%s is a bridge of Open vSwitch, whose ports this data plane does not see; name the NIC itself, or a Linux bridge", name)
	case l.Kind != "bridge":
		nics = []dataplane.Device{device(l)}
	default:
		nics = ports(l, links)
		if len(nics) == 0 {
			return nil, fmt.Sprintf("the bridge %s has no physical port; attach the NIC (ip link set NIC master %[1]s) or name the NIC itself", name)
		}
	}
	for _, d := range nics {
		if !d.Up {
			return nics, fmt.Sprintf("the interface %s is down; bring it up (ip link set %[1]s up)", d.Name)
		}
	}
	return nics, ""
}

// ports are the physical ports of a bridge or, where it has none, all that are not ours: a cable of a virtual machine
// or a namespace looks no different.
func ports(bridge linux.Link, links map[string]linux.Link) (nics []dataplane.Device) {
	var others []dataplane.Device
	for _, l := range links {
		if l.Master != bridge.Index || ours(l.Name) {
			continue
		}
		switch l.Kind {
		case "device", "bond", "team", "vlan", "macvlan", "ipvlan":
			nics = append(nics, device(l))
		default:
			others = append(others, device(l))
		}
	}
	if len(nics) == 0 {
		nics = others
	}
	slices.SortFunc(nics, func(a, b dataplane.Device) int { return strings.Compare(a.Name, b.Name) })
	return nics
}
