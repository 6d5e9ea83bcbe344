package sockets

import (
	"encoding/binary"
	"testing"
)

func FuzzMessages(f *testing.F) {
	b := make([]byte, 16+diagMsgLen)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	b[4], b[8], b[16] = sockDiagByFamily, 1, 2
	f.Add(b)
	f.Add(b[:20])
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = parseMessages(b, 1, func(_ uint16, body []byte) { parseSocket(6, body) }) // an error is as good as an answer
	})
}
