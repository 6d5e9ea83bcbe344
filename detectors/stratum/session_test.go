package stratum

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/minewarden/minewarden/internal/wallet"
)

func TestDifficulty(t *testing.T) {
	for name, tt := range map[string]struct{ got, want float64 }{
		"compact target of CryptoNote": {hashesOfCompact([]byte("b88d0600")), 10000},
		"target of 8 bytes":            {hashesOfCompact([]byte("0000000000000001")), 256},
		"target of 256 bits":           {hashesOfTarget([]byte("0x" + "0000" + strings.Repeat("f", 60))), 65536},
		"no target":                    {hashesOfCompact([]byte("00000000")), 0},
		"network of block 0":           {hashesOfBits(0x1d00ffff), math.Exp2(32)},
		"no network":                   {hashesOfBits(0), 0},
	} {
		if math.Abs(tt.got-tt.want) > tt.want/1000 {
			t.Errorf("%s: %g, want %g", name, tt.got, tt.want)
		}
	}
}

func TestCoinbaseHeight(t *testing.T) {
	head := "01000000" + "01" + strings.Repeat("0", 64) + "ffffffff"
	for coinb1, want := range map[string]uint64{
		head + "4d" + "03a0bb0d00": 900000, head + "4d" + "02a0bb0d00": 0, head: 0, "": 0, strings.Repeat("0", 200): 0,
	} {
		if got := coinbaseHeight([]byte(coinb1)); got != want {
			t.Errorf("height %d, want %d", got, want)
		}
	}
}

func TestEstimates(t *testing.T) {
	s := &session{coin: wallet.Bitcoin, bits: 0x1d00ffff, height: 210_000, accepted: 4, work: math.Exp2(32), first: time.Unix(0, 0), last: time.Unix(64, 0)}
	if rate, ok := s.hashRate(); !ok || math.Abs(rate-math.Exp2(26)) > 1 {
		t.Errorf("rate %g %v", rate, ok)
	}
	if coins, ok := s.earned(); !ok || math.Abs(coins-25) > 0.1 {
		t.Errorf("earned %g %v", coins, ok)
	}
	s.unsized = true
	if _, ok := s.hashRate(); ok {
		t.Error("a rate is given though the difficulty of a share was not known")
	}
	if _, ok := s.earned(); ok {
		t.Error("earnings are given though the difficulty of a share was not known")
	}
}
