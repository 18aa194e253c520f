package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/weft-cloud/weft/internal/agent"
	"github.com/weft-cloud/weft/internal/lab/proc"
)

// Status is what is really there.
type Status struct {
	StateDir  string           `json:"state_dir"`
	Created   time.Time        `json:"created"`
	Ready     bool             `json:"ready"`
	Healthy   bool             `json:"healthy"`
	Processes []ProcessStatus  `json:"processes"`
	Hosts     []HostStatus     `json:"hosts"`
	Instances []InstanceStatus `json:"instances"`
	// Problems are sentences, each with its cure.
	Problems []string `json:"problems"`
}

// ProcessStatus is one of the lab's background processes other than guests.
type ProcessStatus struct {
	Name  string `json:"name"`
	PID   int    `json:"pid"`
	Alive bool   `json:"alive"`
}

// HostStatus is a host with its agent.
type HostStatus struct {
	Name     string `json:"name"`
	Underlay string `json:"underlay"`
	Mode     string `json:"mode"`
	// Agent is "alive", "dead" (silent for agent_down_time) or "unknown" to the server.
	Agent     string `json:"agent"`
	Instances int    `json:"instances"`
}

// InstanceStatus is an instance with the addresses it should have and those that it has.
type InstanceStatus struct {
	Name      string   `json:"name"`
	ID        string   `json:"id"`
	Host      string   `json:"host"`
	Network   string   `json:"network"`
	VNI       uint32   `json:"vni,omitempty"`
	Status    string   `json:"status"`
	Port      string   `json:"port_status"`
	Device    string   `json:"device"`
	MAC       string   `json:"mac"`
	Addresses []string `json:"addresses"`
	Healthy   bool     `json:"healthy"`
}

// Status looks at everything. It fails only if the record cannot be read; what does not answer is a problem.
func (r *Record) Status(ctx context.Context) Status {
	st := Status{StateDir: r.Options.StateDir, Created: r.Created, Ready: r.Ready, Processes: []ProcessStatus{}, Hosts: []HostStatus{}, Instances: []InstanceStatus{}, Problems: []string{}}
	if !r.Ready {
		st.Problems = append(st.Problems, "the lab was not brought up to its end: remove it with `weft lab down`")
	}
	recs, err := r.Keeper().Records()
	if err != nil {
		st.Problems = append(st.Problems, err.Error())
	}
	for _, p := range recs {
		if strings.HasPrefix(p.Name, "guest-") {
			continue
		}
		alive := p.Alive()
		st.Processes = append(st.Processes, ProcessStatus{p.Name, p.PID, alive})
		if !alive {
			st.Problems = append(st.Problems, fmt.Sprintf("%s (pid %d) has ended: see `weft lab logs %s`, start it with `weft lab restart %s`", p.Name, p.PID, p.Name, p.Name))
		}
	}
	r.statusOfCloud(ctx, &st)
	st.Healthy = len(st.Problems) == 0
	return st
}

func (r *Record) statusOfCloud(ctx context.Context, st *Status) {
	admin := r.Admin()
	defer admin.Close()
	rows, err := agents(ctx, admin)
	if err != nil {
		st.Problems = append(st.Problems, "the networking server does not answer: "+err.Error())
	}
	list, err := Instances(ctx, admin)
	if err != nil {
		st.Problems = append(st.Problems, "instances cannot be listed: "+err.Error())
	}
	for _, h := range r.Hosts() {
		hs := HostStatus{Name: h.Name, Underlay: h.Underlay.String(), Mode: h.Mode, Agent: "unknown"}
		for _, a := range rows {
			switch {
			case a.Host != h.Name:
			case a.Alive:
				hs.Agent = "alive"
			case hs.Agent == "unknown":
				hs.Agent = "dead"
			}
		}
		for _, in := range list {
			if in.Host == h.Name {
				hs.Instances++
			}
		}
		if hs.Agent != "alive" {
			st.Problems = append(st.Problems, fmt.Sprintf("the agent of %s is %s to the server: see `weft lab logs %s`", h.Name, hs.Agent, agentJob(h.Name)))
		}
		st.Problems = append(st.Problems, r.agentProblems(ctx, h.Name)...)
		st.Hosts = append(st.Hosts, hs)
	}
	for _, in := range list {
		st.addInstance(in)
	}
}

