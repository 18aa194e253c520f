package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weft-cloud/weft/internal/lab/compute"
	"github.com/weft-cloud/weft/internal/lab/hypervisor"
	"github.com/weft-cloud/weft/internal/lab/identity"
	"github.com/weft-cloud/weft/internal/lab/image"
	"github.com/weft-cloud/weft/internal/lab/osclient"
	"github.com/weft-cloud/weft/internal/lab/rest"
	"github.com/weft-cloud/weft/internal/linux"
)

const networkURL = "http://127.0.0.1:9696"

// RunServices is the process of identity, compute and image. Each listens at 127.0.0.1 twice: in the root namespace for
// the user, and on the controller for the server. What comes to port 9696 in the root namespace is handed on to the
// controller, where the server listens.
func RunServices(ctx context.Context, r *Record, log *slog.Logger) error {
	id, err := identity.New(identity.Deps{Path: r.path("identity.json"), AdminPassword: r.Passwords.Admin, ServicePassword: r.Passwords.Service,
		Endpoints: []identity.Endpoint{
			{Type: "identity", Name: "keystone", URL: AuthURL},
			{Type: "network", Name: "neutron", URL: networkURL},
			{Type: "compute", Name: "nova", URL: "http://127.0.0.1:8774/v2.1"},
			{Type: "image", Name: "glance", URL: "http://127.0.0.1:9292"},
		}, Now: time.Now, Log: log})
	if err != nil {
		return err
	}
	hv, err := r.hypervisor()
	if err != nil {
		return err
	}
	var hosts []compute.Host
	for _, h := range r.Hosts()[1:] {
		hosts = append(hosts, compute.Host{Name: h.Name, IP: h.Underlay.String()})
	}
	nova := r.client("nova", r.Passwords.Service, "service")
	defer nova.Close()
	comp, err := compute.New(compute.Deps{Path: r.path("compute.json"), Hosts: hosts, Hypervisor: hv, Authenticate: authenticator(id),
		Network: nova, NetworkURL: networkURL, Plugged: time.Minute, Now: time.Now, Log: log})
	if err != nil {
		return err
	}
	defer comp.Close()
	img := image.New(log, func(r *http.Request) error { _, err := authenticator(id)(r); return err }, r.Created)

	g, ctx := errgroup.WithContext(ctx)
	for _, ns := range []string{"", hypervisor.HostNetns(Controller)} {
		for port, h := range map[uint16]http.Handler{5000: id, 8774: comp, 9292: img} {
			ln, err := listen(ns, loopback(port))
			if err != nil {
				return err
			}
			g.Go(func() error { return serve(ctx, ln, h) })
		}
	}
	// Hosts' agents ask for metadata over the underlay.
	meta, err := listen(hypervisor.HostNetns(Controller), netip.AddrPortFrom(underlayAddr(0), metaPort))
	if err != nil {
		return err
	}
	g.Go(func() error { return serve(ctx, meta, comp.Metadata(r.Passwords.Metadata)) })
	ln, err := listen("", loopback(9696))
	if err != nil {
		return err
	}
	g.Go(func() error { return handOn(ctx, ln, log) })
	log.Info("services are up")
	return g.Wait()
}

func (r *Record) hypervisor() (*hypervisor.Hypervisor, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own binary: %w", err)
	}
	return hypervisor.New(hypervisor.Deps{Keeper: r.Keeper(), Exe: exe, Mark: r.Mark(), VIF: r.Options.VIF}), nil
}

func authenticator(id *identity.Service) compute.Authenticate {
	return func(r *http.Request) (compute.Caller, error) {
		token := r.Header.Get("X-Auth-Token")
		who, ok := id.Who(token)
		if !ok {
			return compute.Caller{}, rest.Errf(http.StatusUnauthorized, "The request you have made requires authentication.")
		}
		return compute.Caller{User: who.User, Project: who.Project, Token: token, Admin: slices.Contains(who.Roles, "admin")}, nil
	}
}

func loopback(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
}

func listen(ns string, at netip.AddrPort) (net.Listener, error) {
	var ln net.Listener
	err := linux.InNetns(ns, func() (err error) {
		ln, err = net.Listen("tcp4", at.String())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", at, err)
	}
	return ln, nil
}

func serve(ctx context.Context, ln net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", ln.Addr(), err)
	}
	return nil
}

