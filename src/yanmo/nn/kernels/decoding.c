/* One step of decoding: a token for each row through a whole decoder, whose matrices are codes.

   Matrices lie in tiles of 16 rows: for each four columns, 64 bytes with the four codes of each row; codes of 4
   bits hold the next four columns in the upper halves. Codes are stored plus 128, or plus 8, so that they are not
   negative, as the instructions for products of bytes want it; the sum of the vector's codes takes that off
   again. Vectors are coded in 8 bits a group of 32 numbers (as nn/quantization.py says), so a product of
   a group is exact in whole numbers.

   Legend: rows of a batch B, tokens S in the cache, heads H of queries and K of keys and values. */

#include <math.h>
#include <stdint.h>
#include <string.h>
#ifdef __AVX512VNNI__
#include <immintrin.h>
#endif

#define GROUP 32
#define LANES 16
#define MOST_ROWS 8

typedef int64_t count;

typedef struct {
    const uint8_t *codes;
    const uint16_t *scales; /* float16, [tile][group][lane] */
    count bits, rows, columns;
} Matrix;

typedef struct {
    const float *attention_norm, *query_norm, *key_norm, *feed_forward_norm;
    Matrix qkv, out, gate_up, down;
} Layer;

typedef struct {
    count width, heads, groups, size, layers;
    double eps, scale;
    const Layer *layer;
    const float *norm;
    Matrix head;
} Decoder;

/* A batch of vectors as codes; room for the longest. */
typedef struct {
    int8_t *codes;
    float *scales;
    int32_t *sums;
} Coded;

#ifndef __AVX512VNNI__
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

static void code_group(const float *x, Coded *to, count group) {
    float most = 0;
    int32_t sum = 0;
    for (int i = 0; i < GROUP; i++) most = fmaxf(most, fabsf(x[i]));
    float scale = most / 127, inverse = most > 0 ? 127 / most : 0;
    int8_t *codes = to->codes + group * GROUP;
    for (int i = 0; i < GROUP; i++) {
        int32_t code = (int32_t)rintf(x[i] * inverse);
        codes[i] = (int8_t)code;
        sum += code;
    }
    to->scales[group] = scale;
    to->sums[group] = sum;
}

static void code_all(const float *x, count numbers, Coded *to) {
#pragma omp for schedule(static)
    for (count group = 0; group < numbers / GROUP; group++) code_group(x + group * GROUP, to, group);
}

/* Products of one tile with all vectors: each lane is a row of the matrix. */
static inline __attribute__((always_inline)) void tile_product(
    const Matrix *matrix, count tile, const Coded *x, float *out, count batch, int bits) {
    count groups = matrix->columns / GROUP, group_bytes = GROUP * LANES * bits / 8;
    const uint8_t *codes = matrix->codes + tile * groups * group_bytes;
    const uint16_t *scales = matrix->scales + tile * groups * LANES;
    int32_t offset = bits == 8 ? 128 : 8;
#ifdef __AVX512VNNI__
    __m512 total[MOST_ROWS];
    __m512i low_half = _mm512_set1_epi8(15);
    for (count b = 0; b < batch; b++) total[b] = _mm512_setzero_ps();
    for (count g = 0; g < groups; g++) {
        __m512i sum[MOST_ROWS];
        for (count b = 0; b < batch; b++) sum[b] = _mm512_set1_epi32(-offset * x->sums[b * groups + g]);
        for (int j = 0; j < (bits == 8 ? 8 : 4); j++, codes += 64) {
            __m512i packed = _mm512_loadu_si512(codes);
            for (count b = 0; b < batch; b++) {
                const int8_t *at = x->codes + (b * groups + g) * GROUP;
                int32_t four;
                if (bits == 8) {
                    memcpy(&four, at + 4 * j, 4);
                    sum[b] = _mm512_dpbusd_epi32(sum[b], packed, _mm512_set1_epi32(four));
                } else {
                    __m512i low = _mm512_and_si512(packed, low_half);
                    __m512i high = _mm512_and_si512(_mm512_srli_epi16(packed, 4), low_half);
                    memcpy(&four, at + 8 * j, 4);
                    sum[b] = _mm512_dpbusd_epi32(sum[b], low, _mm512_set1_epi32(four));
                    memcpy(&four, at + 8 * j + 4, 4);
                    sum[b] = _mm512_dpbusd_epi32(sum[b], high, _mm512_set1_epi32(four));
                }
            }
        }
        __m512 scale = _mm512_cvtph_ps(_mm256_loadu_si256((const void *)(scales + g * LANES)));
        for (count b = 0; b < batch; b++) {
            __m512 both = _mm512_mul_ps(scale, _mm512_set1_ps(x->scales[b * groups + g]));
            total[b] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[b]), both, total[b]);
        }
    }
    for (count b = 0; b < batch; b++) _mm512_storeu_ps(out + b * LANES, total[b]);
