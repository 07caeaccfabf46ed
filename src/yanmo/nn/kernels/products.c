/* Products with matrices of codes, by the widest instructions that this library was compiled for.

   The library is compiled on the machine that runs it, so that what the compiler may use is what there is:
   AVX512-VNNI, AVX-VNNI, AVX2, or plain C. All give the same whole numbers; sums of groups are in float. */

#include "products.h"

#include <math.h>
#include <string.h>
#ifdef __AVX2__
#include <immintrin.h>
#endif
#if defined(__AVX512VNNI__) && defined(__AVX512BW__)
#define WIDE 1
#define PARTS 1 /* registers that the lanes of a tile take */
#define BLOCK 12 /* vectors multiplied with a tile at once, as the registers allow */
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define WIDE 1
#define PARTS 2
#define BLOCK 3
#else
#define WIDE 0
#define BLOCK 4
#endif

/* Vectors of a product that are coded together. */
#define CHUNK 256

#define INLINE static inline __attribute__((always_inline))

#if WIDE && PARTS == 1
typedef __m512i Ints;
typedef __m512 Floats;
INLINE Ints load(const uint8_t *at) { return _mm512_loadu_si512(at); }
INLINE Ints same_ints(int32_t value) { return _mm512_set1_epi32(value); }
INLINE Ints lower(Ints codes) { return _mm512_and_si512(codes, _mm512_set1_epi8(15)); }
INLINE Ints upper(Ints codes) { return lower(_mm512_srli_epi16(codes, 4)); }
INLINE Ints dot(Ints sum, Ints codes, Ints x, int bits) {
    (void)bits;
    return _mm512_dpbusd_epi32(sum, codes, x);
}
INLINE Floats same(float value) { return _mm512_set1_ps(value); }
INLINE Floats halves(const uint16_t *at) { return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)at)); }
INLINE Floats add_scaled(Floats total, Ints sum, Floats one, Floats other) {
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_mul_ps(one, other), total);
}
INLINE Floats add_product(Floats total, Floats one, Floats other) { return _mm512_fmadd_ps(one, other, total); }
INLINE void store(float *at, Floats value) { _mm512_storeu_ps(at, value); }
#elif WIDE
typedef __m256i Ints;
typedef __m256 Floats;
INLINE Ints load(const uint8_t *at) { return _mm256_loadu_si256((const void *)at); }
INLINE Ints same_ints(int32_t value) { return _mm256_set1_epi32(value); }
INLINE Ints lower(Ints codes) { return _mm256_and_si256(codes, _mm256_set1_epi8(15)); }
INLINE Ints upper(Ints codes) { return lower(_mm256_srli_epi16(codes, 4)); }
INLINE Ints dot(Ints sum, Ints codes, Ints x, int bits) {
#ifdef __AVXVNNI__
    (void)bits;
    return _mm256_dpbusd_avx_epi32(sum, codes, x);
#else
    /* Two products of bytes are added in 16 bits, which 255 * 127 twice does not fit: signs go to the vector. */
    if (bits == 8) {
        codes = _mm256_xor_si256(codes, _mm256_set1_epi8((char)128));
        x = _mm256_sign_epi8(x, codes);
        codes = _mm256_abs_epi8(codes);
    }
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(codes, x), _mm256_set1_epi16(1)));
#endif
}
INLINE Floats same(float value) { return _mm256_set1_ps(value); }
INLINE Floats halves(const uint16_t *at) { return _mm256_cvtph_ps(_mm_loadu_si128((const void *)at)); }
INLINE Floats add_scaled(Floats total, Ints sum, Floats one, Floats other) {
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_mul_ps(one, other), total);
}
INLINE Floats add_product(Floats total, Floats one, Floats other) { return _mm256_fmadd_ps(one, other, total); }
INLINE void store(float *at, Floats value) { _mm256_storeu_ps(at, value); }
#else
static inline float from_half(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, rest = half & 0x7fff, bits;
    float value;
    if (rest < 0x400) {
        value = (float)rest * 5.9604644775390625e-8f;
        memcpy(&bits, &value, 4);
        bits |= sign;
    } else {
        bits = sign | ((rest << 13) + 0x38000000);
    }
    memcpy(&value, &bits, 4);
    return value;
}
#endif

