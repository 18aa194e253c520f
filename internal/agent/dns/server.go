// Package dns is the resolver that instances find at the addresses of their network's DHCP ports.
//
// Names and reverse names of the asker's own network come from memory; everything else goes to the resolvers of the host
// or of its configuration. Who asks is told by the synthetic source address that the agent's service gate gives each port
// (docs/pipeline.md), so that tenants with the same addresses see their own names. The package caches nothing and is
// authoritative for nothing outside.
package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/weft-cloud/weft/internal/agent/tally"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// Service is the name of DNS in a tally.Book.
const Service = "dns"

const (
	// ttl of own names in seconds: short, since a port's name or address may change at any time.
	ttl = 30
	// plain is what UDP carries without EDNS (RFC 1035), most what this server sends with it: no fragment on any path.
	plain, most = 512, 1232
	// inAll and perPort questions may be under way to other resolvers.
	inAll, perPort = 256, 16
	tcpConns       = 256
	tcpIdle        = 10 * time.Second
)

// Deps of New.
type Deps struct {
	// Attribute tells which port a synthetic source address stands for.
	Attribute func(netip.Addr) (model.PortID, netip.Addr, bool)
	// State is the newest state of the host.
	State func() *hostplan.State
	// Resolvers are asked in this order; none: other names are refused.
	Resolvers []netip.AddrPort
	// Dial opens a connection to a resolver; nil: from the process's namespace.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Timeout of one resolver; 0: 2 seconds.
	Timeout time.Duration
	Book    *tally.Book
	Log     *slog.Logger
}

// Server answers over UDP and TCP.
type Server struct {
	d Deps

	mu    sync.Mutex // guards what follows
	state *hostplan.State
	zones map[model.NetworkID]*zone // of state
	busy  map[model.PortID]int
	all   int
}

// New returns a server that serves nothing yet.
func New(d Deps) *Server {
	if d.Dial == nil {
		d.Dial = (&net.Dialer{}).DialContext
	}
	if d.Timeout == 0 {
		d.Timeout = 2 * time.Second
	}
	return &Server{d: d, zones: map[model.NetworkID]*zone{}, busy: map[model.PortID]int{}}
}

// ServeUDP answers datagrams until ctx ends; it closes c.
func (s *Server) ServeUDP(ctx context.Context, c net.PacketConn) error {
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	var under sync.WaitGroup
	defer under.Wait()
	buf := make([]byte, 4096)
	for {
		n, from, err := c.ReadFrom(buf)
		if ctx.Err() != nil {
			return ctx.Err()
		} else if err != nil {
			return fmt.Errorf("read DNS questions: %w", err)
		}
		a, ok := addrOf(from)
		if !ok {
			continue
		}
		port, _, ok := s.d.Attribute(a)
		if !ok || !s.enter(port) {
			continue
		}
		msg := append([]byte(nil), buf[:n]...)
		under.Go(func() {
			defer s.leave(port)
			if out := s.reply(ctx, port, msg, false); out != nil {
				if _, err := c.WriteTo(out, from); err != nil && ctx.Err() == nil {
					s.d.Log.Debug("DNS answer not sent", "error", err)
				}
			}
		})
	}
}

func addrOf(a net.Addr) (netip.Addr, bool) {
	p, err := netip.ParseAddrPort(a.String())
	return p.Addr().Unmap().WithZone(""), err == nil
}

// enter counts a question, and takes a share of the work for the port, if there is one left for it.
func (s *Server) enter(port model.PortID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.busy[port] < perPort
	s.d.Book.Count(port, Service, own)
	if !own || s.all >= inAll {
		return false
	}
	s.all++
	s.busy[port]++
	return true
}

func (s *Server) leave(port model.PortID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.busy[port]--; s.busy[port] == 0 {
		delete(s.busy, port)
	}
}

// ServeTCP answers connections until ctx ends; it closes l.
func (s *Server) ServeTCP(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var under sync.WaitGroup
	defer under.Wait()
	room := make(chan struct{}, tcpConns)
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				c.Close() //nolint:errcheck // refused
			}
			return ctx.Err()
		} else if err != nil {
			return fmt.Errorf("accept DNS connections: %w", err)
		}
		select {
		case room <- struct{}{}:
		default:
			c.Close() //nolint:errcheck // refused
			continue
		}
		under.Go(func() {
			defer func() { <-room }()
			s.conn(ctx, c)
		})
	}
}

// conn answers one connection's questions, one after the other (RFC 7766).
func (s *Server) conn(ctx context.Context, c net.Conn) {
	defer c.Close() //nolint:errcheck // done with
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	a, ok := addrOf(c.RemoteAddr())
	port, _, known := s.d.Attribute(a)
	if !ok || !known {
		return
	}
	for {
		if err := c.SetDeadline(time.Now().Add(tcpIdle)); err != nil {
			return
		}
		msg, err := readTCP(c)
		if err != nil {
			return
		}
		if !s.enter(port) {
			return
		}
		out := s.reply(ctx, port, msg, true)
		s.leave(port)
		if out == nil || writeTCP(c, out) != nil {
			return
		}
	}
}

func readTCP(r io.Reader) ([]byte, error) {
	var n [2]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return nil, err
	}
	msg := make([]byte, binary.BigEndian.Uint16(n[:]))
	_, err := io.ReadFull(r, msg)
	return msg, err
}

func writeTCP(w io.Writer, msg []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...)) //nolint:gosec // a message is less
	return err
}

// question is what a message asks, as far as it is understood.
type question struct {
	head dnsmessage.Header
	q    dnsmessage.Question
	edns bool
	size int // what the asker takes in a datagram
	vers byte
}

var errNoQuestion = errors.New("not one question")

