/* Output, which goes to the debug log: zvmm's standard output. Nothing is buffered: what one call prints, up to 512 bytes, is written
   in one piece, so that lines of threads do not mix. */
#ifndef STDIO_H_
#define STDIO_H_

#include <stdarg.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EOF (-1)

typedef struct zx_file FILE;

/* Both lead to the debug log. */
extern FILE *const stdout;
extern FILE *const stderr;

int printf(const char *__restrict format, ...) __attribute__((__format__(__printf__, 1, 2)));
int fprintf(FILE *__restrict file, const char *__restrict format, ...) __attribute__((__format__(__printf__, 2, 3)));
int snprintf(char *__restrict to, size_t size, const char *__restrict format, ...)
    __attribute__((__format__(__printf__, 3, 4)));
int sprintf(char *__restrict to, const char *__restrict format, ...) __attribute__((__format__(__printf__, 2, 3)));
int vprintf(const char *__restrict format, va_list args) __attribute__((__format__(__printf__, 1, 0)));
int vfprintf(FILE *__restrict file, const char *__restrict format, va_list args)
    __attribute__((__format__(__printf__, 2, 0)));
int vsnprintf(char *__restrict to, size_t size, const char *__restrict format, va_list args)
    __attribute__((__format__(__printf__, 3, 0)));
int vsprintf(char *__restrict to, const char *__restrict format, va_list args)
    __attribute__((__format__(__printf__, 2, 0)));

int puts(const char *text);
int putchar(int letter);
int fputs(const char *__restrict text, FILE *__restrict file);
int fputc(int letter, FILE *file);
size_t fwrite(const void *__restrict from, size_t size, size_t count, FILE *__restrict file);
int fflush(FILE *file);

#ifdef __cplusplus
}
#endif

#endif
