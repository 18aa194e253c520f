package api

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/identity"
	"github.com/weft-cloud/weft/internal/server/policy"
	"github.com/weft-cloud/weft/internal/server/rules"
	"github.com/weft-cloud/weft/internal/server/world"
)

// maxBody bounds a request's body in bytes where Deps do not.
const maxBody = 8 << 20

// Identity says who calls (package identity). An error of kind unauthorized is answered 401 with the challenge, one of
// kind unavailable 503.
type Identity interface {
	Authenticate(r *http.Request) (*identity.Caller, error)
	Challenge() string
}

// Policy says what a caller may do (package policy).
type Policy interface {
	Compile(c *identity.Caller) *policy.Set
}

// Deps is what the API needs. All are required but MaxPage.
type Deps struct {
	Writer   *world.Writer
	Rules    *rules.Rules
	Identity Identity
	Policy   Policy
	Log      *slog.Logger
	// NewID makes request ids.
	NewID func() model.UUID
	// MaxPage bounds the rows of one list answer (pagination_max_limit); 0: no bound.
	MaxPage int
	// MaxBody bounds a request's body in bytes (max_request_body_size); 0: 8 MiB.
	MaxBody int
	// NoBulk refuses to create several objects by one request (allow_bulk = false).
	NoBulk bool
	// LooseFilters passes over filters that there are not (filter_validation = false).
	LooseFilters bool
	// LinkPrefix stands for scheme, host and port in links (network_link_prefix); empty: as the client called.
	LinkPrefix string
	// ProxyHeaders believes X-Forwarded-Proto, -Host and -Prefix (enable_proxy_headers_parsing).
	ProxyHeaders bool
	// SocketTimeout is how long a client may take for each part of a long answer (client_socket_timeout); 0: for ever.
	SocketTimeout time.Duration
	// Answered, if set, is told of each request that was answered, by the goroutine that did.
	Answered func(method, resource string, code int, took time.Duration)
}

// What a request was for, where it was for no collection.
const (
	ofVersions = "versions" // which versions and collections there are
	ofNothing  = "other"    // a path that leads nowhere, or a caller who was turned away before it was looked at
)

// codeGone stands for the answer to a client that had gone: none was sent.
const codeGone = 499

// New is the API as an HTTP handler. It may be used by any number of goroutines and keeps no state but buffers.
func New(deps Deps) http.Handler {
	if deps.MaxBody == 0 {
		deps.MaxBody = maxBody
	}
	s := &server{deps: deps, endpoints: map[string]endpoint{}, lane: newLane()}
	s.buffers.New = func() any { b := make([]byte, 0, 4096); return &b }
	for _, e := range resources(s) {
		name := e.pathName()
		for _, also := range []string{strings.ReplaceAll(name, "-", "_"), strings.ReplaceAll(name, "_", "-"), name} {
			s.endpoints[also] = e // clients write either, and Neutron takes both
		}
	}
	return s
}

// endpoint is a collection of the API.
type endpoint interface {
	pathName() string // beneath /v2.0, one or two segments
	serve(c *call, rest []string) error
}

type server struct {
	deps      Deps
	endpoints map[string]endpoint
	buffers   sync.Pool
	warned    warned
	lane      lane
}

// call is one request under way.
type call struct {
	parsed    *Value // the body, once it has been read
	unread    error  // why it could not be
	raw       []byte // as it came
	s         *server
	w         http.ResponseWriter
	r         *http.Request
	by        *rules.Actor
	may       *policy.Set
	parent    model.UUID // of a nested resource
	above     string     // parent, as the client wrote it
	requestID string
	buf       *[]byte
	begun     bool // the answer's beginning has been sent
	pace      pace
	// resource is the collection's name beneath /v2.0, code the answer's status, both for Answered.
	resource string
	code     int
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{s: s, w: w, r: r, requestID: "req-" + s.deps.NewID().String(), buf: s.buffers.Get().(*[]byte), resource: ofNothing, code: codeGone}
	c.pace = pace{lane: s.lane, ctx: r.Context()}
	defer c.pace.rest()
	if told := s.deps.Answered; told != nil {
		began := time.Now()
		defer func() { told(r.Method, c.resource, c.code, time.Since(began)) }()
	}
	defer func() {
		x := recover()
		if x == http.ErrAbortHandler { //nolint:errorlint // a panic's value, compared as net/http does
			panic(x)
		}
		if x != nil {
			s.deps.Log.Error("request panicked", "requestID", c.requestID, "panic", fmt.Sprint(x), "stack", string(debug.Stack()))
			if c.begun {
				panic(http.ErrAbortHandler) // half an answer must not look like a whole one
			}
			c.fault(errors.New("panic"))
		}
		if cap(*c.buf) <= 1<<20 {
			s.buffers.Put(c.buf)
		}
	}()
	if s.deps.Writer.StoreError() != nil {
		w.Header().Set("X-Weft-Store", "unreachable") // what is read is from memory, and as it was when the store last took a write
	}
	if err := c.serve(); err != nil {
		c.fault(err)
	}
}

