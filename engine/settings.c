/* The table of engine.*, decode.* and judge.* settings, and kv_set and kv_get over it and the policy's. */
#include "engine/settings.h"

#include "engine/policy/profiles.h"
#include "engine/setting.h"
#include "engine/state.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) .offset = offsetof(struct settings, field)
#define WORDS(...)                                                                                                 \
    .values = (const char *const[]) { __VA_ARGS__, NULL }

static const struct setting table[] = {
    { "engine.backend", SETTING_NAME, AT(backend), "auto", WORDS("auto", "cpu", "cuda"),
        .help = "What computes: auto takes the CUDA plugin where it can be had." },
    { "engine.precision", SETTING_NAME, AT(precision), "fast", WORDS("fast", "f32", "int8"),
        .help = "bf16 GEMMs with exact weights in decode; the f32 reference; or int8 activations." },
    { "engine.kv", SETTING_NAME, AT(kv), "f16", WORDS("f16", "f32", "bf16"),
        .help = "Element type of K and V in the cache; precision f32 takes f32 here too." },
    { "engine.threads", SETTING_COUNT, AT(threads), "auto", 1, 1024, "auto or a whole number in 1..1024",
        WORDS("auto"), .help = "Threads; auto = all cores." },
    { "engine.segment", SETTING_COUNT, AT(segment), "auto", 1, SETTINGS_SEGMENT_MOST,
        "auto or a whole number of tokens in 1..8192", WORDS("auto"),
        .help = "Tokens of one prefill pass; auto = 512 on the CPU, up to 4096 on a GPU." },
    { "engine.snapshot", SETTING_NAME, AT(snapshot), "on", WORDS("off", "on"),
        .help = "Keep the whole prefill beside the compact cache; off compacts in place." },
    { "engine.stats", SETTING_NAME, AT(stats_all), "all", WORDS("policy", "all"),
        .help = "What the prefill collects: enough for every preset, or for the policy in force." },
    { "engine.sliding", SETTING_NAME, AT(sliding), "model", WORDS("off", "model"),
        .help = "Honor the model's sliding window." },
    { "decode.tokens", SETTING_COUNT, AT(tokens), "128", 1, 1 << 20, "a whole number of tokens in 1..1048576",
        .help = "Longest reply." },
    { "decode.temperature", SETTING_REAL, AT(temperature), "0", 0, 100, "a number in [0, 100]",
        .help = "Divides the logits before drawing; 0 = greedy." },
    { "decode.top-k", SETTING_COUNT, AT(top_k), "0", 0, INT_MAX, "a whole number, 0 or more",
        .help = "Draw from so many likeliest tokens; 0 = all." },
    { "decode.top-p", SETTING_REAL, AT(top_p), "1", 1e-6, 1, "in (0, 1]",
        .help = "Draw from the likeliest tokens that have this probability together." },
    { "decode.min-p", SETTING_REAL, AT(min_p), "0", 0, 1, "in [0, 1]",
        .help = "Drop tokens less likely than this share of the likeliest." },
    { "decode.seed", SETTING_LONG, AT(seed), "0", 0, 0x1p62, "a whole number, 0 or more",
        .help = "Where the draws begin; also of the selector random." },
    { "judge.leader", SETTING_NAME, AT(leader_full), "full", WORDS("self", "full"),
        .help = "Whose tokens both runs are fed when they are compared." },
    { "judge.tokens", SETTING_COUNT, AT(judge_tokens), "64", 1, 1 << 20, "a whole number of tokens in 1..1048576",
        .help = "Steps of a comparison." },
};

void settings_init(struct settings *s)
{
    *s = (struct settings){ 0 };
    policy_preset(policy_preset_name(0), &s->policy, NULL);
    for (size_t i = 0; i < KV_COUNT(table); i++) setting_put(&table[i], s, table[i].initial, NULL);
}

const struct kv_setting *kv_setting_at(int index)
{
    static _Thread_local struct kv_setting row;
    static _Thread_local char legal[300];
    int own = (int)KV_COUNT(table);
    const struct setting *s = index < own ? &table[index < 0 ? 0 : index] : policy_setting_at(index - own);
    if (index < 0 || !s) return NULL;
    row = (struct kv_setting){ s->name, setting_legal(s, legal, sizeof legal), s->help };
    return &row;
}

static const struct setting *find(const char *name)
{
    for (size_t i = 0; i < KV_COUNT(table); i++)
        if (!strcmp(table[i].name, name)) return &table[i];
    return NULL;
}