// parse reads a message. ok false: it deserves no answer at all.
func parse(msg []byte) (q question, err error, ok bool) {
	var p dnsmessage.Parser
	q.size = plain
	if q.head, err = p.Start(msg); err != nil || q.head.Response {
		return q, errNoQuestion, false
	}
	list, err := p.AllQuestions()
	if err != nil || len(list) != 1 {
		return q, errNoQuestion, true
	}
	q.q = list[0]
	if p.SkipAllAnswers() != nil || p.SkipAllAuthorities() != nil {
		return q, errNoQuestion, true
	}
	for {
		h, err := p.AdditionalHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return q, nil, true
		} else if err != nil {
			return q, errNoQuestion, true
		}
		if h.Type == dnsmessage.TypeOPT {
			q.edns, q.size, q.vers = true, max(plain, min(int(h.Class), most)), byte(h.TTL>>16)
		}
		if err := p.SkipAdditional(); err != nil {
			return q, errNoQuestion, true
		}
	}
}

// reply answers one message; nil: not at all.
func (s *Server) reply(ctx context.Context, port model.PortID, msg []byte, tcp bool) []byte {
	q, err, ok := parse(msg)
	if !ok {
		return nil
	}
	said := tally.Exchange{Service: Service, Got: strings.TrimPrefix(q.q.Type.String(), "Type") + " " + shorten(q.q.Name.String())}
	out, rcode, why := s.resolve(ctx, port, q, msg, answerTo{bad: err != nil, tcp: tcp})
	if out == nil {
		out = build(q, answer{rcode: rcode}, tcp)
	}
	said.Answer, said.Why = strings.TrimPrefix(rcode.String(), "RCode"), why
	s.d.Book.Note(port, said)
	return out
}

func shorten(s string) string { return s[:min(len(s), 80)] }

// answerTo is how the question came.
type answerTo struct{ bad, tcp bool }

// badVersion is BADVERS' low bits; its high ones are in the OPT record (RFC 6891, section 9).
const badVersion = dnsmessage.RCode(16)

func (s *Server) resolve(ctx context.Context, port model.PortID, q question, msg []byte, how answerTo) ([]byte, dnsmessage.RCode, string) {
	switch {
	case how.bad:
		return nil, dnsmessage.RCodeFormatError, "malformed"
	case q.head.OpCode != 0:
		return nil, dnsmessage.RCodeNotImplemented, "not a query"
	case q.edns && q.vers != 0:
		return nil, badVersion, "EDNS of another version"
	case q.q.Class != dnsmessage.ClassINET && q.q.Class != dnsmessage.ClassANY:
		return nil, dnsmessage.RCodeRefused, "another class than IN"
	case q.q.Type == dnsmessage.TypeAXFR || q.q.Type == 251:
		return nil, dnsmessage.RCodeRefused, "zones are not transferred"
	}
	z := s.zone(port)
	if z == nil {
		return nil, dnsmessage.RCodeRefused, "the port is no longer served by this host"
	}
	if a := z.answer(q.q); a.known {
		return build(q, a, how.tcp), a.rcode, ""
	}
	if !q.head.RecursionDesired {
		return nil, dnsmessage.RCodeRefused, "not a name of this network, and no recursion asked for"
	}
	if len(s.d.Resolvers) == 0 {
		return nil, dnsmessage.RCodeRefused, "no resolvers are configured for other names"
	}
	out, err := s.forward(ctx, q, msg, how.tcp)
	if err != nil {
		return nil, dnsmessage.RCodeServerFailure, err.Error()
	}
	return out, dnsmessage.RCode(out[3] & 15), ""
}

// zone is the one of the port's network; nil: the port is gone.
func (s *Server) zone(port model.PortID) *zone {
	st := s.d.State()
	if st == nil || st.Served(port) == nil {
		return nil
	}
	id := st.Served(port).Network
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != st {
		s.state, s.zones = st, map[model.NetworkID]*zone{}
	}
	if s.zones[id] == nil {
		s.zones[id] = newZone(st, id)
	}
	return s.zones[id]
}

// build writes an answer of ours.
func build(q question, a answer, tcp bool) []byte {
	full := write(q, a, false)
	if full == nil {
		return nil
	}
	if !tcp && len(full) > q.size {
		return write(q, answer{rcode: a.rcode}, true)
	}
	return full
}

func write(q question, a answer, cut bool) []byte {
	b := dnsmessage.NewBuilder(make([]byte, 0, plain), dnsmessage.Header{
		ID: q.head.ID, Response: true, OpCode: q.head.OpCode, Authoritative: a.known, Truncated: cut,
		RecursionDesired: q.head.RecursionDesired, RecursionAvailable: true, RCode: a.rcode & 15,
	})
	b.EnableCompression()
	err := b.StartQuestions()
	if q.q.Name.Length > 0 {
		err = errors.Join(err, b.Question(q.q))
	}
	err = errors.Join(err, b.StartAnswers())
	h := dnsmessage.ResourceHeader{Name: q.q.Name, Class: dnsmessage.ClassINET, TTL: ttl}
	for _, r := range a.records {
		switch r := r.(type) {
		case *dnsmessage.AResource:
			err = errors.Join(err, b.AResource(h, *r))
		case *dnsmessage.AAAAResource:
			err = errors.Join(err, b.AAAAResource(h, *r))
		case *dnsmessage.PTRResource:
			err = errors.Join(err, b.PTRResource(h, *r))
		}
	}
	err = errors.Join(err, b.StartAdditionals())
	if q.edns {
		var opt dnsmessage.ResourceHeader
		err = errors.Join(err, opt.SetEDNS0(most, a.rcode, false), b.OPTResource(opt, dnsmessage.OPTResource{}))
	}
	out, ferr := b.Finish()
	if err != nil || ferr != nil {
		return nil
	}
	return out
}
