package pow

import "math/bits"

// A window is what one code sample shows.
type window struct {
	instructions uint16
	scratchpad   uint16 // and with a RandomX scratchpad mask
	dataset      uint16 // and with a RandomX dataset mask
	lines        uint16 // and with a CryptoNight scratchpad mask
	double       uint16 // packed double arithmetic of RandomX programs
	root         uint16 // of these, divisions and square roots
	control      uint16 // ldmxcsr; on arm64 msr fpcr
	multiply     uint16 // imul, low half
	high         uint16 // mul, imul with one operand, mulx: the high half is had
	rotate       uint16 // ror, rol, rorx by a constant
	memory       uint16 // operands in memory
	aes          uint16
	table        uint16 // 32-bit numbers taken from an array by exclusive or
	sha          uint16 // SHA-NI
	fnv          uint16 // multiplications by the FNV prime
	wideMultiply uint16 // pmuludq
	mask         uint32 // the last scratchpad mask seen
	rotate32     uint32 // bit n: some 32-bit value is rotated right by n
	rotate64     uint64 // bit n: some 64-bit value is rotated right by n
}

// isDatasetMask knows what aligns addresses in RandomX's 2 GiB dataset to lines of 64 bytes; coins with a smaller one too.
func isDatasetMask(m uint32) bool { return m == 0x7fffffc0 || m == 0x3fffffc0 || m == 0x1fffffc0 }

// fnvPrime is what Ethash and its kin mix their dataset with.
const fnvPrime = 0x01000193

// isScratchpadMask knows 2^k−8 for RandomX's scratchpad levels of 8 KiB to 4 MiB, and 2^k−64 for whole lines of the last level:
// 0x3ff8, 0x3fff8, 0x1ffff8 and 0x1fffc0 in rx/0, others in coins with other sizes.
func isScratchpadMask(m uint32) bool {
	word := m&7 == 0 && (m+8)&m == 0 && m >= 0x1ff8 && m <= 0x3ffff8
	line := m&63 == 0 && (m+64)&m == 0 && m >= 0x1ffc0 && m <= 0x3fffc0
	return word || line
}

// isLineMask knows 2^k−16 from 0x1fff0 to 0x3ffff0: lines of 16 bytes in a scratchpad of 128 KiB to 4 MiB.
func isLineMask(m uint32) bool {
	return m >= 0x1fff0 && m <= 0x3ffff0 && (m+16)&m == 0 && m&15 == 0
}

// measureAMD64 reads the code from its first byte, which must be the start of an instruction, until it ends or makes no sense.
func measureAMD64(code []byte, w *window) {
	*w = window{}
	var in instruction
	var left32, right32 uint32 // shifts of packed 32-bit values, left ones as the rotation to the right that they are half of
	var left64, right64 uint64
	for len(code) > 0 && decode(code, &in) {
		code = code[in.size:]
		w.instructions++
		if in.memory && !in.isAddress() {
			w.memory++
		}
		switch in.space {
		case space0:
			w.addShort(&in)
		case space0F:
			switch in.opcode {
			case 0x72: // packed 32-bit shifts by a constant
				switch n := in.imm & 31; in.reg() {
				case 0: // vprord, vprold: 64-bit with W
					w.addRotate(in.wide, in.imm)
				case 1:
					w.addRotate(in.wide, -in.imm)
				case 2:
					right32 |= 1 << n
				case 6:
					left32 |= 1 << (-n & 31)
				}
			case 0x73:
				switch n := in.imm & 63; in.reg() {
				case 2:
					right64 |= 1 << n
				case 6:
					left64 |= 1 << (-n & 63)
				}
			default:
				w.add0F(&in)
			}
		case space0F38:
			switch {
			case in.opcode >= 0xDC && in.opcode <= 0xDF && in.prefix == prefix66:
				w.aes++
			case in.opcode >= 0xC8 && in.opcode <= 0xCD && in.prefix == prefixNone && !in.vector:
				w.sha++
			case in.opcode == 0xF6 && in.vector && in.prefix == prefixF2:
				w.high++
			}
		case space0F3A:
			if in.opcode == 0xF0 && in.vector && in.prefix == prefixF2 { // rorx
				w.addRotate(in.wide, in.imm)
			}
		}
	}
	w.rotate32 |= left32 & right32
	w.rotate64 |= left64 & right64
	// A 64-bit rotation by one is an addition and a shift by 63.
	if right64>>63 == 1 {
		w.rotate64 |= 1 << 63
	}
}

// isAddress says that the operand in memory is only named: lea, prefetches and long no-operations.
func (in *instruction) isAddress() bool {
	return in.space == space0 && in.opcode == 0x8D ||
		in.space == space0F && (in.opcode == 0x18 || in.opcode == 0x1F || in.opcode == 0x0D)
}

// addShort counts an instruction of the one-byte map.
func (w *window) addShort(in *instruction) {
	switch in.opcode {
	case 0x33:
		if in.table {
			w.table++
		}
	case 0x25:
		w.addMask(in)
	case 0x81:
		if in.reg() == 4 {
			w.addMask(in)
		}
	case 0x69:
		w.multiply++
		if in.immLen == 4 && in.imm == fnvPrime {
			w.fnv++
		}
	case 0x6B:
		w.multiply++
	case 0xF7:
		if r := in.reg(); r == 4 || r == 5 {
			w.high++
		}
	case 0xC1:
		switch in.reg() {
		case 0:
			w.addRotate(in.wide, -in.imm)
		case 1:
			w.addRotate(in.wide, in.imm)
		}
	case 0xD1:
		switch in.reg() {
		case 0:
			w.addRotate(in.wide, ^uint32(0))
		case 1:
			w.addRotate(in.wide, 1)
		}
	case 0xD3:
		if in.reg() < 2 {
			w.rotate++
		}
	}
}

