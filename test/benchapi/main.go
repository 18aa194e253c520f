// Command benchapi measures the API of a server of its own (a process, SQLite on disk, each commit synced) over HTTP with
// keep-alive, by one client and by many at once, on worlds of several sizes. Beside it it measures what the machine can do
// (the same bytes appended to a file and synced), and it prints the ratios to that, to what a real Neutron does, and whether
// the aims are reached. Client and server share the machine's processors.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/weft-cloud/weft/test/rig"
)

type options struct {
	weft, dir, sizes string
	each             time.Duration
	clients          int
	json, quiet      bool
}

func main() {
	var o options
	flag.StringVar(&o.weft, "weft", "bin/weft", "the `binary` to measure")
	flag.StringVar(&o.dir, "dir", "", "a `directory` on the disk to measure, kept afterwards; default: a temporary one under bin, removed")
	flag.StringVar(&o.sizes, "sizes", "0,5000,10000,100000", "`numbers` of ports in the world, ascending")
	flag.DurationVar(&o.each, "each", 2*time.Second, "how long one measurement takes at most")
	flag.IntVar(&o.clients, "clients", 32, "how many clients beside one")
	flag.BoolVar(&o.json, "json", false, "print everything as JSON")
	flag.BoolVar(&o.quiet, "quiet", false, "say nothing on the way")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "benchapi:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	sizes, err := parseSizes(o.sizes)
	if err != nil {
		return err
	}
	dir := o.dir
	if dir == "" {
		if dir, err = os.MkdirTemp("bin", "benchapi-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	} else if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if o.weft, err = filepath.Abs(o.weft); err != nil {
		return err
	}
	unlimited := map[string]string{}
	for _, kind := range []string{"network", "subnet", "port", "router", "floatingip", "security_group", "security_group_rule"} {
		unlimited["quota_"+kind] = "-1"
	}
	server, err := rig.New(rig.Options{Weft: o.weft, Dir: dir, Config: rig.Config{
		"quotas": unlimited, "ml2_type_vxlan": {"vni_ranges": "1:1000000"},
	}})
	if err != nil {
		return err
	}
	b := &bench{o: o, server: server, began: time.Now()}
	if err := errors.Join(b.run(ctx, sizes), server.Close()); err != nil {
		return err
	}
	if o.json {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(&b.report)
	}
	b.report.print(os.Stdout)
	return nil
}

func parseSizes(text string) ([]int, error) {
	var sizes []int
	for part := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || n < 0 || n%perNetwork != 0 || len(sizes) > 0 && n <= sizes[len(sizes)-1] {
			return nil, fmt.Errorf("-sizes %s: %q is not a multiple of %d larger than the one before", text, part, perNetwork)
		}
		sizes = append(sizes, n)
	}
	return sizes, nil
}

// bench is one run.
type bench struct {
	o      options
	server *rig.Server
	began  time.Time
	conns  []*conn
	report report
	// ports is how many there are, base their ids; early is one of the first fifth in the order of ids.
	ports int
	base  pool[string]
	early string
}

func (b *bench) progress(format string, args ...any) {
	if !b.o.quiet {
		fmt.Fprintf(os.Stderr, "%5.0f s  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
	}
}

func (b *bench) run(ctx context.Context, sizes []int) error {
	if err := b.start(ctx); err != nil {
		return err
	}
	defer func() {
		for _, c := range b.conns {
			c.close()
		}
	}()
	var err error
	if b.report.Machine.PortBytes, err = b.loggedPort(); err != nil {
		return err
	}
	for _, size := range sizes {
		if err := b.fill(ctx, size); err != nil {
			return err
		}
		if err := b.at(ctx); err != nil {
			return fmt.Errorf("%d ports: %w", size, err)
		}
		if err := b.remember(ctx); err != nil {
			return err
		}
	}
	b.report.Machine, err = b.machine(ctx)
	return err
}

// at measures everything on the world as it is.
func (b *bench) at(ctx context.Context) error {
	b.progress("measuring with %d ports", b.ports)
	if b.ports > 0 {
		var first struct{ Ports []struct{ ID string } }
		if err := b.conns[0].get(fmt.Sprintf("/ports?fields=id&limit=%d", max(1, b.ports/5)), &first); err != nil {
			return err
		}
		b.early = first.Ports[len(first.Ports)-1].ID
		if err := b.lists(ctx); err != nil {
			return err
		}
	}
	if err := b.portWrites(ctx); err != nil {
		return err
	}
	return b.routerOps(ctx)
}

// start runs the server and connects; it measures neither.
func (b *bench) start(ctx context.Context) error {
	if err := b.server.Start(ctx); err != nil {
		return err
	}
	for range max(1, b.o.clients) {
		c, err := dial(strings.TrimPrefix(b.server.API, "http://"))
		if err != nil {
			return err
		}
		b.conns = append(b.conns, c)
	}
	return nil
}

// remember notes what the server takes: after the work, and after a start with the same world.
func (b *bench) remember(ctx context.Context) error {
	after, err := residentMemory(b.server.PID())
	if err != nil {
		return err
	}
	for _, c := range b.conns {
		c.close()
	}
	b.conns = nil
	if err := b.server.Stop(); err != nil {
		return err
	}
	began := time.Now()
	if err := b.start(ctx); err != nil {
		return err
	}
	took := time.Since(began)
	rested, err := b.settledMemory(ctx)
	if err != nil {
		return err
	}
	b.report.Sizes = append(b.report.Sizes, sizeReport{b.ports, took.Seconds(), rested, after})
	b.progress("started with %d ports in %.2f s, %.0f MB resident, %.0f MB after the work", b.ports, took.Seconds(), rested/1e6, after/1e6)
	return nil
}

// settledMemory waits until the server has given back what starting left behind: until its memory has not shrunk for a
// second.
func (b *bench) settledMemory(ctx context.Context) (float64, error) {
	for last := 0.0; ; {
		now, err := residentMemory(b.server.PID())
		if err != nil || last > 0 && now >= last {
			return now, err
		}
		last = now
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}
