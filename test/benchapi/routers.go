package main

import (
	"context"
	"errors"
	"fmt"
)

// leg is a router with an interface on a subnet, and a port there.
type leg struct{ network, subnet, router, port string }

// routerOps measures networks, subnets, routers, interfaces, gateways and floating IPs, and removes what it made.
func (b *bench) routerOps(ctx context.Context) error {
	c := b.conns[0]
	outside, err := c.make("/networks", []byte(`{"network": {"name": "outside", "router:external": true}}`))
	if err != nil {
		return err
	}
	if _, err := c.make("/subnets", subnetBody(outside, "198.18.0.0/15")); err != nil {
		return err
	}
	for _, n := range []int{1, b.o.clients} {
		r := &routers{b: b, outside: outside}
		err := r.measure(ctx, n)
		if err := errors.Join(err, r.clear()); err != nil {
			return err
		}
	}
	_, err = c.want(204, "DELETE", "/networks/"+outside, nil)
	return err
}

// routers is what one round makes; an operation takes its object from one pool and puts it into the next.
type routers struct {
	b                                               *bench
	outside                                         string
	networks, subnets, bare, legs, ready, forwarded pool[*leg]
	floating                                        pool[string]
}

func (r *routers) measure(ctx context.Context, clients int) error {
	const most = 1500
	external := fmt.Appendf(nil, `{"router": {"external_gateway_info": {"network_id": "%s"}}}`, r.outside)
	for _, o := range []op{
		{name: "create network", most: most, do: func(c *conn) error {
			id, err := c.make("/networks", []byte(`{"network": {"name": "bench"}}`))
			r.networks.put(&leg{network: id})
			return err
		}},
		{name: "create subnet", do: move(&r.networks, &r.subnets, func(c *conn, l *leg) (err error) {
			l.subnet, err = c.make("/subnets", subnetBody(l.network, "10.1.0.0/24"))
			return err
		})},
		{name: "create router", do: move(&r.subnets, &r.bare, func(c *conn, l *leg) (err error) {
			l.router, err = c.make("/routers", []byte(`{"router": {"name": "bench"}}`))
			return err
		})},
		{name: "add router interface", do: move(&r.bare, &r.legs, func(c *conn, l *leg) error {
			_, err := c.want(200, "PUT", "/routers/"+l.router+"/add_router_interface", fmt.Appendf(nil, `{"subnet_id": "%s"}`, l.subnet))
			return err
		})},
		{name: "set gateway", do: move(&r.legs, &r.ready, func(c *conn, l *leg) error {
			_, err := c.want(200, "PUT", "/routers/"+l.router, external)
			return err
		})},
		{name: "create floating IP", most: most, do: func(c *conn) error {
			id, err := c.make("/floatingips", fmt.Appendf(nil, `{"floatingip": {"floating_network_id": "%s"}}`, r.outside))
			r.floating.put(id)
			return err
		}},
	} {
		if err := r.b.one(ctx, o, clients); err != nil {
			return err
		}
	}
	if err := each(r.b, r.ready.items, func(c *conn, l *leg) (err error) {
		l.port, err = c.make("/ports", fmt.Appendf(nil, `{"port": {"network_id": "%s"}}`, l.network))
		return err
	}); err != nil {
		return err
	}
	return r.b.one(ctx, op{name: "associate floating IP", do: move(&r.ready, &r.forwarded, func(c *conn, l *leg) error {
		id, ok := r.floating.take()
		if !ok {
			r.ready.put(l)
			return errDry
		}
		_, err := c.want(200, "PUT", "/floatingips/"+id, fmt.Appendf(nil, `{"floatingip": {"port_id": "%s"}}`, l.port))
		return err
	})}, clients)
}

// move does f to what it takes from one pool and puts it into another.
func move(from, to *pool[*leg], f func(c *conn, l *leg) error) func(c *conn) error {
	return func(c *conn) error {
		l, ok := from.take()
		if !ok {
			return errDry
		}
		if err := f(c, l); err != nil {
			return err
		}
		to.put(l)
		return nil
	}
}

// clear deletes everything, from the outside in.
func (r *routers) clear() error {
	var made struct{ Floatingips []struct{ ID string } }
	if err := r.b.conns[0].get("/floatingips?fields=id", &made); err != nil {
		return err
	}
	if err := each(r.b, made.Floatingips, func(c *conn, f struct{ ID string }) error {
		_, err := c.want(204, "DELETE", "/floatingips/"+f.ID, nil)
		return err
	}); err != nil {
		return err
	}
	var all []*leg
	for _, p := range []*pool[*leg]{&r.networks, &r.subnets, &r.bare, &r.legs, &r.ready, &r.forwarded} {
		interfaces := p != &r.networks && p != &r.subnets && p != &r.bare
		for _, l := range p.drain() {
			if !interfaces {
				l.subnet = ""
			}
			all = append(all, l)
		}
	}
	return each(r.b, all, func(c *conn, l *leg) error {
		if l.router != "" && l.subnet != "" {
			if _, err := c.want(200, "PUT", "/routers/"+l.router+"/remove_router_interface", fmt.Appendf(nil, `{"subnet_id": "%s"}`, l.subnet)); err != nil {
				return err
			}
		}
		for _, path := range []string{"/routers/" + l.router, "/ports/" + l.port, "/networks/" + l.network} {
			if path[len(path)-1] == '/' {
				continue
			}
			if _, err := c.want(204, "DELETE", path, nil); err != nil {
				return err
			}
		}
		return nil
	})
}