// add0F counts an instruction of the 0F map, shifts excepted.
func (w *window) add0F(in *instruction) {
	switch in.opcode {
	case 0xAF:
		w.multiply++
	case 0xAE:
		if in.reg() == 2 && in.memory && in.prefix == prefixNone {
			w.control++
		}
	case 0x58, 0x59, 0x5C, 0x57:
		if in.prefix == prefix66 {
			w.double++
		}
	case 0x51, 0x5E:
		if in.prefix == prefix66 {
			w.double++
			w.root++
		}
	case 0xE6:
		if in.prefix == prefixF3 {
			w.double++
		}
	case 0xF4:
		if in.prefix == prefix66 {
			w.wideMultiply++
		}
	}
}

func (w *window) addMask(in *instruction) {
	if in.immLen == 4 {
		w.addMaskValue(in.imm)
	}
}

func (w *window) addMaskValue(m uint32) {
	switch {
	case isDatasetMask(m):
		w.dataset++
	case isScratchpadMask(m):
		w.scratchpad++
		w.mask = m
	case isLineMask(m):
		w.lines++
		w.mask = m
	}
}

// addRotate counts a rotation to the right by n bits.
func (w *window) addRotate(wide bool, n uint32) {
	w.rotate++
	if wide {
		w.rotate64 |= 1 << (n & 63)
	} else {
		w.rotate32 |= 1 << (n & 31)
	}
}

// program is rule A: a generated RandomX program, which mixes scratchpad addresses with packed doubles.
func (w *window) program() bool { return w.scratchpad >= 2 && w.double >= 4 }

// A kernel is a hash loop known by its rotations or instructions. Honest programs run the same code.
type kernel uint8

const (
	kernelNone kernel = iota
	kernelSHA256
	kernelSHA512
	kernelSalsa
	kernelChaCha
	kernelArgon2
	kernelBLAKE2
	kernelKeccak
	kernelEthash
	numKernels
)

var kernelNames = [numKernels]string{
	kernelSHA256: "SHA-256 (as in SHA-256d)", kernelSHA512: "SHA-512", kernelSalsa: "Salsa20 (as in scrypt and yespower)",
	kernelChaCha: "ChaCha or BLAKE-256", kernelArgon2: "Argon2", kernelBLAKE2: "BLAKE2b", kernelKeccak: "Keccak",
	kernelEthash: "FNV mixing (as in Ethash)",
}

// Rotations to the right. sha256Cascade is what compilers and OpenSSL make of the big sigmas: ror(ror(x^ror(x))).
const (
	sha256Plain   uint32 = 1<<2 | 1<<13 | 1<<22 | 1<<6 | 1<<11 | 1<<25
	sha256Cascade uint32 = 1<<2 | 1<<5 | 1<<6 | 1<<9 | 1<<11 | 1<<14
	salsaRounds   uint32 = 1<<25 | 1<<23 | 1<<19 | 1<<14
	chachaRounds  uint32 = 1<<16 | 1<<20 | 1<<24 | 1<<25
	blake2Rounds  uint64 = 1<<32 | 1<<24 | 1<<16 | 1<<63
	sha512Plain   uint64 = 1<<28 | 1<<34 | 1<<39 | 1<<14 | 1<<18 | 1<<41
	sha512Cascade uint64 = 1<<28 | 1<<5 | 1<<6 | 1<<14 | 1<<23 | 1<<4 | 1<<18 | 1<<41 | 1<<7
	keccakRounds  uint64 = 1<<63 | 1<<61 | 1<<58 | 1<<54 | 1<<49 | 1<<43 | 1<<36 | 1<<28 | 1<<19 | 1<<9 | 1<<62 | 1<<50 |
		1<<37 | 1<<23 | 1<<8 | 1<<56 | 1<<39 | 1<<21 | 1<<2 | 1<<46 | 1<<25 | 1<<3 | 1<<44 | 1<<20
)

// kernel names the hash loop of which the window is part.
func (w *window) kernel() kernel {
	plain32, plain64 := bits.OnesCount32(w.rotate32), bits.OnesCount64(w.rotate64)
	has32 := func(set uint32) int { return bits.OnesCount32(w.rotate32 & set) }
	has64 := func(set uint64) int { return bits.OnesCount64(w.rotate64 & set) }
	switch {
	case w.sha >= 2:
		return kernelSHA256
	case w.fnv >= 2:
		return kernelEthash
	case has32(salsaRounds) == 4 && plain32 == 4, w.wideMultiply >= 2 && has32(salsaRounds) >= 3 && plain32 <= 4:
		return kernelSalsa
	case has32(chachaRounds) == 4 && plain32 == 4:
		return kernelChaCha
	case has32(sha256Plain) >= 5, has32(sha256Cascade) >= 5:
		return kernelSHA256
	case has64(sha512Plain) >= 5, has64(sha512Cascade) >= 5 && plain64 <= 8:
		return kernelSHA512
	case has64(keccakRounds) >= 6 && has64(keccakRounds) >= plain64-1:
		return kernelKeccak
	case has64(blake2Rounds) >= 2 && plain64 <= 4, has64(1<<63) == 1 && plain64 <= 2 && w.wideMultiply >= 1:
		if w.wideMultiply >= 1 {
			return kernelArgon2
		}
		if has64(blake2Rounds) >= 3 {
			return kernelBLAKE2
		}
	}
	return kernelNone
}
