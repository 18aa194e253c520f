package linux

import (
	"encoding/binary"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// maxFilterMACs is how many MACs fit in a filter of 4096 instructions (BPF_MAXINSNS); with more, all of their kinds of frames are read.
const maxFilterMACs = 1900

// attach puts a filter in the place of the socket's, at once and whole.
func attach(fd int, program []bpf.Instruction) error {
	raw, err := bpf.Assemble(program)
	if err != nil {
		return err
	}
	prog := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		prog[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}) //nolint:gosec // at most 4096
}

// Where the filter's branches go.
const (
	atIPv4Port = 14 // is it 53?
	atIPv6     = 15
	atIPv6Port = 23
	atICMP6    = 24
	atDrop     = 27
	atAccept   = 28
	atMACs     = 29
)

// questions is the filter. The kernel has taken a VLAN tag out of the frame before it runs. DNS and HTTP are read only if they are for one
// of the MACs, groups' left out: on a wire that carries others' traffic there may be any amount of it.
func questions(macs map[[6]byte]bool) []bpf.Instruction {
	to := func(from int, cond bpf.JumpTest, val uint32, target int) bpf.Instruction {
		return bpf.JumpIf{Cond: cond, Val: val, SkipTrue: uint8(target - from - 1)} //nolint:gosec // less than 32
	}
	out := []bpf.Instruction{
		0:           bpf.LoadAbsolute{Off: 12, Size: 2},
		1:           to(1, bpf.JumpEqual, unix.ETH_P_ARP, atAccept),
		2:           to(2, bpf.JumpEqual, unix.ETH_P_IPV6, atIPv6),
		3:           to(3, bpf.JumpNotEqual, unix.ETH_P_IP, atDrop),
		4:           bpf.LoadAbsolute{Off: 20, Size: 2},
		5:           to(5, bpf.JumpBitsSet, 0x3fff, atDrop), // a fragment
		6:           bpf.LoadMemShift{Off: 14},
		7:           bpf.LoadAbsolute{Off: 23, Size: 1},
		8:           to(8, bpf.JumpEqual, unix.IPPROTO_TCP, 12),
		9:           to(9, bpf.JumpNotEqual, unix.IPPROTO_UDP, atDrop),
		10:          bpf.LoadIndirect{Off: 16, Size: 2},
		11:          bpf.JumpIf{Cond: bpf.JumpEqual, Val: 67, SkipTrue: atAccept - 12, SkipFalse: atIPv4Port - 12},
		12:          bpf.LoadIndirect{Off: 16, Size: 2},
		13:          to(13, bpf.JumpEqual, 80, atMACs),
		atIPv4Port:  bpf.JumpIf{Cond: bpf.JumpEqual, Val: 53, SkipTrue: atMACs - atIPv4Port - 1, SkipFalse: atDrop - atIPv4Port - 1},
		atIPv6:      bpf.LoadAbsolute{Off: 20, Size: 1},
		16:          to(16, bpf.JumpEqual, unix.IPPROTO_ICMPV6, atICMP6),
		17:          to(17, bpf.JumpEqual, unix.IPPROTO_TCP, 21),
		18:          to(18, bpf.JumpNotEqual, unix.IPPROTO_UDP, atDrop),
		19:          bpf.LoadAbsolute{Off: 56, Size: 2},
		20:          bpf.JumpIf{Cond: bpf.JumpEqual, Val: 547, SkipTrue: atAccept - 21, SkipFalse: atIPv6Port - 21},
		21:          bpf.LoadAbsolute{Off: 56, Size: 2},
		22:          to(22, bpf.JumpEqual, 80, atMACs),
		atIPv6Port:  bpf.JumpIf{Cond: bpf.JumpEqual, Val: 53, SkipTrue: atMACs - atIPv6Port - 1, SkipFalse: atDrop - atIPv6Port - 1},
		atICMP6:     bpf.LoadAbsolute{Off: 54, Size: 1},
		atICMP6 + 1: to(atICMP6+1, bpf.JumpEqual, 133, atAccept), // a router solicitation
		atICMP6 + 2: to(atICMP6+2, bpf.JumpEqual, 135, atAccept), // a neighbour solicitation
		atDrop:      bpf.RetConstant{Val: 0},
		atAccept:    bpf.RetConstant{Val: wholeFrame},
		atMACs:      bpf.LoadAbsolute{Off: 2, Size: 4}, // whoever reads compares the other two bytes
	}
	if len(macs) > maxFilterMACs {
		return append(out, bpf.RetConstant{Val: wholeFrame})
	}
	for mac := range macs {
		if mac[0]&1 == 0 {
			out = append(out, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: binary.BigEndian.Uint32(mac[2:]), SkipTrue: 1}, bpf.RetConstant{Val: wholeFrame})
		}
	}
	return append(out, bpf.RetConstant{Val: 0})
}

// wholeFrame is more than a frame can have.
const wholeFrame = 1 << 17
