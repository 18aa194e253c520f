package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"unsafe"
)

// The bytes of a log row, the same in every store. All integers are unsigned varints (encoding/binary) unless said:
//
//	format(1) | mutations, each: kind key schema body | intents, each: id(16 bytes) kind body | crc32c(4 bytes, big endian)
//
// Lists begin with their number, strings and bodies with their length. A mutation's body length is stored plus one, 0
// being a deletion. The batch's id, predecessor, revision and time are columns of the row; the checksum covers id,
// predecessor and revision, too, so that a body cannot pass under another's name.
const logFormat = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errCodec is the root of all decoding errors; what is wrong is in the text.
var errCodec = errors.New("log row does not decode")

// EncodeBatch appends the log row of b to buf.
func EncodeBatch(buf []byte, b *Batch) []byte {
	buf = slices.Grow(buf, b.bound())
	start := len(buf)
	buf = append(buf, logFormat)
	buf = binary.AppendUvarint(buf, uint64(len(b.Mutations)))
	for i := range b.Mutations {
		m := &b.Mutations[i]
		buf = appendString(buf, m.Kind)
		buf = appendString(buf, m.Key)
		buf = binary.AppendUvarint(buf, uint64(m.Schema))
		if m.Body == nil {
			buf = append(buf, 0)
			continue
		}
		buf = binary.AppendUvarint(buf, uint64(len(m.Body))+1)
		buf = append(buf, m.Body...)
	}
	buf = binary.AppendUvarint(buf, uint64(len(b.Intents)))
	for i := range b.Intents {
		in := &b.Intents[i]
		buf = append(buf, in.ID[:]...)
		buf = appendString(buf, in.Kind)
		buf = append(binary.AppendUvarint(buf, uint64(len(in.Body))), in.Body...)
	}
	return binary.BigEndian.AppendUint32(buf, batchSum(b, buf[start:]))
}

// bound is at least how long the log row of b is.
func (b *Batch) bound() int {
	n := 1 + 2*binary.MaxVarintLen64 + 4
	for i := range b.Mutations {
		m := &b.Mutations[i]
		n += len(m.Kind) + len(m.Key) + len(m.Body) + 4*binary.MaxVarintLen64
	}
	for i := range b.Intents {
		in := &b.Intents[i]
		n += len(in.ID) + len(in.Kind) + len(in.Body) + 2*binary.MaxVarintLen64
	}
	return n
}

// DecodeBatch fills b's mutations and intents from a log row; b's ID, Prev and Revision must be set. The bodies alias row.
func DecodeBatch(row []byte, b *Batch) error {
	if len(row) < 5 {
		return fmt.Errorf("%w: %d bytes", errCodec, len(row))
	}
	body, sum := row[:len(row)-4], binary.BigEndian.Uint32(row[len(row)-4:])
	if body[0] != logFormat {
		return fmt.Errorf("%w: format %d, this server reads %d", errCodec, body[0], logFormat)
	}
	if got := batchSum(b, body); got != sum {
		return fmt.Errorf("%w: checksum %08x, computed %08x", errCodec, sum, got)
	}
	r := reader{buf: body[1:]}
	b.Mutations, b.Intents = nil, nil
	if n := r.count(4); n > 0 {
		b.Mutations = make([]Mutation, n)
	}
	for i := range b.Mutations {
		m := &b.Mutations[i]
		m.Kind, m.Key, m.Schema = r.string(), r.string(), r.uint16()
		if n := r.uint(); n > 0 {
			m.Body = r.bytes(n - 1)
		}
	}
	if n := r.count(18); n > 0 {
		b.Intents = make([]Intent, n)
	}
	for i := range b.Intents {
		in := &b.Intents[i]
		copy(in.ID[:], r.bytes(uint64(len(in.ID))))
		in.Kind = r.string()
		in.Body = r.bytes(r.uint())
	}
	if r.bad || len(r.buf) > 0 {
		return fmt.Errorf("%w: malformed at %d bytes from its end", errCodec, len(r.buf))
	}
	return nil
}

// batchSum is the checksum of a log row: crc32c over id, predecessor, revision and body.
func batchSum(b *Batch, body []byte) uint32 {
	var head [40]byte
	copy(head[:], b.ID[:])
	copy(head[16:], b.Prev[:])
	binary.BigEndian.PutUint64(head[32:], b.Revision)
	return crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, body)
}

// EntrySum is the checksum that stores keep beside an entry, over all that is in it: SQLite has none of its own, and a
// flipped bit in a port's address must not become a flow.
func EntrySum(e *Entry) uint32 {
	var head [14]byte
	binary.BigEndian.PutUint16(head[:], e.Schema)
	binary.BigEndian.PutUint64(head[2:], e.Revision)
	binary.BigEndian.PutUint16(head[10:], uint16(len(e.Kind)))
	binary.BigEndian.PutUint16(head[12:], uint16(len(e.Key)))
	sum := crc32.Checksum(head[:], castagnoli)
	for _, name := range []string{e.Kind, e.Key} {
		sum = crc32.Update(sum, castagnoli, unsafe.Slice(unsafe.StringData(name), len(name)))
	}
	return crc32.Update(sum, castagnoli, e.Body)
}

func appendString(buf []byte, s string) []byte {
	return append(binary.AppendUvarint(buf, uint64(len(s))), s...)
}

// reader takes a log row apart; after the first thing that does not fit, bad is set and everything reads as zero.
type reader struct {
	buf []byte
	bad bool
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.buf)
	if n <= 0 {
		r.buf, r.bad = nil, true
		return 0
	}
	r.buf = r.buf[n:]
	return v
}

func (r *reader) uint16() uint16 {
	v := r.uint()
	if v > 1<<16-1 {
		r.bad = true
	}
	return uint16(v)
}

// count reads the number of elements of a list, each of at least size bytes, so that a lie cannot make us allocate.
func (r *reader) count(size uint64) uint64 {
	n := r.uint()
	if n > uint64(len(r.buf))/size {
		r.buf, r.bad = nil, true
		return 0
	}
	return n
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.buf)) {
		r.buf, r.bad = nil, true
		return nil
	}
	b := r.buf[:n:n]
	r.buf = r.buf[n:]
	return b
}

func (r *reader) string() string { return string(r.bytes(r.uint())) }
