package ebpf

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/linux"
	"github.com/weft-cloud/weft/internal/model"
)

// VXLANDevice is the name of the tunnel device, VXLANPort its UDP port (RFC 7348).
const (
	VXLANDevice = "weft-vxlan"
	VXLANPort   = 4789
)

// Config is what a plane is made with.
type Config struct {
	// PinDir is a directory of this host's own on a BPF file system. It is made if need be. Required.
	PinDir string
	// VXLANMTU of the tunnel device; 0: the kernel's choice. It bounds nothing that the programs do not bound already.
	VXLANMTU int
	// Redirect is "auto" (or "") or "plain": never redirect_peer, so that tcpdump on a veth's host end sees everything.
	Redirect string
	// Attach is "auto" (or ""): tcx where the kernel has it, or "clsact".
	Attach string
	Limits Limits
	// Record makes the programs write a decision record for each packet; it costs some nanoseconds.
	Record bool
	Logger *slog.Logger
	// spec is another build's programs, for tests; nil: this build's.
	spec func() (*ebpf.CollectionSpec, error)
	// dies is asked after each step of a takeover, for tests; an error ends it there, as a death would.
	dies func(step string) error
}

// Plane is the eBPF data plane of the host whose network namespace New is called in.
type Plane struct {
	cfg    Config
	coll   *ebpf.Collection
	t      *tables
	att    *attacher
	rd, ev *ringbuf.Reader
	punts  chan dataplane.Punt
	events chan dataplane.DropEvent
	// heardNew tells that something was learned.
	heardNew chan struct{}
	stop     chan struct{}
	running  sync.WaitGroup
	raw      int
	resend   *ebpf.Program
	lost     *losses
	over     *takeover // until this layout is in force

	// last is what the last Apply was given, and whether all of it was done.
	last   dataplane.Desired
	result dataplane.Result
	clean  bool
	// quiet are the devices that sysctls were set on, by index.
	quiet map[int]string
	// guarded is when the guard was put up last; unguarded: it could not be.
	guarded   time.Time
	unguarded bool
	// vxlan is the tunnel device as it was found good.
	vxlan linux.Link

	// mu guards ifindex and closed, which Inject and Resend read beside Apply and Close, and keeps what they use open meanwhile.
	mu      sync.RWMutex
	ifindex map[model.PortID]int
	outs    map[model.NetworkID]outsideNet
	closed  bool
	// applying guards t and last against Learn and Forget, which may void decisions beside Apply. It is taken before mu.
	applying sync.Mutex
	filter   macFilter
	// connections is how many there were when they were last looked through; -1: they were not yet.
	connections atomic.Int64
}

var (
	_ dataplane.Plane  = (*Plane)(nil)
	_ dataplane.Teller = (*Plane)(nil)
	_ dataplane.Filler = (*Plane)(nil)
)

