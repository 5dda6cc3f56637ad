/* Output to the debug log. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* What one call of zx_debug_write takes, and what a line of printf may have to stay in one piece. */
#define MOST (64u << 10)
#define LINE 512

/* Of a test with a failed assertion; that of panics in Rust. */
#define EXIT_ASSERTION 101

struct zx_file {
    int unused;
};

static struct zx_file log;
FILE *const stdout = &log;
FILE *const stderr = &log;

void __zx_debug_log(const char *text, size_t size)
{
    while (size > 0) {
        size_t part = size < MOST ? size : MOST;
        zx_debug_write(text, part);
        text += part;
        size -= part;
    }
}

struct line {
    size_t used;
    char bytes[LINE];
};

static int in_test, inside_line;

void __zx_in_test(void)
{
    in_test = 1;
}

static void append(struct line *line, const char *text, size_t size)
{
    while (size > 0) {
        size_t part = LINE - line->used;
        if (part > size)
            part = size;
        memcpy(line->bytes + line->used, text, part);
        line->used += part;
        text += part;
        size -= part;
        if (line->used == LINE) {
            __zx_debug_log(line->bytes, line->used);
            line->used = 0;
        }
    }
}

static void to_line(void *to, const char *text, size_t size)
{
    while (in_test && size > 0) {
        const char *end = memchr(text, '\n', size);
        size_t part = end != NULL ? (size_t)(end - text) + 1 : size;
        if (!inside_line)
            append(to, "# ", 2);
        append(to, text, part);
        inside_line = end == NULL;
        text += part;
        size -= part;
    }
    append(to, text, size);
}

static void write_all(const char *text, size_t size)
{
    struct line line;
    line.used = 0;
    to_line(&line, text, size);
    __zx_debug_log(line.bytes, line.used);
}

int vprintf(const char *restrict format, va_list args)
{
    struct line line;
    line.used = 0;
    int count = __zx_format(to_line, &line, format, args);
    __zx_debug_log(line.bytes, line.used);
    return count;
}

int printf(const char *restrict format, ...)
{
    va_list args;
    va_start(args, format);
    int count = vprintf(format, args);
    va_end(args);
    return count;
}

int vfprintf(FILE *restrict file, const char *restrict format, va_list args)
{
    (void)file;
    return vprintf(format, args);
}

int fprintf(FILE *restrict file, const char *restrict format, ...)
{
    va_list args;
    va_start(args, format);
    int count = vfprintf(file, format, args);
    va_end(args);
    return count;
}

struct text {
    char *at;
    size_t room;
};

static void to_text(void *to, const char *from, size_t size)
{
    struct text *text = to;
    size_t part = size < text->room ? size : text->room;
    memcpy(text->at, from, part);
    text->at += part;
    text->room -= part;
}

int vsnprintf(char *restrict to, size_t size, const char *restrict format, va_list args)
{
    struct text text = {to, size > 0 ? size - 1 : 0};
    int count = __zx_format(to_text, &text, format, args);
    if (size > 0)
        *text.at = 0;
    return count;
}

int snprintf(char *restrict to, size_t size, const char *restrict format, ...)
{
    va_list args;
    va_start(args, format);
    int count = vsnprintf(to, size, format, args);
    va_end(args);
    return count;
}

int vsprintf(char *restrict to, const char *restrict format, va_list args)
{
    return vsnprintf(to, SIZE_MAX, format, args);
}

int sprintf(char *restrict to, const char *restrict format, ...)
{
    va_list args;
    va_start(args, format);
    int count = vsprintf(to, format, args);
    va_end(args);
    return count;
}

int puts(const char *text)
{
    struct line line;
    line.used = 0;
    to_line(&line, text, strlen(text));
    to_line(&line, "\n", 1);
    __zx_debug_log(line.bytes, line.used);
    return 0;
}

int putchar(int letter)
{
    char byte = (char)letter;
    write_all(&byte, 1);
    return (unsigned char)byte;
}

int fputc(int letter, FILE *file)
{
    (void)file;
    return putchar(letter);
}

int fputs(const char *restrict text, FILE *restrict file)
{
    (void)file;
    write_all(text, strlen(text));
    return 0;
}

size_t fwrite(const void *restrict from, size_t size, size_t count, FILE *restrict file)
{
    (void)file;
    write_all(from, size * count);
    return count;
}

int fflush(FILE *file)
{
    (void)file;
    return 0;
}

void __zx_assert_failed(const char *condition, const char *file, int line, const char *function)
{
    printf("%s:%d: %s: assertion failed: %s\n", file, line, function, condition);
    if (in_test)
        _Exit(EXIT_ASSERTION);
    abort();
}
