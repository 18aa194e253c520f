package dhcpoption

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
)

// errValue is wrapped by every complaint about the text of an option.
var errValue = errors.New("bad value")

// encode makes the bytes of an option from its text. v6 says which family its addresses must be of.
func encode(s shape, text string, v6 bool) ([]byte, error) {
	switch s {
	case shapeText:
		return []byte(unquote(text)), nil
	case shapeAddrs:
		return Addresses(text, v6)
	case shapeU8:
		return encodeUint(text, 1)
	case shapeU16:
		return encodeUint(text, 2)
	case shapeU32:
		return encodeUint(text, 4)
	case shapeBool:
		return encodeBool(text)
	case shapeFlag:
		return nil, nil
	case shapeNames:
		return Names(text)
	case shapeRoutes:
		return encodeRoutes(text)
	case shapePairs:
		b, err := Addresses(text, false)
		if err == nil && len(b)%8 != 0 {
			return nil, fmt.Errorf("%q is not pairs of addresses: %w", text, errValue)
		}
		return b, err
	case shapeSIP:
		return encodeSIP(text)
	case shapeStrings:
		return encodeStrings(text), nil
	case shapeNTP6:
		return encodeNTP6(text)
	case shapeBinary:
		if b, ok := hexBytes(text); ok {
			return b, nil
		}
		return []byte(unquote(text)), nil
	default:
		return guess(text, v6), nil
	}
}

func unquote(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	return s
}

func fields(text string) []string {
	parts := strings.Split(text, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

// parseAddr also takes an IPv6 address in the brackets in which dnsmasq wants it.
func parseAddr(s string, v6 bool) (netip.Addr, error) {
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		s = s[1 : len(s)-1]
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Is4() == v6 || a.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%q is no IPv%s address: %w", s, map[bool]string{false: "4", true: "6"}[v6], errValue)
	}
	return a, nil
}

// Addresses reads a comma-separated list of addresses of one family.
func Addresses(text string, v6 bool) ([]byte, error) {
	var out []byte
	for _, f := range fields(text) {
		a, err := parseAddr(f, v6)
		if err != nil {
			return nil, err
		}
		out = append(out, a.AsSlice()...)
	}
	return out, nil
}

func encodeUint(text string, size int) ([]byte, error) {
	text = strings.TrimSpace(text)
	if text == "infinite" && size == 4 {
		return []byte{255, 255, 255, 255}, nil
	}
	n, err := strconv.ParseInt(text, 0, 64)
	top := int64(1)<<(8*size) - 1
	if err != nil || n > top || n < math.MinInt32 || n < -(top/2+1) {
		return nil, fmt.Errorf("%q is no number of %d bits: %w", text, 8*size, errValue)
	}
	return binary.BigEndian.AppendUint64(nil, uint64(n))[8-size:], nil //nolint:gosec // negative numbers in two's complement (time-offset)
}

func encodeBool(text string) ([]byte, error) {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "1", "true", "yes":
		return []byte{1}, nil
	case "0", "false", "no":
		return []byte{0}, nil
	}
	return nil, fmt.Errorf("%q is neither 0 nor 1: %w", text, errValue)
}

// AppendName appends one name in the form of RFC 1035, section 3.1.
func AppendName(out []byte, name string) ([]byte, error) {
	start := len(out)
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		if label == "" || len(label) > 63 {
			return nil, fmt.Errorf("%q is no domain name: %w", name, errValue)
		}
		out = append(out, byte(len(label)))
		out = append(out, label...)
	}
	out = append(out, 0)
	if len(out)-start > 255 {
		return nil, fmt.Errorf("%q is longer than a domain name may be: %w", name, errValue)
	}
	return out, nil
}

