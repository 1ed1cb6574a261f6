/* A second engine reads each row once; every policy compresses that prefill again, replies, and is judged. */
#include "inspector/lab/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/rouge.h"
#include "inspector/policy/beside.h"
#include "inspector/picture/hash.h"
#include "inspector/lab/stopped.h"
#include "inspector/progress.h"
#include "inspector/picture/recipe.h"
#include "inspector/run.h"

struct measurer {
    struct session *s;
    const struct evaluation *v;
    const struct measures *known;
    struct kv_engine *e;
    size_t task;
    bool read; /* the task's prefill is there */
};

/* --- policies ---------------------------------------------------------------------------------------------------- */

static enum kv_status put_policy(struct measurer *m, int policy, int ratio)
{
    const struct evaluate_policy *p = &m->v->policy[policy];
    static const char *const totals[] = { "policy.ratio", "policy.tokens", "policy.bytes" };
    const char *name[LINE_WORDS + 1], *value[LINE_WORDS + 1];
    char text[KV_COUNT(totals)][40];
    int n = 0;
    for (; n < p->count; n++) name[n] = p->name[n], value[n] = p->value[n];
    for (size_t i = 0; i < KV_COUNT(totals) && !p->full; i++) {
        if (m->v->ratio[ratio] > 0) {
            if (i) break;
            snprintf(text[i], sizeof text[i], "%.17g", m->v->ratio[ratio]);
        } else {
            enum kv_status st = kv_get(m->s->engine, totals[i], text[i], sizeof text[i], &m->s->err);
            if (st) return st;
            if (!strcmp(text[i], "unset")) continue;
        }
        name[n] = totals[i];
        value[n++] = text[i];
    }
    return kv_set(m->e, name, value, n, &m->s->err);
}

/* All that the figures depend on, as one number. */
static enum kv_status measure_key(struct measurer *m, const struct task *task, char key[65])
{
    struct session *s = m->s;
    const struct kv_setting *row;
    char *text = NULL, value[300];
    size_t bytes;
    FILE *f = open_memstream(&text, &bytes);
    if (!f) return kv_fail(&s->err, KV_NO_MEMORY, "No memory for a key.");
    fprintf(f, "%s\n%s\n%d %d %d %s\n", s->model_sha, task->sha, m->v->how.apart, m->v->stem, m->v->judge,
        ROUGE_FLAVOR);
    for (int i = 0; (row = kv_setting_at(i)); i++) {
        if (!strcmp(row->name, "policy.query-aware")) continue; /* the prompt sets it, and may not be there yet */
        if (!kv_get(m->e, row->name, value, sizeof value, &s->err)) fprintf(f, "%s=%s\n", row->name, value);
    }
    enum kv_status st = fclose(f) ? kv_fail(&s->err, KV_NO_MEMORY, "No memory for a key.") : KV_OK;
    if (!st) st = hash_bytes(text, bytes, key, &s->err);
    free(text);
    return st;
}

/* --- one measurement --------------------------------------------------------------------------------------------- */

static enum kv_status run_until(struct measurer *m, enum kv_phase phase)
{
    struct kv_where w;
    enum kv_status st = KV_OK;
    for (kv_where(m->e, &w); !st && w.phase < phase; kv_where(m->e, &w)) {
        st = kv_step(m->e, KV_UNIT_PASS, &m->s->err);
        st = lab_heard(m->s, st);
    }
    return st;
}

static double phase_us(const struct kv_engine *e, enum kv_phase phase, int *tokens)
{
    struct kv_time time;
    kv_time(e, phase, &time);
    if (tokens) *tokens = time.tokens;
    return time.us;
}

static enum kv_status read_task(struct measurer *m)
{
    enum kv_status st = task_prompt(m->s, m->e, &m->v->tasks.task[m->task], &m->v->how);
    if (!st) st = kv_start(m->e, &m->s->err);
    if (!st) st = run_until(m, KV_PHASE_compress);
    m->read = !st;
    return st;
}

static enum kv_status cache_figures(struct measurer *m, double *value)
{
    struct kv_memory memory;
    struct kv_array used, tok;
    enum kv_status st = kv_value(m->e, "tok", &tok, &m->s->err);
    value[METRIC_prompt] = st ? NAN : (double)tok.dim[0];
    if (!st) st = kv_value(m->e, "budget.used", &used, &m->s->err);
    if (st) return st;
    double sum = 0;
    for (size_t l = 0; l < used.dim[0]; l++) sum += array_number(&used, l);
    value[METRIC_kept] = sum / (double)used.dim[0];
    kv_memory(m->e, &memory);
    value[METRIC_kv_bytes] = (double)memory.active;
    value[METRIC_full_bytes] = (double)memory.resident;
    value[METRIC_prefill_us] = phase_us(m->e, KV_PHASE_prefill, NULL);
    value[METRIC_compress_us] = phase_us(m->e, KV_PHASE_compress, NULL);
    return KV_OK;
}

static void score_reply(const struct task *task, const char *reply, bool stem, double *value, struct kv_error *err)
{
    struct rouge_score score[ROUGE_KINDS];
    struct rouge_text target[64], said = { reply, strlen(reply) };
    int n = task->reference.n < (int)KV_COUNT(target) ? task->reference.n : (int)KV_COUNT(target);
    for (int i = 0; i < n; i++)
        target[i] = (struct rouge_text){ task->reference.text[i], strlen(task->reference.text[i]) };
    if (n && !rouge(target, n, &said, stem, score, err))
        for (int k = 0; k < ROUGE_KINDS; k++) value[METRIC_rouge1 + k] = score[k].f;
    if (!task->answer.n) return;
    value[METRIC_found] = task_found(task, reply);
    value[METRIC_exact] = task_exact(task, reply);
}

