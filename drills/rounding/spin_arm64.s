#include "textflag.h"

// func spin(mode uint32, n uint64)
TEXT ·spin(SB), NOSPLIT, $0-16
	MOVWU mode+0(FP), R0
	LSL   $22, R0, R0
	ORR   $(1<<24), R0, R0 // FZ
	MRS   FPCR, R1
	MSR   R0, FPCR
	MOVD  n+8(FP), R2
	FMOVD $1.0, F0
	FMOVD $1.5, F1

	MOVD  R2, R3

loop:
	FDIVD F1, F0, F0 // slow, so that most samples show what comes after it
	ANDW  $0x7fffffc0, R3, R3 // what addresses in RandomX's dataset are cut with; nothing is addressed here
	ADD   R2, R3, R3
	FMULD F1, F0, F0
	SUBS  $1, R2, R2
	BNE   loop
	MSR   R1, FPCR
	RET
