package dptest

import (
	"fmt"
	"hash/fnv"
)

// Share is a part of the table of hard packets for one of several kinds of wire. The zero value is the whole table.
type Share struct {
	// part of parts, from 1; parts 0: all.
	part, parts int
}

// ParseShare reads "k/n", the k-th of n shares; "" is the whole table.
func ParseShare(text string) (Share, error) {
	if text == "" {
		return Share{}, nil
	}
	var s Share
	if n, err := fmt.Sscanf(text, "%d/%d", &s.part, &s.parts); err != nil || n != 2 || s.part < 1 || s.part > s.parts || text != s.String() {
		return Share{}, fmt.Errorf("share %q: want k/n with 1 ≤ k ≤ n", text)
	}
	return s, nil
}

func (s Share) String() string {
	if s.parts == 0 {
		return "1/1"
	}
	return fmt.Sprintf("%d/%d", s.part, s.parts)
}

// takes reports whether the case is in the share for the kind of wire of that number. The kinds' shares are shifted against each other: with
// as many shares as kinds, each case is in one kind's share, and in another's in the next share. A case stays where it is when others
// come and go.
func (s Share) takes(name string, kind int) bool {
	if s.parts == 0 {
		return true
	}
	h := fnv.New32a()
	h.Write([]byte(name)) //nolint:errcheck // a hash never fails
	return (int(h.Sum32()>>1)+kind)%s.parts == s.part-1
}