static enum kv_status take_reply(struct measurer *m, double *value, char **reply)
{
    struct kv_array ids;
    enum kv_status st = kv_value(m->e, "reply", &ids, &m->s->err);
    if (st) return st;
    size_t n = ids.dim[0];
    const int32_t *id = ids.data;
    if (n && run_control_token(m->s, id[n - 1])) n--;
    *reply = kv_tokens_text(m->e, id, (int)n);
    if (!*reply) return kv_fail(&m->s->err, KV_NO_MEMORY, "No memory for a reply.");
    int tokens;
    double us = phase_us(m->e, KV_PHASE_decode, &tokens);
    value[METRIC_reply] = (double)n;
    value[METRIC_decode_us] = tokens ? us / tokens : NAN;
    score_reply(&m->v->tasks.task[m->task], *reply, m->v->stem, value, &m->s->err);
    return KV_OK;
}

static enum kv_status measure_one(struct measurer *m, struct measured *out, char **reply)
{
    struct kv_verdict verdict;
    struct session *s = m->s;
    for (int k = 0; k < METRIC_COUNT; k++) out->value[k] = NAN;
    enum kv_status st = m->read ? KV_OK : read_task(m);
    if (!st) st = kv_recompress(m->e, &s->err);
    if (!st) st = run_until(m, KV_PHASE_ask);
    if (!st) st = cache_figures(m, out->value);
    if (!st) st = run_until(m, KV_PHASE_done);
    if (!st) st = take_reply(m, out->value, reply);
    if (st || !m->v->judge) return st;
    st = kv_twin(m->e, m->v->judge, &verdict, &s->err);
    if (!st && verdict.steps) {
        out->value[METRIC_kl] = verdict.kl_mean;
        out->value[METRIC_top1] = verdict.top1;
    }
    return st;
}

/* --- all of them ------------------------------------------------------------------------------------------------- */

const struct measured *measures_find(const struct measures *done, const char *key)
{
    for (size_t i = 0; i < done->n; i++)
        if (!strcmp(done->list[i].key, key)) return &done->list[i];
    return NULL;
}

enum kv_status measures_add(struct measures *done, const struct measured *one, struct kv_error *err)
{
    if (done->n == done->cap) {
        size_t cap = done->cap ? 2 * done->cap : 64;
        struct measured *grown = realloc(done->list, cap * sizeof *grown);
        if (!grown) return kv_fail(err, KV_NO_MEMORY, "No memory for %zu results.", cap);
        done->list = grown;
        done->cap = cap;
    }
    done->list[done->n++] = *one;
    return KV_OK;
}

static void announce(struct measurer *m, int done, int all)
{
    char what[160];
    const struct evaluation *v = m->v;
    snprintf(what, sizeof what, "row %zu of %zu, %s: result", m->task - v->from + 1, v->to - v->from,
        v->tasks.task[m->task].id);
    progress_show(m->s, what, done, all);
}

/* All policies of the row in hand. */
static enum kv_status measure_task(struct measurer *m, struct measures *done, evaluate_keep *keep, void *ctx)
{
    const struct evaluation *v = m->v;
    enum kv_status st = KV_OK;
    m->read = false;
    for (int p = 0; p < v->n_policy && !st; p++) {
        for (int r = 0; r < (v->policy[p].full ? 1 : v->n_ratio) && !st; r++) {
            struct measured one = { .task = m->task, .policy = p, .ratio = r };
            char *reply = NULL;
            st = put_policy(m, p, r);
            if (!st) st = measure_key(m, &v->tasks.task[m->task], one.key);
            if (st) break;
            const struct measured *before = measures_find(m->known, one.key);
            if (!before) before = measures_find(done, one.key);
            if (before) {
                memcpy(one.value, before->value, sizeof one.value);
            } else {
                announce(m, p * v->n_ratio + r, v->n_policy * v->n_ratio);
                st = measure_one(m, &one, &reply);
                if (!st && keep) st = keep(ctx, &one, reply);
            }
            if (!st) st = measures_add(done, &one, &m->s->err);
            free(reply);
        }
    }
    return st;
}

enum kv_status evaluate_measure(struct session *s, const struct evaluation *v, const struct measures *known,
    struct measures *done, evaluate_keep *keep, void *ctx)
{
    struct measurer m = { .s = s, .v = v, .known = known };
    char tokens[24];
    const char *name = "decode.tokens", *value = tokens;
    snprintf(tokens, sizeof tokens, "%d", v->tokens);
    enum kv_status st = recipe_model_hash(s);
    if (!st) st = beside_open(s, &m.e);
    if (!st) st = beside_settings(s, m.e, "decode.");
    if (!st) st = beside_settings(s, m.e, "judge.");
    if (!st && v->tokens) st = kv_set(m.e, &name, &value, 1, &s->err);
    struct kv_engine *before = session_interrupts(m.e);
    for (m.task = v->from; m.task < v->to && !st; m.task++) st = measure_task(&m, done, keep, ctx);
    session_interrupts(before);
    progress_clear();
    kv_engine_close(m.e);
    return st;
}
