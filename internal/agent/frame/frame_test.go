package frame

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/weft-cloud/weft/internal/model"
)

var (
	macA = model.MAC{2, 0, 0, 0, 0, 1}
	macB = model.MAC{2, 0, 0, 0, 0, 2}
)

func samples() map[string]UDP {
	return map[string]UDP{
		"v4": {
			SrcMAC: macA, DstMAC: macB, Payload: []byte("hello"),
			Src: netip.MustParseAddrPort("10.0.0.1:7777"), Dst: netip.MustParseAddrPort("10.0.0.9:8888"),
		},
		"v6, odd and long": {
			SrcMAC: macA, DstMAC: macB, Payload: bytes.Repeat([]byte{0xff}, 1233),
			Src: netip.MustParseAddrPort("[fe80::1]:7777"), Dst: netip.MustParseAddrPort("[fe80::2]:8888"),
		},
		"empty": {SrcMAC: macA, DstMAC: macB, Payload: []byte{}, Src: netip.MustParseAddrPort("1.2.3.4:5"), Dst: netip.MustParseAddrPort("5.6.7.8:9")},
	}
}

// TestUDP: what is built is read back the same, and an independent decoder agrees with lengths and checksums.
func TestUDP(t *testing.T) {
	for name, u := range samples() {
		t.Run(name, func(t *testing.T) {
			b := u.Bytes()
			got, err := ParseUDP(b)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(u, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); d != "" {
				t.Error(d)
			}
			verify(t, b)
		})
	}
}

// verify has gopacket compute the checksums of b.
func verify(t *testing.T, b []byte) {
	t.Helper()
	p := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default)
	if e := p.ErrorLayer(); e != nil {
		t.Fatal(e.Error())
	}
	for _, l := range p.Layers() {
		if c, ok := l.(interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}); ok {
			if err := c.SetNetworkLayerForChecksum(p.NetworkLayer()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err, bad := p.VerifyChecksums(); err != nil || len(bad) > 0 {
		t.Errorf("checksums: %v %v", err, bad)
	}
}

func TestICMP6(t *testing.T) {
	m := ICMP6{
		SrcMAC: macA, DstMAC: macB, Src: netip.MustParseAddr("fe80::1"), Dst: netip.MustParseAddr("ff02::1"), HopLimit: 255,
		Type: 134, Body: []byte{64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0},
	}
	b := m.Bytes()
	got, err := ParseICMP6(b)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(m, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
		t.Error(d)
	}
	verify(t, b)
	b[len(b)-1] ^= 1
	if _, err := ParseICMP6(b); !errors.Is(err, ErrFormat) {
		t.Errorf("a wrong checksum was taken: %v", err)
	}
}

// TestCut: no prefix of a good frame is taken for whole, and none panics.
func TestCut(t *testing.T) {
	for name, u := range samples() {
		b := u.Bytes()
		for n := range b {
			if _, err := ParseUDP(b[:n]); !errors.Is(err, ErrFormat) {
				t.Fatalf("%s cut to %d of %d: %v", name, n, len(b), err)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	good := func() []byte { return samples()["v4"].Bytes() }
	for _, tc := range []struct {
		name   string
		change func(b []byte)
	}{
		{"more fragments", func(b []byte) { b[20] |= 0x20 }},
		{"IHL 4", func(b []byte) { b[14] = 0x44 }},
		{"total length too long", func(b []byte) { b[16] = 0xff }},
		{"header checksum", func(b []byte) { b[24]++ }},
		{"UDP length too long", func(b []byte) { b[38] = 0xff }},
		{"UDP length too short", func(b []byte) { b[38], b[39] = 0, 7 }},
		{"not UDP", func(b []byte) { b[23] = 6 }},
		{"ARP", func(b []byte) { b[13] = 6 }},
	} {
		b := good()
		tc.change(b)
		if _, err := ParseUDP(b); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, u := range samples() {
		f.Add(u.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if u, err := ParseUDP(b); err == nil {
			if _, err := ParseUDP(u.Bytes()); err != nil {
				t.Errorf("own frame refused: %v", err)
			}
		}
		if m, err := ParseICMP6(b); err == nil {
			if _, err := ParseICMP6(m.Bytes()); err != nil {
				t.Errorf("own frame refused: %v", err)
			}
		}
	})
}

// A checksum that was left to the network card is finished, in both families; what is right stays, and so does what is wrong.
func TestComplete(t *testing.T) {
	addr := netip.MustParseAddr
	for _, ends := range [][2]netip.Addr{{addr("10.0.0.5"), addr("203.0.113.1")}, {addr("2001:db8:a::5"), addr("2001:db8::1")}} {
		for _, proto := range []uint8{protoTCP, protoUDP} {
			p := IP{SrcMAC: model.MAC{2, 1}, DstMAC: model.MAC{2, 2}, Src: ends[0], Dst: ends[1], Proto: proto, Hops: 64, Payload: make([]byte, 33)}
			for i := range p.Payload {
				p.Payload[i] = byte(i)
			}
			if !p.Checksum() {
				t.Fatal("no checksum")
			}
			whole := p.Bytes()
			at, _ := p.checksumAt()
			at += len(whole) - len(p.Payload)
			partial := bytes.Clone(whole)
			binary.BigEndian.PutUint16(partial[at:], fold(pseudoHeader(p.Src, p.Dst, proto, len(p.Payload))))
			wrong := bytes.Clone(whole)
			wrong[at] ^= 0x55
			for _, tt := range []struct {
				name     string
				in, want []byte
			}{{"left to the card", partial, whole}, {"right", bytes.Clone(whole), whole}, {"wrong", wrong, bytes.Clone(wrong)}} {
				if Complete(tt.in); !bytes.Equal(tt.in, tt.want) {
					t.Errorf("protocol %d from %s, %s: %x, want %x", proto, p.Src, tt.name, tt.in, tt.want)
				}
			}
		}
	}
	for _, b := range [][]byte{nil, make([]byte, 13), make([]byte, 60)} {
		if want := bytes.Clone(b); len(b) > 0 {
			if Complete(b); !bytes.Equal(b, want) {
				t.Errorf("%x became %x", want, b)
			}
		} else {
			Complete(b)
		}
	}
}
