// Package metadata passes the metadata requests of this host's instances on to Nova.
//
// The data plane brings each instance's connection to 169.254.169.254 or fe80::a9fe:a9fe into the service namespace from a
// synthetic source address that stands for one port (docs/pipeline.md); that address, and nothing that the request says,
// tells who asks. The server signs what is said to Nova after it has checked the port's binding, so that the secret
// shared with Nova is on no compute. The package holds no packets, no secret and no configuration of Nova's.
package metadata

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/weft-cloud/weft/internal/agent/tally"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/wire"
)

// Service is the name of metadata in a tally.Book.
const Service = "metadata"

// Limits of one proxy. A port past its share is refused, whatever the others do.
const (
	// perPort are a port's requests under way, inAll those of all that are with Nova at once: who comes on top waits, at most
	// patience. connsPerPort are a port's connections open, conns those of all.
	perPort      = 8
	inAll        = 256
	patience     = 20 * time.Second
	conns        = 8192
	connsPerPort = 16
	maxHeader    = 16 << 10
	maxBody      = 64 << 10
	// timeout is for one request from its first byte to the answer's last; upstream for Nova's first byte.
	timeout       = 60 * time.Second
	upstream      = 30 * time.Second
	headerTimeout = 10 * time.Second
	// hasty is how soon an instance may hang up without a word about Nova.
	hasty = 2 * time.Second
)

// Signer is the part of wire.FeedClient that is needed here.
type Signer interface {
	Sign(ctx context.Context, in *wire.SignRequest, opts ...grpc.CallOption) (*wire.SignReply, error)
}

// Deps of New.
type Deps struct {
	Signer Signer
	// Attribute tells which port a synthetic source address stands for, and the instance's own address.
	Attribute func(netip.Addr) (model.PortID, netip.Addr, bool)
	// State is the newest state of the host.
	State func() *hostplan.State
	Book  *tally.Book
	Log   *slog.Logger
	Now   func() time.Time
	// Transport carries requests to Nova; nil: one with time-outs. It must be in the host's own namespace.
	Transport http.RoundTripper
}

// Proxy is an http.Handler.
type Proxy struct {
	d     Deps
	signs *signatures
	busy  *shares[model.PortID]
	turns turns
	proxy *httputil.ReverseProxy
}

// New returns a proxy that serves nothing before Serve.
func New(d Deps) *Proxy {
	if d.Transport == nil {
		d.Transport = &http.Transport{
			DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			ResponseHeaderTimeout: upstream, MaxIdleConnsPerHost: 32, IdleConnTimeout: 30 * time.Second, DisableCompression: true,
			MaxConnsPerHost: inAll,
		}
	}
	p := &Proxy{d: d, signs: newSignatures(d), busy: newShares[model.PortID](perPort, conns), turns: newTurns(inAll)}
	p.proxy = &httputil.ReverseProxy{
		Rewrite: rewrite, Transport: d.Transport, ErrorHandler: upstreamFailed,
		ErrorLog: log.New(discard{}, "", 0), // errors are told to the client and to the book
	}
	return p
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// Serve answers connections of l until ctx ends; then it gives those under way a moment.
func (p *Proxy) Serve(ctx context.Context, l net.Listener) error {
	s := &http.Server{
		Handler: p, ReadHeaderTimeout: headerTimeout, ReadTimeout: timeout, WriteTimeout: timeout, IdleTimeout: headerTimeout,
		MaxHeaderBytes: maxHeader, ErrorLog: log.New(discard{}, "", 0),
	}
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if s.Shutdown(grace) != nil {
			s.Close() //nolint:errcheck // the connections that are left are cut
		}
	})
	defer stop()
	if err := s.Serve(&limited{Listener: l, shares: newShares[netip.Addr](connsPerPort, conns)}); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metadata: %w", err)
	}
	return ctx.Err()
}

// asker is who asks, as far as the host knows; in a request's context it is what rewrite works from.
type asker struct {
	ep      *hostplan.Endpoint
	address netip.Addr
	sign    *wire.SignReply
	to      *url.URL
}

type askerKey struct{}

// ServeHTTP answers one request.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	port, address, ok := p.who(r)
	if !ok {
		fail(w, http.StatusNotFound, "this address belongs to no instance of this host")
		return
	}
	said := tally.Exchange{Service: Service, Got: r.Method + " " + shorten(r.URL.Path)}
	rec, start := &recorder{ResponseWriter: w}, p.d.Now()
	said.Why = p.serve(rec, r, port, address)
	if said.Why != "" && errors.Is(r.Context().Err(), context.Canceled) { // the client closed its connection, and that is why
		said.Why = ""
		if waited := p.d.Now().Sub(start); waited > hasty {
			said.Why = fmt.Sprintf("the instance gave up after it had waited %s for Nova's metadata service", waited.Round(time.Second))
		}
	} else if rec.code != 0 {
		said.Answer = fmt.Sprintf("%d %s", rec.code, http.StatusText(rec.code))
	}
	p.d.Book.Note(port, said)
}

func shorten(s string) string { return s[:min(len(s), 64)] }

func (p *Proxy) who(r *http.Request) (model.PortID, netip.Addr, bool) {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return model.PortID{}, netip.Addr{}, false
	}
	return p.d.Attribute(from.Addr().Unmap().WithZone(""))
}

