package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/weft-cloud/weft/internal/agent/frame"
	"github.com/weft-cloud/weft/internal/linux"
	"github.com/weft-cloud/weft/internal/model"
)

// bootClient is an instance as far as it boots: it speaks DHCP and one HTTP request on a tap device, frame by frame, so that
// a thousand of them cost no namespaces and no kernel's patience. It asks again as real clients do.
type bootClient struct {
	f      *os.File
	mac    model.MAC
	addr   netip.Addr
	buf    [2048]byte
	resent int
}

const (
	askAgain  = 3 * time.Second // udhcpc's wait
	sendAgain = time.Second     // TCP's first
	giveUp    = 60 * time.Second
	tcpPort   = 40000
)

var errSilent = errors.New("no answer within a minute")

func (c *bootClient) send(frame []byte) error {
	_, err := c.f.Write(append(make([]byte, linux.VnetHdrLen), frame...))
	return err
}

// receive gives the next frame; ok false: none came in time.
func (c *bootClient) receive(until time.Time) (b []byte, ok bool, err error) {
	if err := c.f.SetReadDeadline(until); err != nil {
		return nil, false, err
	}
	n, err := c.f.Read(c.buf[:])
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, false, nil
	case err != nil:
		return nil, false, err
	case n < linux.VnetHdrLen:
		return nil, true, nil
	}
	return c.buf[linux.VnetHdrLen:n], true, nil
}

// exchange sends what build makes until take has found what it waits for.
func (c *bootClient) exchange(again time.Duration, build func() []byte, take func(b []byte) bool) error {
	for end := time.Now().Add(giveUp); time.Now().Before(end); c.resent++ {
		if err := c.send(build()); err != nil {
			return err
		}
		for until := time.Now().Add(again); ; {
			b, ok, err := c.receive(until)
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			if take(b) {
				return nil
			}
		}
	}
	return errSilent
}

// dora gets an address: DISCOVER, OFFER, REQUEST, ACK.
func (c *bootClient) dora() error {
	var offer, ack *dhcpv4.DHCPv4
	discover, err := dhcpv4.NewDiscovery(net.HardwareAddr(c.mac[:]))
	if err != nil {
		return err
	}
	wait := func(kind dhcpv4.MessageType, into **dhcpv4.DHCPv4) func([]byte) bool {
		return func(b []byte) bool {
			u, err := frame.ParseUDP(b)
			if err != nil || u.Dst.Port() != 68 {
				return false
			}
			m, err := dhcpv4.FromBytes(u.Payload)
			if err != nil || m.MessageType() != kind || m.TransactionID != discover.TransactionID {
				return false
			}
			*into = m
			return true
		}
	}
	if err := c.exchange(askAgain, func() []byte { return c.broadcast(discover) }, wait(dhcpv4.MessageTypeOffer, &offer)); err != nil {
		return fmt.Errorf("DISCOVER: %w", err)
	}
	request, err := dhcpv4.NewRequestFromOffer(offer)
	if err != nil {
		return err
	}
	if err := c.exchange(askAgain, func() []byte { return c.broadcast(request) }, wait(dhcpv4.MessageTypeAck, &ack)); err != nil {
		return fmt.Errorf("REQUEST: %w", err)
	}
	c.addr, _ = netip.AddrFromSlice(ack.YourIPAddr.To4())
	return nil
}

func (c *bootClient) broadcast(m *dhcpv4.DHCPv4) []byte {
	return frame.UDP{SrcMAC: c.mac, DstMAC: model.Broadcast, Src: netip.AddrPortFrom(netip.IPv4Unspecified(), 68),
		Dst: netip.AddrPortFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), 67), Payload: m.ToBytes()}.Bytes()
}

// TCP flags.
const (
	fin = 1 << iota
	syn
	rst
	psh
	ack
)

// connection is the one TCP connection of a bootClient.
type connection struct {
	c          *bootClient
	next, want uint32 // sequence numbers: ours to send, theirs to come
	data       []byte
	over       bool
}

func (t *connection) segment(flags byte, options, data []byte) []byte {
	h := make([]byte, 20, 20+len(options)+len(data))
	binary.BigEndian.PutUint16(h, tcpPort)
	binary.BigEndian.PutUint16(h[2:], 80)
	binary.BigEndian.PutUint32(h[4:], t.next)
	binary.BigEndian.PutUint32(h[8:], t.want)
	h[12], h[13] = byte((20+len(options))/4<<4), flags
	binary.BigEndian.PutUint16(h[14:], 65535)
	p := frame.IP{SrcMAC: t.c.mac, DstMAC: metadataMAC, Src: t.c.addr, Dst: metadataAddr, Proto: 6, Hops: 64, Payload: append(append(h, options...), data...)}
	p.Checksum()
	return p.Bytes()
}

var (
	metadataAddr = netip.AddrFrom4([4]byte{169, 254, 169, 254})
	metadataMAC  = model.MAC{0x02, 0, 169, 254, 169, 254}
)

// take takes in a frame; true: it is a segment of this connection.
func (t *connection) take(b []byte) (flags byte, ok bool) {
	p, err := frame.ParseIP(b)
	if err != nil || p.Proto != 6 || p.Src != metadataAddr || len(p.Payload) < 20 || binary.BigEndian.Uint16(p.Payload[2:]) != tcpPort {
		return 0, false
	}
	head := int(p.Payload[12]>>4) * 4
	if head < 20 || head > len(p.Payload) {
		return 0, false
	}
	flags = p.Payload[13]
	seq, data := binary.BigEndian.Uint32(p.Payload[4:]), p.Payload[head:]
	switch {
	case flags&syn != 0:
		t.want = seq + 1
	case seq == t.want:
		t.data = append(t.data, data...)
		t.want += uint32(len(data))
		if flags&fin != 0 {
			t.want++
			t.over = true
		}
	}
	t.over = t.over || flags&rst != 0
	return flags, true
}

// metadata fetches the instance's metadata.
func (c *bootClient) metadata() error {
	t := &connection{c: c, next: 1000}
	mss := []byte{2, 4, 1410 >> 8, 1410 & 0xff}
	if err := c.exchange(sendAgain, func() []byte { return t.segment(syn, mss, nil) }, func(b []byte) bool {
		flags, ok := t.take(b)
		return ok && flags&(syn|ack) == syn|ack
	}); err != nil {
		return fmt.Errorf("connect to the metadata service: %w", err)
	}
	t.next++
	get := []byte("GET /openstack/latest/meta_data.json HTTP/1.1\r\nHost: 169.254.169.254\r\nConnection: close\r\n\r\n")
	began := t.next
	err := c.exchange(sendAgain, func() []byte { t.next = began; return t.segment(ack|psh, nil, get) }, func(b []byte) bool {
		if _, ok := t.take(b); !ok {
			return false
		}
		t.next = began + uint32(len(get))
		if err := c.send(t.segment(ack, nil, nil)); err != nil {
			return true
		}
		return t.over
	})
	if err != nil {
		return fmt.Errorf("metadata request: %w", err)
	}
	t.next = began + uint32(len(get))
	if err := c.send(t.segment(ack|fin, nil, nil)); err != nil {
		return err
	}
	if line, _, _ := strings.Cut(string(t.data), "\r\n"); !strings.HasPrefix(line, "HTTP/1.1 200") {
		return fmt.Errorf("metadata request: %q", line)
	}
	return nil
}
