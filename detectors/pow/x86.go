package pow

import "encoding/binary"

// Opcode maps, as instruction.space.
const (
	space0    = iota // one byte
	space0F          // 0F
	space0F38        // 0F 38
	space0F3A        // 0F 3A
	spaceRest        // EVEX maps 5 and 6, XOP: only their length is known
)

// Mandatory prefixes, as instruction.prefix; the numbers are those of VEX.pp.
const (
	prefixNone = iota
	prefix66
	prefixF3
	prefixF2
)

// An instruction is what the rules need of one 64-bit x86 instruction, legacy, VEX and EVEX encodings alike.
type instruction struct {
	size   int
	space  uint8
	prefix uint8
	opcode uint8
	modrm  uint8 // 0 where there is none
	vector bool  // VEX, EVEX or XOP
	wide   bool  // REX.W or VEX.W
	memory bool  // modrm names memory; lea and prefetches included
	table  bool  // the operand in memory is one of an array of 32-bit numbers, by its index
	imm    uint32
	immLen uint8
}

// reg is the middle field of modrm: part of the opcode in many groups.
func (in *instruction) reg() uint8 { return in.modrm >> 3 & 7 }

// oneByte and twoByte say of every opcode what follows it: . nothing, m modrm, M modrm and imm8, Z modrm and imm16/32, b imm8,
// w imm16, z imm16/32, d imm32, v imm16/32/64, o an address, e imm16 and imm8, f and F the groups with an immediate for two of
// eight members, p a prefix, r REX, x invalid in 64-bit mode. The rest are escapes: 2 to 0F, 3 to 0F38, K to 0F3A, C and V to
// VEX, E to EVEX, 8 to XOP or POP.
const oneByte = "mmmmbzxxmmmmbzx2" + // 00
	"mmmmbzxxmmmmbzxx" + // 10
	"mmmmbzpxmmmmbzpx" + // 20
	"mmmmbzpxmmmmbzpx" + // 30
	"rrrrrrrrrrrrrrrr" + // 40
	"................" + // 50
	"xxEmppppzZbM...." + // 60
	"bbbbbbbbbbbbbbbb" + // 70
	"MZxMmmmmmmmmmmm8" + // 80
	"..........x....." + // 90
	"oooo....bz......" + // A0
	"bbbbbbbbvvvvvvvv" + // B0
	"MMw.VCMZe.w..bx." + // C0
	"mmmmxxx.mmmmmmmm" + // D0
	"bbbbbbbbddxb...." + // E0
	"p.pp..fF......mm" // F0

const twoByte = "mmmmx.....x.xm.M" + // 00
	"mmmmmmmmmmmmmmmm" + // 10
	"mmmmxxxxmmmmmmmm" + // 20
	"......x.3xKxxxxx" + // 30
	"mmmmmmmmmmmmmmmm" + // 40
	"mmmmmmmmmmmmmmmm" + // 50
	"mmmmmmmmmmmmmmmm" + // 60
	"MMMMmmm.mmxxmmmm" + // 70
	"dddddddddddddddd" + // 80
	"mmmmmmmmmmmmmmmm" + // 90
	"...mMmxx...mMmmm" + // A0
	"mmmmmmmmmmMmmmmm" + // B0
	"mmMmMMMm........" + // C0
	"mmmmmmmmmmmmmmmm" + // D0
	"mmmmmmmmmmmmmmmm" + // E0
	"mmmmmmmmmmmmmmmm" // F0

// maxInstruction is the longest that a processor accepts.
const maxInstruction = 15

// decode reads the instruction at the start of code. It returns false where that is cut short or is not one.
func decode(code []byte, in *instruction) bool {
	*in = instruction{}
	if len(code) > maxInstruction {
		code = code[:maxInstruction]
	}
	var narrow, short bool // operand size 16, address size 32
	at := 0
	for ; at < len(code); at++ {
		switch code[at] {
		case 0x66:
			narrow = true
			if in.prefix == prefixNone {
				in.prefix = prefix66
			}
			continue
		case 0x67:
			short = true
			continue
		case 0xF2:
			in.prefix = prefixF2
			continue
		case 0xF3:
			in.prefix = prefixF3
			continue
		case 0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0xF0:
			continue
		}
		break
	}
	if at < len(code) && code[at]&0xF0 == 0x40 {
		in.wide = code[at]&8 != 0
		at++
	}
	if at >= len(code) {
		return false
	}
	in.opcode = code[at]
	form := oneByte[in.opcode]
	at++
	switch form {
	case '2':
		if at >= len(code) {
			return false
		}
		in.space, in.opcode = space0F, code[at]
		form = twoByte[in.opcode]
		at++
		if form == '3' || form == 'K' {
			if at >= len(code) {
				return false
			}
			in.space, in.opcode = space0F38, code[at]
			if form == 'K' {
				in.space, form = space0F3A, 'M'
			} else {
				form = 'm'
			}
			at++
		}
	case 'C', 'V', 'E', '8':
		var ok bool
		if at, form, ok = decodeVector(code, at, form, in); !ok {
			return false
		}
	}
	return operands(code, at, form, narrow, short, in)
}