// handOn joins each connection to one to the server on the controller.
func handOn(ctx context.Context, ln net.Listener, log *slog.Logger) error {
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	for {
		conn, err := ln.Accept()
		if ctx.Err() != nil {
			return nil
		} else if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		go func() {
			defer conn.Close()
			back, err := dialServer()
			if err != nil {
				log.Debug("the networking server does not answer", "err", err)
				unavailable(conn)
				return
			}
			defer back.Close()
			stop := context.AfterFunc(ctx, func() { conn.Close(); back.Close() })
			defer stop()
			join(conn, back)
		}()
	}
}

// unavailable answers a request in the place of a server that does not run.
func unavailable(conn net.Conn) {
	const body = `{"NeutronError": {"type": "ServiceUnavailable", "message": "The lab's networking server does not run: see 'weft lab status', start it with 'weft lab restart server'.", "detail": ""}}`
	// The request is read first: closing a connection with unread data in it would take the answer along.
	conn.SetDeadline(time.Now().Add(2 * time.Second)) //nolint:errcheck // a connection about to be closed
	if req, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
		io.Copy(io.Discard, io.LimitReader(req.Body, 1<<20)) //nolint:errcheck // the same
	}
	fmt.Fprintf(conn, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: %d\r\nRetry-After: 1\r\nConnection: close\r\n\r\n%s", len(body), body)
}

func dialServer() (net.Conn, error) {
	var conn net.Conn
	err := linux.InNetns(hypervisor.HostNetns(Controller), func() (err error) {
		conn, err = net.DialTimeout("tcp4", "127.0.0.1:9696", 10*time.Second)
		return err
	})
	return conn, err
}

// join copies both ways until both ends have said that they are done.
func join(a, b net.Conn) {
	done := make(chan struct{})
	pump := func(to, from net.Conn) {
		io.Copy(to, from) //nolint:errcheck // either end may go at any time
		if t, ok := to.(*net.TCPConn); ok {
			t.CloseWrite() //nolint:errcheck // the same
		}
	}
	go func() { defer close(done); pump(b, a) }()
	pump(a, b)
	<-done
}

// awaitServices waits until identity answers.
func (r *Record) awaitServices(ctx context.Context) error {
	c := r.Admin()
	defer c.Close()
	return poll(ctx, 20*time.Second, func() error { _, err := c.Token(ctx); return err })
}

// awaitServer waits until the Networking API answers to the administrator.
func (r *Record) awaitServer(ctx context.Context) error {
	c := r.Admin()
	defer c.Close()
	return poll(ctx, 30*time.Second, func() error { return c.Do(ctx, "network", http.MethodGet, "/v2.0/networks?limit=1", nil, nil) })
}

// agentRow is an agent as the Networking API shows it.
type agentRow struct {
	Host   string `json:"host"`
	Type   string `json:"agent_type"`
	Binary string `json:"binary"`
	Alive  bool   `json:"alive"`
}

func agents(ctx context.Context, c *osclient.Client) ([]agentRow, error) {
	var out struct{ Agents []agentRow }
	err := c.Do(ctx, "network", http.MethodGet, "/v2.0/agents", nil, &out)
	return out.Agents, err
}

// awaitAgents waits until every host has an agent which the server says is alive.
func (r *Record) awaitAgents(ctx context.Context) error {
	c := r.Admin()
	defer c.Close()
	return poll(ctx, 30*time.Second, func() error {
		rows, err := agents(ctx, c)
		if err != nil {
			return err
		}
		for _, h := range r.Hosts() {
			if !slices.ContainsFunc(rows, func(a agentRow) bool { return a.Host == h.Name && a.Alive }) {
				return fmt.Errorf("the server knows no live agent of %s", h.Name)
			}
		}
		return nil
	})
}

// poll calls try until it succeeds; its last error if that takes longer than limit.
func poll(ctx context.Context, limit time.Duration, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for wait := 5 * time.Millisecond; ; wait = min(wait*3/2, 200*time.Millisecond) {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not after %s: %w", limit, err)
		case <-time.After(wait):
		}
	}
}
