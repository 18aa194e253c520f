package ebpf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/weft-cloud/weft/internal/linux"
)

// filterName marks our tc filters where there is no tcx.
const filterName = "weft_ingress"

// attacher keeps one program on the ingress of each of our devices, by a pinned tcx link, or by a clsact filter where the
// kernel has no tcx (before 6.6). Both outlive the process and are replaced in place.
type attacher struct {
	dir string // of the pinned links
	// clsact: tcx is not there, or not wanted. name is that of our filters then: filterName with the layout behind it.
	clsact bool
	name   string
	// done are the devices that carry this process's program, by index, with their names.
	done map[int]string
}

func (a *attacher) pin(index int) string { return filepath.Join(a.dir, strconv.Itoa(index)) }

// ensure puts the program on the device.
func (a *attacher) ensure(index int, name string, prog *ebpf.Program) error {
	if a.done[index] == name {
		return nil
	}
	if !a.clsact {
		err := a.tcx(index, prog)
		if err == nil {
			a.done[index] = name
			return nil
		}
		if !errors.Is(err, ebpf.ErrNotSupported) {
			return fmt.Errorf("attach to %s: %w", name, err)
		}
		a.clsact = true
	}
	if err := linux.ReplaceIngressFilter("", name, a.name, filterName, prog.FD()); err != nil {
		return err
	}
	a.done[index] = name
	return nil
}

func (a *attacher) tcx(index int, prog *ebpf.Program) error {
	pin := a.pin(index)
	old, err := link.LoadPinnedLink(pin, nil)
	if err == nil {
		defer old.Close()
		if linkIndex(old) == index {
			return old.Update(prog)
		}
		// The interface is gone and its index is another's now.
		if err := os.Remove(pin); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open pinned link %s: %w", pin, err)
	}
	l, err := link.AttachTCX(link.TCXOptions{Interface: index, Program: prog, Attach: ebpf.AttachTCXIngress, Anchor: link.Head()})
	if err != nil {
		return err
	}
	defer l.Close()
	return l.Pin(pin)
}

// front puts the program on the device before all others, of this layout, too: what a process that died within a takeover left
// there is in force until settle. Where there is no tcx, a filter of this layout that is there already stays as it is.
func (a *attacher) front(index int, name string, prog *ebpf.Program) error {
	if a.clsact {
		is, err := linux.HasIngressFilter("", name, a.name)
		if err != nil || is {
			return err
		}
		return a.ensure(index, name, prog)
	}
	l, err := link.AttachTCX(link.TCXOptions{Interface: index, Program: prog, Attach: ebpf.AttachTCXIngress, Anchor: link.Head()})
	if err != nil {
		return fmt.Errorf("attach to %s: %w", name, err)
	}
	defer l.Close()
	older, err := a.fronts(index)
	if err != nil {
		return err
	}
	pin := filepath.Join(a.dir, fmt.Sprintf("front-%d-%03d", index, len(older)+1))
	if err := l.Pin(pin); err != nil {
		return fmt.Errorf("attach to %s: %w", name, err)
	}
	return nil
}

// linksOn are the pins of all links on a device, those that front made too.
func linksOn(dir string, index int) ([]string, error) {
	pins, err := filepath.Glob(filepath.Join(dir, fmt.Sprintf("front-%d-*", index)))
	if err != nil {
		return nil, err
	}
	pin := filepath.Join(dir, strconv.Itoa(index))
	if _, err := os.Stat(pin); err == nil {
		pins = append(pins, pin)
	}
	return pins, nil
}

// detachAll takes the links of a directory off their devices and removes it. A link whose last pin is removed is taken off some
// time later; packets would then still come to programs whose maps are gone.
func detachAll(dir string) error {
	pins, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return err
	}
	for _, pin := range pins {
		l, err := link.LoadPinnedLink(pin, nil)
		if err != nil {
			return fmt.Errorf("open pinned link %s: %w", pin, err)
		}
		err = l.Detach()
		l.Close() //nolint:errcheck // nothing is written
		if err != nil {
			return fmt.Errorf("take off link %s: %w", pin, err)
		}
	}
	return os.RemoveAll(dir)
}

