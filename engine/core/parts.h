/* What reading and writing core files share. Internal to the engine. */
#ifndef KV_CORE_PARTS_H
#define KV_CORE_PARTS_H

#include "engine/core.h"
#include "engine/look.h"
#include "engine/policy/stats.h"
#include "engine/safetensors.h"

/* One row a value of kv_value that a core may hold; those named stats.* are for kv_why alone. */
struct core_value {
    const char *name;
    enum kv_core_part part;
    enum kv_element type;
    const char *dims; /* one character each: L layers, H heads, n prefill tokens, V vocabulary, 2, 4, * any; s kept
                         sets, no dimension where all heads share one */
    char
        range; /* of whole numbers: t token, c count, k rank, y reason, u rule, b 0 or 1, p edit; 0 = real numbers */
    const char *unit, *axis[3];
};
#define CORE_VALUES 27
extern const struct core_value core_values[CORE_VALUES];
extern const size_t core_element_bytes[]; /* by enum kv_element */

/* What stands in for the machine where the engine is a core. */
struct core {
    struct st_file file;
    const char *described; /* of the metadata */
    struct kv_memory memory;
    struct kv_array value[CORE_VALUES]; /* data NULL = not read yet, or not there */
    int n_twin;                         /* steps that the file holds */
    char *text;                         /* [n_text], and a NUL */
    size_t n_text;
    struct kv_cost *cost; /* [n_cost] stages of the pass */
    int n_cost, item;     /* item: which of them is next */
};
void core_free(struct core *c); /* NULL is fine */

#define CORE_COST_FIELDS 6 /* of a row of tensor "costs": stage, layer, tick, us, flops, bytes */

bool core_is_real(enum st_type t);
double core_element(enum st_type type, const void *data, size_t i);
int core_value_index(const char *name); /* row of core_values, -1 = none */
/* Reads value i, unless it is there already; KV_OK with no data where the file has none. */
enum kv_status core_value_read(struct kv_engine *e, int i, struct kv_error *err);
/* An I32 tensor that is no value; *out NULL where there is none, else the caller's to free. */
enum kv_status core_ints(struct kv_engine *e, const char *name, const char *dims, char range, int32_t **out,
    size_t *n, struct kv_error *err);

/* KV_NOT_NOW where the core does not hold it. */
enum kv_status core_value_get(struct kv_engine *e, const char *name, struct kv_array *out, struct kv_error *err);
/* What the selector of `needs` (enum kv_need) read of a layer, as +columns wrote it. */
enum kv_status core_stats(
    struct kv_engine *e, unsigned needs, int layer, struct kv_stats *out, struct kv_error *err);
enum kv_status core_attention(
    struct kv_engine *e, int layer, int head, int first, int rows, float *out, size_t stride, struct kv_error *err);
/* engine/look.h, of what +kv wrote; the layer is in range, and the rows are tokens that there are. */
int core_cache_tokens(const struct kv_engine *e, int layer);
int core_cache_slots(const struct kv_engine *e, int layer, int kv_head, int32_t *pos, int room);
enum kv_status core_cache_rows(const struct kv_engine *e, bool values, int layer, int kv_head, int first, int n,
    float *out, struct kv_error *err);
int core_costs(const struct kv_engine *e, struct kv_cost *out, int room, int *now);
enum kv_status core_read_costs(struct kv_engine *e, struct kv_error *err);
/* The verdict on the first n steps that the core holds; kl, full and other are cut to them. */
enum kv_status core_twin(struct kv_engine *e, int n, struct kv_verdict *verdict, struct kv_error *err);

#endif
