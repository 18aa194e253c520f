package ebpf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// collectEvery is how often connections past their time are looked for. A packet that meets one removes it by itself; this
// is for those that no packet meets any more.
const collectEvery = 5 * time.Second

// collect removes connections until stop is closed.
func (p *Plane) collect(stop <-chan struct{}) {
	tick := time.NewTicker(collectEvery)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			if _, err := expireConns(p.coll); err != nil {
				p.cfg.Logger.Warn("remove connections past their time", "error", err)
			}
		}
	}
}

// expireConns removes the connections that are past their time, and returns how many they were.
func expireConns(coll *ebpf.Collection) (int, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC_COARSE, &ts); err != nil {
		return 0, fmt.Errorf("read the clock: %w", err)
	}
	now := uint64(ts.Nano()) //nolint:gosec // since boot
	var old []weftConnKey
	keys, vals := make([]weftConnKey, 4096), make([]weftConnVal, 4096)
	var cursor ebpf.MapBatchCursor
	for {
		n, err := coll.Maps["conn"].BatchLookup(&cursor, keys, vals, nil)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return 0, fmt.Errorf("read map conn: %w", err)
		}
		for i := range n {
			if vals[i].Expires < now {
				old = append(old, keys[i])
			}
		}
		if err != nil {
			break
		}
	}
	for _, k := range old {
		frame := bytes.NewBuffer(make([]byte, 16, 80))
		if err := binary.Write(frame, binary.NativeEndian, &k); err != nil {
			return 0, err
		}
		if _, err := coll.Programs["expire"].Run(&ebpf.RunOptions{Data: frame.Bytes()}); err != nil {
			return 0, fmt.Errorf("remove a connection: %w", err)
		}
	}
	return len(old), nil
}
