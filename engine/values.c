/* Values by name: what print, heat, export and scripts read. */
#include "engine/core/parts.h"
#include "engine/state.h"

#include "engine/policy/select.h"
#include "engine/run/sharing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum since {
    SINCE_PROMPT,
    SINCE_START,
    SINCE_PREFILL,
    SINCE_ALLOCATE,
    SINCE_SELECT,
    SINCE_AGAIN,
    SINCE_LOGITS,
    SINCE_TWIN,
    SINCE_MASS
};

struct value {
    const char *name;
    enum since since; /* what must have happened */
    enum kv_status (*get)(struct kv_engine *e, struct kv_array *out, struct kv_error *err);
};

static size_t n_layer(const struct kv_engine *e) { return (size_t)e->model->shape.n_layer; }
static size_t n_head(const struct kv_engine *e) { return (size_t)e->model->shape.n_head; }

static struct kv_array by_layer(const struct kv_engine *e, enum kv_element type, const void *data, const char *unit)
{
    return (struct kv_array){ type, 1, { n_layer(e) }, data, unit, { "layer" } };
}

static struct kv_array by_position(
    const struct kv_engine *e, enum kv_element type, const void *data, const char *unit)
{
    return (struct kv_array){ type, 2, { n_layer(e), (size_t)e->n }, data, unit, { "layer", "position" } };
}

/* Kept sets of a layer, as values show them. */
static size_t n_set(const struct kv_engine *e) { return e->sel.allocated ? (size_t)e->sel.sets : 1; }

/* By kept set and position: a shared set has no dimension of its own. */
static struct kv_array by_set(const struct kv_engine *e, enum kv_element type, const void *data, const char *unit)
{
    if (n_set(e) == 1) return by_position(e, type, data, unit);
    return (struct kv_array){ type, 3, { n_layer(e), n_set(e), (size_t)e->n }, data, unit,
        { "layer", "KV head", "position" } };
}

static struct kv_array by_token(enum kv_element type, const void *data, int n, const char *unit, const char *axis)
{
    return (struct kv_array){ type, 1, { (size_t)n }, data, unit, { axis } };
}

/* Room for a value that is worked out; the last one goes. */
static void *own(struct kv_engine *e, size_t count, size_t size, struct kv_error *err)
{
    free(e->value);
    e->value = kv_alloc(count, size);
    if (!e->value) kv_fail(err, KV_NO_MEMORY, "No memory for %zu values.", count);
    return e->value;
}

static enum kv_status get_entropy(struct kv_engine *e, struct kv_array *out, struct kv_error *err)
{
    enum kv_status status = record_means(&e->record, e->at.phase > KV_PHASE_prefill, &e->set.policy, err);
    *out =
        (struct kv_array){ KV_F64, 2, { n_layer(e), n_head(e) }, e->record.mean.head, "nats", { "layer", "head" } };
    return status;
}

static enum kv_status get_layer_entropy(struct kv_engine *e, struct kv_array *out, struct kv_error *err)
{
    enum kv_status status = record_means(&e->record, e->at.phase > KV_PHASE_prefill, &e->set.policy, err);
    *out = by_layer(e, KV_F64, e->record.mean.layer, "nats");
    return status;
}

static enum kv_status get_entropy_q(struct kv_engine *e, struct kv_array *out, struct kv_error *err)
{
    enum kv_status status = record_settle(&e->record, err);
    *out = (struct kv_array){ KV_F32, 3, { n_layer(e), n_head(e), (size_t)e->n }, e->record.entropy, "nats",
        { "layer", "head", "row" } };
    return status;
}