#else
    memset(out, 0, sizeof(float) * LANES * batch);
    for (count g = 0; g < groups; g++, codes += group_bytes) {
        for (count b = 0; b < batch; b++) {
            const int8_t *at = x->codes + (b * groups + g) * GROUP;
            int32_t sum[LANES];
            for (int lane = 0; lane < LANES; lane++) sum[lane] = -offset * x->sums[b * groups + g];
            for (int j = 0; j < GROUP / 4; j++)
                for (int lane = 0; lane < LANES; lane++)
                    for (int i = 0; i < 4; i++) {
                        uint8_t code = codes[(bits == 8 ? j : j / 2) * 64 + lane * 4 + i];
                        if (bits == 4) code = j % 2 ? code >> 4 : code & 15;
                        sum[lane] += (int32_t)code * at[4 * j + i];
                    }
            for (int lane = 0; lane < LANES; lane++)
                out[b * LANES + lane] +=
                    (float)sum[lane] * from_half(scales[g * LANES + lane]) * x->scales[b * groups + g];
        }
    }
#endif
}

/* out (B, rows) = x W^T, or added to it; shared out among the threads that come here together. */
static void product(const Matrix *matrix, const Coded *x, float *out, count batch, int is_added) {
    count rows = matrix->rows;
#pragma omp for schedule(static)
    for (count tile = 0; tile < (rows + LANES - 1) / LANES; tile++) {
        float found[MOST_ROWS * LANES];
        if (matrix->bits == 8 && batch == 1) tile_product(matrix, tile, x, found, 1, 8);
        else if (matrix->bits == 8) tile_product(matrix, tile, x, found, batch, 8);
        else if (batch == 1) tile_product(matrix, tile, x, found, 1, 4);
        else tile_product(matrix, tile, x, found, batch, 4);
        count first = tile * LANES, here = rows - first < LANES ? rows - first : LANES;
        for (count b = 0; b < batch; b++)
            for (count lane = 0; lane < here; lane++) {
                float *at = out + b * rows + first + lane;
                *at = found[b * LANES + lane] + (is_added ? *at : 0);
            }
    }
}

static void norm(const float *x, const float *weight, float *y, count width, double eps) {
    double squares = 0;
    for (count i = 0; i < width; i++) squares += (double)x[i] * x[i];
    float scale = (float)(1 / sqrt(squares / width + eps));
    for (count i = 0; i < width; i++) y[i] = x[i] * scale * weight[i];
}

static void norm_all(const float *x, const float *weight, float *y, count batch, count width, double eps) {
#pragma omp for schedule(static)
    for (count b = 0; b < batch; b++) norm(x + b * width, weight, y + b * width, width, eps);
}

/* A head normalised, where it is, and turned by its position: sines are negative in the first half. */
static void turn(float *x, const float *weight, const float *cosines, const float *sines, count size,
                 double eps) {
    count half = size / 2;
    if (weight) norm(x, weight, x, size, eps);
    for (count i = 0; i < half; i++) {
        float first = x[i], second = x[i + half];
        x[i] = first * cosines[i] + second * sines[i];
        x[i + half] = second * cosines[i + half] + first * sines[i + half];
    }
}

