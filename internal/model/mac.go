package model

import (
	"encoding/hex"
	"errors"
	"fmt"
)

// MAC is an Ethernet address. The zero MAC means "none" and prints as the empty string.
type MAC [6]byte

// ErrBadMAC is returned for text that is not six pairs of hexadecimal digits joined by ':' or '-'.
var ErrBadMAC = errors.New("not a MAC address")

// Broadcast is the Ethernet broadcast address.
var Broadcast = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// ParseMAC reads aa:bb:cc:dd:ee:ff in either case, also with '-' for ':'.
func ParseMAC(s string) (MAC, error) {
	var m MAC
	if len(s) != 17 {
		return MAC{}, fmt.Errorf("%q: %w", s, ErrBadMAC)
	}
	sep := s[2]
	if sep != ':' && sep != '-' {
		return MAC{}, fmt.Errorf("%q: %w", s, ErrBadMAC)
	}
	for i := range m {
		if i > 0 && s[3*i-1] != sep {
			return MAC{}, fmt.Errorf("%q: %w", s, ErrBadMAC)
		}
		if _, err := hex.Decode(m[i:i+1], []byte(s[3*i:3*i+2])); err != nil {
			return MAC{}, fmt.Errorf("%q: %w", s, ErrBadMAC)
		}
	}
	return m, nil
}

// IsZero reports whether m is "none".
func (m MAC) IsZero() bool { return m == MAC{} }

// IsMulticast reports whether the group bit is set (broadcast included).
func (m MAC) IsMulticast() bool { return m[0]&1 == 1 }

// Append appends m as lower-case aa:bb:cc:dd:ee:ff, nothing for the zero MAC.
func (m MAC) Append(b []byte) []byte {
	if m.IsZero() {
		return b
	}
	for i := range m {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, hexDigits[m[i]>>4], hexDigits[m[i]&15])
	}
	return b
}

func (m MAC) String() string { return string(m.Append(make([]byte, 0, 17))) }

// MarshalText implements encoding.TextMarshaler.
func (m MAC) MarshalText() ([]byte, error) { return m.Append(make([]byte, 0, 17)), nil }

// UnmarshalText implements encoding.TextUnmarshaler; the empty text is the zero MAC.
func (m *MAC) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*m = MAC{}
		return nil
	}
	v, err := ParseMAC(string(b))
	if err != nil {
		return err
	}
	*m = v
	return nil
}
