// Package rig runs Weft as processes on loopback for what drives the API from outside: tests, the benchmark and the
// conformance suites. A Server has a configuration, a store and certificates in a directory of its own, beside it the
// lab's identity service if wanted, and agents on the null data plane.
//
// It knows the server by its configuration file, its processes and its API only.
package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/weft-cloud/weft/internal/lab/identity"
	"github.com/weft-cloud/weft/internal/pki"
)

// Passwords of an identity service that lives on loopback for one run.
const (
	AdminPassword   = "rig-admin"
	ServicePassword = "rig-service"
)

// Config is a configuration file: option values by section and name.
type Config map[string]map[string]string

// Set gives an option a value.
func (c Config) Set(section, name, value string) {
	if c[section] == nil {
		c[section] = map[string]string{}
	}
	c[section][name] = value
}

func (c Config) String() string {
	var b strings.Builder
	for _, section := range slices.Sorted(maps.Keys(c)) {
		fmt.Fprintf(&b, "[%s]\n", section)
		for _, name := range slices.Sorted(maps.Keys(c[section])) {
			fmt.Fprintf(&b, "%s = %s\n", name, c[section][name])
		}
	}
	return b.String()
}

// Options say what to run.
type Options struct {
	// Weft is the binary, Dir an existing directory for everything; both absolute.
	Weft, Dir string
	// Identity starts the lab's identity service and has the server ask it; otherwise auth_strategy is noauth.
	Identity bool
	// Config is added to the server's configuration, whose options it replaces.
	Config Config
}

// Server is a server that may be started, killed and started again on its store. It is used by one goroutine; Do by any
// number.
type Server struct {
	// API and Keystone are base URLs; Keystone is empty without Identity.
	API, Keystone string

	o        Options
	feed     int
	proc     *process
	agents   []*exec.Cmd
	identity *http.Server
	client   *http.Client
}

// New writes the configuration and starts the identity service. The server is not started.
func New(o Options) (*Server, error) {
	api, feed, err := twoPorts()
	if err != nil {
		return nil, err
	}
	s := &Server{API: fmt.Sprintf("http://127.0.0.1:%d", api), o: o, feed: feed,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 2 * time.Minute}}
	if o.Identity {
		if err := s.startIdentity(); err != nil {
			return nil, err
		}
	}
	if err := certificates(o.Dir); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := os.WriteFile(s.ConfigFile(), []byte(s.config(api).String()), 0o600); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// ConfigFile is the path of the server's configuration.
func (s *Server) ConfigFile() string { return filepath.Join(s.o.Dir, "server.conf") }

// Store is the path of the server's SQLite file.
func (s *Server) Store() string { return filepath.Join(s.o.Dir, "weft.db") }

func (s *Server) config(api int) Config {
	dir := s.o.Dir
	c := Config{
		"DEFAULT":        {"bind_host": "127.0.0.1", "bind_port": fmt.Sprint(api), "auth_strategy": "noauth"},
		"database":       {"connection": "sqlite:///" + s.Store()},
		"ml2":            {"type_drivers": "flat,vlan,vxlan", "tenant_network_types": "vxlan"},
		"ml2_type_flat":  {"flat_networks": "*"},
		"ml2_type_vxlan": {"vni_ranges": "1:5000"},
		"weft": {"state_dir": dir, "feed_bind": fmt.Sprintf("127.0.0.1:%d", s.feed),
			"ca_file": filepath.Join(dir, "ca.crt"), "cert_file": filepath.Join(dir, "server.crt"), "key_file": filepath.Join(dir, "server.key")},
	}
	if s.Keystone != "" {
		c.Set("DEFAULT", "auth_strategy", "keystone")
		c["keystone_authtoken"] = map[string]string{"www_authenticate_uri": s.Keystone, "auth_url": s.Keystone, "username": "neutron",
			"password": ServicePassword, "project_name": "service", "user_domain_name": "Default", "project_domain_name": "Default"}
	}
	for section, options := range s.o.Config {
		for name, value := range options {
			c.Set(section, name, value)
		}
	}
	return c
}

func twoPorts() (a, b int, err error) {
	l1, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, 0, err
	}
	defer l1.Close()
	l2, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, 0, err
	}
	defer l2.Close()
	return l1.Addr().(*net.TCPAddr).Port, l2.Addr().(*net.TCPAddr).Port, nil
}

func (s *Server) startIdentity() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.Keystone = "http://" + l.Addr().String()
	service, err := identity.New(identity.Deps{Path: filepath.Join(s.o.Dir, "identity.json"), AdminPassword: AdminPassword, ServicePassword: ServicePassword,
		Endpoints: []identity.Endpoint{{Type: "identity", Name: "keystone", URL: s.Keystone + "/v3"}, {Type: "network", Name: "neutron", URL: s.API}},
		Now:       time.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		return errors.Join(err, l.Close())
	}
	s.identity = &http.Server{Handler: service}
	go s.identity.Serve(l)
	return nil
}

