/* The formats of printf: %d i u o x X c s p %, with flags, width, precision and lengths; floats are in float.c. */
#include <stdint.h>
#include <string.h>

#include "format.h"

static void emit(struct output *out, const char *text, size_t size)
{
    out->sink(out->to, text, size);
    out->count += size;
}

static void pad(struct output *out, char letter, size_t size)
{
    for (; size > 0; size--)
        emit(out, &letter, 1);
}

void __zx_emit_field(struct output *out, const struct spec *spec, const char *prefix, size_t zeros, const char *text,
                     size_t size)
{
    size_t used = strlen(prefix) + zeros + size;
    size_t room = spec->width > used ? spec->width - used : 0;
    if (!spec->left && !spec->zero)
        pad(out, ' ', room);
    emit(out, prefix, strlen(prefix));
    pad(out, '0', zeros + (!spec->left && spec->zero ? room : 0));
    emit(out, text, size);
    if (spec->left)
        pad(out, ' ', room);
}

static void format_number(struct output *out, struct spec *spec, uint64_t value, char kind, const char *sign)
{
    unsigned base = kind == 'x' || kind == 'X' || kind == 'p' ? 16 : kind == 'o' ? 8 : 10;
    const char *digits = kind == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    char text[24], *at = text + sizeof(text);
    for (uint64_t rest = value; rest > 0; rest /= base)
        *--at = digits[rest % base];
    size_t size = (size_t)(text + sizeof(text) - at);
    size_t least = spec->precision >= 0 ? (size_t)spec->precision : 1;
    size_t zeros = least > size ? least - size : 0;
    if (spec->precision >= 0)
        spec->zero = 0;
    if (kind == 'o' && spec->alternate && zeros == 0 && (size == 0 || *at != '0'))
        zeros = 1;
    if ((spec->alternate && base == 16 && value != 0) || kind == 'p')
        sign = kind == 'X' ? "0X" : "0x";
    __zx_emit_field(out, spec, sign, zeros, at, size);
}

static int64_t signed_argument(struct output *out, const struct spec *spec)
{
    switch (spec->length) {
    case 'H':
        return (signed char)va_arg(out->args, int);
    case 'h':
        return (short)va_arg(out->args, int);
    case 'l':
        return va_arg(out->args, int64_t);
    default:
        return va_arg(out->args, int);
    }
}

static uint64_t unsigned_argument(struct output *out, const struct spec *spec)
{
    switch (spec->length) {
    case 'H':
        return (unsigned char)va_arg(out->args, int);
    case 'h':
        return (unsigned short)va_arg(out->args, int);
    case 'l':
        return va_arg(out->args, uint64_t);
    default:
        return va_arg(out->args, unsigned);
    }
}

static void convert(struct output *out, struct spec *spec, char kind)
{
    char letter;
    const char *text;
    int64_t value;
    switch (kind) {
    case 'd':
    case 'i':
        value = signed_argument(out, spec);
        format_number(out, spec, value < 0 ? -(uint64_t)value : (uint64_t)value, 'd', __zx_sign(spec, value < 0));
        break;
    case 'u':
    case 'o':
    case 'x':
    case 'X':
        format_number(out, spec, unsigned_argument(out, spec), kind, "");
        break;
    case 'p':
        format_number(out, spec, (uintptr_t)va_arg(out->args, void *), kind, "");
        break;
    case 'c':
        letter = (char)va_arg(out->args, int);
        spec->zero = 0;
        __zx_emit_field(out, spec, "", 0, &letter, 1);
        break;
    case 's':
        text = va_arg(out->args, const char *);
        if (text == NULL)
            text = "(null)";
        spec->zero = 0;
        __zx_emit_field(out, spec, "", 0, text, spec->precision >= 0 ? strnlen(text, (size_t)spec->precision) : strlen(text));
        break;
    case 'f':
    case 'F':
    case 'e':
    case 'E':
    case 'g':
    case 'G':
        __zx_format_float(out, spec, kind);
        break;
    case '%':
        emit(out, "%", 1);
        break;
    }
}

const char *__zx_sign(const struct spec *spec, int negative)
{
    return negative ? "-" : spec->plus ? "+" : spec->space ? " " : "";
}

static const char *flags(const char *at, struct spec *spec)
{
    for (;; at++) {
        switch (*at) {
        case '-':
            spec->left = 1;
            break;
        case '0':
            spec->zero = 1;
            break;
        case '+':
            spec->plus = 1;
            break;
        case ' ':
            spec->space = 1;
            break;
        case '#':
            spec->alternate = 1;
            break;
        default:
            return at;
        }
    }
}

static const char *number(const char *at, struct output *out, int *value)
{
    if (*at == '*') {
        *value = va_arg(out->args, int);
        return at + 1;
    }
    for (*value = 0; *at >= '0' && *at <= '9'; at++)
        *value = *value * 10 + (*at - '0');
    return at;
}

static const char *length(const char *at, struct spec *spec)
{
    for (;; at++) {
        switch (*at) {
        case 'h':
            spec->length = spec->length == 'h' ? 'H' : 'h';
            break;
        case 'l':
        case 'j':
        case 'z':
        case 't':
            spec->length = 'l';
            break;
        case 'L':
            spec->length = 'L';
            break;
        default:
            return at;
        }
    }
}

int __zx_format(__zx_sink_t sink, void *to, const char *format, va_list args)
{
    struct output out = {.sink = sink, .to = to};
    va_copy(out.args, args);
    while (*format != 0) {
        size_t plain = strcspn(format, "%");
        emit(&out, format, plain);
        format += plain;
        if (*format == 0)
            break;
        struct spec spec = {.precision = -1};
        int width;
        format = number(flags(format + 1, &spec), &out, &width);
        if (width < 0) {
            spec.left = 1;
            width = -width;
        }
        spec.width = (size_t)width;
        if (*format == '.')
            format = number(format + 1, &out, &spec.precision);
        format = length(format, &spec);
        convert(&out, &spec, *format);
        if (*format != 0)
            format++;
    }
    va_end(out.args);
    return (int)out.count;
}
