package wire

import (
	"bytes"
	"cmp"
	"slices"

	"google.golang.org/protobuf/proto"
)

// Version is the version of a body: its 64-bit FNV-1a hash.
func Version(body []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range body {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

// Encode is the body of a message. It panics if the message is none of ours: those always encode.
func Encode(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic("wire: messages of ours always encode: " + err.Error()) // only invalid UTF-8 or missing required fields fail
	}
	return b
}

// ComparePrefixes is the order of the prefixes in an AddressSet: IPv4 first, by address, the shorter prefix first.
func ComparePrefixes(a, b *Prefix) int {
	return cmp.Or(cmp.Compare(len(a.Address), len(b.Address)), bytes.Compare(a.Address, b.Address), cmp.Compare(a.Bits, b.Bits))
}

// DiffSets says what makes new of old, both in order.
func DiffSets(old, new []*Prefix) (added, removed []*Prefix) {
	for len(old) > 0 && len(new) > 0 {
		switch c := ComparePrefixes(old[0], new[0]); {
		case c == 0:
			old, new = old[1:], new[1:]
		case c < 0:
			removed, old = append(removed, old[0]), old[1:]
		default:
			added, new = append(added, new[0]), new[1:]
		}
	}
	return append(added, new...), append(removed, old...)
}

// Apply makes the change in a set's prefixes, in order; the result is in order, and the change's lists are sorted.
func (c *SetChange) Apply(set []*Prefix) []*Prefix {
	slices.SortFunc(c.Added, ComparePrefixes)
	slices.SortFunc(c.Removed, ComparePrefixes)
	out := make([]*Prefix, 0, len(set)+len(c.Added))
	added, removed := c.Added, c.Removed
	for _, p := range set {
		for len(added) > 0 && ComparePrefixes(added[0], p) < 0 {
			out, added = append(out, added[0]), added[1:]
		}
		for len(removed) > 0 && ComparePrefixes(removed[0], p) < 0 {
			removed = removed[1:]
		}
		if len(removed) == 0 || ComparePrefixes(removed[0], p) != 0 {
			out = append(out, p)
		}
	}
	return append(out, added...)
}
