package ebpf

import (
	"encoding/binary"
	"testing"

	"github.com/weft-cloud/weft/internal/dataplane/dptest"
)

// A reset whose sequence number is far from what was last sent ends no connection, one in the window does; a flood of them
// from either side changes nothing.
func TestResetOutsideTheWindow(t *testing.T) {
	for fam, v6 := range families() {
		t.Run(fam, func(t *testing.T) {
			r := testRunner(t)
			cloud := dptest.Demo()
			cloud.Port("red1").Policy = dptest.Stateful(dptest.Any(true, v6))
			r.Apply(cloud.States()["compute1"], Limits{})
			family := map[bool]int{false: 0, true: 1}[v6]
			send := func(from, to string, flags uint8, seq uint32) {
				t.Helper()
				src, dst := uint16(40000), uint16(80)
				if from == "red3" {
					src, dst = dst, src
				}
				x := dptest.IP{Src: cloud.Port(from).Addresses[family], Dst: cloud.Port(to).Addresses[family]}.TCP(src, dst, flags, nil)
				binary.BigEndian.PutUint32(x.Payload[4:], seq)
				f := x.Frame(dptest.PortMAC(to), dptest.PortMAC(from))
				if o, err := r.Run(Packet{From: dptest.PortID(from), Frame: f}); err != nil || o.Verdict != Local {
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
			send("red1", "red3", dptest.SYN, 1000)
			send("red3", "red1", dptest.SYN|dptest.ACK, 7000)
			for range 2 { // the second packet of each way goes by its flow
				send("red1", "red3", dptest.ACK, 1001)
				send("red3", "red1", dptest.ACK, 7001)
			}
			for i := range uint32(100) {
				send("red1", "red3", dptest.RST, 1001+1<<21+i<<20)
				send("red3", "red1", dptest.RST|dptest.ACK, 7001+1<<21+i<<20)
			}
			if s := state(); s != replied {
				t.Errorf("state %d after resets outside the window, want %d", s, replied)
			}
			send("red3", "red1", dptest.RST, 7001)
			if s := state(); s != closed {
				t.Errorf("state %d after a reset in the window, want %d", s, closed)
			}
		})
	}
}
