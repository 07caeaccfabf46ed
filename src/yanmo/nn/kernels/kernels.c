/* The elementwise work of a training step, each step of it in one pass over memory.

   Every kernel exists for float and for bfloat16 numbers: the second half of this file is included by itself
   once for each. Arithmetic is in float; what is written as bfloat16 is rounded to the nearest, ties to even.
   Sums over rows are taken in chunks whose borders depend on nothing but the number of rows, and the chunks
   are added in order: results depend neither on timing nor on the number of threads.

   Legend: rows B, tokens T, heads H of queries and K of keys and values, numbers E of a head, width of a row. */

#ifndef REAL

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "numbers.h"

/* Fewer numbers than this are not worth waking other threads for. */
#define SMALL 32768
#define PRAGMA(text) _Pragma(#text)
#define SHARE_OUT(numbers) PRAGMA(omp parallel for schedule(static) num_threads(threads) if((numbers) > SMALL))
#define SUM(variable) PRAGMA(omp simd reduction(+ : variable))
#define EACH PRAGMA(omp simd)
#define JOIN_(name, suffix) name##_##suffix
#define JOIN(name, suffix) JOIN_(name, suffix)
#define NAME(name) JOIN(name, REAL)

static inline float from_float(float x) { return x; }
static inline float to_float(float x) { return x; }

static inline count first_of(count chunk, count chunks, count rows) { return rows * chunk / chunks; }

/* How the heads of a token lie: `heads` of queries, `groups` of keys, `groups` of values, `size` numbers each. */
typedef struct {
    count tokens, heads, groups, size;
} Layout;

typedef enum { QUERY, KEY, VALUE } Part;

static inline count heads_of(const Layout *layout) { return layout->heads + 2 * layout->groups; }

static inline Part part_of(const Layout *layout, count head) {
    return head < layout->heads ? QUERY : head < layout->heads + layout->groups ? KEY : VALUE;
}

/* Where a head of a token of a text stands in its own tensor of (B, heads of this part, T, E). */
static inline count place_of(const Layout *layout, Part part, count text, count token, count head) {
    count heads = part == QUERY ? layout->heads : layout->groups;
    count before = part == QUERY ? 0 : part == KEY ? layout->heads : layout->heads + layout->groups;
    return ((text * heads + head - before) * layout->tokens + token) * layout->size;
}

static inline count seen_by(count row, count queries, count keys, count first) {
    count seen = first + row % queries + 1;
    return seen < keys ? seen : keys;
}

#define REAL float
#include "kernels.c"
#undef REAL
#define REAL bfloat16
#include "kernels.c"

#else

#define LOAD JOIN(from, REAL)
#define STORE JOIN(to, REAL)

/* total[i] = sum over chunks of partial[chunk][i]. */
static void NAME(add_chunks)(const float *partial, REAL *total, count chunks, count width) {
    for (count i = 0; i < width; i++) {
        float sum = 0;
        for (count chunk = 0; chunk < chunks; chunk++) sum += partial[chunk * width + i];
        total[i] = STORE(sum);
    }
}

/* ---- RMSNorm: y = x * scale * weight, scale = 1 / sqrt(mean(x^2) + eps) ---- */

static inline float NAME(rms_scale)(const REAL *restrict x, count width, float eps) {
    float squares = 0;
    SUM(squares)
    for (count i = 0; i < width; i++) squares += LOAD(x[i]) * LOAD(x[i]);
    return 1.0f / sqrtf(squares / width + eps);
}

void NAME(rms_norm)(const REAL *x, const REAL *weight, REAL *y, float *scales, count rows, count width,
                    float eps, int threads) {
    SHARE_OUT(rows * width)
    for (count row = 0; row < rows; row++) {
        const REAL *restrict from = x + row * width;
        REAL *restrict to = y + row * width;
        float scale = scales[row] = NAME(rms_scale)(from, width, eps);
        EACH
        for (count i = 0; i < width; i++) to[i] = STORE(LOAD(from[i]) * scale * LOAD(weight[i]));
    }
}

/* One row of the backward pass; what the weight gets is added to grad_weight. */
static inline void NAME(rms_norm_row)(const float *restrict grad, const REAL *restrict x,
                                      const REAL *restrict weight, float scale, REAL *restrict grad_x,
                                      float *restrict grad_weight, count width) {
    float along = 0;
    SUM(along)
    for (count i = 0; i < width; i++) along += grad[i] * LOAD(weight[i]) * LOAD(x[i]);
    along *= scale * scale / width;
    EACH
    for (count i = 0; i < width; i++) {
        float value = LOAD(x[i]);
        grad_weight[i] += grad[i] * value * scale;
        grad_x[i] = STORE(scale * (grad[i] * LOAD(weight[i]) - value * along));
    }
}