// New loads the programs, takes over what a former process left below the pin directory, and starts to deliver punts. What
// hangs on devices already goes on with the new programs from the first Apply on.
func New(cfg Config) (*Plane, error) {
	if err := Probe(); err != nil {
		return nil, err
	}
	if cfg.Redirect != "" && cfg.Redirect != "auto" && cfg.Redirect != "plain" {
		return nil, fmt.Errorf("redirect = %q: it is auto or plain", cfg.Redirect)
	}
	if cfg.Attach != "" && cfg.Attach != "auto" && cfg.Attach != "clsact" {
		return nil, fmt.Errorf("attach = %q: it is auto or clsact", cfg.Attach)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.spec == nil {
		cfg.spec = loadWeft
	}
	spec, err := cfg.spec()
	if err != nil {
		return nil, fmt.Errorf("read the compiled programs: %w", err)
	}
	own := layoutOf(spec)
	dir := filepath.Join(cfg.PinDir, own)
	if err := os.MkdirAll(filepath.Join(dir, "links"), 0o700); err != nil {
		return nil, fmt.Errorf("make the pin directory: %w", err)
	}
	if err := bpffs(dir); err != nil {
		return nil, err
	}
	over, err := findTakeover(cfg.PinDir, dir)
	if err != nil {
		return nil, err
	}
	coll, err := load(options{record: cfg.Record, pinPath: dir, spec: spec})
	if err != nil {
		return nil, err
	}
	p := &Plane{cfg: cfg, coll: coll, heardNew: make(chan struct{}, 1), t: newTables(coll), punts: make(chan dataplane.Punt, 4096), events: make(chan dataplane.DropEvent, 256),
		stop: make(chan struct{}), raw: -1, over: over,
		att:   &attacher{dir: filepath.Join(dir, "links"), clsact: cfg.Attach == "clsact", name: filterName + "_" + own, done: map[int]string{}},
		quiet: map[int]string{}, ifindex: map[model.PortID]int{}}
	p.connections.Store(-1)
	if err := p.open(dir); err != nil {
		coll.Close()
		return nil, err
	}
	p.guard()
	p.running.Add(2)
	go p.drain()
	go p.watch()
	p.running.Go(func() { p.collect(p.stop) })
	p.lost = newLosses(cfg.Logger)
	p.running.Go(func() { p.lost.watch(p.events) })
	p.running.Go(func() { p.follow(p.stop) })
	return p, nil
}

func (p *Plane) open(dir string) error {
	if err := p.t.load(); err != nil {
		return err
	}
	if p.over == nil { // else it does so when it is done
		if err := p.att.settle(); err != nil {
			return err
		}
	}
	p.filter = newFilter(p.t)
	if err := pinJump(dir, p.coll.Maps["jump"], p.over != nil); err != nil {
		return err
	}
	raw, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a packet socket: %w", err)
	}
	if p.resend, err = newResender(); err != nil {
		unix.Close(raw) //nolint:errcheck // nothing was written
		return err
	}
	if p.rd, err = ringbuf.NewReader(p.coll.Maps["punts"]); err == nil {
		if p.ev, err = ringbuf.NewReader(p.coll.Maps["events"]); err == nil {
			p.raw = raw
			return nil
		}
		p.rd.Close() //nolint:errcheck // nothing was read
	}
	p.resend.Close() //nolint:errcheck // nothing was run
	unix.Close(raw)  //nolint:errcheck // nothing was written
	return fmt.Errorf("open the ring buffers: %w", err)
}

// pinJump pins the map of tail calls under the next number. The kernel empties such a map when the last process lets go
// of it, unless it is pinned; the programs of the former process need theirs until each of their links has been updated,
// so that one stays, too; within a takeover (all), all do: several processes may have died in it, and left theirs in force.
func pinJump(dir string, m *ebpf.Map, all bool) error {
	old, err := filepath.Glob(filepath.Join(dir, "jump-*"))
	if err != nil {
		return err
	}
	var nums []int
	for _, f := range old {
		if n, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(f), "jump-")); err == nil {
			nums = append(nums, n)
		}
	}
	slices.Sort(nums)
	next := 1
	if n := len(nums); n > 0 {
		next = nums[n-1] + 1
		if nums = nums[:n-1]; all {
			nums = nil
		}
	}
	if err := m.Pin(filepath.Join(dir, fmt.Sprintf("jump-%d", next))); err != nil {
		return fmt.Errorf("pin the map of tail calls: %w", err)
	}
	for _, n := range nums {
		if err := os.Remove(filepath.Join(dir, fmt.Sprintf("jump-%d", n))); err != nil {
			return fmt.Errorf("unpin an old map of tail calls: %w", err)
		}
	}
	return nil
}