INLINE int32_t four_of(const int8_t *codes, int number) {
    int32_t four;
    memcpy(&four, codes + 4 * number, 4);
    return four;
}

/* What codes of 8 bits are stored plus, as dot() sees them. */
#if WIDE && PARTS == 2 && !defined(__AVXVNNI__)
#define STORED_PLUS 0
#else
#define STORED_PLUS 128
#endif

/* Vectors that are multiplied together: so many from this one on. */
static int block_from(count first, count batch) {
    static const int sizes[] = {BLOCK, 8, 4, 2, 1};
    for (int i = 0;; i++)
        if (sizes[i] <= BLOCK && sizes[i] <= batch - first) return sizes[i];
}

/* Whether there are instructions that multiply bfloat16 numbers: then vectors are rounded to them, as by torch. */
#ifdef __AVX512BF16__
#define MULTIPLIES_BFLOAT16 1
#else
#define MULTIPLIES_BFLOAT16 0
#endif

static void narrow_group(const float *x, bfloat16 *to) {
    for (int i = 0; i < GROUP; i++) to[i] = to_bfloat16(x[i]);
}

/* The codes of a group, their sum and what they leave out; returns what they are multiples of. */
#if WIDE && PARTS == 1
INLINE float code(const float *x, int8_t *codes, int32_t *total, float *left) {
    __m512 low = _mm512_loadu_ps(x), high = _mm512_loadu_ps(x + 16);
    float most = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(low), _mm512_abs_ps(high)));
    __m512 scale = same(most / 127), inverse = same(most > 0 ? 127 / most : 0);
    __m512i first = _mm512_cvtps_epi32(_mm512_mul_ps(low, inverse));
    __m512i second = _mm512_cvtps_epi32(_mm512_mul_ps(high, inverse));
    _mm_storeu_si128((void *)codes, _mm512_cvtepi32_epi8(first));
    _mm_storeu_si128((void *)(codes + 16), _mm512_cvtepi32_epi8(second));
    store(left, _mm512_fnmadd_ps(scale, _mm512_cvtepi32_ps(first), low));
    store(left + 16, _mm512_fnmadd_ps(scale, _mm512_cvtepi32_ps(second), high));
    *total = _mm512_reduce_add_epi32(_mm512_add_epi32(first, second));
    return most / 127;
}
#else
static float code(const float *x, int8_t *codes, int32_t *total, float *left) {
    float most = 0;
    int32_t sum = 0;
#pragma omp simd reduction(max : most)
    for (int i = 0; i < GROUP; i++) {
        float size = fabsf(x[i]);
        most = size > most ? size : most;
    }
    float scale = most / 127, inverse = most > 0 ? 127 / most : 0;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < GROUP; i++) {
        int32_t one = (int32_t)rintf(x[i] * inverse);
        codes[i] = (int8_t)one;
        left[i] = x[i] - scale * (float)one;
        sum += one;
    }
    *total = sum;
    return scale;
}
#endif

/* The vectors of which number p codes what number p - 1 left out. */
static Vectors pass_of(const Vectors *x, count pass, count batch, count columns) {
    count before = pass * batch * columns, groups = before / GROUP;
    return (Vectors){x->numbers, x->codes + before, x->scales + groups, x->offsets + groups};
}

static void code_group(const float *x, const Matrix *matrix, count batch, count b, count group, Vectors *to) {
    count columns = matrix->columns, first = b / BLOCK * BLOCK;
    int together = block_from(first, batch);
    for (; first + together <= b; together = block_from(first, batch)) first += together;
    count at = first * columns / GROUP + group * together + b - first;
    float left[2][GROUP];
    for (count pass = 0; pass <= matrix->is_fine; pass++) {
        Vectors own = pass_of(to, pass, batch, columns);
        int8_t codes[GROUP], *four = own.codes + first * columns + (group * 8 * together + b - first) * 4;
        int32_t sum;
        own.scales[at] = code(pass ? left[0] : x, codes, &sum, left[pass]);
        own.offsets[at] = matrix->bits == 4 ? sum : -STORED_PLUS * sum;
        for (int i = 0; i < 8; i++) memcpy(four + i * together * 4, codes + 4 * i, 4);
    }
}

