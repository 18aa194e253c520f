package ebpf

import (
	"net/netip"
	"testing"

	"github.com/weft-cloud/weft/internal/dataplane"
	"github.com/weft-cloud/weft/internal/dataplane/reason"
	"github.com/weft-cloud/weft/internal/dptest"
	"github.com/weft-cloud/weft/internal/hostplan"
	"github.com/weft-cloud/weft/internal/model"
)

// A storm of one kind of question uses up its own bucket: the port's other questions, and other ports' of that kind, pass.
func TestPuntBuckets(t *testing.T) {
	meta, resolver := netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("10.1.0.250")
	host := model.MAC{2, 0, 169, 254, 169, 254}
	cloud := dptest.Demo()
	cloud.Networks[0].Advertised, cloud.Networks[0].Managed = true, true
	cloud.Networks[0].Services = []hostplan.Service{{Address: meta, MAC: host, Metadata: true}, {Address: resolver, MAC: host, DNS: true}}
	questions := func(port string) map[dataplane.PuntKind][]byte {
		m, me := dptest.PortMAC(port), cloud.Port(port).Addresses[0]
		ll := dptest.LinkLocal(m)
		return map[dataplane.PuntKind][]byte{
			dataplane.PuntDHCP4:    dptest.IP{Src: netip.IPv4Unspecified(), Dst: netip.MustParseAddr("255.255.255.255")}.UDP(68, 67, make([]byte, 240)).Frame(model.Broadcast, m),
			dataplane.PuntDHCP6:    dptest.IP{Src: ll, Dst: netip.MustParseAddr("ff02::1:2")}.UDP(546, 547, make([]byte, 50)).Frame(model.MAC{0x33, 0x33, 0, 1, 0, 2}, m),
			dataplane.PuntRS:       dptest.IP{Src: ll, Dst: netip.MustParseAddr("ff02::2"), TTL: 255}.ICMP(133, 0, 0, nil).Frame(model.MAC{0x33, 0x33, 0, 0, 0, 2}, m),
			dataplane.PuntDNS:      dptest.IP{Src: me, Dst: resolver}.UDP(4000, 53, make([]byte, 30)).Frame(host, m),
			dataplane.PuntMetadata: dptest.IP{Src: me, Dst: meta}.TCP(4000, 80, 2, nil).Frame(host, m),
		}
	}
	for kind, storm := range questions("red1") {
		r := testRunner(t)
		r.Apply(cloud.States()["compute1"], Limits{PuntRate: 10, PuntBurst: 20, AskRate: 10, AskBurst: 20})
		ask := func(port string, frame []byte) Outcome {
			t.Helper()
			o, err := r.Run(Packet{From: dptest.PortID(port), Frame: frame})
			if err != nil {
				t.Fatal(err)
			}
			return o
		}
		limited := 0
		for range 200 {
			if o := ask("red1", storm); o.Verdict == Drop && o.Reason == reason.StormLimit {
				limited++
			}
		}
		if limited < 100 {
			t.Errorf("kind %d: of 200 questions only %d were past the port's share", kind, limited)
		}
		for other, frame := range questions("red1") {
			if o := ask("red1", frame); other != kind && (o.Verdict != PuntedVerdict || o.Punt != other) {
				t.Errorf("after a storm of kind %d, kind %d is %v, reason %d", kind, other, o.Verdict, o.Reason)
			}
		}
		if o := ask("red3", questions("red3")[kind]); o.Verdict != PuntedVerdict {
			t.Errorf("another port's question of kind %d is %v, reason %d", kind, o.Verdict, o.Reason)
		}
	}
}
