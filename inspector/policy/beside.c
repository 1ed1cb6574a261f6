/* Another engine for a comparison: settings and tokens go over, then it runs as far as is needed. */
#include "inspector/policy/beside.h"

#include <stdlib.h>
#include <string.h>

#include "engine/edit.h"

enum kv_status beside_settings(struct session *s, struct kv_engine *to, const char *room)
{
    enum { MOST = 64 };
    char name[MOST][48], value[MOST][200];
    const char *names[MOST], *values[MOST];
    const struct kv_setting *row;
    int n = 0;
    for (int i = 0; (row = kv_setting_at(i)) && n < MOST; i++) {
        if (strncmp(row->name, room, strlen(room)) != 0) continue;
        snprintf(name[n], sizeof name[n], "%s", row->name);
        enum kv_status st = kv_get(s->engine, name[n], value[n], sizeof value[n], &s->err);
        if (st) return st;
        if (!strcmp(value[n], "unset")) continue;
        names[n] = name[n];
        values[n] = value[n];
        n++;
    }
    return kv_set(to, names, values, n, &s->err);
}

/* To the first boundary of a later phase than this one, by passes, so that Ctrl-C is heard. */
static enum kv_status run_past(struct session *s, struct kv_engine *e, enum kv_phase phase)
{
    struct kv_where w;
    enum kv_status st = kv_start(e, &s->err);
    for (kv_where(e, &w); !st && w.phase <= phase; kv_where(e, &w)) {
        st = kv_step(e, KV_UNIT_PASS, &s->err);
        if (!st && session_interrupted()) st = kv_fail(&s->err, KV_STOPPED, "Interrupted.");
    }
    return st;
}

/* The tokens of a value, appended; a value that is not there has none. */
static enum kv_status append(struct session *s, const char *name, int32_t **ids, int *n)
{
    struct kv_array a;
    struct kv_error ignored;
    if (kv_value(s->engine, name, &a, &ignored)) return KV_OK;
    int32_t *grown = realloc(*ids, ((size_t)*n + a.dim[0] + 1) * sizeof *grown);
    if (!grown) return kv_fail(&s->err, KV_NO_MEMORY, "No memory for %zu tokens.", a.dim[0]);
    memcpy(grown + *n, a.data, a.dim[0] * sizeof *grown);
    *ids = grown;
    *n += (int)a.dim[0];
    return KV_OK;
}

enum kv_status beside_open(struct session *s, struct kv_engine **out)
{
    enum kv_status st = kv_engine_open(s->model, out, &s->err);
    if (!st) st = beside_settings(s, *out, "engine.");
    const char *name = "engine.snapshot", *on = "on";
    return st ? st : kv_set(*out, &name, &on, 1, &s->err); /* rows are asked for after the prefill */
}

enum kv_status beside_full(struct session *s, struct kv_engine **out)
{
    int32_t *ids = NULL;
    int n = 0;
    *out = NULL;
    enum kv_status st = append(s, "tok", &ids, &n);
    if (!st) st = append(s, "question", &ids, &n);
    if (!st) st = append(s, "reply", &ids, &n);
    if (!st) st = beside_open(s, out);
    if (!st) st = kv_prompt_ids(*out, ids, n, NULL, 0, &s->err);
    if (!st) st = run_past(s, *out, KV_PHASE_prefill);
    free(ids);
    return st;
}

enum kv_status beside_policy(struct session *s, const char *preset, struct kv_engine **out)
{
    static const char *const totals[] = { "policy.profile", "policy.ratio", "policy.tokens", "policy.bytes",
        "policy.query-aware" };
    int32_t *ids = NULL, *question = NULL;
    int n = 0, asked = 0;
    *out = NULL;
    enum kv_status st = append(s, "tok", &ids, &n);
    if (!st) st = append(s, "question", &question, &asked);
    if (!st) st = beside_open(s, out);
    if (!st) st = kv_prompt_ids(*out, ids, n, question, asked, &s->err);
    const char *names[KV_COUNT(totals) + 1] = { "policy.preset" }, *values[KV_COUNT(totals) + 1] = { preset };
    char text[KV_COUNT(totals)][200];
    int count = 1;
    bool whole = !strcmp(preset, "full"); /* its total is everything */
    for (size_t i = whole ? KV_COUNT(totals) - 1 : 0; i < KV_COUNT(totals) && !st; i++) {
        st = kv_policy_get(s->engine, KV_POLICY_COMPRESSED, totals[i], text[i], sizeof text[i], &s->err);
        if (st || !strcmp(text[i], "unset")) continue;
        names[count] = totals[i];
        values[count++] = text[i];
    }
    if (!st) st = kv_set(*out, names, values, count, &s->err);
    if (!st) st = run_past(s, *out, KV_PHASE_compress);
    free(ids);
    free(question);
    return st;
}
