package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
)

// perNetwork and perDevice are the shape of the cloud: ports of one network, of one device.
const (
	perNetwork = 500
	perDevice  = 50
)

// fill makes ports until the world has so many, in networks of 500, by bulk requests.
func (b *bench) fill(ctx context.Context, want int) error {
	for ; b.ports < want; b.ports += perNetwork {
		if err := ctx.Err(); err != nil {
			return err
		}
		net, err := b.network(b.conns[0], "10.0.0.0/21")
		if err != nil {
			return err
		}
		var body strings.Builder
		for i := range perNetwork {
			sep := ","
			if i == 0 {
				sep = `{"ports": [`
			}
			n := b.ports + i
			fmt.Fprintf(&body, `%s{"network_id": "%s", "name": "port-%d", "device_id": "device-%d", "device_owner": "compute:nova"}`, sep, net, n, n/perDevice)
		}
		if _, err := b.conns[0].want(201, "POST", "/ports", []byte(body.String()+"]}")); err != nil {
			return err
		}
		var made struct{ Ports []struct{ ID string } }
		if err := b.conns[0].get("/ports?fields=id&network_id="+net, &made); err != nil {
			return err
		}
		for _, p := range made.Ports {
			b.base.put(p.ID)
		}
		b.progress("%d ports are there", b.ports+perNetwork)
	}
	return nil
}

// network makes a network with a subnet.
func (b *bench) network(c *conn, cidr string) (string, error) {
	net, err := c.make("/networks", []byte(`{"network": {"name": "bench"}}`))
	if err != nil {
		return "", err
	}
	_, err = c.make("/subnets", subnetBody(net, cidr))
	return net, err
}

func subnetBody(net, cidr string) []byte {
	return fmt.Appendf(nil, `{"subnet": {"network_id": "%s", "ip_version": 4, "cidr": "%s"}}`, net, cidr)
}

// both are the numbers of clients.
func (b *bench) both(ctx context.Context, o op) error {
	for _, n := range []int{1, b.o.clients} {
		if err := b.one(ctx, o, n); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) one(ctx context.Context, o op, clients int) error {
	s, err := b.measure(ctx, o, clients)
	if err != nil {
		return err
	}
	b.report.Samples = append(b.report.Samples, s)
	b.progress("%s, %d clients: %.0f/s", o.name, clients, s.PerSecond)
	return nil
}

// portWrites measures what is done to single ports; afterwards as many are there as before.
func (b *bench) portWrites(ctx context.Context) error {
	net, err := b.network(b.conns[0], "10.0.0.0/14")
	if err != nil {
		return err
	}
	var made pool[string]
	var serial atomic.Int64
	create := fmt.Appendf(nil, `{"port": {"network_id": "%s", "name": "one", "device_id": "bench", "device_owner": "compute:nova"}}`, net)
	one := fmt.Sprintf(`{"network_id": "%s", "name": "of many", "device_owner": "compute:nova"}`, net)
	bulk := []byte(`{"ports": [` + strings.Repeat(one+",", 99) + one + "]}")
	var many atomic.Int64
	single := op{name: "create port", do: func(c *conn) error {
		id, err := c.make("/ports", create)
		made.put(id)
		return err
	}}
	if err := b.inTurns(ctx, single); err != nil {
		return err
	}
	for _, o := range []op{
		single,
		{name: "bulk create of 100", rows: 100, most: 100, do: func(c *conn) error {
			many.Add(100)
			_, err := c.want(201, "POST", "/ports", bulk)
			return err
		}},
		{name: "show port", do: func(c *conn) error {
			id, ok := b.base.some()
			if !ok {
				id, _ = made.some()
			}
			_, err := c.want(200, "GET", "/ports/"+id, nil)
			return err
		}},
		{name: "update port", do: func(c *conn) error {
			id, _ := made.some()
			_, err := c.want(200, "PUT", "/ports/"+id, fmt.Appendf(nil, `{"port": {"name": "renamed-%d"}}`, serial.Add(1)))
			return err
		}},
		{name: "delete port", do: func(c *conn) error {
			id, ok := made.take()
			if !ok {
				return errDry
			}
			_, err := c.want(204, "DELETE", "/ports/"+id, nil)
			return err
		}},
	} {
		if err := b.both(ctx, o); err != nil {
			return err
		}
	}
	return b.clear(net)
}

// clear deletes a network and the ports on it.
func (b *bench) clear(net string) error {
	var left struct{ Ports []struct{ ID string } }
	if err := b.conns[0].get("/ports?fields=id&network_id="+net, &left); err != nil {
		return err
	}
	if err := each(b, left.Ports, func(c *conn, p struct{ ID string }) error {
		_, err := c.want(204, "DELETE", "/ports/"+p.ID, nil)
		return err
	}); err != nil {
		return err
	}
	_, err := b.conns[0].want(204, "DELETE", "/networks/"+net, nil)
	return err
}

// lists measures what is read in rows.
func (b *bench) lists(ctx context.Context) error {
	get := func(path string) func(c *conn) error {
		return func(c *conn) error {
			_, err := c.want(200, "GET", path, nil)
			return err
		}
	}
	filtered := op{name: "filtered list of 50", rows: perDevice, do: func(c *conn) error {
		_, err := c.want(200, "GET", fmt.Sprintf("/ports?device_id=device-%d", rand.IntN(b.ports/perDevice)), nil)
		return err
	}}
	if err := b.both(ctx, filtered); err != nil {
		return err
	}
	page := func(n int, sort string) func(c *conn) error {
		return func(c *conn) error {
			marker, _ := b.base.some()
			if sort == "" {
				marker = b.early // with n rows behind it
			}
			_, err := c.want(200, "GET", fmt.Sprintf("/ports?limit=%d&marker=%s%s", n, marker, sort), nil)
			return err
		}
	}
	all := min(b.ports, 100_000)
	for _, o := range []op{
		{name: "page of 50", rows: 50, do: page(50, "")},
		{name: "page of 1,000 by id", rows: 1000, do: page(1000, "")},
		{name: "page of 1,000 by name", rows: 1000, do: page(1000, "&sort_key=name&sort_dir=asc")},
		{name: "list of all", rows: all, warm: true, do: get("/ports")},
		{name: "list of all, fields=id,status", rows: all, warm: true, do: get("/ports?fields=id&fields=status")},
	} {
		if err := b.one(ctx, o, 1); err != nil {
			return err
		}
	}
	if b.ports != neutronList {
		return nil
	}
	filtered.name = "filtered list of 50 beside lists of all"
	return b.beside(ctx, filtered, get("/ports"))
}

// beside measures o by one client while all others do something else without end.
func (b *bench) beside(ctx context.Context, o op, other func(c *conn) error) error {
	if b.o.clients < 2 {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, b.o.clients)
	var work sync.WaitGroup
	for _, c := range b.conns[1:b.o.clients] {
		work.Go(func() {
			for ctx.Err() == nil {
				if err := other(c); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	err := b.one(ctx, o, 1)
	cancel()
	work.Wait()
	close(failed)
	return errors.Join(err, <-failed)
}
