package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/weft-cloud/weft/internal/linux"
)

// pinger sends echo requests from an instance.
type pinger struct {
	conn *icmp.PacketConn
	t    *task
	run  runID
}

func (t *task) pinger(run runID) (*pinger, error) {
	network, any := "ip4:icmp", "0.0.0.0"
	if t.v6 {
		network, any = "ip6:ipv6-icmp", "::"
	}
	p := &pinger{t: t, run: run}
	err := linux.InNetns(t.from.Netns, func() (err error) {
		p.conn, err = icmp.ListenPacket(network, any)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ping from %s: %w", t.from.Name, err)
	}
	return p, nil
}

// ping sends one request and waits for the answer; rtt is 0 if none came in time or it could not even be sent (no route).
func (p *pinger) ping(seq uint16, timeout time.Duration) (rtt time.Duration, err error) {
	msg := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: int(p.t.id & 0xffff), Seq: int(seq), Data: p.run.payload(p.t.id, seq)}}
	proto := 1
	if p.t.v6 {
		msg.Type, proto = ipv6.ICMPTypeEchoRequest, 58
	}
	b, err := msg.Marshal(nil) // the kernel does ICMPv6's checksum (RFC 3542, section 3.1)
	if err != nil {
		return 0, fmt.Errorf("ping: %w", err)
	}
	sent := time.Now()
	if err := p.conn.SetReadDeadline(sent.Add(timeout)); err != nil {
		return 0, fmt.Errorf("ping: %w", err)
	}
	dst := p.t.target()
	if _, err := p.conn.WriteTo(b, &net.IPAddr{IP: dst.AsSlice()}); err != nil {
		return 0, nil //nolint:nilerr // unreachable, which the absence of an answer says
	}
	buf := make([]byte, 1500)
	for {
		n, _, err := p.conn.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, nil
		} else if err != nil {
			return 0, fmt.Errorf("ping: %w", err)
		}
		m, err := icmp.ParseMessage(proto, buf[:n])
		if err != nil || m.Type != ipv4.ICMPTypeEchoReply && m.Type != ipv6.ICMPTypeEchoReply {
			continue
		}
		if task, s, ok := p.run.find(buf[:n]); ok && task == p.t.id && s == seq {
			return time.Since(sent), nil
		}
	}
}

// Sequence numbers of warm-up packets are out of the way of measured ones.
const warmUpSeq = 1000

// warmUp sends until one answer came, at most three packets; timeout bounds the wait for the last.
func warmUp(ctx context.Context, run runID, t *task, timeout time.Duration) error {
	p, err := t.pinger(run)
	if err != nil {
		return err
	}
	defer p.conn.Close()
	for try := range uint16(3) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		rtt, err := p.ping(warmUpSeq+try, timeout/time.Duration(3-try))
		if err != nil {
			return err
		}
		t.result.sent++
		if rtt > 0 {
			t.result.got++
			return nil
		}
	}
	return nil
}

func (t *task) measure(ctx context.Context, run runID, o Options) error {
	p, err := t.pinger(run)
	if err != nil {
		return err
	}
	defer p.conn.Close()
	for seq := range o.Count {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		rtt, err := p.ping(uint16(seq), o.Timeout) //nolint:gosec // a few
		if err != nil {
			return err
		}
		t.result.sent++
		if rtt > 0 {
			t.result.got++
			t.result.rtts = append(t.result.rtts, rtt)
		}
	}
	if t.journey == nil || t.journey.Greets {
		t.result.http = t.greeting(ctx, o.Timeout)
	}
	return nil
}

// greeting is what the instance says over TCP: its name, so that one cannot be taken for another of the same address.
func (t *task) greeting(ctx context.Context, timeout time.Duration) string {
	var conn net.Conn
	addr := net.JoinHostPort(t.target().String(), "80")
	err := linux.InNetns(t.from.Netns, func() (err error) {
		conn, err = net.DialTimeout("tcp", addr, timeout)
		return err
	})
	if err != nil {
		return ""
	}
	defer conn.Close()
	c := &http.Client{Timeout: timeout, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/", nil)
	if err != nil {
		return ""
	}
	resp, err := c.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