/* Attention of one query to the keys of its head so far; shares is room for a number a token. */
static void attend(const float *query, const float *keys, const float *values, float *shares, float *out,
                   count tokens, count size, float scale) {
    float highest = -INFINITY, sum = 0;
    for (count s = 0; s < tokens; s++) {
        float score = 0;
#pragma omp simd reduction(+ : score)
        for (count i = 0; i < size; i++) score += query[i] * keys[s * size + i];
        shares[s] = score * scale;
        highest = fmaxf(highest, shares[s]);
    }
    memset(out, 0, sizeof(float) * size);
    for (count s = 0; s < tokens; s++) {
        float share = expf(shares[s] - highest);
        sum += share;
        for (count i = 0; i < size; i++) out[i] += share * values[s * size + i];
    }
    for (count i = 0; i < size; i++) out[i] /= sum;
}

/* x (B, D) holds the tokens' vectors, and in the end what the head multiplies; cosines and sines (B, E) turn them.
   Each row is as long as it is: caches has, layer by layer, the keys of each row and then the values of each row, each
   (K, capacities[b], E), of which positions[b] tokens are held; longest is the most tokens of a row, these
   included. room is floats for all between: B * (D + (H + 2K) E + H E + 2 F) + H * B * longest. */
void decode_step(const Decoder *decoder, float *x, float *logits, const float *cosines, const float *sines,
                 float *const *caches, const count *positions, const count *capacities, count batch,
                 count longest, float *room, int8_t *codes, float *scales, int32_t *sums, int threads) {
    count width = decoder->width, heads = decoder->heads, groups = decoder->groups, size = decoder->size;
    count qkv_width = (heads + 2 * groups) * size, ff = decoder->layer[0].down.columns;
    float *normed = room, *qkv = normed + batch * width, *mixed = qkv + batch * qkv_width;
    float *gate_up = mixed + batch * heads * size, *shares = gate_up + batch * 2 * ff;
    Coded coded = {codes, scales, sums};
#pragma omp parallel num_threads(threads)
    {
        for (count number = 0; number < decoder->layers; number++) {
            const Layer *layer = decoder->layer + number;
            float *const *keys = caches + 2 * number * batch, *const *values = keys + batch;
            norm_all(x, layer->attention_norm, normed, batch, width, decoder->eps);
            code_all(normed, batch * width, &coded);
            product(&layer->qkv, &coded, qkv, batch, 0);
#pragma omp for schedule(static)
            for (count one = 0; one < batch * groups; one++) {
                count b = one / groups, group = one % groups;
                count at = (group * capacities[b] + positions[b]) * size;
                float *key = qkv + b * qkv_width + (heads + group) * size;
                turn(key, layer->key_norm, cosines + b * size, sines + b * size, size, decoder->eps);
                memcpy(keys[b] + at, key, sizeof(float) * size);
                memcpy(values[b] + at, key + groups * size, sizeof(float) * size);
            }
#pragma omp for schedule(static)
            for (count one = 0; one < batch * heads; one++) {
                count b = one / heads, head = one % heads;
                count from = head / (heads / groups) * capacities[b] * size;
                float *query = qkv + b * qkv_width + head * size;
                turn(query, layer->query_norm, cosines + b * size, sines + b * size, size, decoder->eps);
                attend(query, keys[b] + from, values[b] + from, shares + one * longest, mixed + one * size,
                       positions[b] + 1, size, (float)decoder->scale);
            }
            code_all(mixed, batch * heads * size, &coded);
            product(&layer->out, &coded, x, batch, 1);
            norm_all(x, layer->feed_forward_norm, normed, batch, width, decoder->eps);
            code_all(normed, batch * width, &coded);
            product(&layer->gate_up, &coded, gate_up, batch, 0);
#pragma omp for schedule(static)
            for (count group = 0; group < batch * ff / GROUP; group++) {
                count b = group / (ff / GROUP), first = group % (ff / GROUP) * GROUP;
                float gated[GROUP], *gate = gate_up + b * 2 * ff + first;
                for (int i = 0; i < GROUP; i++) gated[i] = gate[i] / (1 + expf(-gate[i])) * gate[i + ff];
                code_group(gated, &coded, group);
            }
            product(&layer->down, &coded, x, batch, 1);
        }
        norm_all(x, decoder->norm, normed, batch, width, decoder->eps);
        code_all(normed, batch * width, &coded);
        product(&decoder->head, &coded, logits, batch, 0);
    }
    memcpy(x, normed, sizeof(float) * batch * width);
}
