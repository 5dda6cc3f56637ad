/*
 * %f, %e and %g, exact: a double is m * 2^e, and m * 2^-k is m * 5^k / 10^k. So all its decimal digits are those of one large whole
 * number, which are cut where the format says, rounding to even.
 */
#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "format.h"

/* Limbs are less than LIMB, and so is what they are multiplied by. LIMBS hold 2^53 * 5^1074, and 2^1024. */
#define LIMB 1000000000u
#define LIMB_DIGITS 9
#define LIMBS 88
#define DIGITS (LIMBS * LIMB_DIGITS + 1)
/* More digits behind the point are not printed: those of a double are zeros by then. */
#define MOST_PRECISION 1100

/* 0.d1d2d3... * 10^point, with `count` digits; zero has none. */
struct decimal {
    int count, point;
    char digits[DIGITS];
};

static int multiply(uint32_t *limbs, int count, uint32_t by)
{
    uint64_t carry = 0;
    for (int i = 0; i < count; i++) {
        carry += (uint64_t)limbs[i] * by;
        limbs[i] = (uint32_t)(carry % LIMB);
        carry /= LIMB;
    }
    if (carry > 0)
        limbs[count++] = (uint32_t)carry;
    return count;
}

static void exact(struct decimal *out, uint64_t mantissa, int exponent)
{
    uint32_t limbs[LIMBS];
    int count = 0, scale = exponent < 0 ? -exponent : 0;
    for (; mantissa > 0; mantissa /= LIMB)
        limbs[count++] = (uint32_t)(mantissa % LIMB);
    for (int left = scale; left > 0; left -= 12) {
        uint32_t power = 1;
        for (int i = 0; i < left && i < 12; i++)
            power *= 5;
        count = multiply(limbs, count, power);
    }
    for (int left = exponent; left > 0; left -= 29)
        count = multiply(limbs, count, 1u << (left < 29 ? left : 29));
    char text[DIGITS];
    int size = 0;
    for (int i = 0; i < count; i++) {
        for (int digit = 0; digit < LIMB_DIGITS; digit++, limbs[i] /= 10)
            text[size++] = (char)('0' + limbs[i] % 10);
    }
    while (size > 0 && text[size - 1] == '0')
        size--;
    for (int i = 0; i < size; i++)
        out->digits[i] = text[size - 1 - i];
    out->count = size;
    out->point = size - scale;
}

static char digit(const struct decimal *value, int at)
{
    return at >= 0 && at < value->count ? value->digits[at] : '0';
}

/* Keeps `keep` digits, which may be none or fewer. */
static void round_to(struct decimal *value, int keep)
{
    if (keep >= value->count)
        return;
    if (keep < 0) {
        value->count = 0;
        return;
    }
    int more = 0;
    for (int i = keep + 1; i < value->count; i++)
        more |= value->digits[i] != '0';
    char next = value->digits[keep];
    int odd = keep > 0 && ((value->digits[keep - 1] - '0') & 1);
    value->count = keep;
    if (next < '5' || (next == '5' && !more && !odd))
        return;
    int at = keep;
    while (at > 0 && value->digits[at - 1] == '9')
        value->digits[--at] = '0';
    if (at > 0) {
        value->digits[at - 1]++;
        return;
    }
    /* Nines all the way: 10...0, of which the last zero may be left out. */
    value->digits[0] = '1';
    if (keep == 0)
        value->count = 1;
    value->point++;
}

/* The point and the digits from `at` on. */
static size_t fraction(char *to, const struct decimal *value, int at, int precision, int point)
{
    size_t size = 0;
    if (precision > 0 || point)
        to[size++] = '.';
    for (int i = 0; i < precision; i++)
        to[size++] = digit(value, at + i);
    return size;
}

static size_t fixed(char *to, const struct decimal *value, int precision, int point)
{
    size_t size = 0;
    for (int i = value->point > 0 ? 0 : value->point - 1; i < value->point; i++)
        to[size++] = digit(value, i);
    return size + fraction(to + size, value, value->point, precision, point);
}

static size_t scientific(char *to, const struct decimal *value, int precision, int point, char letter)
{
    int exponent = value->count > 0 ? value->point - 1 : 0;
    size_t size = 0;
    to[size++] = digit(value, 0);
    size += fraction(to + size, value, 1, precision, point);
    to[size++] = letter;
    to[size++] = exponent < 0 ? '-' : '+';
    exponent = exponent < 0 ? -exponent : exponent;
    if (exponent >= 100)
        to[size++] = (char)('0' + exponent / 100);
    to[size++] = (char)('0' + exponent / 10 % 10);
    to[size++] = (char)('0' + exponent % 10);
    return size;
}

/* %g has no zeros at the end, unless they are asked for. */
static int without_zeros(const struct decimal *value, int at, int precision)
{
    while (precision > 0 && digit(value, at + precision - 1) == '0')
        precision--;
    return precision;
}

static size_t general(char *to, struct decimal *value, int precision, int point, char letter)
{
    precision = precision > 0 ? precision : 1;
    round_to(value, precision);
    int exponent = value->count > 0 ? value->point - 1 : 0;
    if (exponent < -4 || exponent >= precision) {
        int places = point ? precision - 1 : without_zeros(value, 1, precision - 1);
        return scientific(to, value, places, point, letter);
    }
    if (value->count == 0)
        value->point = 1;
    int places = precision - 1 - exponent;
    return fixed(to, value, point ? places : without_zeros(value, value->point, places), point);
}

void __zx_format_float(struct output *out, struct spec *spec, char kind)
{
    double number = spec->length == 'L' ? (double)va_arg(out->args, long double) : va_arg(out->args, double);
    uint64_t bits;
    memcpy(&bits, &number, sizeof(bits));
    uint64_t mantissa = bits & ((1ull << 52) - 1);
    int exponent = (int)(bits >> 52 & 0x7ff);
    const char *sign = __zx_sign(spec, bits >> 63 != 0);
    int upper = isupper(kind);
    if (exponent == 0x7ff) {
        spec->zero = 0;
        const char *text = mantissa != 0 ? (upper ? "NAN" : "nan") : (upper ? "INF" : "inf");
        __zx_emit_field(out, spec, sign, 0, text, 3);
        return;
    }
    mantissa |= exponent > 0 ? 1ull << 52 : 0;
    struct decimal value;
    exact(&value, mantissa, (exponent > 0 ? exponent : 1) - 1075);

    int precision = spec->precision < 0 ? 6 : spec->precision > MOST_PRECISION ? MOST_PRECISION : spec->precision;
    char text[MOST_PRECISION + 400];
    char letter = upper ? 'E' : 'e';
    size_t size;
    if (tolower(kind) == 'f') {
        round_to(&value, value.point + precision);
        size = fixed(text, &value, precision, spec->alternate);
    } else if (tolower(kind) == 'e') {
        round_to(&value, precision + 1);
        size = scientific(text, &value, precision, spec->alternate, letter);
    } else {
        size = general(text, &value, precision, spec->alternate, letter);
    }
    __zx_emit_field(out, spec, sign, 0, text, size);
}
