/* Settings and presets: tables at the end, generic set, get, diff and check over them. */
#include "engine/policy/policy.h"

#include "engine/policy/allocate.h"
#include "engine/policy/profiles.h"
#include "engine/policy/score.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define PRESET_EDITS 8

/* A preset is what it changes in the default policy: name, value, name, value, ... */
struct preset {
    const char *name, *help;
    const char *edits[2 * PRESET_EDITS];
};

static const struct preset *preset_at(int row); /* NULL behind the last */

static bool is_total(const struct setting *s)
{
    return s->offset == offsetof(struct kv_policy, ratio) || s->offset == offsetof(struct kv_policy, tokens) ||
           s->offset == offsetof(struct kv_policy, bytes);
}

/* Whether the question is read before compress belongs to the request, and a profile to the model: presets leave them,
 * and they edit none. */
static bool is_of_request(const struct setting *s)
{
    return s->offset == offsetof(struct kv_policy, query_aware) || s->offset == offsetof(struct kv_policy, profile);
}

/* Of the three totals, the one that was set last holds. */
static void keep_one_total(struct kv_policy *p, const struct setting *s)
{
    if (s->offset != offsetof(struct kv_policy, ratio)) p->ratio = 0;
    if (s->offset != offsetof(struct kv_policy, tokens)) p->tokens = 0;
    if (s->offset != offsetof(struct kv_policy, bytes)) p->bytes = 0;
}

static enum kv_status set_one(
    struct kv_policy *policy, const struct setting *s, const char *value, struct kv_error *err)
{
    if (s->offset == offsetof(struct kv_policy, preset)) {
        int query_aware = policy->query_aware, profile = policy->profile;
        enum kv_status status = policy_preset(value, policy, err);
        policy->query_aware = query_aware;
        policy->profile = profile;
        return status;
    }
    if (s->offset == offsetof(struct kv_policy, profile)) return profiles_find(value, &policy->profile, err);
    enum kv_status status = setting_put(s, policy, value, err);
    if (!status && is_total(s)) keep_one_total(policy, s);
    return status;
}

static enum kv_status find(const char *name, const struct setting **s, struct kv_error *err)
{
    *s = policy_setting_find(name);
    if (*s) return KV_OK;
    char known[600] = "", shown[40];
    for (int i = 0; policy_setting_at(i); i++) {
        size_t n = strlen(known);
        snprintf(known + n, sizeof known - n, "%s%s", i ? " " : "", strchr(policy_setting_at(i)->name, '.') + 1);
    }
    return kv_fail(err, KV_NOT_FOUND, "No setting \"%s\"; policy. is followed by one of: %s.",
        setting_quote(name, shown, sizeof shown), known);
}

/* --- the table ------------------------------------------------------------------------------------------ */

const struct setting *policy_setting_find(const char *name)
{
    const struct setting *s;
    for (int i = 0; (s = policy_setting_at(i)); i++)
        if (!strcmp(s->name, name)) return s;
    return NULL;
}

/* --- presets -------------------------------------------------------------------------------------------- */

const char *policy_preset_name(int row)
{
    const struct preset *preset = preset_at(row);
    return preset ? preset->name : NULL;
}

const char *policy_preset_help(int row)
{
    const struct preset *preset = preset_at(row);
    return preset ? preset->help : NULL;
}

enum kv_status policy_preset(const char *name, struct kv_policy *policy, struct kv_error *err)
{
    struct kv_policy next = { 0 };
    enum kv_status status = setting_put(policy_setting_find("policy.preset"), &next, name, err);
    const struct setting *s;
    for (int i = 0; !status && (s = policy_setting_at(i)); i++) /* the preset's own row has no initial value */
        if (s->initial) status = set_one(&next, s, s->initial, err);
    const char *const *edit = preset_at(next.preset)->edits;
    for (int i = 0; !status && i < 2 * PRESET_EDITS && edit[i]; i += 2)
        status = policy_set(&next, edit[i], edit[i + 1], err);
    if (!status) *policy = next;
    return status;
}