static enum kv_status get_columns(struct kv_engine *e, struct kv_array *out, struct kv_error *err)
{
    size_t count = n_layer(e) * n_head(e) * (size_t)e->n;
    if (!e->record.columns)
        return kv_fail(err, KV_NOT_NOW, "columns were not collected: set engine.stats all, then run again.");
    float *value = own(e, count, sizeof *value, err);
    *out = (struct kv_array){ KV_F32, 3, { n_layer(e), n_head(e), (size_t)e->n }, value, "attention",
        { "layer", "head", "position" } };
    if (!value) return KV_NO_MEMORY;
    return e->machine.be->read(e->machine.ctx, value, e->record.columns, count * sizeof *value, err);
}

/* Rows of the kept sets, [n_layer][sets]. */
static size_t n_row(const struct kv_engine *e) { return n_layer(e) * n_set(e); }

/* Of rows [sel.n] of all that a later compression decided about, the prompt's positions. */
static const void *of_prompt(struct kv_engine *e, const void *all, size_t size, struct kv_error *err)
{
    size_t n = (size_t)e->n, long_n = (size_t)e->sel.n;
    if (n == long_n) return all;
    char *part = own(e, n_row(e) * n, size, err);
    for (size_t row = 0; part && row < n_row(e); row++)
        memcpy(part + row * n * size, (const char *)all + row * long_n * size, n * size);
    return part;
}

static enum kv_status get_score(struct kv_engine *e, struct kv_array *out, struct kv_error *err)
{
    *out = by_set(e, KV_F32, of_prompt(e, e->sel.score, sizeof *e->sel.score, err), "attention");
    return out->data ? KV_OK : KV_NO_MEMORY;
}

/* The forced mask of a row as compress had it; the caller frees it. */
static uint8_t *mask_of(const struct kv_engine *e, size_t row, struct kv_error *err)
{
    uint8_t *forced = kv_alloc((size_t)e->sel.n, 1);
    if (!forced) kv_fail(err, KV_NO_MEMORY, "No memory for a mask of %d tokens.", e->sel.n);
    size_t sets = n_set(e);
    if (forced && !selection_mask(&e->sel, (int)(row / sets), (int)(row % sets), forced, err)) return forced;
    free(forced);
    return NULL;
}

static enum kv_status get_rank(struct kv_engine *e, struct kv_array *out, struct kv_error *err)
{
    size_t n = (size_t)e->n, all = (size_t)e->sel.n;
    int32_t *rank = own(e, n_row(e) * n, sizeof *rank, err), *row_rank = kv_alloc(all, sizeof *row_rank);
    *out = by_set(e, KV_I32, rank, "");
    enum kv_status status =
        rank && row_rank ? KV_OK : kv_fail(err, KV_NO_MEMORY, "No memory to rank %zu tokens.", all);
    for (size_t row = 0; row < n_row(e) && !status; row++) {
        uint8_t *forced = mask_of(e, row, err);
        status = forced ? policy_rank(e->sel.score + row * all, forced, e->sel.n, row_rank, err) : KV_NO_MEMORY;
        if (!status) memcpy(rank + row * n, row_rank, n * sizeof *rank);
        free(forced);
    }
    free(row_rank);
    return status;
}

/* Score of the last token of a row that was let in by score. */
static float cut_of(const struct kv_engine *e, size_t row, const uint8_t *forced)
{
    struct policy_cut found;
    size_t at = row * (size_t)e->sel.n;
    policy_find_cut(e->sel.score + at, forced, e->sel.n, e->sel.kept + at, e->sel.n_kept[row], &found);
    return found.score;
}

static enum kv_status get_cut(struct kv_engine *e, struct kv_array *out, struct kv_error *err)
{
    float *cut = own(e, n_row(e), sizeof *cut, err);
    *out = by_layer(e, KV_F32, cut, "attention");
    if (n_set(e) > 1) out->n_dim = 2, out->dim[1] = n_set(e), out->axis[1] = "KV head";
    enum kv_status status = cut ? KV_OK : KV_NO_MEMORY;
    for (size_t row = 0; row < n_row(e) && !status; row++) {
        uint8_t *forced = mask_of(e, row, err);
        if (forced) cut[row] = cut_of(e, row, forced);
        status = forced ? KV_OK : KV_NO_MEMORY;
        free(forced);
    }
    return status;
}

