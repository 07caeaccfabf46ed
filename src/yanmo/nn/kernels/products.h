/* Matrices as the step of a decoder and coded weights have them, and their products with vectors.

   A matrix has codes of 8 or 4 bits, or bfloat16 numbers in rows (bits 16). Codes lie in tiles of 16 rows: for each
   four columns, 64 bytes with the four codes of each row; codes of 4 bits hold the next four columns in the upper
   halves. Codes of 8 bits are stored plus 128, so that they are not negative, as the instructions for products of
   bytes want it; the sum of the vector's codes takes that off again. Codes of 4 bits count from the least number of
   their group, which the sum of the vector's codes is multiplied with. Vectors are coded in 8 bits a group of 32
   numbers (as nn/quantization.py says), so a product of a group's codes is exact in whole numbers. A fine matrix is
   multiplied with what that leaves out too, coded in the same way: two products for one. A matrix of bfloat16 numbers is
   multiplied with vectors rounded to the same where there are instructions for it, else with vectors as they are. */

#ifndef YANMO_PRODUCTS_H
#define YANMO_PRODUCTS_H

#include "numbers.h"

#define GROUP 32
#define LANES 16

typedef struct {
    const void *codes;
    const uint16_t *scales; /* float16, [tile][group][lane]; of 4 bits, [tile][scales, least numbers][group][lane] */
    count bits, rows, columns, is_fine;
} Matrix;

/* A batch of vectors, and room for their codes. Those that are multiplied together lie together: their first four
   codes side by side, then the next four, and their scales of a group side by side. Offsets are what the sums
   of products of 8 bits begin with, and of 4 bits the sums of the codes. What codes leave out lies behind them all. */
typedef struct {
    const float *numbers;
    int8_t *codes;
    float *scales;
    int32_t *offsets;
} Vectors;

/* Take in vectors that a matrix is going to be multiplied with; shared out among the threads that come here together,
   as is product: out (B, rows) = x W^T, or added to it. */
void take_in(const float *numbers, count batch, const Matrix *matrix, Vectors *to);
void product(const Matrix *matrix, const Vectors *x, float *out, count batch, int is_added);

#endif
