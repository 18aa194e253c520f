package ebpf

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// BareTarget is where a bare program sends every frame: into a tunnel, if VTEP is valid, or to a device.
type BareTarget struct {
	// Ifindex is the VXLAN device with a tunnel, else the device.
	Ifindex int
	// Peer takes redirect_peer: the device is a veth whose other end is in another namespace.
	Peer bool
	// VTEP (IPv4) and VNI of the tunnel.
	VTEP netip.Addr
	VNI  uint32
}

// AttachBare puts a program that decides nothing on the ingress of a device, for benchmarks: it is what no data plane of this
// make can be faster than. overlay is set for the VXLAN device, whose frames have a tunnel key to be read. It needs tcx. The
// program goes when the result is closed. Ethernet addresses must be right already; nothing answers ARP.
func AttachBare(ifindex int, overlay bool, to BareTarget) (*Bare, error) {
	spec, err := loadBare()
	if err != nil {
		return nil, fmt.Errorf("read the bare programs: %w", err)
	}
	vars := map[string]any{"bare_ifindex": uint32(to.Ifindex), "bare_vni": to.VNI, "bare_peer": uint8(0)} //nolint:gosec // positive
	if to.Peer {
		vars["bare_peer"] = uint8(1)
	}
	if to.VTEP.Is4() {
		b := to.VTEP.As4()
		vars["bare_vtep"] = uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	}
	for name, v := range vars {
		if err := spec.Variables[name].Set(v); err != nil {
			return nil, fmt.Errorf("set %s: %w", name, err)
		}
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, fmt.Errorf("load the bare programs: %w", err)
	}
	b := &Bare{coll: coll, prog: coll.Programs["bare_instance"]}
	if overlay {
		b.prog = coll.Programs["bare_overlay"]
	}
	b.link, err = link.AttachTCX(link.TCXOptions{Interface: ifindex, Program: b.prog, Attach: ebpf.AttachTCXIngress, Anchor: link.Head()})
	if err != nil {
		coll.Close()
		return nil, fmt.Errorf("attach a bare program to device %d: %w", ifindex, err)
	}
	return b, nil
}

// Bare is an attached bare program.
type Bare struct {
	coll *ebpf.Collection
	prog *ebpf.Program
	link link.Link
}

// RunTime is what the kernel measured of the program so far (CountRunTimes).
func (b *Bare) RunTime() (RunTime, error) { return runTime(b.prog) }

// Close takes the program away.
func (b *Bare) Close() error {
	err := b.link.Close()
	b.coll.Close()
	return err
}

// RunTime is how often a program ran, and for how long in all. Programs behind tail calls count in the one that was entered.
type RunTime struct {
	Runs uint64
	Time time.Duration
}

// Sub is what came since an earlier RunTime.
func (r RunTime) Sub(o RunTime) RunTime { return RunTime{r.Runs - o.Runs, r.Time - o.Time} }

// PerRun is the mean time of a run, 0 if there was none.
func (r RunTime) PerRun() time.Duration {
	if r.Runs == 0 {
		return 0
	}
	return r.Time / time.Duration(r.Runs) //nolint:gosec // far from overflow
}

// CountRunTimes makes the kernel measure all BPF programs until the result is closed; it costs each run some 20 ns, which the
// figures include.
func CountRunTimes() (io.Closer, error) {
	c, err := ebpf.EnableStats(uint32(statsRunTime))
	if err != nil {
		return nil, fmt.Errorf("measure the programs' run time: %w", err)
	}
	return c, nil
}

// statsRunTime is BPF_STATS_RUN_TIME.
const statsRunTime = 0

// RunTimes are those of the two programs that packets enter: "from_instance" and "from_overlay".
func (p *Plane) RunTimes() (map[string]RunTime, error) {
	out := map[string]RunTime{}
	var errs []error
	for _, name := range []string{"from_instance", "from_overlay"} {
		r, err := runTime(p.coll.Programs[name])
		out[name] = r
		errs = append(errs, err)
	}
	return out, errors.Join(errs...)
}

func runTime(p *ebpf.Program) (RunTime, error) {
	s, err := p.Stats()
	if err != nil {
		return RunTime{}, fmt.Errorf("read a program's statistics: %w", err)
	}
	return RunTime{s.RunCount, s.Runtime}, nil
}
