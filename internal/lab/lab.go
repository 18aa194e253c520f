// Package lab is a whole small cloud on one machine: hosts and instances as network namespaces, the real server and
// agents as processes in them, and identity, compute and image services beside them.
//
//	root namespace   127.0.0.1: 5000 identity, 8774 compute, 9292 image, 9696 networking (handed on to weft-controller)
//	───────────────────────────────────────────────────────────────────────────────────────────────────────────────────
//	weft-controller       weft-compute1           weft-compute2             weft-internet
//	server, agent         agent   tapX…─red1      agent   tapY…─red2        203.0.113.1
//	enp0s8  enp0s9        enp0s8  enp0s9          enp0s8  enp0s9            enp0s9
//	  │       │             │       │               │       │                 │
//	  └───────┼─────────────┴───────┼───────────────┘       │                 │     weft-underlay: bridge "underlay",
//	          └─────────────────────┴───────────────────────┴─────────────────┘                    bridge "external"
//
// Nothing is made in the root namespace but listeners on the loopback address. Server and agents do not know that they
// are in a lab: they get configuration files with Neutron's options and certificates, as on real machines. Everything
// the demo makes goes through the public APIs. Whatever is made bears the lab's mark, so that Down finds all of it, also
// after a crash at any point: what is to be undone is written down before it is done.
package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/internal/lab/hypervisor"
	"github.com/weft-cloud/weft/internal/lab/osclient"
	"github.com/weft-cloud/weft/internal/lab/proc"
)

// Where things are. RunDir holds the record of the lab that is up; there is one lab a machine, as names of namespaces
// are one a machine.
const (
	RunDir          = "/run/weft-lab"
	DefaultStateDir = "/var/lib/weft-lab"
	PinRoot         = "/sys/fs/bpf/weft-lab"
)

// Names of interfaces, namespaces and processes.
const (
	UnderlayNIC = "enp0s8"
	ExternalNIC = "enp0s9"
	Controller  = "controller"
	internet    = "internet"
	switchNetns = "weft-underlay"
	servicesJob = "services"
	serverJob   = "server"
	physnet     = "external"
	feedPort    = 9697
	metaPort    = 8775
)

// MaxComputes is the most computes a lab has.
const MaxComputes = 8

// Options of a lab.
type Options struct {
	Computes    int
	UnderlayMTU int
	Demo        bool
	StateDir    string
	VIF         string // hypervisor.VIFVeth or VIFTap
	// Redirect is the agents' option of that name: auto or plain.
	Redirect string
}

// Record is a lab that is up, or that was being brought up or down when somebody was killed.
type Record struct {
	ID        string    `json:"id"`
	Options   Options   `json:"options"`
	Created   time.Time `json:"created"`
	Ready     bool      `json:"ready"`
	Passwords struct {
		Admin, Service, Demo, Metadata string
	} `json:"passwords"`
	// Undo is what Down gives back besides what bears the mark; each is noted before it is done.
	Undo struct {
		// Dirs were not there before: the state directory and those above it, /run/netns. Deepest first.
		Dirs []string `json:"dirs"`
		// NetnsMount: /run/netns was no mount. BPFMount: /sys/fs/bpf was none.
		NetnsMount bool `json:"netns_mount"`
		BPFMount   bool `json:"bpf_mount"`
	} `json:"undo"`
}

// Host is one of the lab's machines.
type Host struct {
	Name     string
	Netns    string
	Underlay netip.Addr
	// Mode is its agent_mode.
	Mode string
}

// Hosts are the controller and the computes, in order.
func (r *Record) Hosts() []Host {
	hosts := []Host{{Controller, hypervisor.HostNetns(Controller), underlayAddr(0), "dvr_snat"}}
	for i := range r.Options.Computes {
		name := "compute" + strconv.Itoa(i+1)
		hosts = append(hosts, Host{name, hypervisor.HostNetns(name), underlayAddr(i + 1), "dvr"})
	}
	return hosts
}

func underlayAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 168, 70, byte(10 + i)}) }

// Computes are the names of the hosts that run instances.
func (r *Record) Computes() []string {
	var names []string
	for _, h := range r.Hosts()[1:] {
		names = append(names, h.Name)
	}
	return names
}

// Mark is on every namespace of the lab.
func (r *Record) Mark() string { return "weft-lab " + r.ID }

