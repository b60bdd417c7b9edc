#include "textflag.h"

// The rounds of one message, as in Intel's "New Instructions Supporting the Secure Hash Algorithm on Intel Architecture
// Processors" (2013): S holds the state as ABEF, T as CDGH, and X0 is the operand that SHA256RNDS2 has by itself. Two messages
// take turns: the second's rounds fill the time in which the first's wait for their results.

DATA k<>+0x00(SB)/8, $0x71374491428a2f98
DATA k<>+0x08(SB)/8, $0xe9b5dba5b5c0fbcf
DATA k<>+0x10(SB)/8, $0x59f111f13956c25b
DATA k<>+0x18(SB)/8, $0xab1c5ed5923f82a4
DATA k<>+0x20(SB)/8, $0x12835b01d807aa98
DATA k<>+0x28(SB)/8, $0x550c7dc3243185be
DATA k<>+0x30(SB)/8, $0x80deb1fe72be5d74
DATA k<>+0x38(SB)/8, $0xc19bf1749bdc06a7
DATA k<>+0x40(SB)/8, $0xefbe4786e49b69c1
DATA k<>+0x48(SB)/8, $0x240ca1cc0fc19dc6
DATA k<>+0x50(SB)/8, $0x4a7484aa2de92c6f
DATA k<>+0x58(SB)/8, $0x76f988da5cb0a9dc
DATA k<>+0x60(SB)/8, $0xa831c66d983e5152
DATA k<>+0x68(SB)/8, $0xbf597fc7b00327c8
DATA k<>+0x70(SB)/8, $0xd5a79147c6e00bf3
DATA k<>+0x78(SB)/8, $0x1429296706ca6351
DATA k<>+0x80(SB)/8, $0x2e1b213827b70a85
DATA k<>+0x88(SB)/8, $0x53380d134d2c6dfc
DATA k<>+0x90(SB)/8, $0x766a0abb650a7354
DATA k<>+0x98(SB)/8, $0x92722c8581c2c92e
DATA k<>+0xa0(SB)/8, $0xa81a664ba2bfe8a1
DATA k<>+0xa8(SB)/8, $0xc76c51a3c24b8b70
DATA k<>+0xb0(SB)/8, $0xd6990624d192e819
DATA k<>+0xb8(SB)/8, $0x106aa070f40e3585
DATA k<>+0xc0(SB)/8, $0x1e376c0819a4c116
DATA k<>+0xc8(SB)/8, $0x34b0bcb52748774c
DATA k<>+0xd0(SB)/8, $0x4ed8aa4a391c0cb3
DATA k<>+0xd8(SB)/8, $0x682e6ff35b9cca4f
DATA k<>+0xe0(SB)/8, $0x78a5636f748f82ee
DATA k<>+0xe8(SB)/8, $0x8cc7020884c87814
DATA k<>+0xf0(SB)/8, $0xa4506ceb90befffa
DATA k<>+0xf8(SB)/8, $0xc67178f2bef9a3f7
GLOBL k<>(SB), RODATA|NOPTR, $256

DATA flip<>+0x00(SB)/8, $0x0405060700010203
DATA flip<>+0x08(SB)/8, $0x0c0d0e0f08090a0b
GLOBL flip<>(SB), RODATA|NOPTR, $16

// LOAD reads 16 bytes of the message, big endian, into M.
#define LOAD(from, at, M) \
	MOVOU at(from), M; \
	PSHUFB X14, M

// FIRST and LAST halve four rounds with the words in M: what comes between them does not wait.
#define FIRST(at, M, S, T) \
	MOVOU at(AX), X0; \
	PADDD M, X0; \
	SHA256RNDS2 X0, S, T; \
	PSHUFD $0x0e, X0, X0

#define LAST(S, T) \
	SHA256RNDS2 X0, T, S

// SCHEDULE finishes the words that come after M; P holds those before.
#define SCHEDULE(M, P, N) \
	MOVO M, X13; \
	PALIGNR $4, P, X13; \
	PADDD X13, N; \
	SHA256MSG2 M, N

#define FOUR(at, M, S, T) \
	FIRST(at, M, S, T); \
	LAST(S, T)

#define BOTH(at, M, P, N, O, Q, R) \
	FIRST(at, M, X1, X2); \
	LAST(X1, X2); \
	FIRST(at, O, X7, X8); \
	LAST(X7, X8); \
	SCHEDULE(M, P, N); \
	SHA256MSG1 M, P; \
	SCHEDULE(O, Q, R); \
	SHA256MSG1 O, Q