// decodeVector reads what follows the escape byte of VEX, EVEX or XOP, up to and with the opcode.
func decodeVector(code []byte, at int, escape byte, in *instruction) (int, byte, bool) {
	if escape == '8' && at < len(code) && code[at]&0x1F < 8 {
		return at, 'm', true // POP
	}
	extra := beforeOpcode[escape&3]
	if at+extra >= len(code) {
		return 0, 0, false
	}
	first := code[at]
	space, last := first&0x1F, code[at+extra-1]
	switch escape {
	case 'C':
		space = space0F
	case 'E':
		space &= 7
		last = code[at+1]
	}
	in.vector = true
	in.prefix = last & 3
	in.wide = extra > 1 && last&0x80 != 0
	in.opcode = code[at+extra]
	at += extra + 1
	switch space {
	case 1:
		in.space = space0F
		switch form := twoByte[in.opcode]; {
		case in.opcode == 0x77 && escape != 'E':
			return at, '.', true
		case form == 'M' && in.opcode != 0xA4 && in.opcode != 0xAC && in.opcode != 0xBA:
			return at, 'M', true
		default:
			return at, 'm', true
		}
	case 2:
		in.space = space0F38
		return at, 'm', true
	case 3:
		in.space = space0F3A
		return at, 'M', true
	case 5, 6:
		in.space = spaceRest
		return at, 'm', escape == 'E'
	case 8:
		in.space = spaceRest
		return at, 'M', escape == '8'
	case 9:
		in.space = spaceRest
		return at, 'm', escape == '8'
	case 10:
		in.space = spaceRest
		return at, 'D', escape == '8' // modrm and imm32
	}
	return 0, 0, false
}

// beforeOpcode counts, by the low bits of the escape's letter (8, E, V, C are 0, 1, 2, 3), the bytes between it and the opcode.
var beforeOpcode = [4]int{2, 3, 2, 1}

// operands reads modrm, displacement and immediate, as form says.
func operands(code []byte, at int, form byte, narrow, short bool, in *instruction) bool {
	switch form {
	case 'm', 'M', 'Z', 'f', 'F', 'D':
		if at >= len(code) {
			return false
		}
		in.modrm = code[at]
		at++
		mod, rm := in.modrm>>6, in.modrm&7
		in.memory = mod != 3
		if mod != 3 && rm == 4 {
			if at >= len(code) {
				return false
			}
			in.table = code[at]>>6 == 2
			if mod == 0 && code[at]&7 == 5 {
				at += 4
			}
			at++
		}
		switch {
		case mod == 1:
			at++
		case mod == 2, mod == 0 && rm == 5:
			at += 4
		}
	}
	word := 4
	if narrow && !in.wide {
		word = 2
	}
	imm := 0
	switch form {
	case '.', 'm':
	case 'b', 'M':
		imm = 1
	case 'w':
		imm = 2
	case 'e':
		imm = 3
	case 'z', 'Z':
		imm = word
	case 'd', 'D':
		imm = 4
	case 'v':
		if imm = word; in.wide {
			imm = 8
		}
	case 'o':
		if imm = 8; short {
			imm = 4
		}
	case 'f':
		if in.reg() < 2 {
			imm = 1
		}
	case 'F':
		if in.reg() < 2 {
			imm = word
		}
	default:
		return false
	}
	if at+imm > len(code) {
		return false
	}
	in.immLen = uint8(imm)
	switch imm {
	case 1:
		in.imm = uint32(code[at])
	case 2, 3:
		in.imm = uint32(binary.LittleEndian.Uint16(code[at:]))
	case 4, 8:
		in.imm = binary.LittleEndian.Uint32(code[at:])
	}
	in.size = at + imm
	return true
}
