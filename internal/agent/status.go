package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/weft-cloud/weft/internal/agent/tally"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// SocketName is the status socket's name in the agent's directory.
const SocketName = "status.sock"

// Status is what the agent says of itself to whoever connects to its socket: one JSON object, then the end.
type Status struct {
	Host      string    `json:"host"`
	Version   string    `json:"version"`
	DataPlane string    `json:"data_plane"`
	Mode      string    `json:"agent_mode"`
	StartedAt time.Time `json:"started_at"`
	Server    link      `json:"server"`
	// Position is what the feed has brought, Applied what the plane has taken.
	Position model.Position `json:"position"`
	Applied  model.Position `json:"applied"`
	InSync   bool           `json:"in_sync"`
	// Listed: the plane has taken what the server listed at this connection.
	Listed bool `json:"listed"`
	// Held: the server has asked to delete nothing until an operator releases it.
	Held      bool             `json:"held"`
	ApplyTook time.Duration    `json:"apply_took_ns"`
	Endpoints []EndpointStatus `json:"endpoints"`
	// Astray are interfaces of ports that are bound elsewhere, as far as this host knows the ports' networks.
	Astray    []Astray           `json:"astray,omitempty"`
	Networks  int                `json:"networks"`
	Routers   int                `json:"routers"`
	Peers     int                `json:"peers"`
	Neighbors int                `json:"neighbors"`
	Problems  []hostplan.Problem `json:"problems"`
	Counts    counts             `json:"counts"`
	Punts     map[string]uint64  `json:"punts"`
}

// Astray is an interface on this host whose port is bound to another, or to none ("").
type Astray struct {
	Port      model.PortID `json:"port"`
	MAC       model.MAC    `json:"mac"`
	Addresses []netip.Addr `json:"addresses"`
	Device    string       `json:"device"`
	Bound     string       `json:"bound"`
}

// EndpointStatus is one port of this host.
type EndpointStatus struct {
	Port      model.PortID    `json:"port"`
	Name      string          `json:"name,omitempty"`
	Network   model.NetworkID `json:"network"`
	MAC       model.MAC       `json:"mac"`
	Addresses []string        `json:"addresses"`
	Device    string          `json:"device"`
	// Instance is the port's device_id. MTU is the network's, in bytes. Lease is the address that DHCPv4 hands out, "": none.
	Instance string `json:"instance,omitempty"`
	AdminUp  bool   `json:"admin_up"`
	MTU      uint32 `json:"mtu"`
	Lease    string `json:"lease,omitempty"`
	// Resolvers are the DNS servers that it is told; Gateways those of the subnets that it has addresses on.
	Resolvers []string        `json:"resolvers,omitempty"`
	Gateways  []GatewayStatus `json:"gateways,omitempty"`
	// Secured: port security is on. Rules is how many security group rules there are; -1: none are needed.
	Secured bool `json:"port_security"`
	Rules   int  `json:"rules"`
	// Present: the device is there. Programmed: the plane carries the port out.
	Present bool `json:"present"`
	// Appeared is when the device came, Since when the port came to this host; zero: it was there when the agent started.
	Appeared   time.Time `json:"appeared,omitzero"`
	Since      time.Time `json:"since,omitzero"`
	Programmed bool      `json:"programmed"`
	// Services: what the port asked of DHCP, router advertisements and so on, and what it was answered.
	Services *tally.Port `json:"services,omitempty"`
}

// Status is what the agent says of itself; false: ctx ended first. The agent must be running.
func (a *Agent) Status(ctx context.Context) (s Status, ok bool) {
	ok = a.call(ctx, func() { s = a.status() })
	return s, ok
}

// status is asked in the owner goroutine.
func (a *Agent) status() Status {
	c := &a.core
	s := Status{
		Host: a.Config.Host, Version: a.Config.Version, DataPlane: a.Config.DataPlane, Mode: a.Config.AgentMode, StartedAt: a.started,
		Server: c.link, Position: c.scope.position, Applied: c.done.position, InSync: c.inSync, Listed: c.link.Connected && c.settled, Held: c.held, ApplyTook: c.done.took,
		Counts: c.counts, Endpoints: []EndpointStatus{}, Problems: []hostplan.Problem{},
		Punts: map[string]uint64{
			"received": a.punts.received.Load(), "replies": a.punts.replies.Load(), "without_responder": a.punts.unknown.Load(),
			"queue_full": a.punts.overflow.Load(), "undelivered": a.punts.undelivered.Load(),
		},
	}
	st := a.state.Load()
	if st == nil {
		return s
	}
	s.Networks, s.Routers, s.Peers, s.Neighbors = len(st.Networks), len(st.Routers), len(st.Peers), len(st.Neighbors)
	for _, id := range sortedIDs(st.Endpoints) {
		e := st.Endpoints[id]
		_, present := c.found.Devices[e.Device]
		es := endpointStatus(st, e)
		es.Present, es.Programmed, es.Appeared, es.Since = present, c.done.result.Programmed[id], c.came.devices[e.Device], c.came.ports[id]
		if a.Services != nil {
			if p := a.Services(id); p.Asked > 0 {
				es.Services = &p
			}
		}
		s.Endpoints = append(s.Endpoints, es)
	}
	s.Astray = astray(st, c.found.Devices)
	if c.done.state != nil {
		s.Problems = append(s.Problems, a.problems()...)
	} else {
		s.Problems = append(s.Problems, st.Problems...)
	}
	return s
}

// listenStatus opens the status socket. One that a dead agent left is replaced; a living agent is an error.
func (a *Agent) listenStatus() (net.Listener, error) {
	path := filepath.Join(a.Dir, SocketName)
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, fmt.Errorf("another agent is running with the state directory %s; stop it, or give this one a state_path of its own", a.Dir)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove status socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on status socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("protect status socket: %w", err), l.Close())
	}
	return l, nil
}

func (a *Agent) serveStatus(ctx context.Context, l net.Listener) error {
	var clients sync.WaitGroup
	defer clients.Wait()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept on status socket: %w", err)
		}
		clients.Go(func() {
			defer conn.Close()
			s, ok := a.Status(ctx)
			if !ok {
				return
			}
			if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
				return
			}
			if err := json.NewEncoder(conn).Encode(s); err != nil {
				a.Log.Debug("status not delivered", "error", err)
			}
		})
	}
}

// ReadStatus asks the agent whose state is in dir.
func ReadStatus(ctx context.Context, dir string) (Status, error) {
	var s Status
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", filepath.Join(dir, SocketName))
	if err != nil {
		return s, fmt.Errorf("ask agent: %w", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := json.NewDecoder(conn).Decode(&s); err != nil {
		return s, fmt.Errorf("read status of agent: %w", err)
	}
	return s, nil
}