// ENTER turns the state at from into ABEF and CDGH.
#define ENTER(from, S, T) \
	MOVOU 0(from), X13; \
	MOVOU 16(from), T; \
	PSHUFD $0xb1, X13, X13; \
	PSHUFD $0x1b, T, T; \
	MOVO X13, S; \
	PALIGNR $8, T, S; \
	PBLENDW $0xf0, X13, T

#define LEAVE(to, S, T) \
	PSHUFD $0x1b, S, X13; \
	PSHUFD $0xb1, T, T; \
	MOVO X13, S; \
	PBLENDW $0xf0, T, S; \
	PALIGNR $8, X13, T; \
	MOVOU S, 0(to); \
	MOVOU T, 16(to)

// func blocks(a, b *[8]uint32, p, q *byte, n int)
TEXT ·blocks(SB), NOSPLIT, $64-40
	MOVQ a+0(FP), DI
	MOVQ b+8(FP), SI
	MOVQ p+16(FP), BX
	MOVQ q+24(FP), CX
	MOVQ n+32(FP), DX
	LEAQ k<>(SB), AX
	MOVOU flip<>(SB), X14
	ENTER(DI, X1, X2)
	ENTER(SI, X7, X8)

loop:
	TESTQ DX, DX
	JE    done
	MOVOU X1, 0(SP)
	MOVOU X2, 16(SP)
	MOVOU X7, 32(SP)
	MOVOU X8, 48(SP)

	LOAD(BX, 0, X3)
	LOAD(CX, 0, X9)
	FOUR(0x00, X3, X1, X2)
	FOUR(0x00, X9, X7, X8)
	LOAD(BX, 16, X4)
	LOAD(CX, 16, X10)
	FOUR(0x10, X4, X1, X2)
	FOUR(0x10, X10, X7, X8)
	SHA256MSG1 X4, X3
	SHA256MSG1 X10, X9
	LOAD(BX, 32, X5)
	LOAD(CX, 32, X11)
	FOUR(0x20, X5, X1, X2)
	FOUR(0x20, X11, X7, X8)
	SHA256MSG1 X5, X4
	SHA256MSG1 X11, X10
	LOAD(BX, 48, X6)
	LOAD(CX, 48, X12)
	BOTH(0x30, X6, X5, X3, X12, X11, X9)
	BOTH(0x40, X3, X6, X4, X9, X12, X10)
	BOTH(0x50, X4, X3, X5, X10, X9, X11)
	BOTH(0x60, X5, X4, X6, X11, X10, X12)
	BOTH(0x70, X6, X5, X3, X12, X11, X9)
	BOTH(0x80, X3, X6, X4, X9, X12, X10)
	BOTH(0x90, X4, X3, X5, X10, X9, X11)
	BOTH(0xa0, X5, X4, X6, X11, X10, X12)
	BOTH(0xb0, X6, X5, X3, X12, X11, X9)
	BOTH(0xc0, X3, X6, X4, X9, X12, X10)
	FOUR(0xd0, X4, X1, X2)
	FOUR(0xd0, X10, X7, X8)
	SCHEDULE(X4, X3, X5)
	SCHEDULE(X10, X9, X11)
	FOUR(0xe0, X5, X1, X2)
	FOUR(0xe0, X11, X7, X8)
	SCHEDULE(X5, X4, X6)
	SCHEDULE(X11, X10, X12)
	FOUR(0xf0, X6, X1, X2)
	FOUR(0xf0, X12, X7, X8)

	MOVOU 0(SP), X13
	PADDD X13, X1
	MOVOU 16(SP), X13
	PADDD X13, X2
	MOVOU 32(SP), X13
	PADDD X13, X7
	MOVOU 48(SP), X13
	PADDD X13, X8
	ADDQ  $64, BX
	ADDQ  $64, CX
	DECQ  DX
	JMP   loop

done:
	LEAVE(DI, X1, X2)
	LEAVE(SI, X7, X8)
	RET

// func supported() bool
TEXT ·supported(SB), NOSPLIT, $0-1
	MOVB $0, ret+0(FP)
	XORL AX, AX
	XORL CX, CX
	CPUID
	CMPL AX, $7
	JLT  no
	MOVL $1, AX
	XORL CX, CX
	CPUID
	ANDL $0x00080200, CX // SSSE3, SSE4.1
	CMPL CX, $0x00080200
	JNE  no
	MOVL $7, AX
	XORL CX, CX
	CPUID
	SHRL $29, BX // SHA
	ANDL $1, BX
	MOVB BX, ret+0(FP)

no:
	RET
