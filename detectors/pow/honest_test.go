package pow

import (
	"debug/elf"
	"errors"
	"io/fs"
	"os/exec"
	"testing"
)

// TestHonestCode looks for the marks of RandomX and CryptoNight in large honest programs, at every second window.
func TestHonestCode(t *testing.T) {
	const limit = 8 << 20 // bytes of one program
	paths := []string{
		"/usr/lib/x86_64-linux-gnu/libcrypto.so.3", "/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/x86_64-linux-gnu/libm.so.6",
		"/usr/lib/x86_64-linux-gnu/libx264.so.164", "/usr/lib/x86_64-linux-gnu/libgmp.so.10", "/usr/lib/x86_64-linux-gnu/libhogweed.so.6",
		"/usr/bin/node", "/usr/bin/qemu-system-x86_64", "/usr/bin/povray", "/usr/sbin/john", "/usr/bin/monerod",
	}
	if compiler, err := exec.LookPath("go"); err == nil {
		paths = append(paths, compiler)
	}
	for _, path := range paths {
		t.Run(path, func(t *testing.T) {
			file, err := elf.Open(path)
			if errors.Is(err, fs.ErrNotExist) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			text := file.Section(".text")
			if file.Machine != elf.EM_X86_64 || text == nil {
				t.Skip("no amd64 code")
			}
			code, err := text.Data()
			if err != nil {
				t.Fatal(err)
			}
			code = code[:min(len(code), limit)]
			var sums tally
			for len(code) > maxCode+maxInstruction {
				sums.add(code[:maxCode])
				code = code[next(code):]
			}
			t.Logf("%+v", sums)
			if sums.programs > 0 || sums.superscalar > 0 || sums.lines*1000 > sums.windows*5 {
				t.Errorf("honest code looks like a miner's: %+v", sums)
			}
		})
	}
}

type tally struct{ windows, programs, superscalar, lines int }

func (c *tally) add(code []byte) {
	var w window
	measureAMD64(code, &w)
	c.windows++
	if w.program() {
		c.programs++
	}
	if w.superscalar() {
		c.superscalar++
	}
	if w.lineMix() {
		c.lines++
	}
}

// next returns where the first instruction past half a window begins.
func next(code []byte) int {
	at := 0
	for at < maxCode/2 {
		var in instruction
		if decode(code[at:], &in) {
			at += in.size
		} else {
			at++
		}
	}
	return at
}
