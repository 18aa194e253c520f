package ebpf

import (
	"encoding/binary"
	"testing"

	"github.com/weft-cloud/weft/internal/dptest"
)

// A reset whose sequence number is far from what was last sent ends no connection, one in the window does; a flood of them
// from either side changes nothing.
func TestResetOutsideTheWindow(t *testing.T) {
	r := testRunner(t)
	for fam, v6 := range families() {
		for _, place := range resetPlaces() {
			t.Run(fam+"/"+place.name, func(t *testing.T) { resetOutside(t, r, place, v6) })
		}
	}
}

// resetPlace is where red1 on compute1 talks to: in its subnet or by the router, on its host or the other one.
type resetPlace struct {
	name, to string
	routed   bool
}

func resetPlaces() []resetPlace {
	return []resetPlace{{"same host, same subnet", "red3", false}, {"two hosts, same subnet", "red2", false},
		{"same host, routed", "blue1", true}, {"two hosts, routed", "blue2", true}}
}

func resetOutside(t *testing.T, r *Runner, place resetPlace, v6 bool) {
	cloud := dptest.Demo()
	cloud.Port("red1").Policy = dptest.Stateful(dptest.Any(true, v6))
	if p := r.Apply(cloud.States()["compute1"], Limits{}); len(p) > 0 {
		t.Fatal(p)
	}
	if err := r.Forget(); err != nil {
		t.Fatal(err)
	}
	family, far := map[bool]int{false: 0, true: 1}[v6], cloud.Port(place.to).Host != "compute1"
	send := func(from, to string, flags uint8, seq uint32) {
		t.Helper()
		src, dst, p, want := uint16(40000), uint16(80), Packet{From: dptest.PortID(from)}, Local
		x := dptest.IP{Src: cloud.Port(from).Addresses[family], Dst: cloud.Port(to).Addresses[family]}
		mac, own := dptest.PortMAC(to), dptest.PortMAC(from)
		if place.routed {
			mac = dptest.LegMAC("router", cloud.Port(from).Network)
		}
		switch {
		case from == "red1" && far:
			want = Tunnel
		case from != "red1":
			if src, dst = dst, src; far {
				p, mac = Packet{VTEP: cloud.Hosts[1].VTEP, VNI: cloud.Networks[0].VNI}, dptest.PortMAC(to)
				if place.routed { // by the other host
					own = dptest.DVRMAC(cloud.Hosts[1].Name)
				}
			}
		}
		x = x.TCP(src, dst, flags, nil)
		binary.BigEndian.PutUint32(x.Payload[4:], seq)
		p.Frame = x.Frame(mac, own)
		if o, err := r.Run(p); err != nil || o.Verdict != want {
			t.Fatalf("%s: flags %#x: %v, %v, %v", from, flags, o.Verdict, o.Reason, err)
		}
	}
	state := func() uint8 {
		t.Helper()
		var k weftConnKey
		var v weftConnVal
		it := r.coll.Maps["conn"].Iterate()
		if !it.Next(&k, &v) {
			t.Fatal("no connection")
		}
		return v.State
	}
	const replied, closed = 2, 4
	send("red1", place.to, dptest.SYN, 1000)
	send(place.to, "red1", dptest.SYN|dptest.ACK, 7000)
	for range 2 { // the second packet of each way goes by its flow
		send("red1", place.to, dptest.ACK, 1001)
		send(place.to, "red1", dptest.ACK, 7001)
	}
	for i := range uint32(100) {
		send("red1", place.to, dptest.RST, 1001+1<<21+i<<20)
		send(place.to, "red1", dptest.RST|dptest.ACK, 7001+1<<21+i<<20)
	}
	if s := state(); s != replied {
		t.Errorf("state %d after resets outside the window, want %d", s, replied)
	}
	send(place.to, "red1", dptest.RST, 7001)
	if s := state(); s != closed {
		t.Errorf("state %d after a reset in the window, want %d", s, closed)
	}

}
