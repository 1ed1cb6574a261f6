/* Sums over a row of logits, eight at a time. e^x comes from a polynomial in f64 (2 ulp); eight partial sums are added in
 * one order, and no multiply-add is fused, so every processor gets the same bits. */
#ifndef KV_JUDGE_LANES_H
#define KV_JUDGE_LANES_H

#include "kernels/base.h"

/* The largest element of a row [n], n > 0; false where one is infinite or NaN (then *most says nothing). */
bool lanes_most(const float *x, int n, float *most);
/* Of two rows [n] f32 of finite numbers with these largest elements: *sum_p = sum e^(p - most_p), *sum_q the same of q,
 * *moved = sum e^(p - most_p) ((p - most_p) - (q - most_q)). */
void lanes_sums(const float *p, const float *q, int n, double most_p, double most_q, double *sum_p, double *sum_q,
    double *moved);

#endif