void take_in(const float *numbers, count batch, const Matrix *matrix, Vectors *to) {
    to->numbers = numbers;
    if (matrix->bits > 8 && !MULTIPLIES_BFLOAT16) return;
    count groups = matrix->columns / GROUP;
#pragma omp for schedule(static)
    for (count one = 0; one < batch * groups; one++)
        if (matrix->bits > 8) narrow_group(numbers + one * GROUP, (bfloat16 *)to->codes + one * GROUP);
        else code_group(numbers + one * GROUP, matrix, batch, one / groups, one % groups, to);
}

/* Products of one tile with some vectors, the first of which is given: each lane is a row of the matrix. */
INLINE void tile_product(const Matrix *matrix, count tile, const Vectors *x, count first, float *out, int batch,
                         int bits) {
    count groups = matrix->columns / GROUP, group_bytes = GROUP * LANES * bits / 8;
    const uint8_t *codes = (const uint8_t *)matrix->codes + tile * groups * group_bytes;
    const uint16_t *scales = matrix->scales + tile * groups * LANES * (bits == 4 ? 2 : 1);
    const uint16_t *least = scales + groups * LANES;
    const int8_t *x_codes = x->codes + first * matrix->columns;
    const float *x_scales = x->scales + first * groups;
    const int32_t *offsets = x->offsets + first * groups;
#if WIDE
    Floats total[BLOCK][PARTS];
#pragma GCC unroll 12
    for (int b = 0; b < batch; b++)
        for (int part = 0; part < PARTS; part++) total[b][part] = same(0);
    for (count g = 0; g < groups; g++) {
        Ints sum[BLOCK][PARTS];
#pragma GCC unroll 12
        for (int b = 0; b < batch; b++)
            for (int part = 0; part < PARTS; part++) sum[b][part] = same_ints(bits == 4 ? 0 : offsets[g * batch + b]);
#pragma GCC unroll 8
        for (int four = 0; four < bits; four++) {
#pragma GCC unroll 2
            for (int part = 0; part < PARTS; part++, codes += 64 / PARTS) {
                Ints packed = load(codes);
#pragma GCC unroll 12
                for (int b = 0; b < batch; b++) {
                    const int8_t *at = x_codes + (g * 8 * batch + b) * 4;
                    Ints *into = &sum[b][part];
                    if (bits == 8) {
                        *into = dot(*into, packed, same_ints(four_of(at, four * batch)), bits);
                    } else {
                        *into = dot(*into, lower(packed), same_ints(four_of(at, 2 * four * batch)), bits);
                        *into = dot(*into, upper(packed), same_ints(four_of(at, (2 * four + 1) * batch)), bits);
                    }
                }
            }
        }
#pragma GCC unroll 2
        for (int part = 0; part < PARTS; part++) {
            Floats scale = halves(scales + g * LANES + part * (LANES / PARTS));
#pragma GCC unroll 12
            for (int b = 0; b < batch; b++)
                total[b][part] =
                    add_scaled(total[b][part], sum[b][part], scale, same(x_scales[g * batch + b]));
            if (bits == 8) continue;
            Floats lowest = halves(least + g * LANES + part * (LANES / PARTS));
#pragma GCC unroll 12
            for (int b = 0; b < batch; b++) {
                float x_sum = x_scales[g * batch + b] * (float)offsets[g * batch + b];
                total[b][part] = add_product(total[b][part], lowest, same(x_sum));
            }
        }
    }
#pragma GCC unroll 12
    for (int b = 0; b < batch; b++)
        for (int part = 0; part < PARTS; part++)
            store(out + b * LANES + part * (LANES / PARTS), total[b][part]);
#else
    memset(out, 0, sizeof(float) * LANES * batch);
    for (count g = 0; g < groups; g++, codes += group_bytes) {
        for (int b = 0; b < batch; b++) {
            const int8_t *at = x_codes + (g * 8 * batch + b) * 4;
            int32_t sum[LANES];
            for (int lane = 0; lane < LANES; lane++) sum[lane] = bits == 4 ? 0 : offsets[g * batch + b];
            for (int j = 0; j < GROUP / 4; j++)
                for (int lane = 0; lane < LANES; lane++)
                    for (int i = 0; i < 4; i++) {
                        uint8_t code = codes[(bits == 8 ? j : j / 2) * 64 + lane * 4 + i];
                        if (bits == 4) code = j % 2 ? code >> 4 : code & 15;
                        sum[lane] += (int32_t)code * at[4 * j * batch + i];
                    }
            for (int lane = 0; lane < LANES; lane++) {
                float found = (float)sum[lane] * from_half(scales[g * LANES + lane]);
                if (bits == 4) found += (float)offsets[g * batch + b] * from_half(least[g * LANES + lane]);
                out[b * LANES + lane] += found * x_scales[g * batch + b];
            }
        }
    }
#endif
}