// Apply implements dataplane.Plane.
func (p *Plane) Apply(ctx context.Context, d dataplane.Desired) (dataplane.Result, error) {
	if err := ctx.Err(); err != nil {
		return dataplane.Result{}, err
	}
	p.applying.Lock()
	defer p.applying.Unlock()
	// Looked after each time: somebody may have deleted the device.
	vxlan, err := p.tunnel(d.State)
	if err != nil {
		p.clean = false
		return dataplane.Result{}, err
	}
	if p.clean && d.State == p.last.State && d.InSync == p.last.InSync && vxlan == p.t.host.VxlanIfindex && maps.Equal(d.Devices, p.last.Devices) &&
		maps.EqualFunc(d.Physical, p.last.Physical, slices.Equal) {
		return p.result, nil
	}
	if p.onlySets(d, vxlan) && p.t.syncSets(d.State, d.InSync) {
		p.last.State = d.State
		return p.result, nil
	}
	p.clean = false
	res := dataplane.Result{Programmed: map[model.PortID]bool{}}
	bad := p.attach(d, &res)
	hw := hardware{ports: portsOf(d.State, d.Devices, p.peered), physical: p.nics(d, &res)}
	maps.DeleteFunc(hw.ports, func(name string, _ port) bool { return bad[name] })
	c, host := compile(p.t, d.State, hw, p.cfg.Limits)
	host.VxlanIfindex = vxlan
	failed := p.t.sync(host, d.InSync)
	if res.Unsettled, err = c.syncLearned(d); err != nil {
		failed[root{}] = err
	}
	if p.over != nil {
		p.over.state = c
	}
	p.takeOver(d, failed, &res)
	res.Failed = append(res.Failed, c.failures(failed)...)
	p.report(d.State, hw.ports, failed, &res)
	p.reportOutside(d.State, failed, &res)
	res.Failed = append(res.Failed, p.filter.apply(p.t, hw.physical)...)
	if err := p.att.clean(); err != nil {
		res.Failed = append(res.Failed, hostplan.Problem{Kind: "host", ID: d.State.Host, Why: err.Error()})
	}
	p.lost.follow(d.Devices, int(vxlan))
	p.last, p.result, p.clean = d, res, len(failed) == 0 && len(bad) == 0 && p.over == nil && !res.Unsettled
	p.last.Devices, p.last.Physical = maps.Clone(d.Devices), maps.Clone(d.Physical)
	return res, nil
}

// onlySets reports whether all that is new is members of address sets, and all the rest is as it should be.
func (p *Plane) onlySets(d dataplane.Desired, vxlan uint32) bool {
	return p.clean && d.InSync == p.last.InSync && d.Away == p.last.Away && vxlan == p.t.host.VxlanIfindex && d.State.OnlySets(p.last.State) &&
		maps.Equal(d.Devices, p.last.Devices) && maps.EqualFunc(d.Physical, p.last.Physical, slices.Equal)
}

// tunnel makes the VXLAN device, with its program on it, if the host has a tunnel address.
func (p *Plane) tunnel(s *hostplan.State) (uint32, error) {
	if !s.VTEP.IsValid() {
		return 0, nil
	}
	l, err := linux.Peek(VXLANDevice)
	if err != nil || !l.Up || l.Index != p.vxlan.Index || l.MTU != p.vxlan.MTU {
		p.vxlan = linux.Link{}
		if _, err := linux.EnsureVXLAN("", linux.VXLAN{Name: VXLANDevice, Port: VXLANPort, MTU: p.cfg.VXLANMTU}); err != nil {
			return 0, err
		}
		if l, err = linux.Peek(VXLANDevice); err != nil {
			return 0, err
		}
	}
	if err := p.ensure(l.Index, l.Name, "from_overlay"); err != nil {
		return 0, err
	}
	p.vxlan = l
	return uint32(l.Index), nil //nolint:gosec // positive
}

// attach puts the program on every device found, also on one whose endpoint is not known yet: what it sends is then dropped.
// It returns the devices that could not be had.
func (p *Plane) attach(d dataplane.Desired, res *dataplane.Result) map[string]bool {
	bad := map[string]bool{}
	for name, dev := range d.Devices {
		err := p.quieten(dev)
		if err == nil {
			err = p.ensure(dev.Index, name, "from_instance")
		}
		if err == nil && !dev.Up {
			err = linux.SetUp("", name)
		}
		if err != nil {
			bad[name] = true
			res.Failed = append(res.Failed, hostplan.Problem{Kind: "device", ID: name, Why: err.Error()})
		}
	}
	return bad
}

