#include <stdlib.h>
#include <string.h>

#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    void *at = to;
    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size) : : "memory");
    return to;
}

void *memmove(void *to, const void *from, size_t size)
{
    if ((uintptr_t)to - (uintptr_t)from >= size)
        return memcpy(to, from, size);
    char *out = to;
    const char *in = from;
    for (; size >= 8; size -= 8) {
        uint64_t word;
        __builtin_memcpy(&word, in + size - 8, 8);
        __builtin_memcpy(out + size - 8, &word, 8);
    }
    while (size-- > 0)
        out[size] = in[size];
    return to;
}

void *memset(void *to, int byte, size_t size)
{
    void *at = to;
    __asm__ volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(byte) : "memory");
    return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
    const unsigned char *left = a, *right = b;
    for (size_t i = 0; i < size; i++) {
        if (left[i] != right[i])
            return left[i] - right[i];
    }
    return 0;
}

void *memchr(const void *in, int byte, size_t size)
{
    const unsigned char *at = in;
    for (; size > 0; at++, size--) {
        if (*at == (unsigned char)byte)
            return (void *)at;
    }
    return NULL;
}

size_t strlen(const char *text)
{
    size_t size = 0;
    while (text[size] != 0)
        size++;
    return size;
}

size_t strnlen(const char *text, size_t size)
{
    size_t at = 0;
    while (at < size && text[at] != 0)
        at++;
    return at;
}

int strcmp(const char *a, const char *b)
{
    return strncmp(a, b, SIZE_MAX);
}

int strncmp(const char *a, const char *b, size_t size)
{
    for (; size > 0; a++, b++, size--) {
        if (*a != *b || *a == 0)
            return (unsigned char)*a - (unsigned char)*b;
    }
    return 0;
}

char *strcpy(char *restrict to, const char *restrict from)
{
    return memcpy(to, from, strlen(from) + 1);
}

char *strncpy(char *restrict to, const char *restrict from, size_t size)
{
    size_t used = strnlen(from, size);
    memcpy(to, from, used);
    memset(to + used, 0, size - used);
    return to;
}

char *strcat(char *restrict to, const char *restrict from)
{
    strcpy(to + strlen(to), from);
    return to;
}

char *strncat(char *restrict to, const char *restrict from, size_t size)
{
    char *end = to + strlen(to);
    size_t used = strnlen(from, size);
    memcpy(end, from, used);
    end[used] = 0;
    return to;
}

char *strchr(const char *text, int letter)
{
    return memchr(text, letter, strlen(text) + 1);
}

char *strrchr(const char *text, int letter)
{
    for (size_t at = strlen(text) + 1; at > 0; at--) {
        if (text[at - 1] == (char)letter)
            return (char *)text + at - 1;
    }
    return NULL;
}

char *strstr(const char *text, const char *part)
{
    size_t size = strlen(part);
    for (;; text++) {
        if (strncmp(text, part, size) == 0)
            return (char *)text;
        if (*text == 0)
            return NULL;
    }
}

size_t strspn(const char *text, const char *letters)
{
    size_t at = 0;
    while (text[at] != 0 && strchr(letters, text[at]) != NULL)
        at++;
    return at;
}

size_t strcspn(const char *text, const char *letters)
{
    size_t at = 0;
    while (text[at] != 0 && strchr(letters, text[at]) == NULL)
        at++;
    return at;
}

char *strpbrk(const char *text, const char *letters)
{
    text += strcspn(text, letters);
    return *text != 0 ? (char *)text : NULL;
}

char *strtok_r(char *restrict text, const char *restrict separators, char **restrict rest)
{
    char *begin = text != NULL ? text : *rest;
    begin += strspn(begin, separators);
    char *end = begin + strcspn(begin, separators);
    *rest = end;
    if (*end != 0)
        *rest = end + 1;
    *end = 0;
    return end > begin ? begin : NULL;
}

char *strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = malloc(size);
    return copy != NULL ? memcpy(copy, text, size) : NULL;
}