/* (score - cut) / |cut| of tokens that competed, NaN of the others. */
static enum kv_status get_margin(struct kv_engine *e, struct kv_array *out, struct kv_error *err)
{
    size_t n = (size_t)e->n;
    double *margin = own(e, n_row(e) * n, sizeof *margin, err);
    *out = by_set(e, KV_F64, margin, "");
    enum kv_status status = margin ? KV_OK : KV_NO_MEMORY;
    for (size_t row = 0; row < n_row(e) && !status; row++) {
        uint8_t *forced = mask_of(e, row, err);
        if (!forced) return KV_NO_MEMORY;
        double cut = (double)cut_of(e, row, forced);
        for (size_t j = 0; j < n; j++) {
            double off = (double)e->sel.score[row * (size_t)e->sel.n + j] - cut;
            margin[row * n + j] = forced[j] != KV_BY_SCORE ? NAN : off == 0 ? 0 : off / fabs(cut);
        }
        free(forced);
    }
    return status;
}

static enum kv_status get_reason(struct kv_engine *e, struct kv_array *out, struct kv_error *err)
{
    *out = by_set(e, KV_U8, of_prompt(e, e->sel.reason, 1, err), "");
    return out->data ? KV_OK : KV_NO_MEMORY;
}

/* Whether a row keeps a position; a layer that has not selected keeps all. */
static bool keeps(const struct kv_engine *e, size_t row, size_t position)
{
    return e->sel.n_kept[row] < 0 || e->sel.reason[row * (size_t)e->sel.n + position] != POLICY_EVICTED;
}

static enum kv_status get_kept(struct kv_engine *e, struct kv_array *out, struct kv_error *err)
{
    size_t n = (size_t)e->n;
    uint8_t *kept = own(e, n_row(e) * n, 1, err);
    *out = by_set(e, KV_U8, kept, "");
    for (size_t i = 0; kept && i < n_row(e) * n; i++) kept[i] = keeps(e, i / n, i % n);
    return kept ? KV_OK : KV_NO_MEMORY;
}

/* The same of question and reply tokens that a later compression decided about. */
static enum kv_status get_kept_later(struct kv_engine *e, struct kv_array *out, struct kv_error *err)
{
    size_t n = (size_t)e->n, later = (size_t)e->sel.n - n;
    uint8_t *kept = own(e, n_row(e) * later, 1, err);
    *out = by_set(e, KV_U8, kept, "");
    out->dim[out->n_dim - 1] = later;
    out->axis[out->n_dim - 1] = "token";
    for (size_t i = 0; kept && i < n_row(e) * later; i++) kept[i] = keeps(e, i / later, n + i % later);
    return kept ? KV_OK : KV_NO_MEMORY;
}

static enum kv_status get_weight(struct kv_engine *e, struct kv_array *out, struct kv_error *err)
{
    (void)err;
    *out = by_layer(e, KV_F64, e->sel.weight, "");
    return KV_OK;
}

static enum kv_status get_request(struct kv_engine *e, struct kv_array *out, struct kv_error *err)
{
    (void)err;
    *out = by_layer(e, KV_F64, e->sel.request, "tokens");
    return KV_OK;
}

static enum kv_status get_budget(struct kv_engine *e, struct kv_array *out, struct kv_error *err)
{
    (void)err;
    *out = by_layer(e, KV_I32, e->sel.budget, "tokens");
    return KV_OK;
}

static enum kv_status get_floor(struct kv_engine *e, struct kv_array *out, struct kv_error *err)
{
    (void)err;
    *out = by_layer(e, KV_I32, e->sel.lo, "tokens");
    return KV_OK;
}

static enum kv_status get_cap(struct kv_engine *e, struct kv_array *out, struct kv_error *err)
{
    (void)err;
    *out = by_layer(e, KV_I32, e->sel.hi, "tokens");
    return KV_OK;
}

