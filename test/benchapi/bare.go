package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// bareFile is the least that durability costs: a file on the store's disk that takes the bytes of one created port.
type bareFile struct {
	f   *os.File
	row []byte
}

// bare makes such a file beside the store.
func (b *bench) bare() (*bareFile, error) {
	f, err := os.Create(filepath.Join(filepath.Dir(b.server.Store()), "bare"))
	return &bareFile{f, bytes.Repeat([]byte{'x'}, b.report.Machine.PortBytes)}, err
}

// append makes one row durable: a write and one fdatasync.
func (f *bareFile) append() error {
	if _, err := f.f.Write(f.row); err != nil {
		return err
	}
	return unix.Fdatasync(int(f.f.Fd()))
}

// appends measures them, one right behind the other.
func (m *machineReport) appends(f *bareFile, each time.Duration) error {
	var took []time.Duration
	began := time.Now()
	for at := began; at.Sub(began) < each; {
		if err := f.append(); err != nil {
			return err
		}
		now := time.Now()
		took = append(took, now.Sub(at))
		at = now
	}
	m.AppendsPerSec = float64(len(took)) / time.Since(began).Seconds()
	slices.Sort(took)
	m.AppendP50 = ms(took[len(took)/2])
	return nil
}

// turns is one client that creates a port and appends as many bytes to a file, in turns: each finds the disk and the processors as the
// other has left them, and whatever else the machine does meets both. Times are in milliseconds.
type turns struct {
	Ports     int     `json:"ports"` // in the world when it began
	N         int     `json:"n"`
	CreateP50 float64 `json:"create_p50_ms"`
	AppendP50 float64 `json:"append_p50_ms"`
}

// inTurns measures turns.
func (b *bench) inTurns(ctx context.Context, create op) error {
	f, err := b.bare()
	if err != nil {
		return err
	}
	defer f.f.Close()
	var creates, appends []time.Duration
	for began := time.Now(); time.Since(began) < b.o.each && ctx.Err() == nil; {
		at := time.Now()
		if err := create.do(b.conns[0]); err != nil {
			return err
		}
		created := time.Now()
		if err := f.append(); err != nil {
			return err
		}
		creates, appends = append(creates, created.Sub(at)), append(appends, time.Since(created))
	}
	if len(creates) == 0 {
		return ctx.Err()
	}
	slices.Sort(creates)
	slices.Sort(appends)
	t := turns{b.ports, len(creates), ms(creates[len(creates)/2]), ms(appends[len(appends)/2])}
	b.report.Turns = append(b.report.Turns, t)
	b.progress("create port in turns with a bare append: %.2f ms, %.2f ms", t.CreateP50, t.AppendP50)
	return nil
}
