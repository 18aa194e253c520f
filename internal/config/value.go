package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/weft-cloud/weft/internal/model"
)

// errUnset is returned by a conversion for text that means "not set" (an empty number, as with oslo.config).
var errUnset = errors.New("not set")

func parseBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true", "1", "on", "yes":
		return true, nil
	case "false", "0", "off", "no":
		return false, nil
	}
	return false, fmt.Errorf("%q is not a boolean; write true or false (1/0, yes/no and on/off are taken, too)", s)
}

func parseInt(s string) (int64, error) {
	t := strings.TrimSpace(s)
	if t == "" {
		return 0, errUnset
	}
	n, err := strconv.ParseInt(pythonDigits(t), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number; write digits only", s)
	}
	return n, nil
}

// pythonDigits drops the single underscores that Python allows between digits, so that 16_384 stays what it was.
func pythonDigits(s string) string {
	if strings.HasPrefix(s, "_") || strings.HasSuffix(s, "_") || strings.Contains(s, "__") {
		return s
	}
	return strings.ReplaceAll(s, "_", "")
}

func parseFloat(s string) (float64, error) {
	t := strings.TrimSpace(s)
	if t == "" {
		return 0, errUnset
	}
	f, err := strconv.ParseFloat(pythonDigits(t), 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number; write it as 1.5", s)
	}
	return f, nil
}

// parseList splits at commas, trims each part and drops one or more commas at the end, as oslo.config's List does.
// Empty parts in the middle stay.
func parseList(s string) []string {
	t := strings.TrimRight(strings.TrimSpace(s), ",")
	if t == "" {
		return nil
	}
	parts := strings.Split(t, ",")
	for i, p := range parts {
		parts[i] = strings.TrimSpace(p)
	}
	return parts
}

// Pair is one `key:value` of an option that maps, in the order of the file.
type Pair struct{ Key, Value string }

// parsePairs reads key:value pairs separated by commas; keys are unique, neither part is empty. Values are unique as well
// if uniqueValues (a bridge carries one physical network).
func parsePairs(s string, uniqueValues bool) ([]Pair, error) {
	var out []Pair
	for _, part := range parseList(s) {
		if part == "" {
			continue
		}
		k, v, ok := strings.Cut(part, ":")
		k, v = strings.TrimSpace(k), strings.TrimSpace(v)
		if !ok || k == "" || v == "" {
			return nil, fmt.Errorf("%q is no pair; write name:value pairs separated by commas", part)
		}
		for _, p := range out {
			if p.Key == k {
				return nil, fmt.Errorf("%q is given twice; keep one of %s:%s and %s:%s", k, k, p.Value, k, v)
			}
			if uniqueValues && p.Value == v {
				return nil, fmt.Errorf("%q stands behind both %q and %q; give each its own", v, p.Key, k)
			}
		}
		out = append(out, Pair{Key: k, Value: v})
	}
	return out, nil
}

func parseMAC(s string) (model.MAC, error) {
	m, err := model.ParseMAC(strings.TrimSpace(s))
	if err != nil {
		return m, fmt.Errorf("%w; write six pairs of hexadecimal digits, as fa:16:3e:00:00:00", err)
	}
	if m.IsMulticast() {
		return m, fmt.Errorf("%s is a group address; its first octet must be even", m)
	}
	return m, nil
}

func parseAddr(s string) (netip.Addr, error) {
	t := strings.TrimSpace(s)
	if t == "" {
		return netip.Addr{}, nil
	}
	a, err := netip.ParseAddr(t)
	if err != nil {
		return a, fmt.Errorf("%q is not an IP address; write one as 192.168.70.11 or fd00::11, without a prefix length", s)
	}
	return a.Unmap(), nil
}

// Range is an inclusive range of numbers: of VNIs, of VLAN tags.
type Range struct{ First, Last uint32 }

// parseRange reads "first:last", both within [low, high].
func parseRange(s string, low, high uint32) (Range, error) {
	a, b, ok := strings.Cut(s, ":")
	first, errA := strconv.ParseUint(strings.TrimSpace(a), 10, 32)
	last, errB := strconv.ParseUint(strings.TrimSpace(b), 10, 32)
	if !ok || errA != nil || errB != nil {
		return Range{}, fmt.Errorf("%q is not a range; write first:last, as 10:100", s)
	}
	if first > last {
		return Range{}, fmt.Errorf("range %q ends before it begins; write %d:%d", s, last, first)
	}
	if first < uint64(low) || last > uint64(high) {
		return Range{}, fmt.Errorf("range %q leaves %d to %d; choose within", s, low, high)
	}
	return Range{First: uint32(first), Last: uint32(last)}, nil
}

// parseRanges reads ranges separated by commas that do not overlap.
func parseRanges(s string, low, high uint32) ([]Range, error) {
	var out []Range
	for _, part := range parseList(s) {
		if part == "" {
			continue
		}
		r, err := parseRange(part, low, high)
		if err != nil {
			return nil, err
		}
		for _, o := range out {
			if r.First <= o.Last && o.First <= r.Last {
				return nil, fmt.Errorf("ranges %d:%d and %d:%d overlap; make them one", o.First, o.Last, r.First, r.Last)
			}
		}
		out = append(out, r)
	}
	return out, nil
}

// VLANRange is a physical network and the VLAN tags that tenant networks may take on it; none: provider networks only.
type VLANRange struct {
	PhysicalNetwork string
	Tags            []Range
}

// parseVLANRanges reads <physical_network>[:<first>:<last>], repeated names adding to their tags.
func parseVLANRanges(s string) ([]VLANRange, error) {
	var out []VLANRange
	for _, part := range parseList(s) {
		name, tags, ranged := strings.Cut(part, ":")
		name = strings.TrimSpace(name)
		if name == "" {
			return nil, fmt.Errorf("%q names no physical network; write physical_network:first:last", part)
		}
		i := 0
		for i < len(out) && out[i].PhysicalNetwork != name {
			i++
		}
		if i == len(out) {
			out = append(out, VLANRange{PhysicalNetwork: name})
		}
		if !ranged {
			continue
		}
		r, err := parseRange(tags, 1, 4094)
		if err != nil {
			return nil, fmt.Errorf("physical network %s: %w", name, err)
		}
		out[i].Tags = append(out[i].Tags, r)
	}
	return out, nil
}

// parseSeconds reads a whole or fractional number of seconds.
func parseSeconds(s string) (time.Duration, error) {
	f, err := parseFloat(s)
	if err != nil {
		return 0, err
	}
	if f > 1e9 || f < -1e9 || f != f {
		return 0, fmt.Errorf("%q seconds cannot be meant; write a number of seconds", s)
	}
	return time.Duration(f * float64(time.Second)), nil
}
