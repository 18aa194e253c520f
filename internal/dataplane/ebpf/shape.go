package ebpf

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// semantics is raised when the pinned maps come to mean something else although no structure changes.
const semantics = "v2"

// layoutOf names the layout of all pinned maps: what they are, how large, and how their keys and values are built. Builds of
// the same layout share the maps; another layout has a directory of its own, and takes over (takeover.go).
func layoutOf(spec *ebpf.CollectionSpec) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(spec.Maps)) {
		if private[name] {
			continue
		}
		m := spec.Maps[name]
		fmt.Fprintf(&b, "%s %v %d %d %d %d\n", name, m.Type, m.KeySize, m.ValueSize, m.MaxEntries, m.Flags)
		for _, t := range []btf.Type{m.Key, m.Value} {
			if t != nil {
				s := shapeOf(t)
				for _, f := range slices.Sorted(maps.Keys(s.fields)) {
					fmt.Fprintf(&b, "  %s %v\n", f, s.fields[f])
				}
			}
		}
	}
	return fmt.Sprintf("%s-%x", semantics, sha256.Sum256([]byte(b.String())))[:len(semantics)+9]
}

// layout names the layout of this build.
func layout() (string, error) {
	spec, err := loadWeft()
	if err != nil {
		return "", fmt.Errorf("read the compiled programs: %w", err)
	}
	return layoutOf(spec), nil
}

// place is where a field lies, in bytes.
type place struct{ at, size uint32 }

// shape is where the fields of a structure lie, by name; those of structures within have a dot.
type shape struct {
	size   uint32
	fields map[string]place
}

func shapeOf(t btf.Type) shape {
	size, err := btf.Sizeof(t)
	if err != nil {
		size = 0
	}
	s := shape{size: uint32(size), fields: map[string]place{}} //nolint:gosec // small
	s.add("", 0, t)
	return s
}

func (s shape) add(name string, at uint32, t btf.Type) {
	t = btf.UnderlyingType(t)
	if st, ok := t.(*btf.Struct); ok {
		for _, m := range st.Members {
			s.add(strings.TrimPrefix(name+"."+m.Name, "."), at+m.Offset.Bytes(), m.Type)
		}
		return
	}
	size, err := btf.Sizeof(t)
	if err != nil {
		return
	}
	s.fields[name] = place{at, uint32(size)} //nolint:gosec // small
}

// recast makes of a value of one shape one of another: fields go by their names, those that are new are zero.
func recast(from, to shape, b []byte) []byte {
	out := make([]byte, to.size)
	for name, t := range to.fields {
		if f, ok := from.fields[name]; ok {
			n := min(f.size, t.size) // numbers grow and shrink at their end: little endian
			copy(out[t.at:t.at+n], b[f.at:f.at+n])
		}
	}
	return out
}

// read is a number of a value; 0 if the shape has no such field.
func (s shape) read(b []byte, name string) uint64 {
	var v uint64
	f := s.fields[name]
	for i := range min(f.size, 8) {
		v |= uint64(b[f.at+i]) << (8 * i)
	}
	return v
}

func (s shape) write(b []byte, name string, v uint64) {
	f := s.fields[name]
	for i := range min(f.size, 8) {
		b[f.at+i] = byte(v >> (8 * i))
	}
}

// uuid is the identity in a value.
func (s shape) uuid(b []byte) (id [16]byte) {
	if f, ok := s.fields["uuid"]; ok && f.size == 16 {
		copy(id[:], b[f.at:])
	}
	return id
}

// shapes are the key's and the value's of a loaded map whose structures have these names, by the BTF that the kernel keeps
// beside the map: of whatever build it is.
func shapes(m *ebpf.Map, key, value string) (k, v shape, err error) {
	info, err := m.Info()
	if err != nil {
		return k, v, fmt.Errorf("ask for a map: %w", err)
	}
	id, ok := info.BTFID()
	if !ok {
		return k, v, errors.New("a map has no BTF")
	}
	h, err := btf.NewHandleFromID(id)
	if err != nil {
		return k, v, fmt.Errorf("read a map's BTF: %w", err)
	}
	defer h.Close()
	spec, err := h.Spec(nil)
	if err != nil {
		return k, v, fmt.Errorf("read a map's BTF: %w", err)
	}
	for name, to := range map[string]*shape{key: &k, value: &v} {
		var t *btf.Struct
		if name == "" {
			continue
		}
		if err := spec.TypeByName(name, &t); err != nil {
			return k, v, fmt.Errorf("struct %s: %w", name, err)
		}
		*to = shapeOf(t)
	}
	return k, v, nil
}
