package sqlite

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/weft-cloud/weft/internal/model"
	"github.com/weft-cloud/weft/internal/server/store"
)

// group is what one Append makes durable: batches, checked and encoded, and the position that they follow.
type group struct {
	base    store.Head
	batches []store.Batch
	rows    [][]byte // the log's row of each
	epoch   uint64   // meta's journal when it was written
}

// end is the position that the group makes.
func (g *group) end() store.Head {
	last := &g.batches[len(g.batches)-1]
	return store.Head{Position: model.Position{Lineage: g.base.Lineage, Revision: last.Revision}, Batch: last.ID}
}

// The bytes of a group in the journal, integers big endian:
//
//	epoch(8) lineage(16) revision(8) batch(16): what it follows | batches, each: id(16) microseconds(8) length(4) row
//
// The rows have checksums of their own, which cover id, predecessor and revision.
const (
	groupHead = 8 + 16 + 8 + 16
	batchHead = 16 + 8 + 4
)

// encode appends the group's bytes to buf.
func (g *group) encode(buf []byte) []byte {
	buf = binary.BigEndian.AppendUint64(buf, g.epoch)
	buf = append(buf, g.base.Lineage[:]...)
	buf = binary.BigEndian.AppendUint64(buf, g.base.Revision)
	buf = append(buf, g.base.Batch[:]...)
	for i := range g.batches {
		b := &g.batches[i]
		buf = append(buf, b.ID[:]...)
		buf = binary.BigEndian.AppendUint64(buf, uint64(b.At.UnixMicro()))
		buf = binary.BigEndian.AppendUint32(buf, uint32(len(g.rows[i])))
		buf = append(buf, g.rows[i]...)
	}
	return buf
}

// size is how long encode's bytes are.
func (g *group) size() int {
	n := groupHead
	for _, row := range g.rows {
		n += batchHead + len(row)
	}
	return n
}

var errGroup = errors.New("record does not decode")

// decodeGroup is the group of a journal's record, of which its rows and bodies are parts.
func decodeGroup(b []byte) (*group, error) {
	if len(b) < groupHead+batchHead {
		return nil, errGroup
	}
	g := &group{epoch: binary.BigEndian.Uint64(b)}
	copy(g.base.Lineage[:], b[8:])
	g.base.Revision = binary.BigEndian.Uint64(b[24:])
	copy(g.base.Batch[:], b[32:])
	prev := g.base.Batch
	for b = b[groupHead:]; len(b) > 0; {
		if len(b) < batchHead {
			return nil, errGroup
		}
		n := uint64(binary.BigEndian.Uint32(b[24:]))
		if n > uint64(len(b)-batchHead) {
			return nil, errGroup
		}
		one := store.Batch{ID: model.UUID(b[:16]), Prev: prev, Revision: g.base.Revision + 1 + uint64(len(g.batches)),
			At: time.UnixMicro(int64(binary.BigEndian.Uint64(b[16:]))).UTC()}
		row := b[batchHead : batchHead+n : batchHead+n]
		if err := store.DecodeBatch(row, &one); err != nil {
			return nil, err
		}
		g.batches, g.rows = append(g.batches, one), append(g.rows, row)
		prev, b = one.ID, b[batchHead+n:]
	}
	return g, nil
}