// fronts are the pins of links that front made on the device, in their order.
func (a *attacher) fronts(index int) ([]string, error) {
	return filepath.Glob(filepath.Join(a.dir, fmt.Sprintf("front-%d-*", index)))
}

// replace puts another program in the place of the foremost of this layout, in one step.
func (a *attacher) replace(index int, name string, prog *ebpf.Program) error {
	delete(a.done, index)
	if a.clsact {
		return a.ensure(index, name, prog)
	}
	pins, err := a.fronts(index)
	if err != nil || len(pins) == 0 {
		return errors.Join(err, a.ensure(index, name, prog))
	}
	l, err := link.LoadPinnedLink(pins[len(pins)-1], nil)
	if err != nil {
		return fmt.Errorf("open pinned link of %s: %w", name, err)
	}
	defer l.Close()
	if err := l.Update(prog); err != nil {
		return fmt.Errorf("attach to %s: %w", name, err)
	}
	a.done[index] = name
	return nil
}

// settle makes the foremost link on each device the only one of this layout.
func (a *attacher) settle() error {
	pins, err := filepath.Glob(filepath.Join(a.dir, "front-*"))
	if err != nil {
		return err
	}
	for _, pin := range pins { // in order: each takes the place of the one before
		part := strings.Split(filepath.Base(pin), "-")
		index, err := strconv.Atoi(part[1])
		if err != nil {
			return fmt.Errorf("pinned link %s: %w", pin, err)
		}
		if err := os.Rename(pin, a.pin(index)); err != nil {
			return fmt.Errorf("settle pinned link %s: %w", pin, err)
		}
	}
	return nil
}

// linkIndex is the interface of a link, 0 if it hangs on none any more.
func linkIndex(l link.Link) int {
	info, err := l.Info()
	if err != nil {
		return 0
	}
	if t := info.TCX(); t != nil {
		return int(t.Ifindex)
	}
	return 0
}

// clean forgets devices that no longer exist. A device that is there keeps its program: without one, what its instance
// sends would reach the host.
func (a *attacher) clean() error {
	links, err := linux.Links("")
	if err != nil {
		return err
	}
	there := map[int]string{}
	for _, l := range links {
		there[l.Index] = l.Name
	}
	for i, name := range a.done {
		if there[i] != name {
			delete(a.done, i)
		}
	}
	pins, err := os.ReadDir(a.dir)
	if err != nil {
		return fmt.Errorf("list pinned links: %w", err)
	}
	for _, p := range pins {
		i, err := strconv.Atoi(p.Name())
		if _, ok := there[i]; err != nil || ok {
			continue
		}
		if err := os.Remove(a.pin(i)); err != nil {
			return fmt.Errorf("unpin link: %w", err)
		}
	}
	return nil
}

// Cleanup takes away everything that a plane with this pin directory left in the kernel: links, filters, maps, programs and
// the tunnel device. Traffic stops. It is for `weft lab down` and tests; nothing being there is no error.
func Cleanup(pinDir string) error {
	var errs []error
	if links, err := linux.Links(""); err != nil {
		errs = append(errs, err)
	} else {
		for _, l := range links {
			errs = append(errs, linux.DelIngressFilters("", l.Name, filterName))
		}
	}
	if err := linux.DelLink("", VXLANDevice); err != nil && !linux.IsNoLink(err) {
		errs = append(errs, err)
	}
	errs = append(errs, noGuard())
	// bpffs pins vanish with their files, and links and maps with their last pin.
	if err := os.RemoveAll(pinDir); err != nil {
		errs = append(errs, fmt.Errorf("remove %s: %w", pinDir, err))
	}
	return errors.Join(errs...)
}