INLINE void put(const float *found, float *out, count stride, int batch, count rows, int is_added) {
    for (int b = 0; b < batch; b++)
        for (count row = 0; row < rows; row++)
            out[b * stride + row] = found[b * LANES + row] + (is_added ? out[b * stride + row] : 0);
}

INLINE void some_vectors(const Matrix *matrix, count tile, const Vectors *x, count first, float *out, int batch,
                         int is_added) {
    float found[BLOCK * LANES];
    if (matrix->bits == 8) tile_product(matrix, tile, x, first, found, batch, 8);
    else tile_product(matrix, tile, x, first, found, batch, 4);
    count rows = matrix->rows - tile * LANES;
    out += first * matrix->rows + tile * LANES;
    if (rows >= LANES) put(found, out, matrix->rows, batch, LANES, is_added);
    else put(found, out, matrix->rows, batch, rows, is_added);
}

/* Written out for what compilers take apart: bfloat16 numbers widened, and the sum of a register. */
#if WIDTH == 16
INLINE Numbers widened(const bfloat16 *at) {
    __m256i narrow = _mm256_loadu_si256((const void *)at);
    return (Numbers)_mm512_slli_epi32(_mm512_cvtepu16_epi32(narrow), 16);
}
INLINE float sum_of(Numbers x) { return _mm512_reduce_add_ps((__m512)x); }
#else
INLINE Numbers widened(const bfloat16 *at) {
#if WIDTH == 8
    return (Numbers)_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)at)), 16);
#else
    return (Numbers){from_bfloat16(at[0]), from_bfloat16(at[1]), from_bfloat16(at[2]), from_bfloat16(at[3])};
#endif
}
INLINE float sum_of(Numbers x) {
    float sums[WIDTH];
    memcpy(sums, &x, sizeof sums);
    for (int half = WIDTH / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) sums[i] += sums[i + half];
    return sums[0];
}
#endif

/* What is read of a row at a time, and what it is multiplied with: numbers widened once for all vectors, or as they
   are where there are instructions for it. */
#if MULTIPLIES_BFLOAT16
#define STRETCH 32
typedef __m512bh Stretch;
typedef bfloat16 Given;
INLINE const Given *given(const Vectors *x) { return (const Given *)x->codes; }
INLINE Stretch stretch_at(const bfloat16 *at) { return (__m512bh)_mm512_loadu_si512(at); }
INLINE Numbers add_products(Numbers sum, Stretch stretch, const Given *x) {
    return (Numbers)_mm512_dpbf16_ps((__m512)sum, stretch, (__m512bh)_mm512_loadu_si512(x));
}
#else
#define STRETCH WIDTH
typedef Numbers Stretch;
typedef float Given;
INLINE const Given *given(const Vectors *x) { return x->numbers; }
INLINE Stretch stretch_at(const bfloat16 *at) { return widened(at); }
INLINE Numbers add_products(Numbers sum, Stretch stretch, const Given *x) {
    return sum + stretch * *(const Numbers *)x;
}
#endif

/* Products of a row of bfloat16 numbers with some vectors. Rows come one after the other, as memory is read ahead best;
   sums of several stretches keep the adders busy. */