static enum kv_status get_rule(struct kv_engine *e, struct kv_array *out, struct kv_error *err)
{
    (void)err;
    *out = by_layer(e, KV_U8, e->sel.rule, "");
    return KV_OK;
}

static enum kv_status get_total(struct kv_engine *e, struct kv_array *out, struct kv_error *err)
{
    (void)err;
    *out = by_token(KV_I32, e->sel.total, 2, "tokens", "asked, shared out");
    return KV_OK;
}

static enum kv_status get_used(struct kv_engine *e, struct kv_array *out, struct kv_error *err)
{
    int32_t *used = own(e, n_layer(e), sizeof *used, err);
    *out = by_layer(e, KV_I32, used, "tokens");
    for (size_t l = 0; used && l < n_layer(e); l++)
        used[l] = (int32_t)lrint(selection_mean(&e->sel, (int)l)) + e->run.tail_len;
    return used ? KV_OK : KV_NO_MEMORY;
}

static enum kv_status get_heads(struct kv_engine *e, struct kv_array *out, struct kv_error *err)
{
    size_t heads = (size_t)e->model->shape.n_kv_head;
    int32_t *count = own(e, n_layer(e) * heads, sizeof *count, err);
    *out = (struct kv_array){ KV_I32, 2, { n_layer(e), heads }, count, "tokens", { "layer", "KV head" } };
    for (size_t i = 0; count && i < n_layer(e) * heads; i++)
        count[i] = e->sel.n_kept[selection_row(&e->sel, (int)(i / heads), (int)(i % heads))];
    return count ? KV_OK : KV_NO_MEMORY;
}

/* Makes numbers [n_layer][columns] the value that is kept: how they are worked out takes other values' place. */
static enum kv_status take(struct kv_engine *e, enum kv_status status, double *number, size_t columns,
    const char *axis, struct kv_array *out)
{
    if (status) {
        free(number);
        return status;
    }
    free(e->value);
    e->value = number;
    *out = (struct kv_array){ KV_F64, 2, { n_layer(e), columns }, number, "", { "layer", axis } };
    return KV_OK;
}

static enum kv_status get_sharing(
    struct kv_engine *e, enum sharing_kind kind, struct kv_array *out, struct kv_error *err)
{
    size_t heads = (size_t)e->model->shape.n_kv_head;
    double *number = kv_alloc(n_layer(e) * heads, sizeof *number);
    if (!number) return kv_fail(err, KV_NO_MEMORY, "No memory for %zu values.", n_layer(e) * heads);
    return take(e, sharing_values(e, kind, number, err), number, heads, "KV head", out);
}

static enum kv_status get_overlap(struct kv_engine *e, struct kv_array *out, struct kv_error *err)
{
    return get_sharing(e, SHARING_OVERLAP, out, err);
}

static enum kv_status get_shared_mass(struct kv_engine *e, struct kv_array *out, struct kv_error *err)
{
    return get_sharing(e, SHARING_MASS, out, err);
}

static enum kv_status get_own_mass(struct kv_engine *e, struct kv_array *out, struct kv_error *err)
{
    return get_sharing(e, SHARING_OWN, out, err);
}

static enum kv_status get_tok(struct kv_engine *e, struct kv_array *out, struct kv_error *err)
{
    (void)err;
    *out = by_token(KV_I32, e->ids, e->n, "", "position");
    return KV_OK;
}

static enum kv_status get_question(struct kv_engine *e, struct kv_array *out, struct kv_error *err)
{
    (void)err;
    *out = by_token(KV_I32, e->question, e->n_question, "", "token");
    return KV_OK;
}

static enum kv_status get_reply(struct kv_engine *e, struct kv_array *out, struct kv_error *err)
{
    (void)err;
    *out = by_token(KV_I32, e->run.reply, e->run.n_reply, "", "step");
    return KV_OK;
}