/* --- setting and showing -------------------------------------------------------------------------------- */

enum kv_status policy_set(struct kv_policy *policy, const char *name, const char *value, struct kv_error *err)
{
    const struct setting *s;
    enum kv_status status = find(name, &s, err);
    return status ? status : set_one(policy, s, value, err);
}

enum kv_status policy_set_many(
    struct kv_policy *policy, const char *const *name, const char *const *value, int count, struct kv_error *err)
{
    struct kv_policy next = *policy;
    for (int i = 0; i < count; i++) {
        const struct setting *s, *other;
        enum kv_status status = find(name[i], &s, err);
        if (status) return status;
        for (int k = 0; k < i; k++) {
            other = policy_setting_find(name[k]);
            if (other == s) return kv_fail(err, KV_BAD_ARG, "%s is given twice.", s->name);
            if (is_total(other) && is_total(s))
                return kv_fail(err, KV_BAD_ARG, "%s and %s are two names of one budget; give one of them.",
                    other->name, s->name);
        }
        if (i && s->offset == offsetof(struct kv_policy, preset))
            return kv_fail(
                err, KV_BAD_ARG, "policy.preset sets all the others, so it must come before %s.", name[0]);
        status = set_one(&next, s, value[i], err);
        if (status) return status;
    }
    *policy = next;
    return KV_OK;
}

static void format(const struct kv_policy *policy, const struct setting *s, char *text, size_t size)
{
    if (is_total(s) && setting_field(s, policy) == 0)
        snprintf(text, size, "unset");
    else
        setting_format(s, policy, text, size);
}

enum kv_status policy_get(
    const struct kv_policy *policy, const char *name, char *text, size_t size, struct kv_error *err)
{
    const struct setting *s;
    enum kv_status status = find(name, &s, err);
    if (!status) format(policy, s, text, size);
    return status;
}

int policy_diff(const struct kv_policy *policy, const struct setting **changed, int max)
{
    struct kv_policy preset;
    int n = 0;
    const char *name = policy_preset_name(policy->preset);
    if (!name || policy_preset(name, &preset, NULL)) return 0;
    const struct setting *s;
    for (int i = 0; (s = policy_setting_at(i)); i++) {
        double value = setting_field(s, policy);
        if (value == setting_field(s, &preset) || (is_total(s) && value == 0) || is_of_request(s)) continue;
        if (n < max) changed[n] = s;
        n++;
    }
    return n;
}

const char *policy_title(const struct kv_policy *policy, char *text, size_t size)
{
    const char *name = policy_preset_name(policy->preset);
    snprintf(text, size, "%s%s", name ? name : "?", policy_diff(policy, NULL, 0) ? " (edited)" : "");
    return text;
}

enum kv_status policy_check(
    const struct kv_policy *policy, int n, int n_layer, size_t bytes_per_token, struct kv_error *err)
{
    const struct setting *s;
    for (int i = 0; (s = policy_setting_at(i)); i++) {
        char text[40];
        if (setting_field_legal(s, policy) || (is_total(s) && setting_field(s, policy) == 0)) continue;
        format(policy, s, text, sizeof text);
        return setting_refuse(s, text, err);
    }
    int totals = (policy->ratio != 0) + (policy->tokens != 0) + (policy->bytes != 0);
    if (totals != 1)
        return kv_fail(err, KV_BAD_ARG,
            "Just one of policy.ratio, policy.tokens and policy.bytes must be set; %d are.", totals);
    if (policy->floor != POLICY_AUTO && policy->cap != POLICY_AUTO && policy->floor > policy->cap)
        return kv_fail(
            err, KV_BAD_ARG, "policy.floor is %d, above policy.cap, which is %d.", policy->floor, policy->cap);
    if (n < 1 || n_layer < 1)
        return kv_fail(err, KV_BAD_ARG, "There is nothing to keep: %d tokens, %d layers.", n, n_layer);
    if (policy->tokens > n)
        return kv_fail(err, KV_BAD_ARG, "policy.tokens is %d, but the prompt has %d tokens.", policy->tokens, n);
    if (policy->bytes && (bytes_per_token < 1 || (size_t)policy->bytes / bytes_per_token < (size_t)n_layer))
        return kv_fail(err, KV_BAD_ARG,
            "policy.bytes is %lld, but one token needs %zu bytes in each of %d layers: set at least %zu.",
            (long long)policy->bytes, bytes_per_token, n_layer, bytes_per_token * (size_t)n_layer);
    return KV_OK;
}

