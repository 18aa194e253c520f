// Package hypervisor runs the lab's guests: each a network namespace with a process, joined to its host by a veth pair
// or by a real tap.
//
// It makes the interface that a hypervisor makes, "tap" and the first 11 characters of the port's id in the host's
// namespace, and nothing more: no address, no filter, no bridge. What happens behind the interface is the agent's.
package hypervisor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weft-cloud/weft/internal/lab/compute"
	"github.com/weft-cloud/weft/internal/lab/guest"
	"github.com/weft-cloud/weft/internal/lab/proc"
	"github.com/weft-cloud/weft/internal/linux"
)

// Ways to attach a guest.
const (
	VIFVeth = "veth"
	VIFTap  = "tap"
)

// Deps is what a Hypervisor needs.
type Deps struct {
	Keeper *proc.Keeper
	// Exe is the binary whose command guest-init is a guest's init.
	Exe string
	// Mark is put on every namespace made.
	Mark string
	VIF  string // VIFVeth or VIFTap
}

// Hypervisor implements compute.Hypervisor.
type Hypervisor struct {
	deps Deps

	mu    sync.Mutex // guards taken
	taken map[string]bool
}

// New returns a Hypervisor.
func New(d Deps) *Hypervisor { return &Hypervisor{deps: d, taken: map[string]bool{}} }

// Netns is the namespace of the guest of that name; HostNetns that of a host.
func Netns(guest string) string { return "weft-vm-" + guest }

// HostNetns is the namespace of the host of that name.
func HostNetns(host string) string { return "weft-" + host }

// Process is the name of a guest's process.
func Process(guest string) string { return "guest-" + guest }

// Home is the directory that the guest of that name has for itself.
func (h *Hypervisor) Home(guest string) string {
	return filepath.Join(filepath.Dir(h.deps.Keeper.LogPath(guest)), Process(guest)+".home")
}

// MaxName keeps names of namespaces and files short.
const MaxName = 48

// Plain is a server's name as far as it can be a guest's: letters, digits, '-', '_' and '.' stay, all else becomes '-', and no more than MaxName
// of them.
func Plain(server string) string {
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r) {
			return r
		}
		return '-'
	}, server)
	return plain[:min(len(plain), MaxName)]
}

// Name implements compute.Hypervisor: it is plain; a name that is taken gets a number.
func (h *Hypervisor) Name(server string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	base := Plain(server)
	name := base
	for i := 2; h.taken[name] || linux.NetnsExists(Netns(name)); i++ {
		name = base + "-" + strconv.Itoa(i)
	}
	h.taken[name] = true
	return name
}

// device is the interface of the guest in its host's namespace.
func device(g compute.Guest) string { return "tap" + g.Port[:min(11, len(g.Port))] }

// Boot implements compute.Hypervisor.
func (h *Hypervisor) Boot(ctx context.Context, g compute.Guest) error {
	if h.Running(g) {
		return nil
	}
	mac, err := net.ParseMAC(g.MAC)
	if err != nil {
		return fmt.Errorf("boot %s: %w", g.Name, err)
	}
	if err := h.Halt(ctx, g); err != nil { // what a guest that died has left
		return err
	}
	h.mu.Lock()
	h.taken[g.Name] = true
	h.mu.Unlock()
	if err := linux.CreateNetns(Netns(g.Name), h.deps.Mark); err != nil {
		return fmt.Errorf("boot %s: %w", g.Name, err)
	}
	if err := os.MkdirAll(h.Home(g.Name), 0o700); err != nil {
		return errors.Join(fmt.Errorf("boot %s: %w", g.Name, err), h.Halt(ctx, g))
	}
	args := []string{h.deps.Exe, "guest-init", "--name", g.Name, "--home", h.Home(g.Name)}
	if h.deps.VIF == VIFTap {
		args = append(args, "--tap", device(g), "--tap-netns", HostNetns(g.Host), "--mac", g.MAC, "--mtu", strconv.Itoa(g.MTU))
	} else if err := plugVeth(g, mac); err != nil {
		return errors.Join(fmt.Errorf("boot %s: %w", g.Name, err), h.Halt(ctx, g))
	}
	if _, _, err := h.deps.Keeper.Start(proc.Spec{Name: Process(g.Name), Netns: Netns(g.Name), Args: args}); err != nil {
		return errors.Join(fmt.Errorf("boot: %w", err), h.Halt(ctx, g))
	}
	return nil
}

func plugVeth(g compute.Guest, mac net.HardwareAddr) error {
	err := linux.AddVeth(linux.Veth{Name: device(g), Netns: HostNetns(g.Host), MTU: g.MTU,
		Peer: linux.End{Name: guest.Interface, Netns: Netns(g.Name), MAC: mac}})
	if err != nil {
		return err
	}
	return linux.SetUp(HostNetns(g.Host), device(g))
}

// Halt implements compute.Hypervisor.
func (h *Hypervisor) Halt(ctx context.Context, g compute.Guest) error {
	if g.Name == "" {
		return nil
	}
	if err := h.deps.Keeper.Stop(ctx, Process(g.Name), 2*time.Second); err != nil {
		return err
	}
	if g.Port != "" && linux.NetnsExists(HostNetns(g.Host)) {
		if err := linux.DelLink(HostNetns(g.Host), device(g)); err != nil {
			return err
		}
	}
	if err := linux.DeleteNetns(Netns(g.Name)); err != nil {
		return err
	}
	if err := os.Remove(h.deps.Keeper.LogPath(Process(g.Name))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("halt %s: %w", g.Name, err)
	}
	if err := os.RemoveAll(h.Home(g.Name)); err != nil {
		return fmt.Errorf("halt %s: %w", g.Name, err)
	}
	h.mu.Lock()
	delete(h.taken, g.Name)
	h.mu.Unlock()
	return nil
}

// Running implements compute.Hypervisor.
func (h *Hypervisor) Running(g compute.Guest) bool {
	r, err := h.deps.Keeper.Find(Process(g.Name))
	return err == nil && r.Alive()
}

// Console implements compute.Hypervisor.
func (h *Hypervisor) Console(g compute.Guest) (string, error) {
	b, err := os.ReadFile(h.deps.Keeper.LogPath(Process(g.Name)))
	if err != nil {
		return "", fmt.Errorf("console of %s: %w", g.Name, err)
	}
	return string(b), nil
}
