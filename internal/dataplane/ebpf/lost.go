package ebpf

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/linux"
)

// losses counts what the kernel drops on this host's devices behind the data plane (bpf/lost.c). Where the kernel cannot
// tell, the interfaces' own counters remain.
type losses struct {
	// missing says why there are no reasons; "": there are.
	missing string
	coll    *ebpf.Collection
	hook    link.Link
	rd      *ringbuf.Reader
	names   map[uint32]string

	mu      sync.Mutex // guards devices
	devices map[uint32]string
}

// newLosses attaches the program to the tracepoint; it goes with the process.
func newLosses(log *slog.Logger) *losses {
	l := &losses{devices: map[uint32]string{}}
	if err := l.open(); err != nil {
		l.missing = fmt.Sprintf("the kernel's reasons for drops cannot be told: %v; only the interfaces' counters are", err)
		log.Warn("no reasons for what the kernel drops", "error", err)
	}
	return l
}

func (l *losses) open() (err error) {
	names, err := dropReasons()
	if err != nil {
		return err
	}
	spec, err := loadLost()
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
		return fmt.Errorf("find this network namespace: %w", err)
	}
	ours := uint32(0)
	for n, name := range names {
		if name == "TC_INGRESS" {
			ours = n
		}
	}
	if ours == 0 {
		return errors.New("the kernel has no drop reason TC_INGRESS (5.18 and newer have it)")
	}
	for name, v := range map[string]uint32{"lost_netns": uint32(st.Ino), "lost_tc_ingress": ours} { //nolint:gosec // inodes of namespaces have 32 bits
		if err := spec.Variables[name].Set(v); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return fmt.Errorf("load the program of lost packets: %w", err)
	}
	hook, err := link.AttachRawTracepoint(link.RawTracepointOptions{Name: "kfree_skb", Program: coll.Programs["kernel_drop"]})
	if err != nil {
		coll.Close()
		return fmt.Errorf("attach to the tracepoint kfree_skb: %w", err)
	}
	rd, err := ringbuf.NewReader(coll.Maps["lost_events"])
	if err != nil {
		hook.Close() //nolint:errcheck // nothing was read
		coll.Close()
		return fmt.Errorf("open the ring buffer of lost packets: %w", err)
	}
	l.coll, l.hook, l.rd, l.names = coll, hook, rd, names
	return nil
}

// dropReasons are the running kernel's names of its reasons.
func dropReasons() (map[uint32]string, error) {
	spec, err := btf.LoadKernelSpec()
	if err != nil {
		return nil, fmt.Errorf("read the kernel's BTF: %w", err)
	}
	var e *btf.Enum
	if err := spec.TypeByName("skb_drop_reason", &e); err != nil {
		return nil, fmt.Errorf("the kernel has no drop reasons: %w", err)
	}
	out := map[uint32]string{}
	for _, v := range e.Values {
		out[uint32(v.Value)] = strings.TrimPrefix(strings.TrimPrefix(v.Name, "SKB_DROP_REASON_"), "SKB_") //nolint:gosec // a small enumeration
	}
	return out, nil
}

// follow says which devices are this host's.
func (l *losses) follow(devices map[string]dataplane.Device, vxlan int) {
	now := map[uint32]string{}
	for name, d := range devices {
		now[uint32(d.Index)] = name //nolint:gosec // positive
	}
	if vxlan > 0 {
		now[uint32(vxlan)] = VXLANDevice
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.coll != nil {
		for i := range now {
			if l.devices[i] == "" {
				_ = l.coll.Maps["watched"].Put(i, uint32(1)) // full: its counters remain
			}
		}
		for i := range l.devices {
			if now[i] == "" {
				_ = l.coll.Maps["watched"].Delete(i) // gone already is as good
			}
		}
	}
	l.devices = now
}

func (l *losses) name(ifindex uint32) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.devices[ifindex]
}

