package fragment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"pgregory.net/rapid"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

var routerMAC = model.MAC{0xfa, 0x16, 0x3e, 1, 1, 1}

// datagram is a UDP datagram of that many bytes of data, with a proper checksum.
func datagram(t interface{ Fatal(...any) }, n int, options []layers.IPv4Option) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i * 7)
	}
	eth := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: routerMAC[:], EthernetType: layers.EthernetTypeIPv4}
	ip := &layers.IPv4{Version: 4, TTL: 9, Id: 77, Protocol: layers.IPProtocolUDP, SrcIP: net.IP{10, 0, 0, 5}, DstIP: net.IP{10, 0, 1, 5}, Options: options}
	udp := &layers.UDP{SrcPort: 1000, DstPort: 2000}
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, eth, ip, udp, gopacket.Payload(data)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// join puts fragments together as a receiver does, checking each.
func join(t *rapid.T, pieces [][]byte, mtu int) []byte {
	var data []byte
	for n, f := range pieces {
		ip, hlen, err := parse(f)
		if err != nil {
			t.Fatalf("piece %d: %v", n, err)
		}
		if len(ip) > mtu || len(f) != etherLen+len(ip) {
			t.Fatalf("piece %d has %d bytes, MTU %d", n, len(ip), mtu)
		}
		if fold(sum(ip[:hlen])) != 0xffff {
			t.Fatalf("piece %d: header checksum", n)
		}
		flags := binary.BigEndian.Uint16(ip[6:])
		if int(flags&offsets)*8 != len(data) || (flags&flagMF != 0) != (n < len(pieces)-1) {
			t.Fatalf("piece %d of %d: flags and offset %#x behind %d bytes", n, len(pieces), flags, len(data))
		}
		data = append(data, ip[hlen:]...)
	}
	return data
}

func TestPiecesMakeUpTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frame := datagram(t, rapid.IntRange(100, 4000).Draw(t, "bytes"), nil)
		frame = append(frame, make([]byte, rapid.IntRange(0, 6).Draw(t, "padding"))...)
		before := bytes.Clone(frame)
		mtu := rapid.IntRange(68, 1500).Draw(t, "mtu")
		ip, hlen, _ := parse(frame)
		pieces, err := Cut(frame, mtu)
		if len(ip) <= mtu {
			if !errors.Is(err, ErrSmall) {
				t.Fatalf("a packet that fits: %v", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(frame, before) {
			t.Fatal("the frame was changed")
		}
		if d := cmp.Diff(ip[hlen:], join(t, pieces, mtu)); d != "" {
			t.Fatalf("not what was sent: %s", d)
		}
		// Cut the pieces again, as a second narrow network on the way does.
		var again [][]byte
		narrow := rapid.IntRange(68, mtu).Draw(t, "narrower")
		for _, p := range pieces {
			more, err := Cut(p, narrow)
			if errors.Is(err, ErrSmall) {
				more, err = [][]byte{p}, nil
			}
			if err != nil {
				t.Fatal(err)
			}
			again = append(again, more...)
		}
		if d := cmp.Diff(ip[hlen:], join(t, again, narrow)); d != "" {
			t.Fatalf("cut twice, not what was sent: %s", d)
		}
	})
}

func TestOptions(t *testing.T) {
	// Record route (7) is not copied, router alert (0x94) is.
	frame := datagram(t, 100, []layers.IPv4Option{
		{OptionType: 7, OptionLength: 7, OptionData: []byte{4, 0, 0, 0, 0}}, {OptionType: 0x94, OptionLength: 4, OptionData: []byte{0, 0}}, {OptionType: 0},
	})
	pieces, err := Cut(frame, 84)
	if err != nil || len(pieces) < 2 {
		t.Fatalf("%d pieces, %v", len(pieces), err)
	}
	if n := pieces[0][etherLen] & 0xf; n != 8 {
		t.Errorf("first piece has a header of %d words, want all options: 8", n)
	}
	if got := pieces[1][etherLen+20 : etherLen+24]; pieces[1][etherLen]&0xf != 6 || !bytes.Equal(got, []byte{0x94, 4, 0, 0}) {
		t.Errorf("second piece has options %x, want the router alert alone", got)
	}
}

