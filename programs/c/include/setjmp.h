#ifndef SETJMP_H_
#define SETJMP_H_

#ifdef __cplusplus
extern "C" {
#endif

/* rbx, rbp, r12 to r15, rsp, rip. */
typedef unsigned long jmp_buf[8];

int setjmp(jmp_buf state) __attribute__((__returns_twice__));
#define setjmp setjmp
__attribute__((__noreturn__)) void longjmp(jmp_buf state, int value);

#ifdef __cplusplus
}
#endif

#endif
