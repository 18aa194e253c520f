package ebpf

import (
	"errors"
	"fmt"
	"time"

	"github.com/weft-cloud/weft/internal/linux"
)

// A device that a hypervisor has made is the host's own until a program hangs on it: the host would answer ARP and neighbour solicitations
// there, take packets for its addresses, believe router advertisements, and forward what it can. The guard is two nftables tables that drop
// whatever of a device with such a name gets as far as the host's stack, or comes from there. What programs handle never does. The tables stay
// when the agent dies.
const (
	guardTable = "weft_guard"
	// guardEvery is how often it is looked after at most: somebody may have flushed the ruleset.
	guardEvery = 10 * time.Second
)

// guardDevices match the names of endpoints' devices, %[1]s is iifname or oifname: a prefix, eight characters, a hyphen, two characters. The mask
// comes first: it is what all other traffic of the host costs. Of its
// spaces only the bit that all letters, digits and the hyphen have is compared; of its slash all that tells the hyphen from hexadecimal digits. Others'
// devices, as a VPN's tap0, do not match.
const guardDevices = `%[1]s & "           /  " == "           -  " %[1]s { "tap*", "wi-*", "wg-*" } drop`

// guardScript makes the tables, or makes them anew, in one transaction.
func guardScript() string {
	from, to := fmt.Sprintf(guardDevices, "iifname"), fmt.Sprintf(guardDevices, "oifname")
	return noGuardScript + fmt.Sprintf(`
table inet %[1]s {
	chain from { type filter hook prerouting priority raw; %[2]s; }
	chain to { type filter hook postrouting priority raw; %[3]s; }
}
table arp %[1]s {
	chain from { type filter hook input priority 0; %[2]s; }
	chain to { type filter hook output priority 0; %[3]s; }
}
`, guardTable, from, to)
}

// noGuardScript takes the tables away, if they are there.
const noGuardScript = "add table inet " + guardTable + "\ndelete table inet " + guardTable + "\nadd table arp " + guardTable + "\ndelete table arp " + guardTable

// guard puts the guard up, unless that has just been done. Without it everything works, but for the time before a device has its program.
func (p *Plane) guard() {
	if time.Since(p.guarded) < guardEvery {
		return
	}
	p.guarded = time.Now()
	err := linux.Nft("", guardScript())
	if err != nil && !p.unguarded {
		p.cfg.Logger.Error("nothing keeps an instance from the host before its interface is programmed", "error", err)
	}
	p.unguarded = err != nil
}

// noGuard takes the guard down.
func noGuard() error {
	if err := linux.Nft("", noGuardScript); err != nil && !errors.Is(err, linux.ErrNoNft) {
		return err
	}
	return nil
}
