#include "textflag.h"

// func walk(memory *uint64, state *[4]uint64, n uint64)
TEXT ·walk(SB), NOSPLIT, $0-24
	MOVQ  memory+0(FP), DI
	MOVQ  state+8(FP), SI
	MOVQ  n+16(FP), CX
	MOVQ  0(SI), R8
	MOVQ  8(SI), R9
	MOVUPS 16(SI), X1

loop:
	// An AES round over the line that the state points at.
	MOVQ   R8, R10
	ANDL   $0x1ffff0, R10
	MOVUPS (DI)(R10*1), X0
	MOVQ   R8, X2
	PINSRQ $1, R9, X2
	AESENC X2, X0
	PXOR   X0, X1
	MOVUPS X1, (DI)(R10*1)
	MOVUPS X0, X1

	// A multiplication of 64 by 64 bits with the line that the result points at.
	MOVQ X0, AX
	MOVQ AX, R11
	ANDL $0x1ffff0, R11
	MOVQ (DI)(R11*1), R12
	MOVQ 8(DI)(R11*1), R13
	MULQ R12
	ADDQ DX, R8
	ADDQ AX, R9
	MOVQ R8, (DI)(R11*1)
	MOVQ R9, 8(DI)(R11*1)
	XORQ R12, R8
	XORQ R13, R9
	DECQ CX
	JNZ  loop

	MOVQ   R8, 0(SI)
	MOVQ   R9, 8(SI)
	MOVUPS X1, 16(SI)
	RET
