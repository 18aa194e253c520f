package rowjson

import (
	"reflect"
	"strings"
	"unsafe"
)

// field is one that encoding/json writes of a struct, and how it is read.
type field struct {
	name string
	at   uintptr // from the struct's beginning
	t    reflect.Type
	read step
}

// maxFields is how many fields a struct may have: object marks those that it has seen in one word.
const maxFields = 64

// fieldsOf are a struct's fields, those of embedded structs among them; false: it has something that only encoding/json
// understands.
func fieldsOf(t reflect.Type) ([]field, bool) {
	if t.Kind() != reflect.Struct {
		return nil, false
	}
	var all []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" && options == "":
		case f.Anonymous && name == "":
			inner, ok := embedded(f)
			if !ok {
				return nil, false
			}
			all = append(all, inner...)
		case !f.IsExported():
		case name == "-" || strings.Contains(options, "string"):
			return nil, false
		default:
			if name == "" {
				name = f.Name
			}
			all = append(all, field{name, f.Offset, f.Type, stepOf(f.Type)})
		}
	}
	names := map[string]bool{}
	for _, f := range all {
		names[f.name] = true
	}
	return all, len(names) == len(all) && len(all) > 0 && len(all) <= maxFields
}

// embedded are the fields of a struct that is embedded as it is, or by a pointer: then the struct is made with the first
// field of its that is read.
func embedded(f reflect.StructField) ([]field, bool) {
	if f.Type.Kind() == reflect.Struct {
		inner, ok := fieldsOf(f.Type)
		for i := range inner {
			inner[i].at += f.Offset
		}
		return inner, ok
	}
	if f.Type.Kind() != reflect.Pointer || !f.IsExported() {
		return nil, false
	}
	t := f.Type.Elem()
	inner, ok := fieldsOf(t)
	for i := range inner {
		at, read := inner[i].at, inner[i].read
		inner[i].at = f.Offset
		inner[i].read = func(p unsafe.Pointer, s *scan) bool {
			to := (*unsafe.Pointer)(p)
			if *to == nil {
				*to = reflect.New(t).UnsafePointer()
			}
			return read(unsafe.Add(*to, at), s)
		}
	}
	return inner, ok
}
