package ebpf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/linux"
	"github.com/weft-cloud/weft/internal/model"
)

// takeover replaces programs whose maps have another layout, of an older build or of a newer one that is rolled back
// (docs/pipeline.md, section 16). Until it is done the former programs stay in force. Then, in this order: connections are
// copied; gates are put in front of the former programs on all devices, and opened at once: from then on this build's programs
// judge, and hand on to the former ones what no rule and no connection of theirs allows; what the former ones made in between
// is copied; this build's programs take the place of the gates; nothing is handed on any more; the former programs go.
type takeover struct {
	// dirs are the former layouts' directories, beside this one's.
	dirs []string
	own  string // this layout's
	// counted: what the former programs counted has been added.
	counted bool
	// resumed: a process of this layout died within a takeover, so that its maps may have what is newer.
	resumed bool
	// state is what the State allows to be learned.
	state *compiler
}

// letPass waits until no packet is inside a program that it entered before: the kernel's RCU grace period. Where the kernel does not
// lend it (nohz_full), it waits for longer than a packet takes.
func letPass() {
	const global = 1 // MEMBARRIER_CMD_GLOBAL
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, global, 0, 0); errno != 0 {
		time.Sleep(50 * time.Millisecond)
	}
}

// findTakeover looks for other layouts below pinDir; nil: there is none.
func findTakeover(pinDir, own string) (*takeover, error) {
	found, err := filepath.Glob(filepath.Join(pinDir, "*", "conn"))
	if err != nil {
		return nil, err
	}
	t := &takeover{own: own}
	for _, f := range found {
		if dir := filepath.Dir(f); dir != own {
			t.dirs = append(t.dirs, dir)
		}
	}
	if len(t.dirs) == 0 {
		return nil, nil
	}
	// If this layout has maps already, a process died within a takeover: what was counted may be there.
	_, err = os.Stat(filepath.Join(own, "conn"))
	t.counted, t.resumed = err == nil, err == nil
	return t, nil
}

// holds reports whether a former program is on the device, be it one in front that a process which died within a takeover left.
func (t *takeover) holds(a *attacher, index int, name string) (bool, error) {
	if t == nil {
		return false, nil
	}
	for _, dir := range t.dirs {
		pins, err := linksOn(filepath.Join(dir, "links"), index)
		if err != nil || len(pins) > 0 {
			return len(pins) > 0, err
		}
	}
	if !a.clsact {
		return false, nil
	}
	return linux.HasOtherIngressFilter("", name, filterName, a.name)
}

// ready reports whether the State covers what the former programs carry; if not, why not.
func (t *takeover) ready(d dataplane.Desired, failed map[root]error) error {
	for r, err := range failed {
		return fmt.Errorf("a %s is not programmed: %w", r.kind, err)
	}
	if d.InSync {
		return nil
	}
	for _, dir := range t.dirs {
		ids, err := uuids(dir, "endpoints", "endpoint")
		if err != nil {
			return err
		}
		for _, id := range ids {
			if d.State.Endpoints[model.PortID{UUID: id}] == nil {
				return fmt.Errorf("port %s is not known yet, and the server has not said that it is gone", model.UUID(id))
			}
		}
	}
	return nil
}

// takeOver finishes a takeover once the State covers everything.
func (p *Plane) takeOver(d dataplane.Desired, failed map[root]error, res *dataplane.Result) {
	t := p.over
	if t == nil {
		return
	}
	err := t.ready(d, failed)
	if err == nil {
		err = p.replace(d)
	}
	if err != nil {
		res.Failed = append(res.Failed, hostplan.Problem{Kind: "host", ID: d.State.Host,
			Why: fmt.Sprintf("programs of another build stay in force, with what they were told last: %v", err)})
		p.cfg.Logger.Warn("programs of another build stay in force", "error", err)
		return
	}
	p.over = nil
	p.cfg.Logger.Info("took over from programs of another build", "from", t.dirs)
}

