#ifndef STDLIB_H_
#define STDLIB_H_

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EXIT_SUCCESS 0
#define EXIT_FAILURE 1

void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *memory, size_t size);
void *aligned_alloc(size_t alignment, size_t size);
void free(void *memory);

int atexit(void (*function)(void));
__attribute__((__noreturn__)) void exit(int code);
__attribute__((__noreturn__)) void _Exit(int code);
/* Ends the process with an exception, so that the report shows where. */
__attribute__((__noreturn__)) void abort(void);

int atoi(const char *text);
long atol(const char *text);
long strtol(const char *__restrict text, char **__restrict end, int base);
unsigned long strtoul(const char *__restrict text, char **__restrict end, int base);
long long strtoll(const char *__restrict text, char **__restrict end, int base);
unsigned long long strtoull(const char *__restrict text, char **__restrict end, int base);

#define RAND_MAX 0x7fffffff
/* All threads have one sequence. */
int rand(void);
void srand(unsigned seed);

int abs(int number);
long labs(long number);
void qsort(void *base, size_t count, size_t size, int (*compare)(const void *, const void *));
void *bsearch(const void *key, const void *base, size_t count, size_t size,
              int (*compare)(const void *, const void *));

#ifdef __cplusplus
}
#endif

#endif
