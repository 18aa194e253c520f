package model

import (
	"bytes"
	"errors"
	"fmt"
)

// UUID is the 128 bits of an identifier. The zero UUID means "none" and prints as the empty string.
type UUID [16]byte

// ErrBadUUID is returned for text that is not a UUID in its canonical or its undashed form.
var ErrBadUUID = errors.New("not a UUID")

// ParseUUID accepts the canonical 36 characters and, as Keystone's clients send them, 32 hexadecimal ones.
func ParseUUID(s string) (UUID, error) {
	u, ok := uuidOf(s)
	if !ok {
		return UUID{}, fmt.Errorf("%q: %w", s, ErrBadUUID)
	}
	return u, nil
}

// uuidOf reads a UUID and makes no garbage: a start reads half a million.
func uuidOf[S string | []byte](s S) (u UUID, ok bool) {
	dashes := len(s) == 36
	if !dashes && len(s) != 32 {
		return UUID{}, false
	}
	at := 0
	for i := range u {
		if dashes && (i == 4 || i == 6 || i == 8 || i == 10) {
			if s[at] != '-' {
				return UUID{}, false
			}
			at++
		}
		high, low := unhex[s[at]], unhex[s[at+1]]
		if high|low == noDigit {
			return UUID{}, false
		}
		u[i] = high<<4 | low
		at += 2
	}
	return u, true
}

// noDigit is what unhex says of anything but a hexadecimal digit; or with any digit, it stays what it is.
const noDigit = 0xff

var unhex = func() (t [256]byte) {
	for c := range t {
		t[c] = noDigit
	}
	for i := range byte(16) {
		t[hexDigits[i]] = i
		t["0123456789ABCDEF"[i]] = i
	}
	return t
}()

// NewUUIDv4 makes a version 4 UUID (RFC 9562, section 5.4) of 16 random bytes.
func NewUUIDv4(random [16]byte) UUID {
	random[6] = random[6]&0x0f | 0x40
	random[8] = random[8]&0x3f | 0x80
	return UUID(random)
}

// IsZero reports whether u is the zero UUID, "none".
func (u UUID) IsZero() bool { return u == UUID{} }

// Compare orders UUIDs as their canonical texts are ordered.
func (u UUID) Compare(v UUID) int { return bytes.Compare(u[:], v[:]) }

// Append appends the canonical text of u, nothing for the zero UUID.
func (u UUID) Append(b []byte) []byte {
	if u.IsZero() {
		return b
	}
	var text [36]byte // a port shows some eight of them: written in one go, they take a third of the time
	at := 0
	for i, v := range u {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			text[at] = '-'
			at++
		}
		text[at], text[at+1] = hexDigits[v>>4], hexDigits[v&15]
		at += 2
	}
	return append(b, text[:]...)
}

const hexDigits = "0123456789abcdef"

func (u UUID) String() string { return string(u.Append(make([]byte, 0, 36))) }

// MarshalText implements encoding.TextMarshaler.
func (u UUID) MarshalText() ([]byte, error) { return u.Append(make([]byte, 0, 36)), nil }

// UnmarshalText implements encoding.TextUnmarshaler; the empty text is the zero UUID.
func (u *UUID) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*u = UUID{}
		return nil
	}
	v, ok := uuidOf(b)
	if !ok {
		return fmt.Errorf("%q: %w", b, ErrBadUUID)
	}
	*u = v
	return nil
}

// The identifiers, one type per resource, so that a subnet's is never taken for a port's. Each embeds UUID and with it
// its text forms and order. `id.UUID` gives the bare bits where a generic table wants them.
type (
	NetworkID           struct{ UUID }
	SegmentID           struct{ UUID }
	SubnetID            struct{ UUID }
	SubnetPoolID        struct{ UUID }
	PortID              struct{ UUID }
	RouterID            struct{ UUID }
	AgentID             struct{ UUID }
	SecurityGroupID     struct{ UUID }
	QoSPolicyID         struct{ UUID }
	SecurityGroupRuleID struct{ UUID }
	AddressGroupID      struct{ UUID }
	RBACPolicyID        struct{ UUID }
	FloatingIPID        struct{ UUID }
	AddressScopeID      struct{ UUID }
	PortForwardingID    struct{ UUID }
	ConntrackHelperID   struct{ UUID }
)

// DeviceName is the name of the interface that the hypervisor makes for the port: "tap" and the first 11 characters of
// the port's id (15 bytes is what the kernel allows, IFNAMSIZ).
func (id PortID) DeviceName() string { return "tap" + id.String()[:11] }

// Bits is the identifier without its type, for tables that hold any.
func (u UUID) Bits() UUID { return u }
