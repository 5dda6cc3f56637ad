#ifndef ERRNO_H_
#define ERRNO_H_

#ifdef __cplusplus
extern "C" {
#endif

/* Each thread has its own. System calls do not set it: they return their status. */
extern __thread int errno;
#define errno errno

#define ENOMEM 12
#define EINVAL 22
#define EDOM 33
#define ERANGE 34
#define EILSEQ 84

#ifdef __cplusplus
}
#endif

#endif
