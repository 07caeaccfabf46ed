/* Attention without gradients, in float: as many queries at once as registers hold, each key read once for all.

   Legend: rows B, queries T, keys S, heads H of queries and K of keys and values, numbers E of a head. */

#include <math.h>
#include <omp.h>

#include "numbers.h"

/* Queries of a block: two registers of sums for each fit beside what they are made of. */
#if WIDTH == 16
#define QUERIES 12
#else
#define QUERIES 6
#endif

/* C (n, registers * WIDTH) = A (n, depth) B, of which rows lie so far apart. */
static inline __attribute__((always_inline)) void tile(const float *a, count a_row, const float *b, count b_row,
                                                       count depth, float *c, count c_row, int n, int registers) {
    Numbers sum[QUERIES][2];
#pragma GCC unroll 12
    for (int row = 0; row < n; row++)
#pragma GCC unroll 2
        for (int part = 0; part < registers; part++) sum[row][part] = (Numbers){0};
    for (count k = 0; k < depth; k++) {
        Numbers right[2];
#pragma GCC unroll 2
        for (int part = 0; part < registers; part++) right[part] = *(const Numbers *)(b + k * b_row + part * WIDTH);
#pragma GCC unroll 12
        for (int row = 0; row < n; row++)
#pragma GCC unroll 2
            for (int part = 0; part < registers; part++) sum[row][part] += a[row * a_row + k] * right[part];
    }
#pragma GCC unroll 12
    for (int row = 0; row < n; row++)
#pragma GCC unroll 2
        for (int part = 0; part < registers; part++) *(Numbers *)(c + row * c_row + part * WIDTH) = sum[row][part];
}

/* The same for columns in multiples of WIDTH. */
static void multiply(const float *a, count a_row, const float *b, count b_row, count depth, float *c, count c_row,
                     int n, count columns) {
    for (count column = 0; column < columns; column += 2 * WIDTH) {
        const float *right = b + column;
        float *to = c + column;
        int row = 0;
        if (columns - column < 2 * WIDTH) {
            for (; row < n; row++) tile(a + row * a_row, a_row, right, b_row, depth, to + row * c_row, c_row, 1, 1);
            continue;
        }
        if (n == QUERIES) {
            tile(a, a_row, right, b_row, depth, to, c_row, QUERIES, 2);
            continue;
        }
        for (; row + 4 <= n; row += 4)
            tile(a + row * a_row, a_row, right, b_row, depth, to + row * c_row, c_row, 4, 2);
        for (; row < n; row++) tile(a + row * a_row, a_row, right, b_row, depth, to + row * c_row, c_row, 1, 2);
    }
}

/* Of scores that a query sees, the powers of their differences from the highest; gives 1 / their sum. */
static float powers_of(float *scores, count seen, count all, float scale) {
    float highest = -INFINITY, sum = 0;
#pragma omp simd reduction(max : highest)
    for (count s = 0; s < seen; s++) {
        scores[s] *= scale;
        highest = scores[s] > highest ? scores[s] : highest;
    }
#pragma omp simd reduction(+ : sum)
    for (count s = 0; s < seen; s++) sum += scores[s] = exponential(scores[s] - highest);
    for (count s = seen; s < all; s++) scores[s] = 0;
    return 1 / sum;
}

/* out (B, T, H, E) = softmax(scale q k^T) v; with first >= 0 query t sees the keys up to first + t, otherwise all. q
   (B, T, H, E) and k, v (B, K, S, E) have strides of their own: q of row, query and head, k and v of row, head and
   key. turned has room for B K E padded numbers, shares for QUERIES * padded of each thread, where padded is S in
   multiples of 2 * WIDTH; E is a multiple of WIDTH. */
void attention(const float *q, const float *k, const float *v, float *out, float *turned, float *shares,
               const count *q_strides, const count *kv_strides, count rows, count queries, count keys,
               count heads, count groups, count size, count first, count padded, float scale, int threads) {
    count blocks = (queries + QUERIES - 1) / QUERIES;
#pragma omp parallel num_threads(threads)
    {
        float *own = shares + omp_get_thread_num() * QUERIES * padded;
#pragma omp for schedule(static) collapse(2)
        for (count one = 0; one < rows * groups; one++)
            for (count s = 0; s < padded; s += WIDTH) {
                const float *from = k + one / groups * kv_strides[0] + one % groups * kv_strides[1];
                float *to = turned + one * size * padded + s;
                for (count e = 0; e < size; e++)
                    for (count lane = 0; lane < WIDTH; lane++)
                        to[e * padded + lane] = s + lane < keys ? from[(s + lane) * kv_strides[2] + e] : 0;
            }
        /* Later queries see more keys: blocks are shared out as threads come free. */
#pragma omp for schedule(dynamic, 4) collapse(2)
        for (count block = 0; block < blocks; block++)
            for (count one = 0; one < rows * heads; one++) {
                count b = one / heads, head = one % heads, t = (blocks - 1 - block) * QUERIES;
                count group = b * groups + head / (heads / groups);
                int n = queries - t < QUERIES ? queries - t : QUERIES;
                count seen = first < 0 || first + t + n > keys ? keys : first + t + n;
                count wide = (seen + 2 * WIDTH - 1) / (2 * WIDTH) * (2 * WIDTH);
                const float *query = q + b * q_strides[0] + t * q_strides[1] + head * q_strides[2];
                multiply(query, q_strides[1], turned + group * size * padded, padded, size, own, padded, n, wide);
                float inverse[QUERIES];
                for (int row = 0; row < n; row++) {
                    count last = first < 0 || first + t + row + 1 > keys ? keys : first + t + row + 1;
                    inverse[row] = powers_of(own + row * padded, last, seen, scale);
                }
                const float *values = v + b * kv_strides[3] + head / (heads / groups) * kv_strides[4];
                float *to = out + ((b * queries + t) * heads + head) * size;
                multiply(own, padded, values, kv_strides[5], seen, to, heads * size, n, size);
                for (int row = 0; row < n; row++)
                    for (count e = 0; e < size; e++) to[row * heads * size + e] *= inverse[row];
            }
    }
}