/* Where keys stand at their places in the cache, all heads of a layer must agree on the next one. */
static enum kv_status refuse_rerotate(const struct kv_engine *e, const struct settings *s, struct kv_error *err)
{
    const struct kv_policy *p = &s->policy;
    if (p->positions != POLICY_POSITIONS_REROTATE) return KV_OK;
    if (p->every)
        return kv_fail(err, KV_UNSUPPORTED,
            "policy.positions rerotate turns keys once, and policy.every would turn them again and again: set one "
            "of "
            "them back.");
    if (p->group == POLICY_GROUP_KV_HEAD && p->alpha < 1)
        return kv_fail(err, KV_UNSUPPORTED,
            "policy.positions rerotate has no next position where KV heads keep different numbers of tokens: set "
            "policy.alpha 1.");
    if (s->sliding && e->model->shape.sliding_window)
        return kv_fail(err, KV_UNSUPPORTED,
            "policy.positions rerotate counts places in the cache, but this model's sliding window counts "
            "positions: "
            "set engine.sliding off.");
    return KV_OK;
}

/* What single settings can hold but does not go together. */
static enum kv_status refuse_together(const struct kv_engine *e, const struct settings *s, struct kv_error *err)
{
    const struct kv_policy *p = &s->policy;
    if (p->every && p->group == POLICY_GROUP_KV_HEAD && p->alpha < 1)
        return kv_fail(err, KV_UNSUPPORTED,
            "policy.every is not supported where KV heads keep different numbers of tokens: set policy.alpha 1.");
    return refuse_rerotate(e, s, err);
}

bool settings_policy_same(const struct kv_policy *a, const struct kv_policy *b)
{
    const struct setting *row;
    char x[200], y[200];
    if (!memcmp(a, b, sizeof *a)) return true;
    for (int i = 0; (row = policy_setting_at(i)); i++) {
        if (policy_get(a, row->name, x, sizeof x, NULL) || policy_get(b, row->name, y, sizeof y, NULL) ||
            strcmp(x, y))
            return false;
    }
    return true;
}

bool settings_steer_same(const struct settings *a, const struct settings *b)
{
    return a->tokens == b->tokens && a->temperature == b->temperature && a->top_k == b->top_k &&
           a->top_p == b->top_p && a->min_p == b->min_p && a->seed == b->seed &&
           settings_policy_same(&a->policy, &b->policy);
}

void settings_take(struct kv_engine *e, const struct settings *next)
{
    if (e->started && past_again(e) && !settings_steer_same(&e->set, next)) e->past.cut = true;
    e->set = *next;
}

/* Reads the profile that policy.profile names, before the policy takes its name. A file that is gone stays what it was. */
static enum kv_status read_profile(const struct kv_engine *e, const char *path, struct kv_error *err)
{
    struct kv_profile *profile;
    int row = PROFILES_NONE;
    if (!strcmp(path, profiles_name(PROFILES_NONE))) return KV_OK;
    enum kv_status status = kv_profile_read(path, &profile, err);
    if (status == KV_IO && !profiles_find(path, &row, NULL) && profiles_at(row))
        return kv_profile_fits(profiles_at(row), e->model, err);
    if (status) return status;
    if ((status = kv_profile_fits(profile, e->model, err))) {
        kv_profile_free(profile);
        return status;
    }
    return profiles_put(path, profile, err);
}

enum kv_status kv_set(
    struct kv_engine *e, const char *const *name, const char *const *value, int count, struct kv_error *err)
{
    struct settings next = e->set;
    const char **policy = kv_alloc(2 * (size_t)count, sizeof *policy);
    if (!policy) return kv_fail(err, KV_NO_MEMORY, "No memory for %d settings.", count);
    int n_policy = 0;
    enum kv_status status = engine_need_live(e, err);
    for (int i = 0; i < count && !status; i++) {
        const struct setting *s = find(name[i]);
        for (int k = 0; k < i && s && !status; k++)
            if (!strcmp(name[k], name[i])) status = kv_fail(err, KV_BAD_ARG, "%s is given twice.", s->name);
        if (!s && strncmp(name[i], "policy.", 7)) {
            char shown[60];
            status = kv_fail(err, KV_NOT_FOUND, "No setting \"%s\".", setting_quote(name[i], shown, sizeof shown));
        } else if (!s && !strcmp(name[i], "policy.profile") && (status = read_profile(e, value[i], err))) {
            break;
        } else if (!s) {
            policy[n_policy] = name[i];
            policy[count + n_policy++] = value[i];
        } else if (!status)
            status = setting_put(s, &next, value[i], err);
    }
    if (!status) status = policy_set_many(&next.policy, policy, policy + count, n_policy, err);
    if (!status) status = refuse_together(e, &next, err);
    if (!status) settings_take(e, &next);
    free(policy);
    return status;
}

enum kv_status kv_get(const struct kv_engine *e, const char *name, char *text, size_t size, struct kv_error *err)
{
    const struct setting *s = find(name);
    char shown[60];
    if (!s && strncmp(name, "policy.", 7))
        return kv_fail(err, KV_NOT_FOUND, "No setting \"%s\".", setting_quote(name, shown, sizeof shown));
    if (!s) return policy_get(&e->set.policy, name, text, size, err);
    setting_format(s, &e->set, text, size);
    return KV_OK;
}
