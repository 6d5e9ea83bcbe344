package pow

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestDecode(t *testing.T) {
	tests := []struct {
		name string
		code string
		want instruction
	}{
		{"and eax, imm32", "25f83f0000", instruction{size: 5, opcode: 0x25, imm: 0x3ff8, immLen: 4}},
		{"and r9d, imm32", "4181e1f8ff1f00", instruction{size: 7, opcode: 0x81, modrm: 0xE1, imm: 0x1ffff8, immLen: 4}},
		{"mov r64, imm64", "49b8efcdab8967452301", instruction{size: 10, opcode: 0xB8, wide: true, imm: 0x89abcdef, immLen: 8}},
		{"mulpd xmm, xmm", "66410f59c4", instruction{size: 5, space: space0F, prefix: prefix66, opcode: 0x59, modrm: 0xC4}},
		{"cvtdq2pd xmm, m64", "f3440fe62406", instruction{size: 6, space: space0F, prefix: prefixF3, opcode: 0xE6, modrm: 0x24, memory: true}},
		{"ldmxcsr m32, rip", "0fae1501020304", instruction{size: 7, space: space0F, opcode: 0xAE, modrm: 0x15, memory: true}},
		{"aesenc", "660f38dcc1", instruction{size: 5, space: space0F38, prefix: prefix66, opcode: 0xDC, modrm: 0xC1}},
		{"vaesenc", "c4e271dcc2", instruction{size: 5, space: space0F38, prefix: prefix66, opcode: 0xDC, modrm: 0xC2, vector: true}},
		{"mulx", "c4e2fbf6c1", instruction{size: 5, space: space0F38, prefix: prefixF2, opcode: 0xF6, modrm: 0xC1, vector: true, wide: true}},
		{"rorx", "c443fbf0c40b", instruction{size: 6, space: space0F3A, prefix: prefixF2, opcode: 0xF0, modrm: 0xC4, vector: true, wide: true, imm: 11, immLen: 1}},
		{"vzeroupper", "c5f877", instruction{size: 3, space: space0F, opcode: 0x77, vector: true}},
		{"vprord zmm, imm", "62f1754872c007", instruction{size: 7, space: space0F, prefix: prefix66, opcode: 0x72, modrm: 0xC0, vector: true, imm: 7, immLen: 1}},
		{"test m8, imm8", "f6450801", instruction{size: 4, opcode: 0xF6, modrm: 0x45, imm: 1, immLen: 1, memory: true}},
		{"pop m64", "8f4108", instruction{size: 3, opcode: 0x8F, modrm: 0x41, memory: true}},
		{"xop vprotd xmm, imm", "8fe878c2c001", instruction{size: 6, space: spaceRest, opcode: 0xC2, modrm: 0xC0, vector: true, imm: 1, immLen: 1}},
		{"not m8", "f65508", instruction{size: 3, opcode: 0xF6, modrm: 0x55, memory: true}},
		{"sib without base", "488b04cd00000000", instruction{size: 8, opcode: 0x8B, modrm: 0x04, wide: true, memory: true}},
		{"movabs from address", "48a10807060504030201", instruction{size: 10, opcode: 0xA1, wide: true, imm: 0x05060708, immLen: 8}},
		{"add ax, imm16", "6605cdab", instruction{size: 4, prefix: prefix66, opcode: 0x05, imm: 0xabcd, immLen: 2}},
		{"cut in the immediate", "25f83f", instruction{}},
		{"cut in the displacement", "488b80010203", instruction{}},
		{"push es is no more", "06", instruction{}},
		{"empty", "", instruction{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			code, err := hex.DecodeString(test.code)
			if err != nil {
				t.Fatal(err)
			}
			var got instruction
			if ok := decode(code, &got); ok != (test.want.size > 0) {
				t.Fatalf("decode(%s) = %v", test.code, ok)
			}
			if test.want.size > 0 && got != test.want {
				t.Errorf("decode(%s)\n got %+v\nwant %+v", test.code, got, test.want)
			}
		})
	}
}

// TestDecodeAgainstObjdump takes the lengths that binutils finds in large real programs as the truth.
func TestDecodeAgainstObjdump(t *testing.T) {
	objdump, err := exec.LookPath("objdump")
	if err != nil {
		t.Skip("needs objdump of binutils")
	}
	const limit = 300_000 // instructions of one file
	for _, path := range []string{
		"/usr/lib/x86_64-linux-gnu/libcrypto.so.3", "/usr/lib/x86_64-linux-gnu/libc.so.6",
		"/usr/lib/x86_64-linux-gnu/librandomx.so.0", "/usr/lib/x86_64-linux-gnu/libx264.so.164",
	} {
		t.Run(path, func(t *testing.T) {
			if _, err := os.Stat(path); err != nil {
				t.Skip(err)
			}
			cmd := exec.Command(objdump, "-d", "--wide", "--no-addresses", "--section=.text", path)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			seen, wrong := 0, 0
			lines := bufio.NewScanner(out)
			for lines.Scan() && seen < limit {
				text, mnemonic, ok := bytes.Cut(bytes.TrimPrefix(lines.Bytes(), []byte("\t")), []byte("\t"))
				code, err := hex.DecodeString(strings.ReplaceAll(string(text), " ", ""))
				if !ok || err != nil || len(code) == 0 || bytes.Contains(mnemonic, []byte("(bad)")) {
					continue
				}
				// binutils shows fwait and unused prefixes as instructions of their own, and tables in the code as whatever
				// they look like: a 16-bit jump, a debug register.
				if code[0] == 0x9B || isPrefix(code) || bytes.Contains(mnemonic, []byte(".byte")) ||
					bytes.HasPrefix(mnemonic, []byte("jmpw")) || bytes.Contains(mnemonic, []byte("%db")) {
					continue
				}
				seen++
				var in instruction
				if !decode(append(code, make([]byte, maxInstruction)...), &in) || in.size != len(code) {
					if wrong++; wrong <= 10 {
						t.Errorf("%x %s: got length %d, want %d", code, mnemonic, in.size, len(code))
					}
				}
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Log(err)
			}
			if err := cmd.Wait(); err == nil && seen == 0 {
				t.Error("objdump showed no instruction")
			}
			t.Logf("%d instructions, %d wrong", seen, wrong)
		})
	}
}

func isPrefix(code []byte) bool {
	for _, b := range code {
		if form := oneByte[b]; form != 'p' && form != 'r' {
			return false
		}
	}
	return true
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"66410f59c4", "c443fbf0c40b", "62f1754872c007", "8fe878c2c001", "f2f2f2f2f2f2f2f2f2f2f2f2f2f20f"} {
		code, err := hex.DecodeString(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(code)
	}
	f.Fuzz(func(t *testing.T, code []byte) {
		var in, again instruction
		if !decode(code, &in) {
			return
		}
		if in.size < 1 || in.size > maxInstruction || in.size > len(code) {
			t.Fatalf("decode(%x) has length %d", code, in.size)
		}
		// What follows an instruction cannot change it, and any cut makes it incomplete.
		if !decode(code[:in.size], &again) || again != in {
			t.Fatalf("decode(%x) = %+v, alone %+v", code, in, again)
		}
		if decode(code[:in.size-1], &again) {
			t.Fatalf("decode(%x) still whole without its last byte", code[:in.size])
		}
	})
}
