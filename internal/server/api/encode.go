package api

import (
	"encoding/json"
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/weft-cloud/weft/internal/model"
)

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				b = append(append(b, s[start:i]...), `\ufffd`...)
				start = i + n
			}
			i += n
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(b, s[start:]...), '"')
}

// appendStringOrNull appends null for the empty string.
func appendStringOrNull(b []byte, s string) []byte {
	if s == "" {
		return append(b, "null"...)
	}
	return appendString(b, s)
}

func appendBool(b []byte, v bool) []byte { return strconv.AppendBool(b, v) }

// appendUUID appends null for the zero UUID.
func appendUUID(b []byte, u model.UUID) []byte {
	if u.IsZero() {
		return append(b, "null"...)
	}
	return append(u.Append(append(b, '"')), '"')
}

// appendMAC appends "" for the zero MAC.
func appendMAC(b []byte, m model.MAC) []byte { return append(m.Append(append(b, '"')), '"') }

// appendAddr appends null for the invalid address.
func appendAddr(b []byte, a netip.Addr) []byte {
	if !a.IsValid() {
		return append(b, "null"...)
	}
	return append(a.AppendTo(append(b, '"')), '"')
}

func appendPrefix(b []byte, p netip.Prefix) []byte {
	if !p.IsValid() {
		return append(b, "null"...)
	}
	return append(p.AppendTo(append(b, '"')), '"')
}

// appendTime appends "2026-11-22T08:40:30Z".
func appendTime(b []byte, t model.Time) []byte {
	return append(time.Unix(int64(t), 0).UTC().AppendFormat(append(b, '"'), time.RFC3339), '"')
}

// appendSpaceTime appends "2026-11-22 08:40:30", the form of the agents' times; null for never.
func appendSpaceTime(b []byte, t model.Time) []byte {
	if t == 0 {
		return append(b, "null"...)
	}
	return append(time.Unix(int64(t), 0).UTC().AppendFormat(append(b, '"'), time.DateTime), '"')
}

// appendRaw appends stored JSON, {} for none.
func appendRaw(b []byte, raw json.RawMessage) []byte {
	if len(raw) == 0 {
		return append(b, '{', '}')
	}
	return append(b, raw...)
}

// appendRawOrNull appends stored JSON, null for none.
func appendRawOrNull(b []byte, raw json.RawMessage) []byte {
	if len(raw) == 0 {
		return append(b, "null"...)
	}
	return append(b, raw...)
}

// appendList appends a JSON list of what one appends for each item.
func appendList[E any](b []byte, items []E, one func([]byte, E) []byte) []byte {
	b = append(b, '[')
	for i, v := range items {
		if i > 0 {
			b = append(b, ',', ' ')
		}
		b = one(b, v)
	}
	return append(b, ']')
}

func appendStrings(b []byte, items []string) []byte { return appendList(b, items, appendString) }

// appendRoutes appends routes as destination and nexthop.
func appendRoutes(b []byte, routes []model.Route) []byte {
	return appendList(b, routes, func(b []byte, r model.Route) []byte {
		b = appendPrefix(append(b, `{"destination": `...), r.Destination)
		b = appendAddr(append(b, `, "nexthop": `...), r.NextHop)
		return append(b, '}')
	})
}
