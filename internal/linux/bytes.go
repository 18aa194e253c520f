package linux

import "encoding/binary"

func htons(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}

func hostUint64(b []byte) uint64 { return binary.NativeEndian.Uint64(b) }
