package config

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted is what a Secret shows of itself.
const redacted = "***"

// Secret is a password or a key. It prints as *** by every verb of fmt, in JSON and in slog; also as a field of a struct
// that fmt walks by reflection, which is why it holds a pointer. The zero Secret is "none".
type Secret struct{ p *string }

// NewSecret makes a Secret of s; the empty s makes the zero Secret.
func NewSecret(s string) Secret {
	if s == "" {
		return Secret{}
	}
	return Secret{p: &s}
}

// Reveal is the secret itself. Call it where it is put on the wire and nowhere else.
func (s Secret) Reveal() string {
	if s.p == nil {
		return ""
	}
	return *s.p
}

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.p == nil }

// Equal compares what is hidden.
func (s Secret) Equal(t Secret) bool { return s.Reveal() == t.Reveal() }

// String is "***", or "" for the zero Secret.
func (s Secret) String() string {
	if s.p == nil {
		return ""
	}
	return redacted
}

// Format implements fmt.Formatter for all verbs, %#v and %x included.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText implements encoding.TextMarshaler, and so JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
