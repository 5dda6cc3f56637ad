/* What the host's C++ headers ask the C library. */
#define __GLIBC_PREREQ(major, minor) 0
