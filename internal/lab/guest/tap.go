package guest

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/internal/linux"
)

// wire carries frames between the host's tap and the guest's interface, itself a tap in the guest's namespace. Each
// frame goes with its virtio-net header, so that segmentation and checksums stay undone as between a host and a virtual
// machine whose driver offers them.
//
//	host: tapXXXX <─ kernel ─> fd   (this process)   fd <─ kernel ─> eth0 :guest
type wire struct{ host, inside *os.File }

func plug(cfg Config) (*wire, error) {
	inside, err := linux.OpenTap("", Interface, cfg.Offloads)
	if err != nil {
		return nil, err
	}
	host, err := linux.OpenTap(cfg.TapNetns, cfg.Tap, cfg.Offloads)
	if err != nil {
		inside.Close()
		return nil, err
	}
	w := &wire{host: host, inside: inside}
	for _, step := range []func() error{
		func() error { return linux.SetMAC("", Interface, cfg.MAC) },
		func() error { return linux.SetMTU("", Interface, cfg.MTU) },
		func() error { return linux.SetMTU(cfg.TapNetns, cfg.Tap, cfg.MTU) },
		func() error { return linux.SetUp(cfg.TapNetns, cfg.Tap) },
	} {
		if err := step(); err != nil {
			w.close()
			return nil, fmt.Errorf("plug tap %s: %w", cfg.Tap, err)
		}
	}
	return w, nil
}

// End is one end of a Cable: a tap device that it makes in a network namespace.
type End struct{ Netns, Name string }

// Cable carries frames between two taps as a guest's are carried, until ctx ends; the devices go with it. They are down at first.
func Cable(ctx context.Context, host, inside End, offloads bool) error {
	var w wire
	var err error
	if w.inside, err = linux.OpenTap(inside.Netns, inside.Name, offloads); err != nil {
		return err
	}
	if w.host, err = linux.OpenTap(host.Netns, host.Name, offloads); err != nil {
		w.inside.Close()
		return err
	}
	return w.run(ctx)
}

func (w *wire) close() {
	w.host.Close()
	w.inside.Close()
}

// run carries frames until ctx ends; the devices go with it.
func (w *wire) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return carry(w.host, w.inside) })
	g.Go(func() error { return carry(w.inside, w.host) })
	defer context.AfterFunc(ctx, w.close)()
	err := g.Wait()
	w.close()
	if ctx.Err() != nil && errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// carry moves frames from one tap to the other. A frame that the other side will not take (its interface is down, its
// queue full) is lost, as on a wire.
func carry(from, to *os.File) error {
	// A segment of 64 KiB, its headers, and the virtio-net header.
	buf := make([]byte, linux.VnetHdrLen+65536+256)
	for {
		n, err := from.Read(buf)
		if errors.Is(err, os.ErrClosed) {
			return err
		} else if err != nil {
			if gone(err) {
				return fmt.Errorf("tap: %w", err)
			}
			continue
		}
		if _, err := to.Write(buf[:n]); errors.Is(err, os.ErrClosed) {
			return err
		} else if err != nil && gone(err) {
			return fmt.Errorf("tap: %w", err)
		}
	}
}

// gone reports whether err means that the device behind a tap's file is no more (TUN: EBADFD after the device was
// deleted); anything else concerns one frame.
func gone(err error) bool { return errors.Is(err, unix.EBADFD) || errors.Is(err, unix.ENODEV) }