// serve answers, and says what went wrong, "" for nothing.
func (p *Proxy) serve(w http.ResponseWriter, r *http.Request, port model.PortID, address netip.Addr) string {
	mine := p.busy.take(port)
	p.d.Book.Count(port, Service, mine)
	if !mine {
		w.Header().Set("Retry-After", "1")
		return fail(w, http.StatusServiceUnavailable, "too many requests at once")
	}
	defer p.busy.give(port)
	st := p.d.State()
	if st == nil || st.Served(port) == nil {
		return fail(w, http.StatusNotFound, "the port is no longer served by this host")
	}
	ep := st.Served(port)
	if why := refuse(r); why != "" {
		return fail(w, http.StatusBadRequest, why)
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	if !p.turns.wait(ctx, patience) {
		w.Header().Set("Retry-After", "5")
		return fail(w, http.StatusServiceUnavailable, "Nova's metadata service is behind: too many requests of this host wait for it")
	}
	defer p.turns.done()
	reply, err := p.signs.of(ctx, ep, address)
	if err != nil {
		return p.unsigned(w, err)
	}
	to, err := url.Parse(reply.GetMetadataUrl())
	if err != nil || to.Host == "" {
		return fail(w, http.StatusServiceUnavailable, "no Nova metadata service is configured; set nova_metadata_host on the server")
	}
	var failure string
	ctx = context.WithValue(ctx, askerKey{}, &asker{ep: ep, address: address, sign: reply, to: to})
	ctx = context.WithValue(ctx, failureKey{}, &failure)
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	p.proxy.ServeHTTP(w, r.WithContext(ctx))
	return failure
}

// refuse tells what no metadata client sends.
func refuse(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPost:
	default:
		return "the method must be GET, HEAD, PUT or POST"
	}
	if r.Header.Get("Upgrade") != "" || r.URL.IsAbs() {
		return "neither an upgrade nor a request to another server is possible here"
	}
	return ""
}

func (p *Proxy) unsigned(w http.ResponseWriter, err error) string {
	switch status.Code(err) {
	case codes.NotFound, codes.PermissionDenied, codes.FailedPrecondition:
		return fail(w, http.StatusNotFound, "the server knows no instance at this port on this host: "+status.Convert(err).Message())
	}
	p.d.Log.Debug("metadata request not signed", "error", err)
	w.Header().Set("Retry-After", "5")
	return fail(w, http.StatusServiceUnavailable, "the server cannot be asked for a signature")
}

// passed are the request headers that go on to Nova, in canonical form. All others stay here: WSGI takes X_Instance_Id for
// X-Instance-ID, so that a list of what to remove would never be complete.
var passed = map[string]bool{ //nolint:gochecknoglobals // a constant table
	"Accept": true, "Accept-Encoding": true, "Accept-Language": true, "Content-Type": true, "Content-Length": true, "User-Agent": true,
	"If-Modified-Since": true, "If-None-Match": true, "Cache-Control": true, "X-Aws-Ec2-Metadata-Token": true,
	"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": true,
}

// rewrite makes the request that Nova gets.
func rewrite(pr *httputil.ProxyRequest) {
	a, _ := pr.In.Context().Value(askerKey{}).(*asker)
	pr.SetURL(a.to)
	pr.Out.Host = a.to.Host
	for name := range pr.Out.Header {
		if !passed[name] {
			pr.Out.Header.Del(name)
			delete(pr.Out.Header, name) // also a name that is not in canonical form
		}
	}
	pr.Out.Header.Set("X-Forwarded-For", a.address.String())
	pr.Out.Header.Set("X-Instance-ID", a.sign.GetInstanceId())
	pr.Out.Header.Set("X-Tenant-ID", a.sign.GetProjectId())
	pr.Out.Header.Set("X-Instance-ID-Signature", a.sign.GetSignature())
}

type failureKey struct{}

// upstreamFailed answers for a Nova that did not.
func upstreamFailed(w http.ResponseWriter, r *http.Request, err error) {
	code, why := http.StatusBadGateway, "Nova's metadata service does not answer: "+reason(err)
	var tooBig *http.MaxBytesError
	var timed net.Error
	switch {
	case errors.As(err, &tooBig):
		code, why = http.StatusRequestEntityTooLarge, fmt.Sprintf("a request may have %d bytes", maxBody)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timed) && timed.Timeout():
		code, why = http.StatusGatewayTimeout, "Nova's metadata service takes too long"
	}
	if f, ok := r.Context().Value(failureKey{}).(*string); ok {
		*f = why
	}
	if code == http.StatusBadGateway { // a tenant need not know the cloud's inner addresses
		why = "Nova's metadata service does not answer"
	}
	fail(w, code, why)
}

func reason(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Error()
	}
	return strings.TrimSpace(err.Error())
}

func fail(w http.ResponseWriter, code int, why string) string {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(why + "\n")) //nolint:errcheck // nobody is left to tell
	return why
}

// recorder remembers the status.
type recorder struct {
	http.ResponseWriter
	code int
}

func (r *recorder) WriteHeader(code int) {
	if r.code == 0 {
		r.code = code
	}
	r.ResponseWriter.WriteHeader(code)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.code == 0 {
		r.code = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