void NAME(rms_norm_backward)(const REAL *grad, const REAL *x, const REAL *weight, const float *scales,
                             REAL *grad_x, REAL *grad_weight, float *partial, count rows, count width,
                             count chunks, int threads) {
    SHARE_OUT(rows * width)
    for (count chunk = 0; chunk < chunks; chunk++) {
        float given[width];
        float *sums = partial + chunk * width;
        memset(sums, 0, sizeof(float) * width);
        for (count row = first_of(chunk, chunks, rows); row < first_of(chunk + 1, chunks, rows); row++) {
            count at = row * width;
            EACH
            for (count i = 0; i < width; i++) given[i] = LOAD(grad[at + i]);
            NAME(rms_norm_row)(given, x + at, weight, scales[row], grad_x + at, sums, width);
        }
    }
    NAME(add_chunks)(partial, grad_weight, chunks, width);
}

/* ---- Heads: (B, T, H + 2K, E) to queries (B, H, T, E), keys and values (B, K, T, E); queries and keys are
   normalised where there are weights, and their first `turned` numbers are rotated ---- */

static inline void NAME(split_head)(const REAL *restrict from, const REAL *restrict weight,
                                    const REAL *restrict cosine, const REAL *restrict sine, float scale,
                                    REAL *restrict to, count size, count turned) {
    float head[size];
    count half = turned / 2;
    EACH
    for (count i = 0; i < size; i++) head[i] = LOAD(from[i]) * scale;
    if (weight) {
        EACH
        for (count i = 0; i < size; i++) head[i] *= LOAD(weight[i]);
    }
    EACH
    for (count i = 0; i < half; i++) {
        float first = head[i], second = head[i + half];
        to[i] = STORE(first * LOAD(cosine[i]) + second * LOAD(sine[i]));
        to[i + half] = STORE(second * LOAD(cosine[i + half]) + first * LOAD(sine[i + half]));
    }
    EACH
    for (count i = turned; i < size; i++) to[i] = STORE(head[i]);
}

void NAME(split_heads)(const REAL *qkv, const REAL *q_weight, const REAL *k_weight, const REAL *cosines,
                       const REAL *sines, REAL *q, REAL *k, REAL *v, float *scales, count rows, count tokens,
                       count heads, count groups, count size, count turned, float eps, int threads) {
    const Layout layout = {tokens, heads, groups, size};
    count all = heads_of(&layout);
    SHARE_OUT(rows * all * size)
    for (count row = 0; row < rows; row++) {
        count text = row / tokens, token = row % tokens;
        for (count head = 0; head < all; head++) {
            const REAL *from = qkv + (row * all + head) * size;
            Part part = part_of(&layout, head);
            count to = place_of(&layout, part, text, token, head), angle = token * turned;
            if (part == VALUE) {
                memcpy(v + to, from, sizeof(REAL) * size);
                continue;
            }
            const REAL *weight = part == QUERY ? q_weight : k_weight;
            float scale = 1;
            if (weight) scale = scales[row * (heads + groups) + head] = NAME(rms_scale)(from, size, eps);
            NAME(split_head)(from, weight, cosines + angle, sines + angle, scale,
                             (part == QUERY ? q : k) + to, size, turned);
        }
    }
}

/* The gradient of one head before its rotation. */
static inline void NAME(turn_back)(const REAL *restrict grad, const REAL *restrict cosine,
                                   const REAL *restrict sine, float *restrict to, count size, count turned) {
    count half = turned / 2;
    EACH
    for (count i = 0; i < half; i++) {
        float first = LOAD(grad[i]), second = LOAD(grad[i + half]);
        to[i] = first * LOAD(cosine[i]) + second * LOAD(sine[i + half]);
        to[i + half] = second * LOAD(cosine[i + half]) + first * LOAD(sine[i]);
    }
    EACH
    for (count i = turned; i < size; i++) to[i] = LOAD(grad[i]);
}

/* grad_weights: (2, E) of queries and keys, without a meaning where there are no norms. */
void NAME(split_heads_backward)(const REAL *grad_q, const REAL *grad_k, const REAL *grad_v, const REAL *qkv,
                                const REAL *q_weight, const REAL *k_weight, const REAL *cosines,
                                const REAL *sines, const float *scales, REAL *grad_qkv, REAL *grad_weights,
                                float *partial, count rows, count tokens, count heads, count groups,
                                count size, count turned, count chunks, int threads) {
    const Layout layout = {tokens, heads, groups, size};
    count all = heads_of(&layout);
    SHARE_OUT(rows * all * size)
    for (count chunk = 0; chunk < chunks; chunk++) {
        float given[size];
        float *sums = partial + chunk * 2 * size;
        memset(sums, 0, sizeof(float) * 2 * size);
        for (count row = first_of(chunk, chunks, rows); row < first_of(chunk + 1, chunks, rows); row++) {
            count text = row / tokens, token = row % tokens;
            for (count head = 0; head < all; head++) {
                Part part = part_of(&layout, head);
                count from = place_of(&layout, part, text, token, head), angle = token * turned;
                REAL *to = grad_qkv + (row * all + head) * size;
                if (part == VALUE) {
                    memcpy(to, grad_v + from, sizeof(REAL) * size);
                    continue;
                }
                const REAL *weight = part == QUERY ? q_weight : k_weight;
                NAME(turn_back)((part == QUERY ? grad_q : grad_k) + from, cosines + angle, sines + angle,
                                given, size, turned);
                if (weight) {
                    NAME(rms_norm_row)(given, qkv + (row * all + head) * size, weight,
                                       scales[row * (heads + groups) + head], to,
                                       sums + (part == QUERY ? 0 : size), size);
                } else {
                    EACH
                    for (count i = 0; i < size; i++) to[i] = STORE(given[i]);
                }
            }
        }
    }
    NAME(add_chunks)(partial, grad_weights, chunks, 2 * size);
}

