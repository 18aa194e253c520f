package dns

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// errNobody is the end of a search for an answer.
var errNobody = errors.New("no resolver answered")

// forward puts the question to the resolvers, each once and then once more.
func (s *Server) forward(ctx context.Context, q question, msg []byte, tcp bool) ([]byte, error) {
	var last error
	for range 2 {
		for _, r := range s.d.Resolvers {
			out, err := s.ask(ctx, r, q, msg, tcp)
			if err == nil {
				return fit(q, out, tcp), nil
			}
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			last = err
		}
	}
	return nil, errors.Join(errNobody, last)
}

// ask puts it to one resolver, by UDP, or by TCP if that is how it came (the answer may then be long). Each question has
// a socket and an id of its own, so that an answer cannot be guessed from outside (RFC 5452).
func (s *Server) ask(ctx context.Context, to netip.AddrPort, q question, msg []byte, tcp bool) ([]byte, error) {
	network := "udp"
	if tcp {
		network = "tcp"
	}
	ctx, cancel := context.WithTimeout(ctx, s.d.Timeout)
	defer cancel()
	c, err := s.d.Dial(ctx, network, to.String())
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", to, err)
	}
	defer c.Close() //nolint:errcheck // done with
	if end, ok := ctx.Deadline(); ok {
		if err := c.SetDeadline(end); err != nil {
			return nil, fmt.Errorf("ask %s: %w", to, err)
		}
	}
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) }) //nolint:errcheck // it is closed next
	defer stop()
	sent := bytes.Clone(msg)
	if _, err := rand.Read(sent[:2]); err != nil {
		return nil, err
	}
	out, err := exchange(c, sent, q, tcp)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", to, err)
	}
	copy(out, msg[:2])
	return out, nil
}

func exchange(c net.Conn, sent []byte, q question, tcp bool) ([]byte, error) {
	if tcp {
		if err := writeTCP(c, sent); err != nil {
			return nil, err
		}
		out, err := readTCP(c)
		if err == nil && !matches(out, sent, q) {
			err = errNoQuestion
		}
		return out, err
	}
	if _, err := c.Write(sent); err != nil {
		return nil, err
	}
	buf := make([]byte, 65535)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return nil, err
		}
		if matches(buf[:n], sent, q) { // others are forged or late: wait on
			return bytes.Clone(buf[:n]), nil
		}
	}
}

// matches reports whether out answers the question that was sent.
func matches(out, sent []byte, q question) bool {
	if len(out) < 12 || out[0] != sent[0] || out[1] != sent[1] {
		return false
	}
	var p dnsmessage.Parser
	h, err := p.Start(out)
	if err != nil || !h.Response {
		return false
	}
	list, err := p.AllQuestions()
	return err == nil && len(list) == 1 && list[0].Type == q.q.Type && list[0].Class == q.q.Class &&
		strings.EqualFold(list[0].Name.String(), q.q.Name.String())
}

// fit cuts what the asker cannot take in one datagram.
func fit(q question, out []byte, tcp bool) []byte {
	if tcp || len(out) <= q.size {
		return out
	}
	return write(q, answer{rcode: dnsmessage.RCode(out[3] & 15)}, true)
}

// ParseResolvers reads the name servers of a resolv.conf (resolv.conf(5)). Addresses of the loopback are left in: the
// host's own stub may listen there.
func ParseResolvers(text string) []netip.AddrPort {
	var out []netip.AddrPort
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(f[1]); err == nil {
			out = append(out, netip.AddrPortFrom(a, 53))
		}
	}
	return out
}