// path is a file in the state directory.
func (r *Record) path(elem ...string) string {
	return filepath.Join(append([]string{r.Options.StateDir}, elem...)...)
}

// PinDir is where the agent of that host pins its maps and links.
func (r *Record) PinDir(host string) string { return filepath.Join(PinRoot, host) }

// Keeper holds the lab's processes.
func (r *Record) Keeper() *proc.Keeper { return proc.New(r.path("run"), r.path("log"), r.ID) }

// agentJob is the name of the process of a host's agent.
func agentJob(host string) string { return "agent-" + host }

// AuthURL is the identity service's.
const AuthURL = "http://127.0.0.1:5000/v3"

// Admin is a client of the lab's administrator.
func (r *Record) Admin() *osclient.Client { return r.client("admin", r.Passwords.Admin, "admin") }

func (r *Record) client(user, password, project string) *osclient.Client {
	return osclient.New(osclient.Credentials{AuthURL: AuthURL, User: user, Password: password, Project: project})
}

// ErrNoLab is returned if no lab is up.
var ErrNoLab = errors.New("no lab is up: start one with `weft lab up`")

// Load reads the record of the lab that is up; ErrNoLab.
func Load() (*Record, error) {
	b, err := os.ReadFile(recordPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoLab
	} else if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("read the lab's record: %w (run this as root)", err)
	} else if err != nil {
		return nil, fmt.Errorf("read the lab's record: %w", err)
	}
	var r Record
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("read the lab's record %s: %w", recordPath(), err)
	}
	return &r, nil
}

func recordPath() string { return filepath.Join(RunDir, "lab.json") }

// save writes the record; it is whole at every moment.
func (r *Record) save() error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		tmp := recordPath() + ".new"
		if err = os.WriteFile(tmp, b, 0o600); err == nil {
			err = os.Rename(tmp, recordPath())
		}
	}
	if err != nil {
		return fmt.Errorf("write the lab's record: %w", err)
	}
	return nil
}

// lock keeps two commands from bringing the lab up and down at once. It goes with the process that holds it.
type lock struct{ f *os.File }

func lockPath() string { return filepath.Join(RunDir, "lock") }

// takeLock makes RunDir if need be.
func takeLock() (*lock, error) {
	if err := os.MkdirAll(RunDir, 0o755); err != nil {
		return nil, fmt.Errorf("take the lab's lock: %w", err)
	}
	f, err := os.OpenFile(lockPath(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("take the lab's lock: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		b, _ := os.ReadFile(lockPath()) // for the sentence only
		f.Close()
		return nil, fmt.Errorf("another `weft lab` command (pid %s) is bringing the lab up or down: wait for it or stop it", strings.TrimSpace(string(b)))
	} else if err != nil {
		f.Close()
		return nil, fmt.Errorf("take the lab's lock: %w", err)
	}
	if err := f.Truncate(0); err == nil {
		f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0) //nolint:errcheck // for a sentence only
	}
	return &lock{f}, nil
}

func (l *lock) release() { l.f.Close() }

// removeRunDir removes record and lock; the lock, still held, guards it.
func (l *lock) removeRunDir() error {
	for _, p := range []string{recordPath(), recordPath() + ".new", lockPath(), RunDir} {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the lab's record: %w", err)
		}
	}
	return nil
}

// HostOrGuestNetns is the namespace of a host ("compute1"), of the outside ("internet"), or of an instance.
func (r *Record) HostOrGuestNetns(name string) (string, error) {
	var known []string
	for _, h := range r.Hosts() {
		if h.Name == name || h.Netns == name {
			return h.Netns, nil
		}
		known = append(known, h.Name)
	}
	if name == internet || name == hypervisor.HostNetns(internet) {
		return hypervisor.HostNetns(internet), nil
	}
	guests, err := r.Guests()
	if err != nil {
		return "", err
	}
	if slices.Contains(guests, name) {
		return hypervisor.Netns(name), nil
	}
	if g, ok := strings.CutPrefix(name, hypervisor.Netns("")); ok && slices.Contains(guests, g) {
		return name, nil
	}
	return "", fmt.Errorf("no host or instance %q; hosts: %s, %s; instances: %s", name, strings.Join(known, ", "), internet, strings.Join(guests, ", "))
}