unsigned policy_needs(const struct kv_policy *policy)
{
    const struct policy_selector *selector = policy_selector_at(policy->selector);
    const struct policy_allocator *allocator = policy_allocator_at(policy->allocator);
    return (allocator ? allocator->needs : 0) | (selector ? policy_selector_needs(policy, selector) : 0);
}

unsigned policy_needs_all(void)
{
    unsigned needs = KV_NEED_COLUMNS | KV_NEED_LAST_ROWS;
    for (int i = 0; policy_allocator_at(i); i++) needs |= policy_allocator_at(i)->needs;
    for (int i = 0; policy_selector_at(i); i++) needs |= policy_selector_at(i)->needs;
    return needs & KV_NEED_ALL;
}

int policy_sets(const struct kv_policy *policy, int n_kv_head)
{
    return policy->group == POLICY_GROUP_KV_HEAD ? n_kv_head : 1;
}

/* --- tables --------------------------------------------------------------------------------------------- */

#define AT(field) .offset = offsetof(struct kv_policy, field)
#define WORDS(...)                                                                                                 \
    .values = (const char *const[]) { __VA_ARGS__, NULL }
#define AUTO_WORD WORDS("auto")

static const struct setting settings[] = {
    { "policy.preset", SETTING_NAME, AT(preset), .value = policy_preset_name,
        .help = "Named policy; sets all the settings below at once." },
    { "policy.allocator", SETTING_NAME, AT(allocator), "entropy", .value = policy_allocator_name,
        .help = "How the budget is shared out over layers." },
    { "policy.selector", SETTING_NAME, AT(selector), "sum", .value = policy_selector_name,
        .help = "What a token is scored by." },
    { "policy.ratio", SETTING_REAL, AT(ratio), "0.25", 1e-9, 1, "in (0, 1]",
        .help = "Share of the prompt's tokens that is kept, over all layers." },
    { "policy.tokens", SETTING_COUNT, AT(tokens), NULL, 1, INT_MAX, "a whole number of tokens, at least 1",
        .help = "Tokens kept per layer on average, instead of policy.ratio." },
    { "policy.bytes", SETTING_LONG, AT(bytes), NULL, 1, 0x1p62, "a whole number of bytes, at least 1",
        .help = "Size of the kept K and V over all layers, instead of policy.ratio." },
    { "policy.sinks", SETTING_COUNT, AT(sinks), "4", 0, INT_MAX / 4, "a whole number of tokens, 0 or more",
        .help = "First tokens, always kept, inside the budget." },
    { "policy.recent", SETTING_COUNT, AT(recent), "32", 0, INT_MAX / 4, "a whole number of tokens, 0 or more",
        .help = "Last tokens of the prompt, always kept, inside the budget." },
    { "policy.floor", SETTING_COUNT, AT(floor), "auto", 1, INT_MAX, "auto or a whole number of tokens, at least 1",
        AUTO_WORD, .help = "Smallest budget of a layer; auto = the tokens that are always kept." },
    { "policy.cap", SETTING_COUNT, AT(cap), "auto", 1, INT_MAX, "auto or a whole number of tokens, at least 1",
        AUTO_WORD, .help = "Largest budget of a layer; auto = the whole prompt." },
    { "policy.rows", SETTING_NAME, AT(rows), "all", WORDS("all", "window", "last"),
        .help = "Query rows that entropy and the selectors sum and mean are taken from." },
    { "policy.window", SETTING_COUNT, AT(window), "32", 1, KV_LAST_ROWS, "a whole number of rows in 1..128",
        .help = "Last query rows that make the observation window." },
    { "policy.entropy", SETTING_NAME, AT(entropy), "raw", WORDS("raw", "log-length"),
        .help = "Entropy in nats, or divided by the logarithm of how many keys the row sees." },
    { "policy.power", SETTING_REAL, AT(power), "1", -16, 16, "in [-16, 16]",
        .help = "Exponent of the entropy in a layer's weight; the allocator inverse negates it." },
    { "policy.beta", SETTING_REAL, AT(beta), "20", 1, 1e6, "in [1, 1e6]",
        .help = "Of the allocator pyramid: the last layer's weight is the mean's divided by this." },
    { "policy.tau1", SETTING_REAL, AT(tau1), "1", .01, 100, "in [0.01, 100]",
        .help = "Of the allocator cake: its weight is entropy^(1/tau1) times variance^(1/tau2)." },
    { "policy.tau2", SETTING_REAL, AT(tau2), "1", .01, 100, "in [0.01, 100]",
        .help = "Of the allocator cake: see policy.tau1." },
    { "policy.temperature", SETTING_REAL, AT(temperature), "1", .01, 1000, "in [0.01, 1000]",
        .help = "Of the allocator meda: nats by which the softmax over layers divides their entropy." },
    { "policy.mass", SETTING_REAL, AT(mass), "0.9", 1e-9, 1, "in (0, 1]",
        .help = "Of the allocator zigzag: share of attention that its tokens are counted for." },
    { "policy.boundary", SETTING_REAL, AT(boundary), "0.2", 0, 1, "in [0, 1]",
        .help = "Of the allocator zigzag: share of the budget that is equal for all layers." },
    { "policy.share", SETTING_REAL, AT(share), "0.3", 1e-9, 1, "in (0, 1]",
        .help = "Of the allocator squeeze: weight of the layers that attention changes least, of a mean of 1." },
    { "policy.gamma", SETTING_REAL, AT(gamma), "200", 0, 1e6, "in [0, 1e6]",
        .help = "Of the selector cake: weight of the variance of the window's rows, beside their mean." },
    { "policy.future", SETTING_COUNT, AT(future), "512", 1, 8192, "a whole number of positions in 1..8192",
        .help = "Of the selector expected: next positions that queries are expected at." },
    { "policy.epsilon", SETTING_REAL, AT(epsilon), "0", 0, 1, "in [0, 1]",
        .help =
            "Of the selectors expected and vnorm: added to attention before the value's length multiplies it." },
    { "policy.pool", SETTING_NAME, AT(pool), "auto", WORDS("auto", "none", "avg", "max"),
        .help = "Pooling of scores along positions; auto = avg for the window, none else." },
    { "policy.kernel", SETTING_ODD, AT(kernel), "5", 1, 255, "an odd number in 1..255",
        .help = "Width of the pooling in tokens." },
    { "policy.reduce", SETTING_NAME, AT(reduce), "sum", WORDS("sum", "mean", "max"),
        .help = "How the scores of query heads become one." },
    { "policy.group", SETTING_NAME, AT(group), "shared", WORDS("shared", "kv-head"),
        .help = "One kept set for all heads of a layer, or one for each KV head." },
    { "policy.alpha", SETTING_REAL, AT(alpha), "1", 0, 1, "in [0, 1]",
        .help =
            "With policy.group kv-head: share of its budget that a head keeps; the heads of a layer compete for "
            "the rest by score (AdaKV)." },
    { "policy.query-aware", SETTING_NAME, AT(query_aware), "on", WORDS("off", "on"),
        .help =
            "Whether the question takes part in the scores; off = compress before it is read. Presets leave it." },
    { "policy.every", SETTING_COUNT, AT(every), "0", 0, INT_MAX, "a whole number of tokens, 0 or more",
        .help =
            "Compress again whenever so many tokens were decoded, to the budget of all tokens so far; 0 = never." },
    { "policy.positions", SETTING_NAME, AT(positions), "keep", WORDS("keep", "rerotate"),
        .help = "Kept keys stay at their true positions, or are rotated to their places in the cache, where the "
                "next token "
                "goes on." },
    { "policy.unseen", SETTING_NAME, AT(unseen), "drop", WORDS("drop", "keep"),
        .help =
            "Tokens that a layer's sliding window has left behind for good: their budget goes to other layers, or "
            "they compete." },
    { "policy.profile", SETTING_NAME, AT(profile), "none", .legal = "none or the file of a profile",
        .value = profiles_name,
        .help = "Measured curves that the allocator and the selector tuned go by. Presets leave it." },
};

