package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/linux"
	"github.com/weft-cloud/weft/internal/model"
)

// routeProtocol marks our routes (rtm_protocol); the operator's own in a namespace bear others and are left alone.
const routeProtocol = 119

// realize brings the namespace to p. What is as it should be is not touched. full: what p does not name is deleted.
func (m *Manager) realize(p *plan, full bool) error {
	path := filepath.Join(m.Dir, p.name)
	fresh, err := m.namespace(path)
	if err != nil {
		return err
	}
	if err := setAll(path, early()); err != nil {
		return err
	}
	if full {
		if err := dropDevices(path, p.devices); err != nil {
			return err
		}
	}
	// Routes need devices, and the ruleset needs none: it comes first, so that nothing leaves untranslated.
	err = m.translate(path, p.nat, full)
	err = errors.Join(err, m.endRenewed(path, p.floats))
	for _, d := range p.devices {
		err = errors.Join(err, realizeDevice(path, d, p.router, full))
	}
	err = errors.Join(err, realizeRoutes(path, p.routes, full))
	if err == nil && fresh {
		m.Log.Info("made the namespace of a router", "namespace", p.name)
	}
	return err
}

// namespace makes it if there is none.
func (m *Manager) namespace(path string) (fresh bool, err error) {
	if linux.NetnsExists(path) {
		is, err := linux.NetnsMark(path)
		if err != nil {
			return false, err
		}
		switch is {
		case mark:
			return false, nil
		case "":
			if linux.IsNetns(path) {
				return false, notOurs(path)
			}
			if err := linux.DeleteNetns(path); err != nil { // the rest of a crash in the middle of making it
				return false, err
			}
		default:
			return false, notOurs(path)
		}
	}
	if err := m.prepareDir(); err != nil {
		return false, err
	}
	return true, linux.CreateNetns(path, mark)
}

func notOurs(path string) error {
	return fmt.Errorf("the network namespace %s was not made by Weft; delete it (ip netns delete %s) once nothing needs it any more", path, filepath.Base(path))
}

func (m *Manager) prepareDir() error {
	if m.Dir == linux.NetnsDir {
		return linux.PrepareNetnsDir()
	}
	if err := os.MkdirAll(m.Dir, 0o755); err != nil {
		return fmt.Errorf("make the directory of network namespaces: %w", err)
	}
	return nil
}

// setAll sets what is not set so. A key that the kernel does not have (no IPv6) is passed over.
func setAll(ns string, list []sysctl) error {
	var err error
	for _, s := range list {
		if is, rerr := linux.Sysctl(ns, s.key); rerr == nil && is == s.value {
			continue
		}
		_, serr := linux.SetSysctl(ns, s.key, s.value)
		err = errors.Join(err, serr)
	}
	return err
}

// dropDevices deletes legs that the router does not have.
func dropDevices(ns string, wanted []device) error {
	links, err := linux.Links(ns)
	if err != nil {
		return err
	}
	for _, l := range links {
		if isLeg(l.Name) && !slices.ContainsFunc(wanted, func(d device) bool { return d.name == l.Name }) {
			err = errors.Join(err, linux.DelLink(ns, l.Name))
		}
	}
	return err
}

func realizeDevice(ns string, d device, router model.RouterID, full bool) error {
	inside, host, err := findPair(ns, d)
	if err != nil {
		return err
	}
	if inside == nil || host == nil {
		if err := makePair(ns, d, router); err != nil {
			return err
		}
		inside, host = &linux.Link{}, &linux.Link{MTU: int(d.mtu)}
	}
	if inside.Name != "" && inside.MAC.String() != d.mac.String() {
		err = errors.Join(err, linux.SetMAC(ns, d.name, d.mac[:]))
	}
	if inside.Name != "" && inside.MTU != int(d.mtu) {
		err = errors.Join(err, linux.SetMTU(ns, d.name, int(d.mtu)))
	}
	if host.MTU != int(d.mtu) {
		err = errors.Join(err, linux.SetMTU("", d.host, int(d.mtu)))
	}
	err = errors.Join(err, setAll(ns, perDevice(d.name)), realizeAddresses(ns, d, full))
	if !inside.Up {
		err = errors.Join(err, linux.SetUp(ns, d.name))
	}
	if !host.Up {
		err = errors.Join(err, linux.SetUp("", d.host))
	}
	return err
}

// findPair looks for both ends; nil: it is not there.
func findPair(ns string, d device) (inside, host *linux.Link, err error) {
	look := func(ns, name string) (*linux.Link, error) {
		l, err := linux.LinkByName(ns, name)
		if linux.IsNoLink(err) {
			return nil, nil
		}
		return &l, err
	}
	if inside, err = look(ns, d.name); err == nil {
		host, err = look("", d.host)
	}
	return inside, host, err
}

// makePair makes both ends, down, in the place of a lone one. The host's own stack takes no part: it has no address
// there, and says nothing.
func makePair(ns string, d device, router model.RouterID) error {
	alias := mark + " " + router.String()
	host, err := linux.LinkByName("", d.host)
	switch {
	case err == nil && host.Alias != alias:
		return fmt.Errorf("the interface %s is not of this router (its alias is %q); delete it", d.host, host.Alias)
	case err == nil:
		if err := linux.DelLink("", d.host); err != nil {
			return err
		}
	case !linux.IsNoLink(err):
		return err
	}
	if err := linux.DelLink(ns, d.name); err != nil {
		return err
	}
	err = linux.AddVeth(linux.Veth{Name: d.name, Netns: ns, MTU: int(d.mtu), MAC: d.mac[:], Alias: alias, Peer: linux.End{Name: d.host}})
	if err != nil {
		return err
	}
	return setAll("", []sysctl{{"net/ipv6/conf/" + d.host + "/disable_ipv6", "1"}, {"net/ipv4/conf/" + d.host + "/arp_ignore", "8"}})
}

