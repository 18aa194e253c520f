package wire

import (
	"crypto/sha256"
	"encoding/binary"

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

// SetVersion is the version of an address set: its id's hash and the sums of its prefixes.
func SetVersion(m *AddressSet) uint64 {
	sum := Version(m.Id)
	for _, p := range m.Prefixes {
		sum += PrefixSum(p)
	}
	return sum
}

// PrefixSum is what a prefix adds to the version of a set that it comes to, modulo 2^64: a part of its SHA-256 sum.
func PrefixSum(p *Prefix) uint64 {
	var room [20]byte
	b := append(append(room[:0], p.Address...), byte(p.Bits)) //nolint:gosec // 128 at most
	h := sha256.Sum256(b)
	return binary.BigEndian.Uint64(h[:])
}