/* ---- Gates: g * sigmoid(linear * g + cubic * g^3) * u of (rows, 2 * width) with g before u; SiLU is (1, 0) ---- */

void NAME(gate)(const REAL *gate_up, REAL *y, count rows, count width, float linear, float cubic,
                int threads) {
    SHARE_OUT(rows * width)
    for (count row = 0; row < rows; row++) {
        const REAL *restrict opened = gate_up + row * 2 * width, *restrict up = opened + width;
        REAL *restrict to = y + row * width;
        EACH
        for (count i = 0; i < width; i++) {
            float g = LOAD(opened[i]);
            to[i] = STORE(g * sigmoid(g * (linear + cubic * g * g)) * LOAD(up[i]));
        }
    }
}

void NAME(gate_backward)(const REAL *grad, const REAL *gate_up, REAL *grad_gate_up, count rows, count width,
                         float linear, float cubic, int threads) {
    SHARE_OUT(rows * width)
    for (count row = 0; row < rows; row++) {
        const REAL *restrict opened = gate_up + row * 2 * width, *restrict up = opened + width;
        const REAL *restrict given = grad + row * width;
        REAL *restrict to_opened = grad_gate_up + row * 2 * width, *restrict to_up = to_opened + width;
        EACH
        for (count i = 0; i < width; i++) {
            float g = LOAD(opened[i]), d = LOAD(given[i]);
            float open = sigmoid(g * (linear + cubic * g * g));
            float slope = open + g * open * (1.0f - open) * (linear + 3.0f * cubic * g * g);
            to_opened[i] = STORE(d * LOAD(up[i]) * slope);
            to_up[i] = STORE(d * g * open);
        }
    }
}

/* ---- Softmax of scores (rows, keys), in place; row r is query first + r % queries, which sees the keys up to
   its own number. What it does not see is never read, and zero afterwards ---- */

void NAME(softmax)(REAL *scores, count rows, count queries, count keys, count first, float scale,
                          int threads) {
    SHARE_OUT(rows * keys)
    for (count row = 0; row < rows; row++) {
        REAL *restrict at = scores + row * keys;
        count seen = seen_by(row, queries, keys, first);
        float powers[keys];
        float highest = -INFINITY, sum = 0;
        PRAGMA(omp simd reduction(max : highest))
        for (count i = 0; i < seen; i++) {
            float score = LOAD(at[i]) * scale;
            powers[i] = score;
            highest = score > highest ? score : highest;
        }
        SUM(sum)
        for (count i = 0; i < seen; i++) sum += powers[i] = exponential(powers[i] - highest);
        float share = 1.0f / sum;
        EACH
        for (count i = 0; i < seen; i++) at[i] = STORE(powers[i] * share);
        memset(at + seen, 0, sizeof(REAL) * (keys - seen));
    }
}

/* Over the gradient of the shares: that of the scores before their scale. */
void NAME(softmax_backward)(REAL *grads, const REAL *shares, count rows, count queries, count keys,
                                   count first, float scale, int threads) {
    SHARE_OUT(rows * keys)
    for (count row = 0; row < rows; row++) {
        REAL *restrict at = grads + row * keys;
        const REAL *restrict share = shares + row * keys;
        count seen = seen_by(row, queries, keys, first);
        float mean = 0;
        SUM(mean)
        for (count i = 0; i < seen; i++) mean += LOAD(share[i]) * LOAD(at[i]);
        EACH
        for (count i = 0; i < seen; i++) at[i] = STORE(scale * LOAD(share[i]) * (LOAD(at[i]) - mean));
        memset(at + seen, 0, sizeof(REAL) * (keys - seen));
    }
}

/* ---- Cross-entropy of logits (rows, width), over which their gradient is written ---- */

void NAME(cross_entropy)(REAL *logits, const count *targets, float *losses, count rows, count width,
                         int threads) {
    SHARE_OUT(rows * width)
    for (count row = 0; row < rows; row++) {
        REAL *restrict at = logits + row * width;
        float highest = -INFINITY, sum = 0;
        PRAGMA(omp simd reduction(max : highest))
        for (count i = 0; i < width; i++) {
            float logit = LOAD(at[i]);
            highest = logit > highest ? logit : highest;
        }
        SUM(sum)
        for (count i = 0; i < width; i++) sum += exponential(LOAD(at[i]) - highest);
        float right = LOAD(at[targets[row]]) - highest, share = 1.0f / sum;
        losses[row] = logf(sum) - right;
        EACH
        for (count i = 0; i < width; i++) at[i] = STORE(exponential(LOAD(at[i]) - highest) * share);
        at[targets[row]] = STORE(exponential(right) * share - 1.0f);
    }
}

#undef LOAD
#undef STORE
#endif