func realizeAddresses(ns string, d device, full bool) error {
	have, err := linux.Addrs(ns, d.name)
	if err != nil {
		return err
	}
	for _, a := range d.addresses {
		if !slices.Contains(have, a) {
			err = errors.Join(err, linux.AddAddr(ns, d.name, a))
		}
	}
	if !full {
		return err
	}
	for _, a := range have {
		if !slices.Contains(d.addresses, a) && !a.Addr().IsLinkLocalUnicast() {
			err = errors.Join(err, linux.DelAddr(ns, d.name, a))
		}
	}
	return err
}

func realizeRoutes(ns string, wanted []linux.Route, full bool) error {
	have, err := linux.RoutesOf(ns, routeProtocol)
	if err != nil {
		return err
	}
	at := map[netip.Prefix]linux.Route{}
	for _, r := range have {
		at[r.Dst] = r
	}
	for _, r := range wanted {
		if at[r.Dst] != r {
			err = errors.Join(err, linux.SetRoute(ns, routeProtocol, r))
		}
		delete(at, r.Dst)
	}
	if full {
		for _, r := range at {
			err = errors.Join(err, linux.DelRoute(ns, routeProtocol, r))
		}
	}
	return err
}

// translate brings the ruleset to n, and ends the connections that n would not have made as they are. A ruleset that is
// there stays until the agent is in sync: one that is behind the server's knowledge must not take away what works.
func (m *Manager) translate(ns string, n nat, full bool) error {
	text := n.ruleset()
	listing, err := linux.NftTables(ns, "ip")
	if err != nil {
		return err
	}
	there := strings.Contains(listing, "table ip "+table+" {")
	switch {
	case text == "" && !there, there && sealed(listing, text), there && !full:
		return setAll(ns, late())
	case text == "":
		text = fmt.Sprintf("delete table ip %s\ntable ip %s\ndelete table ip %[2]s\n", table, sealTable)
		if err := linux.Nft(ns, text); err != nil {
			return err
		}
	default:
		if err := m.load(ns, n, text); err != nil {
			return err
		}
	}
	ended, err := linux.EndConnections(ns, n.stale)
	if ended > 0 {
		m.Log.Info("ended connections that are translated otherwise now", "namespace", filepath.Base(ns), "count", ended)
	}
	return errors.Join(err, setAll(ns, late()))
}

// endRenewed ends the connections of floating IPs that were associated anew since this was last called, also when they lead to the same
// as before, which the ruleset does not show. Of an earlier agent's associations nothing is known: they count as these.
func (m *Manager) endRenewed(ns string, floats []float) error {
	var again []netip.Addr
	for _, f := range floats {
		if was, known := m.ended[f.id]; known && was != f.generation {
			again = append(again, f.address)
		}
	}
	if len(again) > 0 {
		_, err := linux.EndConnections(ns, func(c linux.Connection) bool {
			return slices.Contains(again, c.Orig.Dst) || slices.Contains(again, c.Reply.Dst)
		})
		if err != nil {
			return err
		}
	}
	for _, f := range floats {
		m.ended[f.id] = f.generation
	}
	return nil
}

// load puts the ruleset in place. A helper that the kernel does not know would be the end of all of it: then it goes
// without that one, and the error says so.
func (m *Manager) load(ns string, n nat, text string) error {
	var unknown error
	if err := linux.Nft(ns, text); err != nil {
		known, missing := knownHelpers(ns, n.helpers)
		if len(missing) == 0 {
			return err
		}
		less := n
		less.helpers = known
		if linux.Nft(ns, less.ruleset()) != nil {
			return err
		}
		unknown = fmt.Errorf("these conntrack helpers of the router are not in force: %s: does this kernel have them (modules nf_conntrack_*, nf_nat_*)? %w",
			strings.Join(missing, ", "), err)
	}
	listing, err := linux.NftTables(ns, "ip")
	if err != nil {
		return errors.Join(unknown, err)
	}
	if unknown != nil {
		return unknown
	}
	return linux.Nft(ns, fmt.Sprintf("table ip %s\ndelete table ip %[1]s\ntable ip %[1]s { comment %q; }\n", sealTable, seal(listing, text)))
}

// knownHelpers are those of helpers that the kernel takes, and the others in words. Nothing of the question stays in the namespace.
func knownHelpers(ns string, helpers []hostplan.Helper) (known []hostplan.Helper, missing []string) {
	for _, h := range helpers {
		text := fmt.Sprintf("table ip weft-question {\n%s}\ndelete table ip weft-question\n", definition(h))
		if linux.Nft(ns, text) == nil {
			known = append(known, h)
		} else {
			missing = append(missing, fmt.Sprintf("%s (%s port %d)", h.Name, protocolName(h.Protocol), h.Port))
		}
	}
	return known, missing
}

// sealTable is an empty table whose comment is the sum of the ruleset as it was meant and as the kernel then had it: by it
// an agent that starts anew, or looks again, sees that nothing has changed.
const sealTable = "weft-seal"

func seal(listing, text string) string {
	sum := sha256.Sum256([]byte(ours(listing) + "\x00" + text))
	return hex.EncodeToString(sum[:16])
}

func sealed(listing, text string) bool {
	return strings.Contains(listing, fmt.Sprintf("comment %q", seal(listing, text)))
}

// ours is the part of the listing that is our table.
func ours(listing string) string {
	_, rest, _ := strings.Cut(listing, "table ip "+table+" {\n")
	body, _, _ := strings.Cut(rest, "\n}\n")
	return body
}