#define SNAPKV                                                                                                     \
    "policy.allocator", "uniform", "policy.selector", "window", "policy.reduce", "mean", "policy.sinks", "0",      \
        "policy.group", "kv-head"

static const struct preset presets[] = {
    { "seed", "Budgets by attention entropy, tokens by accumulated attention (Kim & Jung 2025).", { NULL } },
    { "seed-literal", "The seed with no token forced.", { "policy.sinks", "0", "policy.recent", "0" } },
    { "uniform", "The same budget in every layer, tokens as the seed.", { "policy.allocator", "uniform" } },
    { "inverse", "Budgets by 1 / entropy, tokens as the seed.", { "policy.allocator", "inverse" } },
    { "full", "Everything is kept.",
        { "policy.allocator", "uniform", "policy.selector", "streaming", "policy.ratio", "1" } },
    { "pyramid", "Budgets that fall from layer to layer, tokens by the window (PyramidKV).",
        { "policy.allocator", "pyramid", "policy.selector", "window", "policy.sinks", "0" } },
    { "cake", "Budgets by entropy and variance of the window's attention, tokens by its mean and variance (CAKE).",
        { "policy.allocator", "cake", "policy.selector", "cake", "policy.sinks", "0" } },
    { "zigzag", "Budgets by how many tokens hold most of the attention, tokens by the window (ZigZagKV).",
        { "policy.allocator", "zigzag", "policy.selector", "window", "policy.sinks", "0" } },
    { "squeeze", "Less where attention changes least, tokens by accumulated attention (SqueezeAttention).",
        { "policy.allocator", "squeeze" } },
    { "meda", "Budgets by the softmax of entropy, tokens by accumulated attention (MEDA).",
        { "policy.allocator", "meda" } },
    { "lava", "Budgets by the entropy of token scores, tokens by the best head's window (LAVa).",
        { "policy.allocator", "lava", "policy.selector", "window", "policy.pool", "max", "policy.kernel", "7",
            "policy.reduce", "max", "policy.sinks", "0" } },
    { "tova", "Equal budgets, tokens by the attention of the last row (TOVA).",
        { "policy.allocator", "uniform", "policy.selector", "last", "policy.sinks", "0", "policy.recent", "1" } },
    { "h2o", "Equal budgets, tokens by accumulated attention, no sinks (H2O).",
        { "policy.allocator", "uniform", "policy.sinks", "0" } },
    { "streaming", "Sinks and the most recent tokens (StreamingLLM).",
        { "policy.allocator", "uniform", "policy.selector", "streaming" } },
    { "snapkv", "Every KV head keeps its own best tokens, by the attention of the last rows (SnapKV).",
        { SNAPKV } },
    { "adakv", "SnapKV, but the heads of a layer compete for four fifths of its budget (AdaKV).",
        { SNAPKV, "policy.alpha", "0.2" } },
    { "tuned", "Budgets and selectors by the curves measured in policy.profile.",
        { "policy.allocator", POLICY_TUNED, "policy.selector", POLICY_TUNED } },
    { "manual", "Budgets by the user's own weights, tokens as the seed.", { "policy.allocator", "manual" } },
};

const struct setting *policy_setting_at(int row)
{
    return row >= 0 && row < (int)KV_COUNT(settings) ? &settings[row] : NULL;
}

static const struct preset *preset_at(int row)
{
    return row >= 0 && row < (int)KV_COUNT(presets) ? &presets[row] : NULL;
}