static enum kv_status get_logit(struct kv_engine *e, struct kv_array *out, struct kv_error *err)
{
    enum kv_status status = engine_logits(e, err);
    *out = by_token(KV_F32, e->logits, e->model->shape.n_vocab, "nats", "token");
    return status;
}

static enum kv_status get_kl(struct kv_engine *e, struct kv_array *out, struct kv_error *err)
{
    (void)err;
    *out = by_token(KV_F64, e->twin.kl, e->twin.n, "nats", "step");
    return KV_OK;
}

static enum kv_status get_full(struct kv_engine *e, struct kv_array *out, struct kv_error *err)
{
    (void)err;
    *out = by_token(KV_I32, e->twin.full, e->twin.n, "", "step");
    return KV_OK;
}

static enum kv_status get_other(struct kv_engine *e, struct kv_array *out, struct kv_error *err)
{
    (void)err;
    *out = by_token(KV_I32, e->twin.other, e->twin.n, "", "step");
    return KV_OK;
}

static struct kv_array by_head(const struct kv_engine *e, const float *data)
{
    return (struct kv_array){ KV_F32, 3, { n_layer(e), n_head(e), (size_t)e->n }, data, "attention",
        { "layer", "head", "position" } };
}

static enum kv_status get_mass(struct kv_engine *e, struct kv_array *out, struct kv_error *err)
{
    (void)err;
    *out = by_head(e, e->mass.mean);
    return KV_OK;
}

/* The part of mass that went to evicted tokens. */
static enum kv_status get_regret(struct kv_engine *e, struct kv_array *out, struct kv_error *err)
{
    size_t n = (size_t)e->n, heads = n_head(e), count = n_layer(e) * heads * n;
    float *regret = own(e, count, sizeof *regret, err);
    *out = by_head(e, regret);
    for (size_t i = 0; regret && i < count; i++) {
        size_t group = heads / (size_t)e->model->shape.n_kv_head, h = i / n % heads;
        size_t row = selection_row(&e->sel, (int)(i / (heads * n)), (int)(h / group));
        regret[i] = keeps(e, row, i % n) ? 0 : e->mass.mean[i];
    }
    return regret ? KV_OK : KV_NO_MEMORY;
}

static const struct value table[] = {
    { "entropy", SINCE_START, get_entropy },
    { "E", SINCE_START, get_layer_entropy },
    { "entropy_q", SINCE_PREFILL, get_entropy_q },
    { "columns", SINCE_PREFILL, get_columns },
    { "score", SINCE_SELECT, get_score },
    { "rank", SINCE_SELECT, get_rank },
    { "margin", SINCE_SELECT, get_margin },
    { "cut", SINCE_SELECT, get_cut },
    { "reason", SINCE_SELECT, get_reason },
    { "kept", SINCE_PREFILL, get_kept },
    { "kept.later", SINCE_AGAIN, get_kept_later },
    { "weight", SINCE_ALLOCATE, get_weight },
    { "budget.req", SINCE_ALLOCATE, get_request },
    { "budget.app", SINCE_ALLOCATE, get_budget },
    { "budget.used", SINCE_ALLOCATE, get_used },
    { "budget.head", SINCE_SELECT, get_heads },
    { "budget.floor", SINCE_ALLOCATE, get_floor },
    { "budget.cap", SINCE_ALLOCATE, get_cap },
    { "budget.rule", SINCE_ALLOCATE, get_rule },
    { "budget.total", SINCE_ALLOCATE, get_total },
    { "sharing.overlap", SINCE_ALLOCATE, get_overlap },
    { "sharing.mass", SINCE_ALLOCATE, get_shared_mass },
    { "sharing.own", SINCE_ALLOCATE, get_own_mass },
    { "tok", SINCE_PROMPT, get_tok },
    { "question", SINCE_PROMPT, get_question },
    { "reply", SINCE_START, get_reply },
    { "logit", SINCE_LOGITS, get_logit },
    { "kl", SINCE_TWIN, get_kl },
    { "full", SINCE_TWIN, get_full },
    { "other", SINCE_TWIN, get_other },
    { "mass", SINCE_MASS, get_mass },
    { "regret", SINCE_MASS, get_regret },
};