func (l *losses) reason(n uint32) string {
	if s := l.names[n]; s != "" {
		return s
	}
	return fmt.Sprintf("reason %d", n)
}

// watch hands on what is lost until Close.
func (l *losses) watch(to chan<- dataplane.DropEvent) {
	if l.rd == nil {
		return
	}
	boot := bootTime()
	for {
		rec, err := l.rd.Read()
		if err != nil {
			return
		}
		b := rec.RawSample
		const head = 24
		if len(b) < head {
			continue
		}
		u32 := func(at int) uint32 { return binary.NativeEndian.Uint32(b[at:]) }
		e := dataplane.DropEvent{Time: boot.Add(time.Duration(binary.NativeEndian.Uint64(b))), //nolint:gosec // since boot
			Device: l.name(u32(8)), Kernel: l.reason(u32(12)), Len: int(u32(16)), Data: slices.Clone(b[head : head+min(int(u32(20)), len(b)-head)])}
		select {
		case to <- e:
		default:
		}
	}
}

// Lost implements dataplane.Teller.
func (p *Plane) Lost() ([]dataplane.Lost, []string, error) {
	var missing []string
	if p.lost.missing != "" {
		missing = append(missing, p.lost.missing)
	}
	out, err := p.lost.reasons()
	if err != nil {
		return nil, missing, err
	}
	links, err := linux.LinkDrops("")
	if err != nil {
		return nil, missing, err
	}
	p.lost.mu.Lock()
	for _, d := range links {
		if p.lost.devices[uint32(d.Index)] == d.Link && d.Packets > 0 { //nolint:gosec // positive
			out = append(out, dataplane.Lost{Device: d.Link, Source: "link", Why: d.Counter, Packets: d.Packets})
		}
	}
	p.lost.mu.Unlock()
	n, err := backlogDrops()
	if err != nil {
		missing = append(missing, err.Error())
	} else if n > 0 {
		out = append(out, dataplane.Lost{Source: "softnet", Why: "dropped", Packets: n})
	}
	slices.SortFunc(out, func(a, b dataplane.Lost) int {
		return cmp.Or(cmp.Compare(a.Device, b.Device), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Why, b.Why))
	})
	return out, missing, nil
}

// reasons are the counts by the kernel's reasons.
func (l *losses) reasons() ([]dataplane.Lost, error) {
	if l.coll == nil {
		return nil, nil
	}
	var out []dataplane.Lost
	var k lostLostKey
	var v lostLostCount
	it := l.coll.Maps["lost"].Iterate()
	for it.Next(&k, &v) {
		if name := l.name(k.Ifindex); name != "" {
			out = append(out, dataplane.Lost{Device: name, Source: "kfree_skb", Why: l.reason(k.Reason), Packets: v.Packets})
		}
	}
	if err := it.Err(); err != nil && !errors.Is(err, ebpf.ErrIterationAborted) {
		return nil, fmt.Errorf("read map lost: %w", err)
	}
	return out, nil
}

// backlogDrops are the packets that the machine's processors had no room for in their queues: the second column of
// /proc/net/softnet_stat.
func backlogDrops() (sum uint64, err error) {
	b, err := os.ReadFile("/proc/net/softnet_stat")
	if err != nil {
		return 0, fmt.Errorf("the processors' backlog cannot be told: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		var processed, dropped uint64
		if _, err := fmt.Sscanf(line, "%x %x", &processed, &dropped); err != nil {
			return 0, fmt.Errorf("the processors' backlog cannot be told: /proc/net/softnet_stat: %w", err)
		}
		sum += dropped
	}
	return sum, nil
}

// Close takes the program off the tracepoint.
func (l *losses) Close() error {
	if l.coll == nil {
		return nil
	}
	err := errors.Join(l.hook.Close(), l.rd.Close())
	l.mu.Lock()
	defer l.mu.Unlock()
	l.coll.Close()
	l.coll = nil
	return err
}