func (st *Status) addInstance(in Instance) {
	is := InstanceStatus{Name: in.Name, ID: in.ID, Host: in.Host, Network: in.Network.Name, VNI: in.Network.VNI, Status: in.Status, Port: in.Port.Status, MAC: in.Port.MAC}
	if in.Port.ID != "" {
		is.Device = "tap" + in.Port.ID[:11]
	}
	have, err := GuestAddrs(in.Guest)
	for _, a := range have {
		is.Addresses = append(is.Addresses, a.String())
	}
	if err == nil {
		err = hasAddresses(in)
	}
	switch {
	case in.Status != "ACTIVE":
		st.Problems = append(st.Problems, fmt.Sprintf("instance %s is %s: %s", in.Name, in.Status, in.Fault))
	case in.Port.Status != "ACTIVE":
		st.Problems = append(st.Problems, fmt.Sprintf("the port of instance %s is %s: its host has not programmed it; see `weft lab logs %s`", in.Name, in.Port.Status, agentJob(in.Host)))
	case err != nil:
		st.Problems = append(st.Problems, fmt.Sprintf("%v: see `weft lab logs guest-%s`", err, in.Guest))
	default:
		is.Healthy = true
	}
	st.Instances = append(st.Instances, is)
}

// Restart stops the process of that name, if it runs, starts it again as it was started, and waits until it does its work.
func (r *Record) Restart(ctx context.Context, name string) error {
	rec, err := r.process(name)
	if err != nil {
		return err
	}
	if err := r.Keeper().Stop(ctx, rec.Name, 5*time.Second); err != nil {
		return err
	}
	err = r.start(ctx, rec.Spec(), r.answers(rec.Name))
	if ctx.Err() != nil {
		err = fmt.Errorf("interrupted: %s was started, and may not be ready yet", rec.Name)
	}
	return err
}

// answers is how to wait until a process does its work; of an instance nothing is waited for.
func (r *Record) answers(process string) func(context.Context) error {
	const limit = time.Minute
	switch process {
	case servicesJob:
		return r.awaitServices
	case serverJob: // not as a user, for the services may be what is missing
		return func(ctx context.Context) error {
			return poll(ctx, limit, func() error {
				conn, err := dialServer()
				if err == nil {
					conn.Close()
				}
				return err
			})
		}
	}
	for _, h := range r.Hosts() {
		if agentJob(h.Name) == process {
			return func(ctx context.Context) error {
				return poll(ctx, limit, func() error { _, err := agent.ReadStatus(ctx, r.path(process)); return err })
			}
		}
	}
	return func(context.Context) error { return nil }
}

// process finds a process by its name, or the agent of a host by the host's.
func (r *Record) process(name string) (proc.Record, error) {
	for _, n := range []string{name, agentJob(name), "guest-" + name} {
		rec, err := r.Keeper().Find(n)
		if !errors.Is(err, fs.ErrNotExist) {
			return rec, err
		}
	}
	recs, err := r.Keeper().Records()
	if err != nil {
		return proc.Record{}, err
	}
	var names []string
	for _, p := range recs {
		names = append(names, p.Name)
	}
	return proc.Record{}, fmt.Errorf("no process %q: there is %s", name, strings.Join(names, ", "))
}

// Logs names the logs there are.
func (r *Record) Logs() ([]string, error) {
	files, err := filepath.Glob(r.path("log", "*.log"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".log"))
	}
	slices.Sort(names)
	return names, nil
}

// CopyLog writes the log of that name to w and, with follow, what comes until ctx ends.
func (r *Record) CopyLog(ctx context.Context, w io.Writer, name string, follow bool) error {
	names, err := r.Logs()
	if err != nil {
		return err
	}
	for _, n := range []string{name, agentJob(name), "guest-" + name} {
		if slices.Contains(names, n) {
			return copyFile(ctx, w, r.Keeper().LogPath(n), follow)
		}
	}
	return fmt.Errorf("no log %q: there is %s", name, strings.Join(names, ", "))
}

func copyFile(ctx context.Context, w io.Writer, path string, follow bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		if _, err := io.Copy(w, f); err != nil || !follow {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Env is what the OpenStack client needs in its environment, as that user: admin, or a project of the demo.
func (r *Record) Env(user string) ([][2]string, error) {
	password := r.Passwords.Admin
	if user != "admin" {
		i := slices.IndexFunc(tenants(), func(t tenant) bool { return t.project == user })
		if i < 0 || !r.Options.Demo {
			return nil, fmt.Errorf("no user %q: the lab has admin and, with the demo, demo and demo-b", user)
		}
		password = r.Passwords.Demo
	}
	return [][2]string{
		{"OS_AUTH_URL", AuthURL}, {"OS_IDENTITY_API_VERSION", "3"}, {"OS_USERNAME", user}, {"OS_PASSWORD", password}, {"OS_PROJECT_NAME", user},
		{"OS_USER_DOMAIN_ID", "default"}, {"OS_PROJECT_DOMAIN_ID", "default"}, {"OS_REGION_NAME", "RegionOne"},
	}, nil
}
