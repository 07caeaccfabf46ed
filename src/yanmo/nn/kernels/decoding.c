/* One step of decoding: a token for each row through a whole decoder, whose matrices are codes.

   Legend: rows of a batch B, tokens S in the cache, heads H of queries and K of keys and values. */

#include <math.h>
#include <string.h>

#include "products.h"

#define INLINE static inline __attribute__((always_inline))

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

/* Attention of one query to the keys of its head so far; shares is room for a number a token. Four tokens at a time:
   their sums do not wait for each other. */
INLINE void attend_to(const float *query, const float *keys, const float *values, float *shares, float *out,
                      count tokens, count size, float scale) {
    float highest = -INFINITY, sum = 0, mixed[size];
    count s = 0;
    for (; s + 4 <= tokens; s += 4) {
        const float *four = keys + s * size;
        float scores[4] = {0};
        for (int token = 0; token < 4; token++) {
            float score = 0;
#pragma omp simd reduction(+ : score)
            for (count i = 0; i < size; i++) score += query[i] * four[token * size + i];
            scores[token] = score;
        }
        for (int token = 0; token < 4; token++) {
            shares[s + token] = scores[token] * scale;
            highest = shares[s + token] > highest ? shares[s + token] : highest;
        }
    }
    for (; s < tokens; s++) {
        float score = 0;
#pragma omp simd reduction(+ : score)
        for (count i = 0; i < size; i++) score += query[i] * keys[s * size + i];
        shares[s] = score * scale;
        highest = shares[s] > highest ? shares[s] : highest;
    }
#pragma omp simd reduction(+ : sum)
    for (s = 0; s < tokens; s++) sum += shares[s] = exponential(shares[s] - highest);
    for (count i = 0; i < size; i++) mixed[i] = 0;
    for (s = 0; s + 4 <= tokens; s += 4) {
        const float *from = values + s * size;
#pragma omp simd
        for (count i = 0; i < size; i++)
            mixed[i] += shares[s] * from[i] + shares[s + 1] * from[i + size] + shares[s + 2] * from[i + 2 * size] +
                        shares[s + 3] * from[i + 3 * size];
    }
    for (; s < tokens; s++)
#pragma omp simd
        for (count i = 0; i < size; i++) mixed[i] += shares[s] * values[s * size + i];
    for (count i = 0; i < size; i++) out[i] = mixed[i] / sum;
}

/* Sizes of heads that are usual are known when this is compiled. */
static void attend(const float *query, const float *keys, const float *values, float *shares, float *out,
                   count tokens, count size, float scale) {
    if (size == 64) attend_to(query, keys, values, shares, out, tokens, 64, scale);
    else if (size == 128) attend_to(query, keys, values, shares, out, tokens, 128, scale);
    else attend_to(query, keys, values, shares, out, tokens, size, scale);
}

/* x (B, D) holds the tokens' vectors, and in the end what the head multiplies; cosines and sines (B, E) turn them.
   Each row is as long as it is: caches has, layer by layer, the keys of each row and then the values of each row, each
   (K, capacities[b], E), of which positions[b] tokens are held; longest is the most tokens of a row, these
   included. room is floats for all between: B * (D + (H + 2K) E + H E + 3 F) + H * B * longest; that of codes suffices for
   vectors of fine matrices. */
void decode_step(const Decoder *decoder, float *x, float *logits, const float *cosines, const float *sines,
                 float *const *caches, const count *positions, const count *capacities, count batch,
                 count longest, float *room, int8_t *codes, float *scales, int32_t *sums, int threads) {
    count width = decoder->width, heads = decoder->heads, groups = decoder->groups, size = decoder->size;
    count qkv_width = (heads + 2 * groups) * size, ff = decoder->layer[0].down.columns;
    float *normed = room, *qkv = normed + batch * width, *mixed = qkv + batch * qkv_width;
    float *gate_up = mixed + batch * heads * size, *gated = gate_up + batch * 2 * ff, *shares = gated + batch * ff;
#pragma omp parallel num_threads(threads)
    {
        Vectors coded = {0, codes, scales, sums};
        for (count number = 0; number < decoder->layers; number++) {
            const Layer *layer = decoder->layer + number;
            float *const *keys = caches + 2 * number * batch, *const *values = keys + batch;
            norm_all(x, layer->attention_norm, normed, batch, width, decoder->eps);
            take_in(normed, batch, &layer->qkv, &coded);
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
            take_in(mixed, batch, &layer->out, &coded);
            product(&layer->out, &coded, x, batch, 1);
            norm_all(x, layer->feed_forward_norm, normed, batch, width, decoder->eps);
            take_in(normed, batch, &layer->gate_up, &coded);
            product(&layer->gate_up, &coded, gate_up, batch, 0);
#pragma omp for schedule(static)
            for (count group = 0; group < batch * ff / GROUP; group++) {
                count b = group / (ff / GROUP), first = group % (ff / GROUP) * GROUP;
                const float *gate = gate_up + b * 2 * ff + first;
                float *to = gated + group * GROUP;
                for (int i = 0; i < GROUP; i++) to[i] = gate[i] * sigmoid(gate[i]) * gate[i + ff];
            }
            take_in(gated, batch, &layer->down, &coded);
            product(&layer->down, &coded, x, batch, 1);
        }
        norm_all(x, decoder->norm, normed, batch, width, decoder->eps);
        take_in(normed, batch, &decoder->head, &coded);
        product(&decoder->head, &coded, logits, batch, 0);
    }
    memcpy(x, normed, sizeof(float) * batch * width);
}
