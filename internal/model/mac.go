package model

import (
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
	m, ok := macOf(s)
	if !ok {
		return MAC{}, fmt.Errorf("%q: %w", s, ErrBadMAC)
	}
	return m, nil
}

func macOf[S string | []byte](s S) (m MAC, ok bool) {
	if len(s) != 17 || s[2] != ':' && s[2] != '-' {
		return MAC{}, false
	}
	for i := range m {
		high, low := unhex[s[3*i]], unhex[s[3*i+1]]
		if i > 0 && s[3*i-1] != s[2] || high|low == noDigit {
			return MAC{}, false
		}
		m[i] = high<<4 | low
	}
	return m, true
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
	v, ok := macOf(b)
	if !ok {
		return fmt.Errorf("%q: %w", b, ErrBadMAC)
	}
	*m = v
	return nil
}
