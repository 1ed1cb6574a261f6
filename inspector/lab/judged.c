/* Prefill, reply, and the settings that go over. */
#include "inspector/lab/judged.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/rouge.h"
#include "inspector/lab/stopped.h"
#include "inspector/policy/beside.h"
#include "inspector/progress.h"
#include "inspector/run.h"

const char *judged_setting(int i)
{
    static const char *const names[] = { "policy.sinks", "policy.recent", "policy.rows", "policy.window",
        "policy.pool", "policy.kernel", "policy.reduce", "policy.group" };
    return i >= 0 && i < (int)KV_COUNT(names) ? names[i] : NULL;
}

enum kv_status judged_settings(struct session *s, struct kv_engine *e)
{
    char value[64];
    const char *name, *text = value;
    enum kv_status st = KV_OK;
    for (int i = 0; (name = judged_setting(i)) && !st; i++) {
        st = kv_get(s->engine, name, value, sizeof value, &s->err);
        if (!st) st = kv_set(e, &name, &text, 1, &s->err);
    }
    return st;
}

void judged_close(struct judged *j)
{
    if (j->engine) {
        session_interrupts(j->s->engine);
        kv_engine_close(j->engine);
    }
    free(j->reply);
    *j = (struct judged){ 0 };
}

static enum kv_status count_of(struct session *s, struct kv_engine *e, const char *name, int *count)
{
    struct kv_array a;
    enum kv_status st = kv_value(e, name, &a, &s->err);
    *count = st ? 0 : (int)a.dim[0];
    return st;
}

/* To the end of the reply, by passes, so that Ctrl-C is heard. */
static enum kv_status run_to_done(struct session *s, struct kv_engine *e)
{
    struct kv_where w;
    enum kv_status st = KV_OK;
    for (kv_where(e, &w); !st && w.phase != KV_PHASE_done; kv_where(e, &w)) {
        st = kv_step(e, KV_UNIT_PASS, &s->err);
        st = lab_heard(s, st);
    }
    return st;
}

enum kv_status judged_open(
    struct session *s, const struct task *task, const struct task_how *how, int reply, struct judged *out)
{
    char tokens[16];
    const char *names[] = { "policy.preset", "decode.tokens", "decode.temperature" },
               *values[] = { "full", tokens, "0" };
    struct kv_array ids;
    *out = (struct judged){ .s = s };
    snprintf(tokens, sizeof tokens, "%d", reply);
    enum kv_status st = beside_open(s, &out->engine);
    if (!st) st = kv_set(out->engine, names, values, 3, &s->err);
    if (!st) st = task_prompt(s, out->engine, task, how);
    if (!st) kv_on_progress(out->engine, progress_show, s);
    if (!st) session_interrupts(out->engine);
    if (!st) st = kv_start(out->engine, &s->err);
    if (!st) st = run_to_done(s, out->engine);
    if (!st) st = count_of(s, out->engine, "tok", &out->tokens);
    if (!st && how->apart && task->question) st = count_of(s, out->engine, "question", &out->asked);
    if (!st) st = kv_value(out->engine, "reply", &ids, &s->err);
    if (st) return st;
    out->n_reply = (int)ids.dim[0];
    out->reply = kv_alloc(kv_max(1, ids.dim[0]), sizeof *out->reply);
    if (!out->reply) return kv_fail(&s->err, KV_NO_MEMORY, "No memory for a reply.");
    memcpy(out->reply, ids.data, ids.dim[0] * sizeof *out->reply);
    return KV_OK;
}

/* Without the token that ends it; NULL = no memory. */
static char *text_of(struct session *s, struct kv_engine *e, const int32_t *id, size_t n)
{
    if (n && run_control_token(s, id[n - 1])) n--;
    return kv_tokens_text(e, id, (int)n);
}

enum kv_status judged_rouge(struct judged *j, double *f)
{
    struct session *s = j->s;
    struct kv_array ids;
    struct rouge_score score[ROUGE_KINDS];
    enum kv_status st = kv_recompress(j->engine, &s->err);
    if (!st) st = run_to_done(s, j->engine);
    if (!st) st = kv_value(j->engine, "reply", &ids, &s->err);
    if (st) return st;
    char *full = text_of(s, j->engine, j->reply, (size_t)j->n_reply);
    char *own = text_of(s, j->engine, ids.data, ids.dim[0]);
    const struct rouge_text target = { full, full ? strlen(full) : 0 }, said = { own, own ? strlen(own) : 0 };
    st = full && own ? rouge(&target, 1, &said, false, score, &s->err)
                     : kv_fail(&s->err, KV_NO_MEMORY, "No memory for a reply.");
    *f = st ? NAN : strcmp(full, own) ? score[ROUGE_L].f : 1; /* also where they have no word */
    free(full);
    free(own);
    return st;
}