INLINE void row_product(const Matrix *matrix, count row, const Given *x, float *out, int batch, int stretches,
                        int is_added) {
    const bfloat16 *numbers = (const bfloat16 *)matrix->codes + row * matrix->columns;
    Numbers sum[8][4];
#pragma GCC unroll 8
    for (int b = 0; b < batch; b++)
#pragma GCC unroll 4
        for (int i = 0; i < stretches; i++) sum[b][i] = (Numbers){0};
    count c = 0;
    for (; c + stretches * STRETCH <= matrix->columns; c += stretches * STRETCH)
#pragma GCC unroll 4
        for (int i = 0; i < stretches; i++) {
            Stretch stretch = stretch_at(numbers + c + i * STRETCH);
#pragma GCC unroll 8
            for (int b = 0; b < batch; b++)
                sum[b][i] = add_products(sum[b][i], stretch, x + b * matrix->columns + c + i * STRETCH);
        }
    for (; c < matrix->columns; c += STRETCH)
#pragma GCC unroll 8
        for (int b = 0; b < batch; b++)
            sum[b][0] = add_products(sum[b][0], stretch_at(numbers + c), x + b * matrix->columns + c);
#pragma GCC unroll 8
    for (int b = 0; b < batch; b++) {
        float *to = out + b * matrix->rows + row;
#pragma GCC unroll 4
        for (int i = 1; i < stretches; i++) sum[b][0] += sum[b][i];
        *to = sum_of(sum[b][0]) + (is_added ? *to : 0);
    }
}

static void bfloat16_product(const Matrix *matrix, const Vectors *vectors, float *out, count batch, int is_added) {
    const Given *x = given(vectors);
#pragma omp for schedule(static)
    for (count row = 0; row < matrix->rows; row++) {
        count b = 0;
        for (; b + 8 <= batch; b += 8)
            row_product(matrix, row, x + b * matrix->columns, out + b * matrix->rows, 8, 1, is_added);
        for (; b + 4 <= batch; b += 4)
            row_product(matrix, row, x + b * matrix->columns, out + b * matrix->rows, 4, 1, is_added);
        for (; b < batch; b++)
            row_product(matrix, row, x + b * matrix->columns, out + b * matrix->rows, 1, 4, is_added);
    }
}

/* Products of a tile with all vectors, so many at once as the registers allow. */
static void all_vectors(const Matrix *matrix, count tile, const Vectors *x, float *out, count batch, int is_added) {
    for (count b = 0, together; b < batch; b += together) {
        together = block_from(b, batch);
        switch (together) {
        case BLOCK: some_vectors(matrix, tile, x, b, out, BLOCK, is_added); break;
#if BLOCK > 8
        case 8: some_vectors(matrix, tile, x, b, out, 8, is_added); break;
#endif
#if BLOCK > 4
        case 4: some_vectors(matrix, tile, x, b, out, 4, is_added); break;
#endif
#if BLOCK > 2
        case 2: some_vectors(matrix, tile, x, b, out, 2, is_added); break;
#endif
        default: some_vectors(matrix, tile, x, b, out, 1, is_added);
        }
    }
}

void product(const Matrix *matrix, const Vectors *x, float *out, count batch, int is_added) {
    if (matrix->bits == 16) {
        bfloat16_product(matrix, x, out, batch, is_added);
        return;
    }
#pragma omp for schedule(static)
    for (count tile = 0; tile < (matrix->rows + LANES - 1) / LANES; tile++)
        for (count pass = 0; pass <= matrix->is_fine; pass++) {
            Vectors own = pass_of(x, pass, batch, matrix->columns);
            all_vectors(matrix, tile, &own, out, batch, is_added || pass);
        }
}

/* out (N, rows) = x W^T of many vectors: so many at a time that their codes stay near the processor. codes, scales
   and offsets have room for CHUNK vectors, twice where the matrix is fine. */
void coded_product(const Matrix *matrix, const float *x, float *out, count number, int8_t *codes, float *scales,
                   int32_t *offsets, int threads) {
#pragma omp parallel num_threads(threads)
    for (count first = 0; first < number; first += CHUNK) {
        count batch = number - first < CHUNK ? number - first : CHUNK;
        Vectors vectors = {0, codes, scales, offsets};
        take_in(x + first * matrix->columns, batch, matrix, &vectors);
        product(matrix, &vectors, out + first * matrix->rows, batch, 0);
    }
}