// serve routes the request.
func (c *call) serve() error {
	path := strings.Trim(c.r.URL.EscapedPath(), "/")
	for strings.Contains(path, "//") { // of a client that puts a slash behind an endpoint that ends in one
		path = strings.ReplaceAll(path, "//", "/")
	}
	if path == "" {
		c.resource = ofVersions
		return c.versions()
	}
	version, rest, _ := strings.Cut(path, "/")
	if version != "v2.0" {
		return errNoPath
	}
	caller, err := c.s.deps.Identity.Authenticate(c.r)
	if err != nil {
		return err
	}
	c.may = c.s.deps.Policy.Compile(caller)
	c.by = &rules.Actor{
		Project: caller.ProjectID, User: caller.UserID, Roles: caller.Roles, Admin: c.may.Admin(), AdvSvc: c.may.Service(),
	}
	rest = strings.TrimSuffix(rest, ".json")
	if rest == "" {
		c.resource = ofVersions
		return c.index()
	}
	parts := strings.Split(rest, "/")
	if parts[0] == "extensions" {
		c.resource = parts[0]
		return c.extensions(parts[1:])
	}
	e, below := c.s.endpoint(parts)
	switch {
	case e == nil:
		return errNoPath
	case c.r.Method == http.MethodHead:
		return errMethod // as Neutron
	}
	c.resource = e.pathName()
	if reads := c.r.Method == http.MethodPost || c.r.Method == http.MethodPut; !reads || !c.core() { // else after the body
		if err := c.checkIfMatch(); err != nil {
			return err
		}
	}
	return e.serve(c, below)
}

// endpoint finds who serves a path, and what of the path is beneath that; nil if nobody does.
func (s *server) endpoint(parts []string) (e endpoint, below []string) {
	if len(parts) > 1 {
		if e := s.endpoints[parts[0]+"/"+parts[1]]; e != nil {
			return e, parts[2:]
		}
	}
	return s.endpoints[parts[0]], parts[1:]
}

// json reads the request's body, once.
func (c *call) json() (Value, error) {
	if c.parsed == nil && c.unread == nil {
		c.read()
	}
	if c.unread != nil {
		return Value{}, c.unread
	}
	return *c.parsed, nil
}

func (c *call) read() {
	if c.r.ContentLength > int64(c.s.deps.MaxBody) {
		c.unread = errTooLarge
		return
	}
	b, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, int64(c.s.deps.MaxBody)))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		c.unread = errTooLarge
	case err != nil:
		c.unread = badRequest("The body could not be read: %v", err)
	case len(b) == 0:
		c.unread = errEmpty
	default:
		v, err := parseJSON(b)
		if err != nil {
			c.unread = c.malformed()
			return
		}
		c.parsed, c.raw = &v, b
	}
}

// body is the request's body, which must be an object.
func (c *call) body() (Value, error) {
	v, err := c.json()
	if err == nil && v.kind != isObject {
		err = errNoObject
	}
	return v, err
}

// do runs a rule and waits until it is durable.
func (c *call) do(op string, rule world.Rule) (*world.World, error) {
	return c.s.deps.Writer.Do(c.r.Context(), op, rule)
}

// view looks at the newest world.
func (c *call) view() *View { return c.viewOf(c.s.deps.Writer.Snapshot()) }

func (c *call) viewOf(w *world.World) *View {
	return &View{W: w, By: c.by, May: c.may, Rules: c.s.deps.Rules, Parent: c.parent}
}

// here is the absolute URL of the request's path.
func (c *call) here() string {
	return c.base() + strings.TrimSuffix(c.r.URL.EscapedPath(), "/")
}

func (c *call) base() string {
	if p := c.s.deps.LinkPrefix; p != "" {
		return strings.TrimRight(p, "/")
	}
	scheme, host, prefix := "http", c.r.Host, ""
	if c.r.TLS != nil {
		scheme = "https"
	}
	if h := c.r.Header; c.s.deps.ProxyHeaders {
		if p := h.Get("X-Forwarded-Proto"); p == "http" || p == "https" {
			scheme = p
		}
		if v := h.Get("X-Forwarded-Host"); v != "" {
			host = v
		}
		prefix = strings.TrimRight(h.Get("X-Forwarded-Prefix"), "/")
	}
	return scheme + "://" + host + prefix
}

// buffer is where the answer is built; one per call.
func (c *call) buffer() []byte { return (*c.buf)[:0] }

// chunk is how much of a long answer is gathered before it is sent.
const chunk = 128 << 10

// flush is said before each row of an answer of status 200. It sends what there is of a long one and returns an empty buffer to go on
// with; a short one is returned as it is.
func (c *call) flush(b []byte) []byte {
	if len(b) < chunk {
		c.goOn()
		return b
	}
	c.pace.rest()
	if !c.begun {
		c.begun, c.code = true, http.StatusOK
		c.w.Header().Set("X-Openstack-Request-Id", c.requestID)
		c.w.Header().Set("Content-Type", "application/json")
		c.w.WriteHeader(http.StatusOK)
	}
	if d := c.s.deps.SocketTimeout; d > 0 { // each part anew: a long list may take a slow client longer than one part may
		_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(d)) // a test's recorder has none
	}
	_, _ = c.w.Write(b) // the client may have gone; there is nobody to tell
	c.goOn()
	return b[:0]
}

// goOn waits for its turn where the answer is long. A client that has gone ends the request: half a list must not look like a whole one.
func (c *call) goOn() {
	if !c.pace.row() {
		panic(http.ErrAbortHandler)
	}
}

// reply sends the answer, or the rest of one that flush has begun; body may be nil.
func (c *call) reply(code int, body []byte) {
	if !c.begun {
		c.code = code
		h := c.w.Header()
		h.Set("X-Openstack-Request-Id", c.requestID)
		if body == nil {
			c.w.WriteHeader(code)
			return
		}
		h.Set("Content-Type", "application/json")
		h.Set("Content-Length", uitoa(uint64(len(body))))
		c.w.WriteHeader(code)
	}
	_, _ = c.w.Write(body) // as above
	*c.buf = body
}
