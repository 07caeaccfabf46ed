/* Types of numbers, and a function of them that loops can be vectorised with. */

#ifndef YANMO_NUMBERS_H
#define YANMO_NUMBERS_H

#include <stdint.h>
#include <string.h>

/* Numbers of a register. */
#if defined(__AVX512F__)
#define WIDTH 16
#elif defined(__AVX2__)
#define WIDTH 8
#else
#define WIDTH 4
#endif

typedef float Numbers __attribute__((vector_size(4 * WIDTH), aligned(4)));
typedef uint16_t bfloat16;
typedef int64_t count;

static inline float from_bfloat16(bfloat16 x) {
    uint32_t bits = (uint32_t)x << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static inline bfloat16 to_bfloat16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    /* A NaN stays one: those of arithmetic, and those read as bfloat16, have zeros in the lower half. */
    return (bfloat16)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

/* e^x to one unit in the last place, for loops that the compiler can vectorise: x = n ln 2 + r with |r| < 0.35,
   e^r by its power series. Below -87 it is 0, above 88.4 infinite, of a NaN a NaN. */
static inline float exponential(float x) {
    float bounded = x < -87.0f ? -87.0f : x > 89.0f ? 89.0f : x;
    /* Adding 1.5 * 2^23 leaves the nearest whole number in the low bits. */
    float shifted = bounded * 1.44269504088896341f + 12582912.0f;
    float n = shifted - 12582912.0f;
    /* ln 2 in two parts, of which n times the first is exact. */
    float r = (bounded - n * 0.693145751953125f) - n * 1.42860682030941723e-6f;
    float series = 1.0f / 5040;
    series = series * r + 1.0f / 720;
    series = series * r + 1.0f / 120;
    series = series * r + 1.0f / 24;
    series = series * r + 1.0f / 6;
    series = series * r + 0.5f;
    series = series * r + 1.0f;
    series = series * r + 1.0f;
    uint32_t bits;
    memcpy(&bits, &shifted, 4);
    bits = (bits + 127) << 23;
    float power;
    memcpy(&power, &bits, 4);
    return x < -87.0f ? 0.0f : series * power;
}

static inline float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

#endif