// Names reads a comma-separated list of domain names.
func Names(text string) ([]byte, error) {
	var out []byte
	var err error
	for _, f := range fields(unquote(text)) {
		if out, err = AppendName(out, f); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// AppendRoute appends one IPv4 route as RFC 3442 wants it: the length, the bytes of the prefix that matter, the gateway.
func AppendRoute(out []byte, dst netip.Prefix, via netip.Addr) []byte {
	bits := dst.Bits()
	out = append(out, byte(bits)) //nolint:gosec // 0..32
	a := dst.Masked().Addr().As4()
	out = append(out, a[:(bits+7)/8]...)
	gw := via.As4()
	return append(out, gw[:]...)
}

func encodeRoutes(text string) ([]byte, error) {
	if b, ok := hexBytes(text); ok {
		return b, nil
	}
	f := fields(text)
	if len(f)%2 != 0 {
		return nil, fmt.Errorf("%q is not pairs of prefix and gateway: %w", text, errValue)
	}
	var out []byte
	for i := 0; i < len(f); i += 2 {
		dst, err := parsePrefix4(f[i])
		if err != nil {
			return nil, err
		}
		via, err := parseAddr(f[i+1], false)
		if err != nil {
			return nil, err
		}
		out = AppendRoute(out, dst, via)
	}
	return out, nil
}

func parsePrefix4(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := parseAddr(s, false)
		if err != nil {
			return netip.Prefix{}, err
		}
		if a.IsUnspecified() {
			return netip.PrefixFrom(a, 0), nil
		}
		return netip.PrefixFrom(a, 32), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || !p.Addr().Is4() {
		return netip.Prefix{}, fmt.Errorf("%q is no IPv4 prefix: %w", s, errValue)
	}
	return p, nil
}

func encodeSIP(text string) ([]byte, error) {
	if b, err := Addresses(text, false); err == nil {
		return append([]byte{1}, b...), nil
	}
	b, err := Names(text)
	if err != nil {
		return nil, err
	}
	return append([]byte{0}, b...), nil
}

func encodeStrings(text string) []byte {
	var out []byte
	for _, f := range fields(text) {
		f = unquote(f)
		f = f[:min(len(f), math.MaxUint16)]
		out = binary.BigEndian.AppendUint16(out, uint16(len(f))) //nolint:gosec // bounded above
		out = append(out, f...)
	}
	return out
}

// encodeNTP6 writes addresses as suboption 1 (or 2, for multicast) and names as suboption 3 (RFC 5908, section 4).
func encodeNTP6(text string) ([]byte, error) {
	var out []byte
	for _, f := range fields(text) {
		sub, body := uint16(1), []byte(nil)
		if a, err := parseAddr(f, true); err == nil {
			body = a.AsSlice()
			if a.IsMulticast() {
				sub = 2
			}
		} else if sub = 3; body == nil {
			if body, err = AppendName(nil, f); err != nil {
				return nil, err
			}
		}
		out = binary.BigEndian.AppendUint16(out, sub)
		out = binary.BigEndian.AppendUint16(out, uint16(len(body))) //nolint:gosec // at most 255
		out = append(out, body...)
	}
	return out, nil
}

// hexBytes reads "aa:bb:0c"; a single pair of digits is a number and no hex.
func hexBytes(s string) ([]byte, bool) {
	parts := strings.Split(strings.TrimSpace(s), ":")
	if len(parts) < 2 {
		return nil, false
	}
	out := make([]byte, 0, len(parts))
	for _, p := range parts {
		if len(p) == 1 {
			p = "0" + p
		}
		b, err := hex.DecodeString(p)
		if err != nil || len(b) != 1 {
			return nil, false
		}
		out = append(out, b[0])
	}
	return out, true
}

// guess reads the value of an option that no table knows, as dnsmasq does: quoted is text, all addresses is a list of
// them, pairs of hexadecimal digits are bytes, a decimal number takes the least of 1, 2 or 4 bytes; all else is text.
func guess(text string, v6 bool) []byte {
	if q := unquote(text); q != text {
		return []byte(q)
	}
	if b, err := Addresses(text, v6); err == nil {
		return b
	}
	if b, ok := hexBytes(text); ok {
		return b
	}
	if n, err := strconv.ParseUint(text, 10, 32); err == nil {
		size := 4
		if n <= math.MaxUint8 {
			size = 1
		} else if n <= math.MaxUint16 {
			size = 2
		}
		return binary.BigEndian.AppendUint32(nil, uint32(n))[4-size:]
	}
	return []byte(text)
}
