#include "textflag.h"

// func spin(mode uint32, n uint64)
TEXT ·spin(SB), NOSPLIT, $16-16
	MOVL    mode+0(FP), AX
	SHLL    $13, AX
	ORL     $0x9fc0, AX // all exceptions masked, FTZ, DAZ
	MOVL    AX, 0(SP)
	STMXCSR 4(SP)
	LDMXCSR 0(SP)
	MOVQ    n+8(FP), CX
	MOVQ    $0x3ff0000000000001, AX
	MOVQ    AX, X0
	MOVQ    AX, X1

	MOVQ    CX, R8

loop:
	DIVPD X1, X0          // slow, so that most samples show what comes after it
	ANDL  $0x7fffffc0, R8 // what addresses in RandomX's dataset are cut with; nothing is addressed here
	ADDQ  CX, R8
	MULPD X1, X0
	ADDPD X1, X0
	DECQ  CX
	JNZ   loop
	LDMXCSR 4(SP)
	RET
