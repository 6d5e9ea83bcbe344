package indicators

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

const (
	// packSize is how many bytes of values are compressed at once.
	packSize = 256 << 10
	maxText  = 1 << 32
)

// values are the texts of a set in the order in which they came. Look-ups do without them, so they are kept compressed.
type values struct {
	packed [][]byte
	open   []byte // records: kind, length, text
	size   uint64 // of all, not compressed
}

// add reports false when there is no more room.
func (v *values) add(enc *zstd.Encoder, kind uint8, text string) bool {
	if v.size > maxText {
		return false
	}
	v.open = binary.AppendUvarint(append(v.open, kind), uint64(len(text)))
	v.open = append(v.open, text...)
	v.size += uint64(len(text))
	if len(v.open) >= packSize {
		v.packed = append(v.packed, bytes.Clone(enc.EncodeAll(v.open, nil)))
		v.open = v.open[:0]
	}
	return true
}

// all yields the records until yield returns false.
func (v *values) all(yield func(kind uint8, text string) bool) {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		panic(fmt.Sprintf("values of indicators: %v", err)) // the options are constants
	}
	defer dec.Close()
	var buf []byte
	for _, p := range v.packed {
		if buf, err = dec.DecodeAll(p, buf[:0]); err != nil {
			panic(fmt.Sprintf("values of indicators: %v", err)) // memory that this program wrote
		}
		if !records(buf, yield) {
			return
		}
	}
	records(v.open, yield)
}

func records(b []byte, yield func(kind uint8, text string) bool) bool {
	for len(b) > 0 {
		n, w := binary.Uvarint(b[1:])
		text := b[1+w : 1+w+int(n)]
		if !yield(b[0], string(text)) {
			return false
		}
		b = b[1+w+int(n):]
	}
	return true
}
