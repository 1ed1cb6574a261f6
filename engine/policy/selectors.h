/* What the files of selectors share; score.h is what others see. */
#ifndef KV_POLICY_SELECTORS_H
#define KV_POLICY_SELECTORS_H

#include "engine/policy/score.h"

/* Query heads first..first+heads-1 are those that the row's set is for. */
enum kv_status score_heads_of_set(const struct policy_scored *s, int *first, int *heads, struct kv_error *err);
/* Pools row [n] into out [n] as policy.pool says; auto pools nothing. */
void score_pool(const struct policy_scored *s, const double *row, double *out);

/* engine/policy/lengths.c */
enum kv_status score_knorm(const struct policy_scored *s, double *score, struct kv_error *err);
enum kv_status score_expected(const struct policy_scored *s, double *score, struct kv_error *err);

#endif
