// Package compute is the lab's Nova: the Compute API v2.1, small, with the real protocol.
//
// It makes and binds ports through the public Networking API as Nova does, then has a Hypervisor boot the guest, and
// keeps its servers in one file. It knows one availability zone, instances with one interface, and no disks. Clients
// that speak to Nova (the OpenStack client, Weft's server with its events) must not be able to tell.
package compute

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/weft-cloud/weft/internal/lab/osclient"
	"github.com/weft-cloud/weft/internal/lab/rest"
	"github.com/weft-cloud/weft/internal/model"
)

// Zone is the only availability zone.
const Zone = "nova"

// Guest is what a Hypervisor needs to know of a server.
type Guest struct {
	Name string `json:"name"` // unique on the machine
	Host string `json:"host"`
	// Port is the id of the port, MAC its address, MTU its network's, in bytes.
	Port string `json:"port"`
	MAC  string `json:"mac"`
	MTU  int    `json:"mtu"`
}

// Hypervisor runs guests on all hosts.
type Hypervisor interface {
	// Name chooses the guest's name for a server's: a name that no other guest has.
	Name(server string) string
	// Boot plugs the guest's interface and starts it. A guest that runs is left as it is.
	Boot(ctx context.Context, g Guest) error
	// Halt stops the guest and unplugs it. One that is not there is no error.
	Halt(ctx context.Context, g Guest) error
	// Running reports whether the guest runs.
	Running(g Guest) bool
	// Console is what the guest has printed so far.
	Console(g Guest) (string, error)
}

// Host is a machine that runs guests.
type Host struct {
	Name string
	IP   string // as hypervisors' host_ip shows it
}

// Caller is who sends a request, by its token.
type Caller struct {
	User, Project, Token string
	Admin                bool
}

// Authenticate finds out who sends a request, or refuses.
type Authenticate func(r *http.Request) (Caller, error)

// Deps is what a Service needs.
type Deps struct {
	Path         string // the file with the servers
	Hosts        []Host
	Hypervisor   Hypervisor
	Authenticate Authenticate
	// Network is Nova's own client: it binds ports.
	Network *osclient.Client
	// NetworkURL is where a user's own requests to the Networking API go.
	NetworkURL string
	// Plugged bounds the wait for a port to become ACTIVE (Nova: vif_plugging_timeout).
	Plugged time.Duration
	Now     func() time.Time
	Log     *slog.Logger
}

// server is one instance, as stored.
type server struct {
	ID       string            `json:"id"`
	Name     string            `json:"name"`
	Project  string            `json:"project"`
	User     string            `json:"user"`
	Image    string            `json:"image"`
	Flavor   string            `json:"flavor"`
	KeyName  string            `json:"key_name,omitempty"`
	Metadata map[string]string `json:"metadata"`
	UserData []byte            `json:"user_data,omitempty"`
	Status   string            `json:"status"` // BUILD, ACTIVE, SHUTOFF, ERROR
	Task     string            `json:"task,omitempty"`
	Fault    string            `json:"fault,omitempty"`
	Created  time.Time         `json:"created"`
	Updated  time.Time         `json:"updated"`
	Launched time.Time         `json:"launched"`
	Guest    Guest             `json:"guest"`
	// OwnPort: the port was made for the server and goes with it.
	OwnPort bool `json:"own_port"`
}

type keypair struct {
	User        string    `json:"user"`
	Name        string    `json:"name"`
	PublicKey   string    `json:"public_key"`
	Fingerprint string    `json:"fingerprint"`
	Created     time.Time `json:"created"`
}

type state struct {
	Servers  []server  `json:"servers"` // oldest first
	Keypairs []keypair `json:"keypairs"`
}

// Service answers the Compute API.
type Service struct {
	deps Deps
	*rest.Router
	ctx    context.Context //nolint:containedctx // the life of builds, which outlive the request that asked for them
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex // guards st, the file, waiters and builds
	st      state
	waiters map[string][]chan struct{} // by port: builds that wait for it to be plugged
	builds  map[string]build           // by server: those under way
}

// build is a server being built: how to end it, and a channel that closes when it has ended.
type build struct {
	cancel context.CancelFunc
	done   chan struct{}
}

type doc = map[string]any

// New opens the file, or makes it with the first server. Servers that were being built when the last Service ended are
// in error.
func New(d Deps) (*Service, error) {
	s := &Service{deps: d, Router: rest.NewRouter(d.Log, fault), waiters: map[string][]chan struct{}{}, builds: map[string]build{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	b, err := os.ReadFile(d.Path)
	if err == nil {
		err = json.Unmarshal(b, &s.st)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open compute store %s: %w", d.Path, err)
	}
	for i := range s.st.Servers {
		if sv := &s.st.Servers[i]; sv.Task != "" {
			sv.Status, sv.Task, sv.Fault = "ERROR", "", "The compute service ended while it worked on the server. Delete it and create it again."
		}
	}
	s.routes()
	return s, nil
}

// Close ends what is being built and waits for that.
func (s *Service) Close() {
	s.cancel()
	s.wg.Wait()
}

// faultNames are the keys of faults by status (Nova's).
func fault(status int, message string) any {
	key := map[int]string{400: "badRequest", 401: "unauthorized", 403: "forbidden", 404: "itemNotFound", 409: "conflictingRequest", 406: "notAcceptable"}[status]
	if key == "" {
		key = "computeFault"
	}
	return doc{key: doc{"code": status, "message": message}}
}

// change applies fn to the server of that id and saves; false: there is none.
func (s *Service) change(id string, fn func(*server)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.st.Servers, func(sv server) bool { return sv.ID == id })
	if i < 0 {
		return false
	}
	fn(&s.st.Servers[i])
	s.st.Servers[i].Updated = s.deps.Now()
	if err := s.save(); err != nil {
		s.deps.Log.Error("save servers", "err", err)
	}
	return true
}

// save writes the file whole.
func (s *Service) save() error {
	b, err := json.Marshal(&s.st)
	if err == nil {
		tmp := s.deps.Path + ".new"
		if err = os.WriteFile(tmp, b, 0o600); err == nil {
			err = os.Rename(tmp, s.deps.Path)
		}
	}
	if err != nil {
		return fmt.Errorf("save compute store: %w", err)
	}
	return nil
}

func (s *Service) get(id string) (server, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sv := range s.st.Servers {
		if sv.ID == id {
			return sv, true
		}
	}
	return server{}, false
}

func newID() string {
	var b [16]byte
	rand.Read(b[:]) //nolint:errcheck // it never fails (crypto/rand)
	return model.NewUUIDv4(b).String()
}

// authed hands h the caller.
func (s *Service) authed(h func(*http.Request, Caller) (*rest.Response, error)) rest.Handler {
	return func(r *http.Request) (*rest.Response, error) {
		if v, err := microversion(r); err != nil {
			return nil, err
		} else if v != maxVersion {
			return nil, rest.Errf(http.StatusNotAcceptable, "Version %s is not supported by the API. Minimum is %s and maximum is %s.", v, maxVersion, maxVersion)
		}
		c, err := s.deps.Authenticate(r)
		if err != nil {
			return nil, err
		}
		resp, err := h(r, c)
		if resp != nil {
			if resp.Header == nil {
				resp.Header = map[string]string{}
			}
			resp.Header["OpenStack-API-Version"] = "compute " + maxVersion
			resp.Header["X-OpenStack-Nova-API-Version"] = maxVersion
			resp.Header["Vary"] = "OpenStack-API-Version, X-OpenStack-Nova-API-Version"
		}
		return resp, err
	}
}
