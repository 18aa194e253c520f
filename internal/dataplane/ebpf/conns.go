package ebpf

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
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
			_, left, err := expireConns(p.coll)
			if err != nil {
				p.cfg.Logger.Warn("remove connections past their time", "error", err)
				continue
			}
			p.connections.Store(int64(left))
		}
	}
}

// expireConns removes the connections that are past their time, and returns how many they were and how many are left.
func expireConns(coll *ebpf.Collection) (gone, left int, err error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC_COARSE, &ts); err != nil {
		return 0, 0, fmt.Errorf("read the clock: %w", err)
	}
	now := uint64(ts.Nano()) //nolint:gosec // since boot
	conn := coll.Maps["conn"]
	_, vs, err := shapes(conn, "conn_key", "conn_val")
	if err != nil {
		return 0, 0, err
	}
	var old [][]byte
	keys, vals := byteArrays(4096, conn.KeySize()), byteArrays(4096, conn.ValueSize())
	var cursor ebpf.MapBatchCursor
	for {
		n, err := conn.BatchLookup(&cursor, keys.Interface(), vals.Interface(), nil)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return 0, 0, fmt.Errorf("read map conn: %w", err)
		}
		left += n
		for i := range n {
			if vs.read(vals.Index(i).Bytes(), "expires") < now {
				old = append(old, slices.Clone(keys.Index(i).Bytes()))
			}
		}
		if err != nil {
			break
		}
	}
	for _, k := range old {
		frame := append(make([]byte, 16, 80), k...)
		if _, err := coll.Programs["expire"].Run(&ebpf.RunOptions{Data: frame}); err != nil {
			return 0, 0, fmt.Errorf("remove a connection: %w", err)
		}
	}
	return len(old), left - len(old), nil
}

// byteArrays is a slice of n arrays of bytes, whose size is known only now: another build's values may be larger.
func byteArrays(n int, size uint32) reflect.Value {
	t := reflect.SliceOf(reflect.ArrayOf(int(size), reflect.TypeFor[byte]()))
	return reflect.MakeSlice(t, n, n)
}
