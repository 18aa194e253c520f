package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/store"
	"github.com/weft-cloud/weft/internal/server/store/sqlite"
)

// machineReport is what the machine can do by itself.
type machineReport struct {
	// PortBytes is what the log keeps of one created port; AppendP50 how long it takes to append as much to a file of the
	// same disk and sync it, in milliseconds.
	PortBytes       int     `json:"port_bytes"`
	AppendP50       float64 `json:"append_p50_ms"`
	AppendsPerSec   float64 `json:"appends_per_second"`
	LoopbackP50     float64 `json:"loopback_p50_ms"` // a request and an answer of an endpoint that does nothing
	LoopbackPerSec  float64 `json:"loopback_per_second"`
	LoopbackClients int     `json:"loopback_clients"`
}

// residentMemory is a process's RSS in bytes.
func residentMemory(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := bytes.Cut(b, []byte("VmRSS:"))
	kb, err := strconv.Atoi(string(bytes.Fields(after)[0]))
	return float64(kb) * 1024, err
}

// processorTime is how long a process's threads have run (/proc/PID/task/TID/schedstat, in nanoseconds).
func processorTime(pid int) (time.Duration, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, path := range threads {
		b, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // the thread has ended
		}
		var ns int64
		if _, scanErr := fmt.Sscan(string(b), &ns); err != nil || scanErr != nil {
			return 0, errors.Join(err, scanErr)
		}
		sum += time.Duration(ns)
	}
	return sum, nil
}

// machine measures the bare append of what a created port writes, and the bare round trip.
func (b *bench) machine(ctx context.Context) (m machineReport, err error) {
	m = b.report.Machine
	s, err := b.measure(ctx, op{name: "bare round trip", do: func(c *conn) error {
		_, err := c.want(200, "GET", "/", nil)
		return err
	}}, b.o.clients)
	if err != nil {
		return m, err
	}
	m.LoopbackPerSec, m.LoopbackClients = s.PerSecond, b.o.clients
	if s, err = b.measure(ctx, op{name: "bare round trip", do: func(c *conn) error {
		_, err := c.want(200, "GET", "/", nil)
		return err
	}}, 1); err != nil {
		return m, err
	}
	m.LoopbackP50 = s.P50
	f, err := b.bare()
	if err != nil {
		return m, err
	}
	defer f.f.Close()
	return m, m.appends(f, b.o.each)
}

// loggedPort creates a port and says how long its row in the log is.
func (b *bench) loggedPort() (int, error) {
	net, err := b.network(b.conns[0], "10.0.0.0/24")
	if err != nil {
		return 0, err
	}
	if _, err := b.conns[0].make("/ports", fmt.Appendf(nil, `{"port": {"network_id": "%s", "name": "one", "device_id": "bench", "device_owner": "compute:nova"}}`, net)); err != nil {
		return 0, err
	}
	n, err := newestRow(context.Background(), b.server.Store())
	if err != nil {
		return 0, err
	}
	return n, b.clear(net)
}

// newestRow is the length of the log's newest row, in the store of a running server.
func newestRow(ctx context.Context, path string) (n int, err error) {
	s, err := sqlite.Open(ctx, sqlite.Options{Path: path, ReadOnly: true})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	head, err := s.Head(ctx)
	if err != nil {
		return 0, err
	}
	batches, err := s.Tail(ctx, model.Position{Lineage: head.Lineage, Revision: head.Revision - 1}, 1)
	if err != nil || len(batches) == 0 {
		return 0, errors.Join(err, fmt.Errorf("the store of the server ends at %s", head.Position))
	}
	return len(store.EncodeBatch(nil, &batches[0])), nil
}
