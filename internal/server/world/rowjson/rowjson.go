// Package rowjson decodes the rows of the store: JSON as encoding/json writes it of Go structs. It does so in a fraction of
// encoding/json's time and garbage, because it takes only what that writes (no space, known keys once, texts without escapes)
// and leaves everything else, as a whole, to encoding/json: what comes out is the same for all input.
//
// The package must not know what rows mean.
package rowjson

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"unsafe"
)

// Words are texts that have been read, each once: most of what rows say many say alike.
type Words map[string]string

func (w Words) of(b []byte) string {
	if known, ok := w[string(b)]; ok || len(b) == 0 {
		return known
	}
	s := string(b)
	if w != nil {
		w[s] = s
	}
	return s
}

// Decoder decodes rows of one type. It may be used by several goroutines, each with Words of its own.
type Decoder[T any] struct {
	read   step
	shared []func(row unsafe.Pointer, known Words)
}

// step reads one value from s into what p points to; false: it is not as encoding/json writes it, or no such value.
type step func(p unsafe.Pointer, s *scan) bool

// New makes a Decoder. shared names the fields of T (string or json.RawMessage, by their JSON names) that are taken from the
// Words if they are there; nobody may write the bytes of such a RawMessage.
func New[T any](shared ...string) *Decoder[T] {
	t, d := reflect.TypeFor[T](), &Decoder[T]{}
	fields, ok := fieldsOf(t)
	if !ok {
		d.read = anyValue(t)
		return d
	}
	for i := range fields {
		f := &fields[i]
		if !slices.Contains(shared, f.name) {
			continue
		}
		switch f.t {
		case reflect.TypeFor[string]():
			f.read = sharedText
			d.shared = append(d.shared, func(row unsafe.Pointer, known Words) { shareText((*string)(unsafe.Add(row, f.at)), known) })
		case reflect.TypeFor[json.RawMessage]():
			f.read = sharedRaw
			d.shared = append(d.shared, func(row unsafe.Pointer, known Words) { shareRaw((*json.RawMessage)(unsafe.Add(row, f.at)), known) })
		default:
			panic("rowjson: a field of type " + f.t.String() + " cannot be shared")
		}
	}
	if len(d.shared) != len(shared) {
		panic("rowjson: " + t.String() + " lacks a field that is to be shared")
	}
	d.read = object(fields)
	return d
}

// Decode fills row, which must be zero, as json.Unmarshal does. It keeps nothing of body.
func (d *Decoder[T]) Decode(body []byte, row *T, known Words) error {
	s := scan{data: body, known: known}
	if d.read(unsafe.Pointer(row), &s) && s.at == len(body) {
		return nil
	}
	var zero T
	*row = zero
	if err := json.Unmarshal(body, row); err != nil {
		return err
	}
	for _, share := range d.shared {
		share(unsafe.Pointer(row), known)
	}
	return nil
}

func shareText(s *string, known Words) { *s = known.of(unsafe.Slice(unsafe.StringData(*s), len(*s))) }

func shareRaw(b *json.RawMessage, known Words) {
	if len(*b) > 0 {
		text := known.of(*b)
		*b = unsafe.Slice(unsafe.StringData(text), len(text))
	}
}

func sharedText(p unsafe.Pointer, s *scan) bool {
	b, ok := s.text()
	if ok {
		*(*string)(p) = s.known.of(b)
	}
	return ok
}

func sharedRaw(p unsafe.Pointer, s *scan) bool {
	b, ok := s.value()
	if !ok || !json.Valid(b) {
		return false
	}
	text := s.known.of(b)
	*(*json.RawMessage)(p) = unsafe.Slice(unsafe.StringData(text), len(text))
	return true
}

// stepOf is how values of a type are read.
func stepOf(t reflect.Type) step {
	switch pt := reflect.PointerTo(t); {
	case pt.Implements(reflect.TypeFor[json.Unmarshaler]()):
		return anyValue(t)
	case pt.Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return func(p unsafe.Pointer, s *scan) bool {
			b, ok := s.text()
			return ok && reflect.NewAt(t, p).Interface().(encoding.TextUnmarshaler).UnmarshalText(b) == nil
		}
	}
	switch t.Kind() {
	case reflect.String:
		return func(p unsafe.Pointer, s *scan) bool {
			b, ok := s.text()
			*(*string)(p) = string(b)
			return ok
		}
	case reflect.Bool:
		return func(p unsafe.Pointer, s *scan) bool {
			on := s.word("true")
			*(*bool)(p) = on
			return on || s.word("false")
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return func(p unsafe.Pointer, s *scan) bool {
			n, ok := s.number()
			v := reflect.NewAt(t, p).Elem()
			if !ok || v.OverflowInt(n) {
				return false
			}
			v.SetInt(n)
			return true
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return func(p unsafe.Pointer, s *scan) bool {
			n, ok := s.number()
			v := reflect.NewAt(t, p).Elem()
			if !ok || n < 0 || v.OverflowUint(uint64(n)) {
				return false
			}
			v.SetUint(uint64(n))
			return true
		}
	case reflect.Slice:
		if t.Elem().Kind() != reflect.Uint8 { // bytes are written as base64
			return list(t)
		}
	case reflect.Struct:
		if fields, ok := fieldsOf(t); ok {
			return object(fields)
		}
	}
	return anyValue(t)
}

// anyValue leaves a value to encoding/json.
func anyValue(t reflect.Type) step {
	return func(p unsafe.Pointer, s *scan) bool {
		b, ok := s.value()
		return ok && json.Unmarshal(b, reflect.NewAt(t, p).Interface()) == nil
	}
}

// list reads into a slice that is just as long as need be.
func list(t reflect.Type) step {
	element, size := stepOf(t.Elem()), t.Elem().Size()
	return func(p unsafe.Pointer, s *scan) bool {
		n, ok := s.elements()
		if !ok {
			return false
		}
		slice := reflect.MakeSlice(t, n, n)
		reflect.NewAt(t, p).Elem().Set(slice)
		begin := slice.UnsafePointer()
		s.at++ // the bracket
		for i := range n {
			if i > 0 && !s.word(",") || !element(unsafe.Add(begin, uintptr(i)*size), s) {
				return false
			}
		}
		return s.word("]")
	}
}

// object reads a struct's fields, which come in their order or in any other, each at most once.
func object(fields []field) step {
	return func(p unsafe.Pointer, s *scan) bool {
		if !s.word("{") {
			return false
		}
		if s.word("}") {
			return true
		}
		var seen uint64
		for next := 0; ; next++ {
			key, ok := s.text()
			if !ok || !s.word(":") {
				return false
			}
			tried := 0
			for ; tried < len(fields) && fields[next%len(fields)].name != string(key); tried++ {
				next++
			}
			next %= len(fields)
			if tried == len(fields) || seen&(1<<next) != 0 || !fields[next].read(unsafe.Add(p, fields[next].at), s) {
				return false
			}
			seen |= 1 << next
			if s.word("}") {
				return true
			}
			if !s.word(",") {
				return false
			}
		}
	}
}