func certificates(dir string) error {
	ca, err := pki.NewCA("rig", time.Now())
	if err != nil {
		return err
	}
	if err := ca.Save(dir); err != nil {
		return err
	}
	return certificate(ca, dir, "server", "127.0.0.1")
}

func certificate(ca *pki.CA, dir, name string, reachable ...string) error {
	p, err := ca.Issue(name, reachable, time.Now())
	if err != nil {
		return err
	}
	return p.Save(dir, name)
}

// run starts a role; its output is appended to NAME.log in the directory.
func (s *Server) run(name string, args ...string) (*exec.Cmd, error) {
	log, err := os.OpenFile(filepath.Join(s.o.Dir, name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(s.o.Weft, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	return cmd, cmd.Start()
}

// process is a command whose end anybody may wait for.
type process struct {
	*exec.Cmd
	ended chan struct{}
	err   error // how it ended; read after ended is closed
}

func (p *process) wait() {
	p.err = p.Wait()
	close(p.ended)
}

// Start runs the server and waits until it answers.
func (s *Server) Start(ctx context.Context) error {
	cmd, err := s.run("server", "server", "--config-file", s.ConfigFile())
	if err != nil {
		return err
	}
	s.proc = &process{Cmd: cmd, ended: make(chan struct{})}
	go s.proc.wait()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		if r, err := s.client.Get(s.API + "/"); err == nil {
			return r.Body.Close()
		}
		select {
		case <-s.proc.ended:
			err := s.proc.err
			s.proc = nil
			return fmt.Errorf("the server has ended (%v); it says:\n%s", err, s.Log())
		case <-ctx.Done():
			return fmt.Errorf("the server does not answer at %s; it says:\n%s", s.API, s.Log())
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// Log is what the server has written so far.
func (s *Server) Log() string {
	b, _ := os.ReadFile(filepath.Join(s.o.Dir, "server.log"))
	return string(b)
}

// PID is the server's process.
func (s *Server) PID() int { return s.proc.Process.Pid }

// Stop ends the server as an operator does, and waits for its end.
func (s *Server) Stop() error { return s.end(syscall.SIGTERM) }

// Kill ends the server at once (SIGKILL), and waits for its end.
func (s *Server) Kill() error { return s.end(syscall.SIGKILL) }

func (s *Server) end(sig syscall.Signal) error {
	if s.proc == nil {
		return nil
	}
	p := s.proc
	s.proc = nil
	if err := p.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.ended
	s.client.CloseIdleConnections()
	if sig == syscall.SIGKILL {
		return nil
	}
	return p.err
}

// Agent runs an agent of that host name and tunnel address on the null data plane.
func (s *Server) Agent(host, vtep string, more Config) error {
	dir := filepath.Join(s.o.Dir, host)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	ca, err := pki.Load(s.o.Dir)
	if err != nil {
		return err
	}
	if err := certificate(ca, s.o.Dir, host); err != nil {
		return err
	}
	c := Config{
		"DEFAULT": {"host": host, "agent_mode": "dvr_snat"},
		"ovs":     {"local_ip": vtep},
		"agent":   {"report_interval": "2"},
		"weft": {"state_dir": dir, "server": fmt.Sprintf("127.0.0.1:%d", s.feed), "data_plane": "null",
			"ca_file": filepath.Join(s.o.Dir, "ca.crt"), "cert_file": filepath.Join(s.o.Dir, host+".crt"), "key_file": filepath.Join(s.o.Dir, host+".key")},
	}
	for section, options := range more {
		for name, value := range options {
			c.Set(section, name, value)
		}
	}
	path := filepath.Join(s.o.Dir, host+".conf")
	if err := os.WriteFile(path, []byte(c.String()), 0o600); err != nil {
		return err
	}
	cmd, err := s.run(host, "agent", "--config-file", path)
	if err != nil {
		return err
	}
	s.agents = append(s.agents, cmd)
	return nil
}

// StopIdentity ends the identity service: nobody answers at its address any more.
func (s *Server) StopIdentity() error { return s.identity.Close() }

// StopAgents ends the agents as an operator does.
func (s *Server) StopAgents() {
	for i := len(s.agents) - 1; i >= 0; i-- {
		_ = s.agents[i].Process.Signal(syscall.SIGTERM) // it may have ended
		_ = s.agents[i].Wait()                          // how it ended is in its log
	}
	s.agents = nil
}

// Close ends everything. The directory stays.
func (s *Server) Close() error {
	s.StopAgents()
	errs := []error{s.Stop()}
	if s.identity != nil {
		errs = append(errs, s.identity.Close())
	}
	return errors.Join(errs...)
}
