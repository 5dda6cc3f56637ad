/*
 * `zvmm cc` includes this before every file. The compiler may know the library's functions, and what main returns, as it does on a host;
 * but its own headers (stdint.h, those of C++) must not look for a host's C library.
 */
#pragma GCC system_header
#undef __STDC_HOSTED__
#define __STDC_HOSTED__ 0
