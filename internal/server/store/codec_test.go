package store

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/weft-cloud/weft/internal/model"
)

func genBatch(t *rapid.T) Batch {
	some := func(label string) []byte {
		return append([]byte{}, rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, label)...)
	}
	uuid := func(label string) (u model.UUID) {
		copy(u[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, label))
		return u
	}
	b := Batch{ID: uuid("id"), Prev: uuid("prev"), Revision: rapid.Uint64().Draw(t, "revision"), At: time.Unix(0, 0)}
	for range rapid.IntRange(0, 5).Draw(t, "mutations") {
		m := Mutation{Kind: rapid.String().Draw(t, "kind"), Key: rapid.String().Draw(t, "key"), Schema: rapid.Uint16().Draw(t, "schema")}
		if rapid.Bool().Draw(t, "has body") {
			m.Body = some("body")
		}
		b.Mutations = append(b.Mutations, m)
	}
	for range rapid.IntRange(0, 3).Draw(t, "intents") {
		b.Intents = append(b.Intents, Intent{ID: uuid("intent"), Kind: rapid.String().Draw(t, "kind"), Body: some("body")})
	}
	return b
}

// TestCodec: what is encoded is decoded, nothing that was changed or cut is, and no other batch passes for it.
func TestCodec(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := genBatch(t)
		row := EncodeBatch([]byte("before"), &b)[len("before"):]
		got := Batch{ID: b.ID, Prev: b.Prev, Revision: b.Revision, At: b.At}
		if err := DecodeBatch(row, &got); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(b, got); d != "" {
			t.Fatalf("(-want +got):\n%s", d)
		}
		bad := func(what string, row []byte, b Batch) {
			if err := DecodeBatch(row, &b); !errors.Is(err, errCodec) {
				t.Fatalf("%s: %v", what, err)
			}
		}
		bad("cut", row[:rapid.IntRange(0, len(row)-1).Draw(t, "cut")], b)
		flipped := append([]byte(nil), row...)
		flipped[rapid.IntRange(0, len(row)-1).Draw(t, "flip")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		bad("flipped", flipped, b)
		other := b
		other.Revision++
		bad("other revision", row, other)
		other = b
		other.Prev[3]++
		bad("other predecessor", row, other)
	})
}

// FuzzDecodeBatch gives any bytes a right checksum: the parser refuses or yields what encodes to the same meaning.
func FuzzDecodeBatch(f *testing.F) {
	for _, b := range []Batch{
		{},
		{Mutations: []Mutation{{Kind: "port", Key: "a", Schema: 300, Body: []byte("x")}, {Kind: "port", Key: "b"}}},
		{Intents: []Intent{{ID: model.UUID{1}, Kind: "nova", Body: []byte("x")}}},
	} {
		row := EncodeBatch(nil, &b)
		f.Add(row[:len(row)-4])
	}
	f.Add([]byte{logFormat, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, body []byte) {
		var b, again Batch
		sum := batchSum(&b, body)
		row := append(append([]byte(nil), body...), byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
		if err := DecodeBatch(row, &b); err != nil {
			return
		}
		if err := DecodeBatch(EncodeBatch(nil, &b), &again); err != nil {
			t.Fatalf("encoded again: %v", err)
		}
		if d := cmp.Diff(b, again, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("(-first +again):\n%s", d)
		}
	})
}

func TestEntrySum(t *testing.T) {
	e := Entry{Kind: "port", Key: "ab", Schema: 1, Revision: 2, Body: []byte("body")}
	for name, other := range map[string]Entry{
		"kind and key shifted": {Kind: "porta", Key: "b", Schema: 1, Revision: 2, Body: []byte("body")},
		"schema":               {Kind: "port", Key: "ab", Schema: 2, Revision: 2, Body: []byte("body")},
		"revision":             {Kind: "port", Key: "ab", Schema: 1, Revision: 3, Body: []byte("body")},
		"body":                 {Kind: "port", Key: "ab", Schema: 1, Revision: 2, Body: []byte("bodz")},
		"key and body shifted": {Kind: "port", Key: "abb", Schema: 1, Revision: 2, Body: []byte("ody")},
	} {
		if EntrySum(&e) == EntrySum(&other) {
			t.Errorf("%s: same checksum", name)
		}
	}
}

// FuzzDecodeBackup: any bytes are refused, in words, or read; nothing panics.
func FuzzDecodeBackup(f *testing.F) {
	f.Add([]byte(backupMagic))
	f.Add(append([]byte(backupMagic), "e\x04port\x01a\x01\x01\x01x"...))
	f.Add(append([]byte(backupMagic), "e\x04port\x01a\x01\x01\xff\xff\xff\x03x"...))
	f.Fuzz(func(t *testing.T, raw []byte) {
		seen := 0
		_, _, err := DecodeBackup(bytes.NewReader(raw), func(e Entry) error {
			seen += len(e.Body)
			return nil
		})
		if seen > len(raw) {
			t.Errorf("%d bytes of bodies in %d bytes", seen, len(raw))
		}
		if err != nil && !errors.Is(err, ErrBadBackup) {
			t.Errorf("untyped error %v", err)
		}
	})
}