const char *kv_value_name(int index)
{
    return index >= 0 && (size_t)index < KV_COUNT(table) ? table[index].name : NULL;
}

static enum kv_status check_since(const struct kv_engine *e, const struct value *v, struct kv_error *err)
{
    const char *before = NULL;
    switch (v->since) {
    case SINCE_PROMPT:
        if (!e->n_all) before = "there is a prompt";
        break;
    case SINCE_START:
        if (!e->started) before = "the request is run";
        break;
    case SINCE_PREFILL:
        if (!e->started || e->at.phase <= KV_PHASE_prefill) before = "the prefill is complete";
        break;
    case SINCE_ALLOCATE:
        if (!e->started || !e->sel.allocated) before = "compress allocates";
        break;
    case SINCE_SELECT:
        if (!e->started || !selected(&e->sel, (int)n_layer(e) - 1)) before = "compress has selected in every layer";
        break;
    case SINCE_AGAIN:
        if (!e->started || !e->sel.again) before = "compress:1 is done";
        break;
    case SINCE_LOGITS:
        if (!e->started || !e->run.n_reply) before = "the first token is sampled";
        break;
    case SINCE_MASS:
        if (!e->mass.mean) before = "the full cache's attention is read: use regret";
        break;
    case SINCE_TWIN:
        if (!e->twin.n) before = "the runs are compared: use diff";
        break;
    }
    if (!before) return KV_OK;
    if (!e->started) return kv_fail(err, KV_NOT_NOW, "%s is not available before %s.", v->name, before);
    return kv_fail(err, KV_NOT_NOW, "%s is not available before %s (now in %s:%d).", v->name, before,
        kv_phase_name[e->at.phase], e->at.pass);
}

/* Worked out from other values: a core file does that as well. */
static bool derived(const struct value *v)
{
    return v->get == get_heads || v->get == get_overlap || v->get == get_shared_mass || v->get == get_own_mass;
}

enum kv_status kv_value(struct kv_engine *e, const char *name, struct kv_array *out, struct kv_error *err)
{
    *out = (struct kv_array){ 0 };
    for (size_t i = 0; i < KV_COUNT(table); i++) {
        if (strcmp(table[i].name, name)) continue;
        enum kv_status status = check_since(e, &table[i], err);
        if (status) return status;
        return !e->core || derived(&table[i]) ? table[i].get(e, out, err) : core_value_get(e, name, out, err);
    }
    return kv_fail(err, KV_NOT_FOUND, "No value \"%s\" here.", name);
}

static size_t peak_bytes(void)
{
    char line[200];
    size_t kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f) && sscanf(line, "VmHWM: %zu kB", &kib) != 1) {
    }
    if (f) fclose(f);
    return kib * 1024;
}

void kv_memory(const struct kv_engine *e, struct kv_memory *memory)
{
    struct kv_backend_stats stats = { 0 };
    if (e->core) {
        *memory = e->core->memory;
        return;
    }
    if (e->machine.be) e->machine.be->stats(e->machine.ctx, &stats);
    *memory = (struct kv_memory){ .weights = e->model->weight_bytes,
        .resident = cache_bytes(&e->resident),
        .active = cache_bytes(&e->run.prefix) + cache_bytes(&e->run.tail) + cache_bytes(&e->run.fresh),
        .stats = e->record.bytes + e->sel.bytes + e->base.bytes + (e->run.tally ? e->run.tally->bytes : 0),
        .scratch = e->machine.block_bytes + stats.scratch_bytes,
        .peak = peak_bytes() };
}

void kv_time(const struct kv_engine *e, enum kv_phase phase, struct kv_time *time) { *time = e->time[phase]; }