// ensure puts a program on a device, unless one of another layout is there, which stays until it is taken over from.
func (p *Plane) ensure(index int, name, prog string) error {
	held, err := p.over.holds(p.att, index, name)
	if err != nil || held {
		return err
	}
	return p.att.ensure(index, name, p.coll.Programs[prog])
}

// quieten takes away what makes the host itself answer on the device, before anything else is done with it.
func (p *Plane) quieten(dev dataplane.Device) error {
	if p.quiet[dev.Index] == dev.Name {
		return nil
	}
	p.guard()
	for key, v := range map[string]string{"net/ipv6/conf/%s/disable_ipv6": "1", "net/ipv4/conf/%s/arp_ignore": "8", "net/ipv4/conf/%s/forwarding": "0"} {
		if _, err := linux.SetSysctl("", fmt.Sprintf(key, dev.Name), v); err != nil {
			return err
		}
	}
	p.quiet[dev.Index] = dev.Name
	return nil
}

// peered reports whether the device takes redirect_peer.
func (p *Plane) peered(d dataplane.Device) bool {
	if p.cfg.Redirect == "plain" {
		return false
	}
	ok, err := linux.VethPeerElsewhere("", d.Name)
	return err == nil && ok
}

// report says which endpoints are wholly programmed.
func (p *Plane) report(s *hostplan.State, ports map[string]port, failed map[root]error, res *dataplane.Result) {
	idx := map[model.PortID]int{}
	for id, e := range s.Endpoints {
		dev, ok := ports[e.Device]
		if !ok {
			continue
		}
		slot, net := p.t.ids[rootEndpoint].find(id.UUID), p.t.ids[rootNetwork].find(e.Network.UUID)
		if _, ok := p.t.endpoints.have[slot]; !ok {
			continue
		}
		idx[id] = int(dev.ifindex)
		if failed[root{rootEndpoint, slot}] == nil && failed[root{rootNetwork, net}] == nil && failed[root{}] == nil &&
			failed[root{rootPolicy, p.t.endpoints.have[slot].Policy}] == nil && failed[root{kind: rootPolicy}] == nil {
			res.Programmed[id] = true
		}
	}
	for _, x := range s.Centrals {
		if dev, ok := ports[x.OuterDevice]; ok && x.Gateway != nil {
			idx[x.Gateway.Port] = int(dev.ifindex)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ifindex = idx
}

// Punts implements dataplane.Plane.
func (p *Plane) Punts() <-chan dataplane.Punt { return p.punts }

// drain hands punts on; when nobody takes them they are lost, as packets are.
func (p *Plane) drain() {
	defer p.running.Done()
	defer close(p.punts)
	for {
		rec, err := p.rd.Read()
		if errors.Is(err, ringbuf.ErrClosed) {
			return
		} else if err != nil {
			p.cfg.Logger.Warn("read punted packets", "error", err)
			return
		}
		select {
		case p.punts <- punted(rec.RawSample):
		default:
		}
	}
}

// Inject implements dataplane.Plane.
func (p *Plane) Inject(id model.PortID, frame []byte) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	index, err := p.deviceOf(id)
	if err == nil {
		err = unix.Sendto(p.raw, frame, 0, &unix.SockaddrLinklayer{Ifindex: index})
	}
	if err != nil {
		return fmt.Errorf("inject to port %s: %w", id, err)
	}
	return nil
}

// deviceOf is the interface index of an endpoint. Callers hold mu.
func (p *Plane) deviceOf(id model.PortID) (int, error) {
	if p.closed {
		return 0, errors.New("the plane is closed")
	}
	index, ok := p.ifindex[id]
	if !ok {
		return 0, errors.New("it has no device on this host")
	}
	return index, nil
}

// Close implements dataplane.Plane.
func (p *Plane) Close() error {
	err := errors.Join(p.rd.Close(), p.ev.Close(), p.lost.Close())
	close(p.stop)
	p.running.Wait()
	close(p.events)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.coll.Close()
	return errors.Join(err, p.resend.Close(), unix.Close(p.raw))
}