func TestChecksumThatWasLeftToTheCard(t *testing.T) {
	whole := datagram(t, 301, nil)
	partial := bytes.Clone(whole)
	ip, hlen, _ := parse(partial)
	binary.BigEndian.PutUint16(ip[hlen+6:], fold(sum(ip[12:20])+17+uint32(len(ip)-hlen)))
	broken := bytes.Clone(whole)
	broken[etherLen+hlen+6] ^= 1
	for _, tt := range []struct {
		name     string
		in, want []byte
	}{{"partial", partial, whole}, {"whole", whole, whole}, {"wrong stays wrong", broken, broken}} {
		t.Run(tt.name, func(t *testing.T) {
			pieces, err := Cut(tt.in, 200)
			if err != nil {
				t.Fatal(err)
			}
			if at := etherLen + hlen; !bytes.Equal(pieces[0][at:at+8], tt.want[at:at+8]) {
				t.Errorf("UDP header %x, want %x", pieces[0][at:at+8], tt.want[at:at+8])
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	df := datagram(t, 300, nil)
	df[etherLen+6] |= 0x40
	tagged := datagram(t, 300, nil)
	tagged[12] = 0x81
	long := datagram(t, 300, nil)
	long[etherLen+2] = 0xff
	tests := []struct {
		name  string
		frame []byte
		want  error
	}{{"don't fragment", df, ErrDF}, {"tagged", tagged, ErrFormat}, {"longer than it is", long, ErrFormat}, {"nothing", nil, ErrFormat}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Cut(tt.frame, 100); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

func FuzzCut(f *testing.F) {
	f.Add(datagram(f, 300, nil), 100)
	f.Add(datagram(f, 300, []layers.IPv4Option{{OptionType: 7, OptionLength: 7, OptionData: []byte{4, 0, 0, 0, 0}}, {OptionType: 0}}), 68)
	f.Fuzz(func(t *testing.T, frame []byte, mtu int) {
		mtu = max(68, min(mtu, 65535))
		pieces, err := Cut(frame, mtu)
		if err == nil && len(pieces) < 2 {
			t.Errorf("%d pieces", len(pieces))
		}
		for _, p := range pieces {
			if ip, _, err := parse(p); err != nil || len(ip) > mtu {
				t.Errorf("piece of %d bytes: %v", len(p), err)
			}
		}
	})
}

func TestHandle(t *testing.T) {
	id := func(n byte) model.UUID { return model.UUID{n} }
	pfx := netip.MustParsePrefix
	st := &hostplan.State{
		Endpoints: map[model.PortID]*hostplan.Endpoint{{UUID: id(1)}: {Port: model.PortID{UUID: id(1)}, Network: model.NetworkID{UUID: id(10)}}},
		Routers: map[model.RouterID]*hostplan.Router{
			{UUID: id(20)}: {Interfaces: []hostplan.Interface{
				{Port: model.PortID{UUID: id(21)}, Network: model.NetworkID{UUID: id(10)}, MAC: routerMAC, MTU: 1500, Addresses: []netip.Prefix{pfx("10.0.0.1/24")}},
				{Port: model.PortID{UUID: id(22)}, Network: model.NetworkID{UUID: id(11)}, MTU: 1400, Addresses: []netip.Prefix{pfx("10.0.9.1/24")}}},
				Routes: []hostplan.Route{{Dst: pfx("10.0.0.0/8"), Via: netip.MustParseAddr("10.0.9.2"), Interface: model.PortID{UUID: id(22)}}}},
			{UUID: id(30)}: {Interfaces: []hostplan.Interface{
				{Port: model.PortID{UUID: id(31)}, Network: model.NetworkID{UUID: id(11)}, MTU: 1400, Addresses: []netip.Prefix{pfx("10.0.9.2/24")}},
				{Port: model.PortID{UUID: id(32)}, Network: model.NetworkID{UUID: id(12)}, MTU: 900, Addresses: []netip.Prefix{pfx("10.0.1.1/24")}}},
				Routes: []hostplan.Route{{Dst: pfx("10.0.1.0/24"), Interface: model.PortID{UUID: id(32)}}}},
		},
	}
	var sizes []int
	var failures []error
	c := New(Deps{
		Resend: func(p model.PortID, f []byte) error { sizes = append(sizes, len(f)-etherLen); return nil },
		Failed: func(err error) { failures = append(failures, err) },
	})
	c.Handle(dataplane.Punt{Kind: dataplane.PuntFragment, Port: model.PortID{UUID: id(1)}, Frame: datagram(t, 1452, nil)}, st)
	if d := cmp.Diff([]int{900, 600}, sizes); d != "" || len(failures) > 0 {
		t.Errorf("pieces (-want +got):\n%s%v", d, failures)
	}
	c.Handle(dataplane.Punt{Kind: dataplane.PuntFragment, Port: model.PortID{UUID: id(9)}, Frame: datagram(t, 1452, nil)}, st)
	if len(failures) != 1 || !errors.Is(failures[0], ErrRoute) {
		t.Errorf("a port that is not there: %v", failures)
	}
}

// A stranger's packet to a floating IP is cut to the instance's network and comes in again; an instance's is cut to the external network.
func TestFloating(t *testing.T) {
	id := func(n byte) model.UUID { return model.NewUUIDv4([16]byte{n}) }
	ext, port := model.NetworkID{UUID: id(40)}, model.PortID{UUID: id(41)}
	float, fixed := netip.MustParseAddr("203.0.113.5"), netip.MustParseAddr("10.0.0.5")
	inside := model.NetworkID{UUID: id(42)}
	mac := model.MAC{2, 0, 0, 0, 0, 9}
	leg := hostplan.Interface{Port: model.PortID{UUID: id(43)}, Network: inside, MAC: mac, MTU: 1450}
	gateway := &hostplan.Gateway{Port: model.PortID{UUID: id(44)}, External: ext}
	r := &hostplan.Router{ID: model.RouterID{UUID: id(45)}, AdminUp: true, Gateway: gateway, Interfaces: []hostplan.Interface{leg},
		Routes: []hostplan.Route{{Dst: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr("203.0.113.1"), Interface: gateway.Port}}}
	st := &hostplan.State{
		Endpoints:   map[model.PortID]*hostplan.Endpoint{port: {Port: port, Network: inside, MTU: 1450}},
		Externals:   map[model.NetworkID]*hostplan.External{ext: {ID: ext, MTU: 1300}},
		Routers:     map[model.RouterID]*hostplan.Router{r.ID: r},
		FloatingIPs: map[model.FloatingIPID]*hostplan.FloatingIP{{UUID: id(46)}: {External: ext, Address: float, Port: port, Fixed: fixed, Router: r.ID}},
	}
	var sent, received [][]byte
	c := New(Deps{Resend: func(_ model.PortID, f []byte) error { sent = append(sent, f); return nil },
		Receive: func(n model.NetworkID, f []byte) error {
			if n != ext {
				t.Errorf("received from %s", n)
			}
			received = append(received, f)
			return nil
		}, Failed: func(err error) { t.Error(err) }})
	frame := func(src, dst netip.Addr) []byte {
		f := datagram(t, 1480, nil)
		copy(f, mac[:])
		copy(f[26:], src.AsSlice())
		copy(f[30:], dst.AsSlice())
		return f
	}
	c.Handle(dataplane.Punt{Kind: dataplane.PuntFragment, External: ext, Frame: frame(netip.MustParseAddr("198.51.100.7"), float)}, st)
	c.Handle(dataplane.Punt{Kind: dataplane.PuntFragment, Port: port, External: ext, Frame: frame(fixed, netip.MustParseAddr("198.51.100.7"))}, st)
	longest := func(fs [][]byte) (n int) {
		for _, f := range fs {
			n = max(n, len(f)-14)
		}
		return n
	}
	if n := longest(received); len(received) != 2 || n > 1450 || n < 1440 {
		t.Errorf("%d pieces come in, the longest of %d bytes", len(received), n)
	}
	if n := longest(sent); len(sent) != 2 || n > 1300 || n < 1290 {
		t.Errorf("%d pieces go out, the longest of %d bytes", len(sent), n)
	}
}
