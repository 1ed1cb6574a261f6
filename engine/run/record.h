/* What `observe` takes from a prefill while its queries are there; policies and the inspector read nothing else. */
#ifndef KV_RECORD_H
#define KV_RECORD_H

#include "engine/policy/stats.h"
#include "engine/run/forward.h"
#include "engine/run/owed.h"

/* Mean entropies as last asked for: conditions read them at every stage, so only rows that are new are added. */
struct means {
    double *head, *layer; /* [n_layer][n_head] and [n_layer] nats */
    double *sum;          /* [n_layer][n_head] of the first rows[l] rows */
    int *rows;            /* [n_layer] -1 = head and layer hold something else */
    bool whole;           /* head and layer are of a complete prefill's rows, as a policy counts them: */
    int policy_rows, window, unit;
};

struct record {
    const struct machine *m;
    unsigned needs; /* enum kv_need: what is collected */
    int n;          /* prompt tokens */
    int *rows;      /* [n_layer] rows observed so far */
    float *entropy; /* host [n_layer][n_head][n] nats */
    float *sums;    /* device: what grows from pass to pass, columns then moments; NULL = neither */
    size_t sums_bytes;
    float *columns; /* in sums, [n_layer][n_head][n]; NULL unless KV_NEED_COLUMNS */
    float *moments; /* in sums, [n_layer][n_head] blocks (kernels/cpu/moments.c); NULL unless KV_NEED_EXPECTED */
    float *cosine;  /* host [n_layer][n]; NULL unless KV_NEED_COSINE */
    float *before;  /* device: the layer's input of the rows under way, [rows][hidden] */
    size_t before_bytes;
    float *last_q;  /* host [n_layer][KV_LAST_ROWS][n_head*head_dim], row i at slot i mod KV_LAST_ROWS; or NULL */
    float *stage;   /* host scratch for one segment */
    size_t bytes;   /* all of the above */
    float *host;    /* of one layer, whatever was asked for: see derive.c */
    int host_layer; /* whose, -1 = nobody's */
    unsigned have;  /* enum kv_need: what of host is there, with: */
    int host_window, host_future;
    int32_t
        *seen; /* of one that goes on behind the prompt (tally.h): [n_layer][n] keys that each row saw; or NULL */
    float *compact; /* the same: [n_head][n] of one layer, host */
    double spread[2];
    struct means mean;
    struct owed owed; /* record_settle() before entropy, cosine or last_q are looked at in the middle of a pass */
};

/* Floats of one head's block of moments, and of the room for one layer's statistics on the host. */
size_t record_block(const struct kv_shape *shape);
size_t record_host_floats(const struct kv_shape *shape, int n);
/* What record_init takes for this; bytes. */
size_t record_bytes(const struct kv_shape *shape, unsigned needs, int n, int rows);

/* Room for a prefill of n tokens, in passes of at most `rows` rows. */
enum kv_status record_init(
    struct record *r, const struct machine *m, unsigned needs, int n, int rows, struct kv_error *err);
void record_free(struct record *r); /* a zeroed record is fine */

/* Stage observe of one prefill pass: rows first..first+p->n-1 of the prompt, right after attend. */
enum kv_status record_observe(struct record *r, const struct pass *p, int layer, int first, struct kv_error *err);

/* What stages besides observe do for it: rope of this pass adds up the moments of its queries, and what oproj made of
 * the rows is compared with what observe kept of them. */
void record_begin_pass(const struct record *r, struct pass *p, int first);
enum kv_status record_residual(struct record *r, const struct pass *p, int layer, int first, struct kv_error *err);

struct kv_policy;
/* Lends the statistics of a layer that `needs` names (enum kv_need), valid until the next call; all but entropy, columns
 * and cosines are worked out from the resident keys and values (engine/run/derive.c), which takes the machine's buffers.
 * KV_NOT_NOW when a need was not collected. */
enum kv_status record_stats(struct record *r, unsigned needs, int layer, const struct kv_policy *policy,
    const struct kv_span *resident, struct kv_stats *out, struct kv_error *err);

/* Keys of one layer to choose from: slots of prefix-then-tail. */
struct record_keys {
    const struct kv_span *prefix, *tail;
    int n_tail;              /* slots of the tail; 0 = none, and no span */
    int n, rows;             /* slots of each KV head; queries so far */
    const int32_t *position; /* [n_kv_head][n]; NULL = 0..n-1 */
};
/* The same of any keys, whose columns the record has slot by slot. */
enum kv_status record_stats_of(struct record *r, unsigned needs, int layer, const struct kv_policy *policy,
    const struct record_keys *keys, struct kv_stats *out, struct kv_error *err);

/* Column sums of a prefill's layer over the rows that `need` names (KV_NEED_COLUMNS, _WINDOW or _LAST), added over the
 * query heads of each of `sets` kept sets, to added [sets][n] on the device, which is not waited for; record_can_fold():
 * where the device can and the prefill left what it takes. */
bool record_can_fold(const struct record *r, unsigned needs);
enum kv_status record_fold(struct record *r, unsigned need, int layer, const struct kv_policy *policy,
    const struct kv_span *resident, int sets, double *added, struct kv_error *err);

/* Brings r->mean up to date: of the rows that each layer has read so far, NaN where there is none, or, once the
 * prefill is complete, of the rows that the policy names. */
enum kv_status record_means(struct record *r, bool complete, const struct kv_policy *policy, struct kv_error *err);

#endif
