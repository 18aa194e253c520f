package dhcp

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// Identity associations and their parts (RFC 8415, section 21).
const (
	optIANA   = 3
	optIATA   = 4
	optIAAddr = 5
	optStatus = 13
	optIAPD   = 25
)

const (
	statusSuccess      = 0
	statusNoAddrs      = 2
	statusNotOnLink    = 4
	statusNoPrefix     = 6
	iaHead, iaAddrHead = 12, 24
)

func status(code uint16, text string) []byte {
	return appendTLV(nil, optStatus, append(binary.BigEndian.AppendUint16(nil, code), text...))
}

func iaAddress(o tlv) (netip.Addr, bool) {
	if o.code != optIAAddr || len(o.data) < iaAddrHead {
		return netip.Addr{}, false
	}
	return netip.AddrFrom16([16]byte(o.data[:16])), true
}

// associations answers each identity association of the message. The addresses of the port go to one of them: the one that
// has one of them already, else the first.
func (r *request6) associations(fill func(iaid []byte, subs []tlv) []byte) []byte {
	var out []byte
	chosen := r.choose()
	for i, o := range r.opts {
		switch o.code {
		case optIANA:
			if len(o.data) < iaHead {
				r.notes = append(r.notes, "an identity association cut short")
				continue
			}
			subs, err := parseOptions(o.data[iaHead:])
			if err != nil {
				r.notes = append(r.notes, err.Error())
				continue
			}
			body := append([]byte{}, o.data[:4]...)
			if i != chosen || len(r.conf.Addresses) == 0 {
				body = append(body, 0, 0, 0, 0, 0, 0, 0, 0)
				body = append(body, status(statusNoAddrs, "the port has no further address by DHCPv6")...)
			} else {
				t1, t2 := r.times()
				body = binary.BigEndian.AppendUint32(body, t1)
				body = binary.BigEndian.AppendUint32(body, t2)
				body = append(body, fill(o.data[:4], subs)...)
			}
			out = appendTLV(out, optIANA, body)
		case optIATA:
			if len(o.data) >= 4 {
				out = appendTLV(out, optIATA, append(append([]byte{}, o.data[:4]...), status(statusNoAddrs, "no temporary addresses")...))
			}
		case optIAPD:
			if len(o.data) >= iaHead {
				body := append(append([]byte{}, o.data[:4]...), 0, 0, 0, 0, 0, 0, 0, 0)
				out = appendTLV(out, optIAPD, append(body, status(statusNoPrefix, "no prefixes are delegated")...))
			}
		}
	}
	return out
}

func (r *request6) choose() int {
	first := -1
	for i, o := range r.opts {
		if o.code != optIANA || len(o.data) < iaHead {
			continue
		}
		if first < 0 {
			first = i
		}
		subs, err := parseOptions(o.data[iaHead:])
		if err != nil {
			continue
		}
		for _, s := range subs {
			if a, ok := iaAddress(s); ok && slices.Contains(r.conf.Addresses, a) {
				return i
			}
		}
	}
	return first
}

// times are T1 and T2: half and four fifths of the lease (RFC 8415, section 21.4).
func (r *request6) times() (t1, t2 uint32) {
	secs := r.conf.LeaseSeconds
	if secs == Infinite {
		return Infinite, Infinite
	}
	return secs / 2, uint32(uint64(secs) * 4 / 5) //nolint:gosec // less than secs
}

// lease lists the port's addresses, and those that the client has but should not with lifetimes of 0.
func (r *request6) lease(_ []byte, subs []tlv) []byte {
	var out []byte
	one := func(a netip.Addr, secs uint32) {
		body := a.AsSlice()
		body = binary.BigEndian.AppendUint32(body, secs)
		body = binary.BigEndian.AppendUint32(body, secs)
		out = appendTLV(out, optIAAddr, body)
	}
	for _, a := range r.conf.Addresses {
		one(a, r.conf.LeaseSeconds)
	}
	if r.kind != msgRenew && r.kind != msgRebind {
		return out
	}
	const most = 16 // more than that no honest client holds
	for _, s := range subs[:min(len(subs), most)] {
		if a, ok := iaAddress(s); ok && !slices.Contains(r.conf.Addresses, a) {
			one(a, 0)
		}
	}
	return out
}
