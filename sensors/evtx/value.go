package evtx

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// Types of values. typeList is added for lists.
const (
	typeNull       = 0x00
	typeString     = 0x01
	typeANSI       = 0x02
	typeInt8       = 0x03
	typeUint8      = 0x04
	typeInt16      = 0x05
	typeUint16     = 0x06
	typeInt32      = 0x07
	typeUint32     = 0x08
	typeInt64      = 0x09
	typeUint64     = 0x0a
	typeFloat32    = 0x0b
	typeFloat64    = 0x0c
	typeBool       = 0x0d
	typeBinary     = 0x0e
	typeGUID       = 0x0f
	typeSize       = 0x10
	typeFiletime   = 0x11
	typeSystemtime = 0x12
	typeSID        = 0x13
	typeHex32      = 0x14
	typeHex64      = 0x15
	typeHandle     = 0x20
	typeXML        = 0x21
	typeXMLText    = 0x23
	typeList       = 0x80
)

// sizeOf returns the bytes of an element of a list, 0 where they vary.
func sizeOf(typ byte) int {
	switch typ {
	case typeInt8, typeUint8:
		return 1
	case typeInt16, typeUint16:
		return 2
	case typeInt32, typeUint32, typeFloat32, typeBool, typeHex32:
		return 4
	case typeInt64, typeUint64, typeFloat64, typeFiletime, typeHex64, typeSize, typeHandle:
		return 8
	case typeGUID, typeSystemtime:
		return 16
	}
	return 0
}

// appendValue appends the value as Windows' Event Viewer shows it.
func appendValue(dst []byte, typ byte, b []byte) ([]byte, error) {
	switch typ {
	case typeNull:
		return dst, nil
	case typeString, typeXMLText:
		return appendUTF16(dst, b), nil
	case typeANSI:
		for len(b) > 0 && b[len(b)-1] == 0 {
			b = b[:len(b)-1]
		}
		for _, c := range b {
			dst = utf8.AppendRune(dst, rune(c))
		}
		return dst, nil
	case typeBinary:
		return appendHex(dst, b), nil
	case typeSID:
		return appendSID(dst, b)
	case typeGUID:
		if len(b) == 16 {
			return appendGUID(dst, b), nil
		}
	case typeSystemtime:
		if len(b) == 16 {
			return appendSystemtime(dst, b), nil
		}
	case typeFiletime:
		if len(b) == 8 {
			return appendTime(dst, filetime(binary.LittleEndian.Uint64(b))), nil
		}
	case typeBool:
		if v, ok := unsigned(b); ok {
			return strconv.AppendBool(dst, v != 0), nil
		}
	case typeFloat32:
		if len(b) == 4 {
			return strconv.AppendFloat(dst, float64(math.Float32frombits(binary.LittleEndian.Uint32(b))), 'g', -1, 32), nil
		}
	case typeFloat64:
		if len(b) == 8 {
			return strconv.AppendFloat(dst, math.Float64frombits(binary.LittleEndian.Uint64(b)), 'g', -1, 64), nil
		}
	case typeInt8, typeInt16, typeInt32, typeInt64:
		if v, ok := unsigned(b); ok {
			shift := 64 - 8*len(b)
			return strconv.AppendInt(dst, int64(v<<shift)>>shift, 10), nil
		}
	case typeUint8, typeUint16, typeUint32, typeUint64:
		if v, ok := unsigned(b); ok {
			return strconv.AppendUint(dst, v, 10), nil
		}
	case typeHex32, typeHex64, typeSize, typeHandle:
		if v, ok := unsigned(b); ok {
			return strconv.AppendUint(append(dst, "0x"...), v, 16), nil
		}
	default:
		return appendHex(dst, b), fmt.Errorf("a value of unknown type %#02x", typ)
	}
	if len(b) == 0 {
		return dst, nil
	}
	return appendHex(dst, b), fmt.Errorf("a value of type %#02x with %d bytes", typ, len(b))
}

func unsigned(b []byte) (uint64, bool) {
	switch len(b) {
	case 1:
		return uint64(b[0]), true
	case 2:
		return uint64(binary.LittleEndian.Uint16(b)), true
	case 4:
		return uint64(binary.LittleEndian.Uint32(b)), true
	case 8:
		return binary.LittleEndian.Uint64(b), true
	}
	return 0, false
}

// appendUTF16 appends little-endian UTF-16 as UTF-8, without NULs at its end. Halves of pairs become U+FFFD.
func appendUTF16(dst, b []byte) []byte {
	b = b[:len(b)&^1]
	for len(b) >= 2 && b[len(b)-1] == 0 && b[len(b)-2] == 0 {
		b = b[:len(b)-2]
	}
	for len(b) >= 8 {
		v := binary.LittleEndian.Uint64(b)
		if v&0xff80ff80ff80ff80 != 0 {
			break
		}
		dst = append(dst, byte(v), byte(v>>16), byte(v>>32), byte(v>>48))
		b = b[8:]
	}
	for i := 0; i+1 < len(b); i += 2 {
		r := rune(binary.LittleEndian.Uint16(b[i:]))
		switch {
		case r < utf8.RuneSelf:
			dst = append(dst, byte(r))
			continue
		case utf16.IsSurrogate(r):
			pair := rune(utf8.RuneError)
			if i+3 < len(b) {
				pair = utf16.DecodeRune(r, rune(binary.LittleEndian.Uint16(b[i+2:])))
			}
			if pair != utf8.RuneError {
				i += 2
			}
			r = pair
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

const hexDigits = "0123456789ABCDEF"

func appendHex(dst, b []byte) []byte {
	for _, c := range b {
		dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
	}
	return dst
}

func appendGUID(dst, b []byte) []byte {
	dst = append(dst, '{')
	for i, at := range [16]int{3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15} {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			dst = append(dst, '-')
		}
		dst = append(dst, hexDigits[b[at]>>4], hexDigits[b[at]&15])
	}
	return append(dst, '}')
}

func appendSID(dst, b []byte) ([]byte, error) {
	if len(b) == 0 {
		return dst, nil
	}
	if len(b) < 8 || len(b) < 8+4*int(b[1]) {
		return appendHex(dst, b), fmt.Errorf("a security identifier with %d bytes", len(b))
	}
	dst = strconv.AppendUint(append(dst, "S-"...), uint64(b[0]), 10)
	var authority uint64
	for _, c := range b[2:8] {
		authority = authority<<8 | uint64(c)
	}
	dst = strconv.AppendUint(append(dst, '-'), authority, 10)
	for i := range int(b[1]) {
		dst = strconv.AppendUint(append(dst, '-'), uint64(binary.LittleEndian.Uint32(b[8+4*i:])), 10)
	}
	return dst, nil
}

func appendSystemtime(dst, b []byte) []byte {
	at := func(i int) int { return int(binary.LittleEndian.Uint16(b[2*i:])) }
	return appendTime(dst, time.Date(at(0), time.Month(at(1)), at(3), at(4), at(5), at(6), at(7)*1e6, time.UTC))
}

func appendTime(dst []byte, t time.Time) []byte {
	return t.AppendFormat(dst, "2006-01-02T15:04:05.0000000Z")
}

// epoch is 1970 in FILETIME: units of 100 ns since 1601.
const epoch = 116444736000000000

func filetime(v uint64) time.Time {
	if v > math.MaxInt64 {
		v = math.MaxInt64
	}
	t := int64(v) - epoch
	return time.Unix(t/1e7, t%1e7*100).UTC()
}
