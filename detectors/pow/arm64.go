package pow

import (
	"encoding/binary"
	"math/bits"
)

// A64 encodings without their registers.
const (
	a64AndMask, a64And        = 0x7F800000, 0x12000000 // and with a bitmask immediate, 32 and 64 bits
	a64VectorMask             = 0xFFE0FC00
	a64Add, a64Sub            = 0x4E60D400, 0x4EE0D400 // two doubles
	a64Mul, a64Div            = 0x6E60DC00, 0x6E60FC00
	a64SqrtMask, a64Sqrt      = 0xFFFFFC00, 0x6EE1F800
	a64ControlMask, a64FPCR   = 0xFFFFFFE0, 0xD51B4400 // msr fpcr
	a64AESMask, a64AES        = 0xFFFFEC00, 0x4E284800 // aese, aesd; aesmc, aesimc differ in one bit
	a64SHAMask, a64SHA        = 0xFFE0CC00, 0x5E004000 // sha256h, sha256h2, sha256su1
	a64MaddMask, a64Mul64     = 0xFFE0FC00, 0x9B007C00
	a64UMulH, a64SMulH        = 0x9BC07C00, 0x9B407C00
	a64ExtractMask, a64Ror64  = 0xFFE00000, 0x93C00000
	a64ExtractMask32, a64Ror3 = 0xFFE08000, 0x13800000
)

// measureARM64 reads the code as 4-byte A64 instructions. Only the encodings are tested: nobody measured it on such a machine.
func measureARM64(code []byte, w *window) {
	*w = window{}
	for ; len(code) >= 4; code = code[4:] {
		in := binary.LittleEndian.Uint32(code)
		w.instructions++
		switch {
		case in&a64AndMask == a64And:
			if m, ok := bitmask(in>>22&1, in>>16&0x3F, in>>10&0x3F); ok && m>>32 == 0 {
				w.addMaskValue(uint32(m))
			}
		case in&a64VectorMask == a64Add, in&a64VectorMask == a64Sub, in&a64VectorMask == a64Mul:
			w.double++
		case in&a64VectorMask == a64Div, in&a64SqrtMask == a64Sqrt:
			w.double++
			w.root++
		case in&a64ControlMask == a64FPCR:
			w.control++
		case in&a64AESMask == a64AES:
			w.aes++
		case in&a64SHAMask == a64SHA:
			w.sha++
		case in&a64MaddMask == a64Mul64:
			w.multiply++
		case in&a64MaddMask == a64UMulH, in&a64MaddMask == a64SMulH:
			w.high++
		case in&a64ExtractMask == a64Ror64 && in>>16&31 == in>>5&31:
			w.addRotate(true, in>>10&63)
		case in&a64ExtractMask32 == a64Ror3 && in>>16&31 == in>>5&31:
			w.addRotate(false, in>>10&31)
		}
	}
}

// bitmask is the immediate of a logical instruction: a run of s+1 ones, rotated right by r, repeated over 64 bits. A 32-bit
// instruction has n = 0 and the pattern repeats, so an immediate of 32 bits is cut to its lower half.
func bitmask(n, r, s uint32) (uint64, bool) {
	length := bits.Len32(n<<6|^s&0x3F) - 1
	if length < 1 {
		return 0, false
	}
	size := uint32(1) << length
	levels := size - 1
	if s&levels == levels {
		return 0, false
	}
	ones := s&levels + 1
	pattern := uint64(1)<<ones - 1
	if rot := r & levels; rot != 0 {
		pattern = pattern>>rot | pattern<<(size-rot)
		if size < 64 {
			pattern &= 1<<size - 1
		}
	}
	if size == 64 || size == 32 {
		return pattern, true
	}
	for at := size; at < 32; at *= 2 {
		pattern |= pattern << at
	}
	return pattern & (1<<32 - 1), true
}
