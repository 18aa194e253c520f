package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/internal/linux"
)

// Links of a host that Cut knows.
const (
	LinkUnderlay   = "underlay"
	LinkExternal   = "external"
	LinkManagement = "management"
)

// Links lists them.
func Links() []string { return []string{LinkUnderlay, LinkExternal, LinkManagement} }

// cutTable is the nftables table by which the management link of a host is cut: it is no cable of its own, for the
// server is reached over the underlay.
const cutTable = "weft-lab-cut"

// host finds one of the lab's machines by its name.
func (r *Record) host(name string) (Host, error) {
	i := slices.IndexFunc(r.Hosts(), func(h Host) bool { return h.Name == name || h.Netns == name })
	if i < 0 {
		return Host{}, fmt.Errorf("no host %q: the hosts are %s, %s", name, Controller, strings.Join(r.Computes(), ", "))
	}
	return r.Hosts()[i], nil
}

// Kill does to a host what pulling its plug does, as others see it: its agent is gone without a word, and none of its cables
// carries anything. Its instances find out only by what does not answer.
func (r *Record) Kill(name string) error {
	h, err := r.host(name)
	if err != nil {
		return err
	}
	return errors.Join(r.Cut(h.Name, LinkUnderlay, LinkExternal), r.killAgent(h))
}

// killAgent leaves the record, so that `weft lab status` misses it.
func (r *Record) killAgent(h Host) error {
	rec, err := r.Keeper().Find(agentJob(h.Name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	_, err = linux.Signal(rec.PID, rec.Start, unix.SIGKILL)
	return err
}

// Cut takes links of a host away.
func (r *Record) Cut(name string, links ...string) error {
	h, err := r.host(name)
	for _, l := range links {
		if h.Name != "" {
			err = errors.Join(err, r.cut(h, l))
		}
	}
	return err
}

func (r *Record) cut(h Host, link string) error {
	switch link {
	case LinkUnderlay:
		return linux.SetDown(switchNetns, h.Name)
	case LinkExternal:
		return linux.SetDown(switchNetns, h.Name+"-ext")
	case LinkManagement:
		return linux.Nft(h.Netns, fmt.Sprintf(`table inet %s
delete table inet %[1]s
table inet %[1]s {
chain input { type filter hook input priority filter; tcp dport %[2]d drop; tcp sport %[2]d drop; }
chain output { type filter hook output priority filter; tcp dport %[2]d drop; tcp sport %[2]d drop; }
}
`, cutTable, feedPort))
	}
	return fmt.Errorf("no link %q: the links of a host are %s", link, strings.Join(Links(), ", "))
}

// Heal mends what Kill and Cut have done, on all hosts.
func (r *Record) Heal() error {
	var err error
	for _, h := range r.Hosts() {
		err = errors.Join(err, linux.SetUp(switchNetns, h.Name), linux.SetUp(switchNetns, h.Name+"-ext"),
			linux.Nft(h.Netns, fmt.Sprintf("table inet %s\ndelete table inet %[1]s\n", cutTable)), r.revive(h))
	}
	return err
}

// revive starts a host's agent if it is not running.
func (r *Record) revive(h Host) error {
	rec, err := r.Keeper().Find(agentJob(h.Name))
	if err == nil && rec.Alive() {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	spec, err := r.agentSpec(h)
	if err != nil {
		return err
	}
	_, _, err = r.Keeper().Start(spec)
	return err
}

// RouterNetnsDir is where the agent of a host keeps the network namespaces of routers: hosts share the machine's
// /run/netns, and a router that moves would meet itself there.
func (r *Record) RouterNetnsDir(host string) string { return r.path(agentJob(host), "netns") }

// routerNetns lists the routers' namespaces of all hosts, by path.
func (r *Record) routerNetns() ([]string, error) {
	var out []string
	for _, h := range r.Hosts() {
		list, err := filepath.Glob(filepath.Join(r.RouterNetnsDir(h.Name), "*"))
		if err != nil {
			return nil, fmt.Errorf("list network namespaces of routers: %w", err)
		}
		out = append(out, list...)
	}
	return out, nil
}

// removeRouters removes the routers' namespaces of one host.
func (r *Record) removeRouters(host string) error {
	list, err := filepath.Glob(filepath.Join(r.RouterNetnsDir(host), "*"))
	for _, path := range list {
		err = errors.Join(err, linux.DeleteNetns(path))
	}
	return err
}
