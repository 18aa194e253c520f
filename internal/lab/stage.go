package lab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weft-cloud/weft/internal/lab/osclient"
)

// stageMark begins the names of what Verify makes for its own time, and is the description of its floating IPs.
const stageMark = "verify-"

// stage makes what Verify needs beside the demo: a centralized router with instances, so that both columns of the reference
// table can be measured, and floating IPs on two more of the demo's instances.
func (r *Record) stage(ctx context.Context, admin *osclient.Client) error {
	ext, err := networkID(ctx, admin, external)
	if err != nil {
		return err
	}
	router := doc{"name": stageMark + "router", "distributed": false}
	if ext != "" {
		router["external_gateway_info"] = doc{"network_id": ext}
	}
	id, err := create(ctx, admin, "network", "/v2.0/routers", "router", router)
	if err != nil {
		return err
	}
	nets := map[string]string{}
	for name, cidr := range map[string]string{"red": "172.16.52.0/24", "blue": "172.16.53.0/24"} {
		if nets[name], err = stageNetwork(ctx, admin, id, stageMark+name, cidr); err != nil {
			return err
		}
	}
	return errors.Join(r.stageServers(ctx, admin, nets), stageFloating(ctx, admin, ext), awaitRouter(ctx, admin, id))
}

// awaitRouter waits until the gateway host has made the router's central part.
func awaitRouter(ctx context.Context, c *osclient.Client, router string) error {
	for end := time.Now().Add(30 * time.Second); ; {
		ports, err := Ports(ctx, c, url.Values{"device_id": {router}, "device_owner": {"network:router_interface"}})
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(ports, func(p Port) bool { return p.Status != "ACTIVE" }) {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("the gateway host has not made router %s within 30 s: see `weft lab status`", router)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func stageNetwork(ctx context.Context, c *osclient.Client, router, name, cidr string) (string, error) {
	id, err := create(ctx, c, "network", "/v2.0/networks", "network", doc{"name": name})
	if err != nil {
		return "", err
	}
	subnet, err := create(ctx, c, "network", "/v2.0/subnets", "subnet", doc{"name": name, "network_id": id, "ip_version": 4, "cidr": cidr})
	if err != nil {
		return "", err
	}
	return id, c.Do(ctx, "network", http.MethodPut, "/v2.0/routers/"+router+"/add_router_interface", doc{"subnet_id": subnet}, nil)
}

func (r *Record) stageServers(ctx context.Context, c *osclient.Client, nets map[string]string) error {
	computes := r.Computes()
	far := computes[min(1, len(computes)-1)]
	g, wait := errgroup.WithContext(ctx)
	var ids []string
	for _, s := range []struct{ name, host, network string }{
		{"red1", computes[0], "red"}, {"red2", far, "red"}, {"red3", computes[0], "red"}, {"blue1", computes[0], "blue"}, {"blue2", far, "blue"},
	} {
		id, err := Boot(ctx, c, BootRequest{Name: stageMark + s.name, Host: s.host, NetworkID: nets[s.network]})
		if err != nil {
			return fmt.Errorf("boot %s: %w", s.name, err)
		}
		ids = append(ids, id)
		g.Go(func() error { return AwaitServer(wait, c, id, 70*time.Second) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return r.awaitAddresses(ctx, ids)
}

// stageFloating gives the demo's blue1 and blue2 floating IPs, if there are any such instances.
func stageFloating(ctx context.Context, admin *osclient.Client, ext string) error {
	if ext == "" {
		return nil
	}
	list, err := Instances(ctx, admin)
	if err != nil {
		return err
	}
	taken, err := FloatingIPs(ctx, admin)
	if err != nil {
		return err
	}
	for _, in := range list {
		has := slices.ContainsFunc(taken, func(f FloatingIP) bool { return f.PortID == in.Port.ID })
		if (in.Name == "blue1" || in.Name == "blue2") && !has {
			err = errors.Join(err, floatingFor(ctx, admin, in.Port.ID, stageMark))
		}
	}
	return err
}

// unstage removes what stage made, also of a run that was killed.
func unstage(ctx context.Context, c *osclient.Client) error {
	floats, err := FloatingIPs(ctx, c)
	for _, f := range floats {
		if f.Description == stageMark {
			err = errors.Join(err, c.Do(ctx, "network", http.MethodDelete, "/v2.0/floatingips/"+f.ID, nil, nil))
		}
	}
	list, lerr := Instances(ctx, c)
	err = errors.Join(err, lerr)
	g, gctx := errgroup.WithContext(ctx)
	for _, in := range list {
		if strings.HasPrefix(in.Name, stageMark) {
			g.Go(func() error { return Delete(gctx, c, in.ID) })
		}
	}
	err = errors.Join(err, g.Wait())
	routers, rerr := Routers(ctx, c, url.Values{"name": {stageMark + "router"}})
	err = errors.Join(err, rerr)
	for _, rt := range routers {
		ports, perr := Ports(ctx, c, url.Values{"device_id": {rt.ID}, "device_owner": {"network:router_interface"}})
		err = errors.Join(err, perr)
		for _, p := range ports {
			err = errors.Join(err, c.Do(ctx, "network", http.MethodPut, "/v2.0/routers/"+rt.ID+"/remove_router_interface", doc{"port_id": p.ID}, nil))
		}
		err = errors.Join(err, c.Do(ctx, "network", http.MethodDelete, "/v2.0/routers/"+rt.ID, nil, nil))
	}
	nets, nerr := Networks(ctx, c)
	err = errors.Join(err, nerr)
	for _, n := range nets {
		if strings.HasPrefix(n.Name, stageMark) {
			err = errors.Join(err, c.Do(ctx, "network", http.MethodDelete, "/v2.0/networks/"+n.ID, nil, nil))
		}
	}
	return err
}
