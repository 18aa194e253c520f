package linux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Connection is an entry of the kernel's connection tracking: its first packet as it came, and the answer as it is awaited.
// Without NAT one is the other with the sides changed.
type Connection struct {
	Protocol    uint8
	Orig, Reply Tuple
	// Expected: a helper has opened the way for it.
	Expected bool
}

// Tuple is one direction of a Connection. Ports are 0 for protocols without.
type Tuple struct {
	Src, Dst         netip.Addr
	SrcPort, DstPort uint16
}

// EndConnections deletes the IPv4 connections of a namespace for which end says so, and returns how many. What belongs to
// them is seen as new, or as invalid, from then on.
func EndConnections(ns string, end func(Connection) bool) (n int, err error) {
	err = InNetns(ns, func() error {
		entries, err := retryDump(func() ([][]byte, error) {
			return conntrackRequest(nl.IPCTNL_MSG_CT_GET, unix.NLM_F_DUMP).Execute(unix.NETLINK_NETFILTER, 0)
		})
		if err != nil {
			return err
		}
		for _, e := range entries {
			if len(e) < nl.SizeofNfgenmsg || !end(parseConnection(e[nl.SizeofNfgenmsg:])) {
				continue
			}
			req := conntrackRequest(nl.IPCTNL_MSG_CT_DELETE, unix.NLM_F_ACK)
			req.AddRawData(e[nl.SizeofNfgenmsg:]) // it names itself, by number too
			if _, err := req.Execute(unix.NETLINK_NETFILTER, 0); err != nil && !errors.Is(err, unix.ENOENT) {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil {
		return n, fmt.Errorf("end connections: %w", err)
	}
	return n, nil
}

func conntrackRequest(operation, flags int) *nl.NetlinkRequest {
	req := nl.NewNetlinkRequest(netlink.ConntrackTable<<8|operation, flags)
	req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_INET, Version: nl.NFNETLINK_V0})
	return req
}

// Of linux/netfilter/nfnetlink_conntrack.h and nf_conntrack_common.h.
const (
	ctaTupleOrig, ctaTupleReply, ctaStatus = 1, 2, 3
	ctaTupleIP, ctaTupleProto              = 1, 2
	ctaIPSrc, ctaIPDst                     = 1, 2
	ctaProtoNum, ctaSrcPort, ctaDstPort    = 1, 2, 3
	ipsExpected                            = 1
)

func parseConnection(b []byte) (c Connection) {
	eachAttr(b, func(kind uint16, v []byte) {
		switch kind {
		case ctaTupleOrig:
			c.Protocol, c.Orig = parseTuple(v)
		case ctaTupleReply:
			_, c.Reply = parseTuple(v)
		case ctaStatus:
			c.Expected = len(v) == 4 && binary.BigEndian.Uint32(v)&ipsExpected != 0
		}
	})
	return c
}

func parseTuple(b []byte) (protocol uint8, t Tuple) {
	eachAttr(b, func(kind uint16, v []byte) {
		eachAttr(v, func(part uint16, v []byte) {
			switch {
			case kind == ctaTupleIP && part == ctaIPSrc:
				t.Src, _ = netip.AddrFromSlice(v)
			case kind == ctaTupleIP && part == ctaIPDst:
				t.Dst, _ = netip.AddrFromSlice(v)
			case kind == ctaTupleProto && part == ctaProtoNum && len(v) == 1:
				protocol = v[0]
			case kind == ctaTupleProto && part == ctaSrcPort && len(v) == 2:
				t.SrcPort = binary.BigEndian.Uint16(v)
			case kind == ctaTupleProto && part == ctaDstPort && len(v) == 2:
				t.DstPort = binary.BigEndian.Uint16(v)
			}
		})
	})
	return protocol, t
}

// eachAttr goes through netlink attributes; the flag of nested ones is taken off. It ends where they make no sense.
func eachAttr(b []byte, each func(kind uint16, value []byte)) {
	for len(b) >= unix.SizeofNlAttr {
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofNlAttr || n > len(b) {
			return
		}
		each(binary.NativeEndian.Uint16(b[2:])&nl.NLA_TYPE_MASK, b[unix.SizeofNlAttr:n])
		b = b[min((n+3)&^3, len(b)):]
	}
}