func (p *Plane) replace(d dataplane.Desired) error {
	t, behind := p.over, p.coll.Maps["behind"]
	if err := errors.Join(t.copy(p, true), p.step("copied")); err != nil {
		return err
	}
	held, err := p.held(d)
	if err != nil {
		return err
	}
	for index, h := range held {
		if err := behind.Put(uint32(index), uint32(1)); err != nil { //nolint:gosec // positive
			return fmt.Errorf("write map behind: %w", err)
		}
		if err := p.att.front(index, h.name, p.coll.Programs["gate_"+h.hook]); err != nil {
			return err
		}
	}
	if err := p.step("gated"); err != nil {
		return err
	}
	// All devices at the same moment.
	if err := behind.Put(uint32(0), uint32(1)); err != nil {
		return fmt.Errorf("open the gates: %w", err)
	}
	letPass()
	if err := errors.Join(p.step("opened"), t.copy(p, false), p.step("copied again")); err != nil {
		return err
	}
	for index, h := range held {
		if err := p.att.replace(index, h.name, p.coll.Programs["from_"+h.hook]); err != nil {
			return err
		}
	}
	if err := errors.Join(p.step("replaced"), t.stopHanding(behind), p.step("alone")); err != nil {
		return err
	}
	return t.remove(p.att, held)
}

// step asks whether to die here.
func (p *Plane) step(name string) error {
	if p.cfg.dies == nil {
		return nil
	}
	return p.cfg.dies(name)
}

// holder is a device with a former program, and which of the hooks it is.
type holder struct{ name, hook string }

// held are the devices with former programs, by index.
func (p *Plane) held(d dataplane.Desired) (map[int]holder, error) {
	out := map[int]holder{}
	add := func(index int, name, hook string) error {
		is, err := p.over.holds(p.att, index, name)
		if is {
			out[index] = holder{name, hook}
		}
		return err
	}
	var errs []error
	if i := p.t.host.VxlanIfindex; i != 0 {
		errs = append(errs, add(int(i), VXLANDevice, "overlay"))
	}
	for name, dev := range d.Devices {
		errs = append(errs, add(dev.Index, name, "instance"))
	}
	for _, nics := range d.Physical {
		for _, dev := range nics {
			l, err := linux.LinkByName("", dev.Name)
			if err != nil {
				continue // told by nics
			}
			errs = append(errs, add(l.Index, dev.Name, "physical"))
		}
	}
	return out, errors.Join(errs...)
}

// stopHanding makes this layout's programs the only ones that judge.
func (t *takeover) stopHanding(m *ebpf.Map) error {
	var k, v uint32
	var all []uint32
	it := m.Iterate()
	for it.Next(&k, &v) {
		all = append(all, k)
	}
	if err := it.Err(); err != nil {
		return fmt.Errorf("read map behind: %w", err)
	}
	for _, k := range all {
		if err := m.Delete(k); err != nil {
			return fmt.Errorf("write map behind: %w", err)
		}
	}
	letPass()
	return nil
}

// remove takes the former programs away, then their maps: a packet inside them still needs the map of tail calls.
func (t *takeover) remove(a *attacher, held map[int]holder) error {
	for _, dir := range t.dirs {
		if err := detachAll(filepath.Join(dir, "links")); err != nil {
			return fmt.Errorf("remove the former programs: %w", err)
		}
	}
	if err := a.settle(); err != nil {
		return err
	}
	if a.clsact {
		for _, h := range held {
			if err := linux.DelOtherIngressFilters("", h.name, filterName, a.name); err != nil {
				return err
			}
		}
	}
	letPass()
	for _, dir := range t.dirs {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove the former maps: %w", err)
		}
	}
	return nil
}

// former opens a map of a former layout; nil: it had none.
func former(dir, name string) (*ebpf.Map, error) {
	m, err := ebpf.LoadPinnedMap(filepath.Join(dir, name), nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("open map %s of %s: %w", name, dir, err)
	}
	return m, nil
}

// uuids are the identities in a former map of objects, by slot.
func uuids(dir, name, value string) (map[uint32][16]byte, error) {
	m, err := former(dir, name)
	if err != nil || m == nil {
		return nil, err
	}
	defer m.Close()
	_, v, err := shapes(m, "", value)
	if err != nil {
		return nil, fmt.Errorf("map %s of %s: %w", name, dir, err)
	}
	out := map[uint32][16]byte{}
	var slot uint32
	val := make([]byte, m.ValueSize())
	it := m.Iterate()
	for it.Next(&slot, &val) {
		out[slot] = v.uuid(val)
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("read map %s of %s: %w", name, dir, err)
	}
	return out, nil
}
