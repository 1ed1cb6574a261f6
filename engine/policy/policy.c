/* Settings and presets: tables at the end, generic set, get, diff and check over them. */
#include "engine/policy/policy.h"

#include "engine/policy/allocate.h"
#include "engine/policy/score.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRESET_EDITS 8

/* A preset is what it changes in the default policy: name, value, name, value, ... */
struct preset {
    const char *name, *help;
    const char *edits[2 * PRESET_EDITS];
};

static const struct preset *preset_at(int row); /* NULL behind the last */

/* --- fields by table row -----------------------------------------------------------------------------------------
 */

static bool is_total(const struct policy_setting *s)
{
    return s->offset == offsetof(struct kv_policy, ratio) || s->offset == offsetof(struct kv_policy, tokens) ||
           s->offset == offsetof(struct kv_policy, bytes);
}

static double field(const struct kv_policy *policy, const struct policy_setting *s)
{
    const char *at = (const char *)policy + s->offset;
    if (s->kind == POLICY_REAL) return *(const double *)at;
    if (s->kind == POLICY_BYTES) return (double)*(const int64_t *)at;
    return *(const int *)at;
}

static void put_int(struct kv_policy *policy, const struct policy_setting *s, int64_t value)
{
    char *at = (char *)policy + s->offset;
    if (s->kind == POLICY_BYTES)
        *(int64_t *)at = value;
    else
        *(int *)at = (int)value;
}

static int count_values(const struct policy_setting *s)
{
    int n = 0;
    while (policy_setting_value(s, n)) n++;
    return n;
}

/* Whether a field holds what policy_set could have put there. */
static bool field_legal(const struct kv_policy *policy, const struct policy_setting *s)
{
    double value = field(policy, s);
    if (s->kind == POLICY_NAME) return value >= 0 && value < count_values(s);
    if (s->kind == POLICY_BOUND && value == POLICY_AUTO) return true;
    if (is_total(s) && value == 0) return true;
    if (s->kind == POLICY_ODD && (int)value % 2 == 0) return false;
    return value >= s->least && value <= s->most;
}

/* --- text to value -----------------------------------------------------------------------------------------------
 */

/* The user's text as it may stand in an error: short, and without bytes that a terminal would act on. */
static const char *quoted(const char *value, char *text, size_t size)
{
    size_t n = 0;
    for (; value[n] && n + 4 < size; n++) text[n] = isprint((unsigned char)value[n]) ? value[n] : '?';
    strcpy(text + n, value[n] ? "..." : "");
    return text;
}

static enum kv_status refuse(const struct policy_setting *s, const char *value, struct kv_error *err)
{
    char legal[300], shown[48];
    return kv_fail(err, KV_BAD_ARG, "%s must be %s, got \"%s\".", s->name,
        policy_setting_legal(s, legal, sizeof legal), quoted(value, shown, sizeof shown));
}

static enum kv_status set_name(
    struct kv_policy *policy, const struct policy_setting *s, const char *value, struct kv_error *err)
{
    const char *name;
    for (int i = 0; (name = policy_setting_value(s, i)); i++) {
        if (strcmp(name, value)) continue;
        put_int(policy, s, i);
        return KV_OK;
    }
    return refuse(s, value, err);
}

static enum kv_status set_number(
    struct kv_policy *policy, const struct policy_setting *s, const char *value, struct kv_error *err)
{
    char *end;
    struct kv_policy next = *policy;
    /* strtod also reads blanks, "nan", "inf" and hex floats: none is a decimal number */
    if (!*value || strspn(value, "+-.0123456789eE") != strlen(value)) return refuse(s, value, err);
    errno = 0;
    if (s->kind == POLICY_REAL) {
        double number = strtod(value, &end);
        if (*end || end == value || !(number >= s->least && number <= s->most)) return refuse(s, value, err);
        *(double *)((char *)&next + s->offset) = number;
    } else {
        long long number = strtoll(value, &end, 10);
        if (*end || end == value || errno || (double)number < s->least || (double)number > s->most ||
            (s->kind == POLICY_ODD && number % 2 == 0))
            return refuse(s, value, err);
        put_int(&next, s, number);
    }
    if (is_total(s)) {
        double ratio = next.ratio;
        int tokens = next.tokens;
        int64_t bytes = next.bytes;
        next.ratio = 0, next.tokens = 0, next.bytes = 0;
        if (s->offset == offsetof(struct kv_policy, ratio))
            next.ratio = ratio;
        else if (s->offset == offsetof(struct kv_policy, tokens))
            next.tokens = tokens;
        else
            next.bytes = bytes;
    }
    *policy = next;
    return KV_OK;
}

static enum kv_status set_one(
    struct kv_policy *policy, const struct policy_setting *s, const char *value, struct kv_error *err)
{
    if (s->offset == offsetof(struct kv_policy, preset)) return policy_preset(value, policy, err);
    if (s->kind == POLICY_NAME) return set_name(policy, s, value, err);
    if (s->kind == POLICY_BOUND && !strcmp(value, "auto")) {
        put_int(policy, s, POLICY_AUTO);
        return KV_OK;
    }
    return set_number(policy, s, value, err);
}

static enum kv_status find(const char *name, const struct policy_setting **s, struct kv_error *err)
{
    *s = policy_setting_find(name);
    if (*s) return KV_OK;
    char known[360] = "", shown[40];
    for (int i = 0; policy_setting_at(i); i++) {
        size_t n = strlen(known);
        snprintf(known + n, sizeof known - n, "%s%s", i ? " " : "", strchr(policy_setting_at(i)->name, '.') + 1);
    }
    return kv_fail(err, KV_NOT_FOUND, "No setting \"%s\"; policy. is followed by one of: %s.",
        quoted(name, shown, sizeof shown), known);
}

/* --- the table
 * ----------------------------------------------------------------------------------------------------- */

const struct policy_setting *policy_setting_find(const char *name)
{
    const struct policy_setting *s;
    for (int i = 0; (s = policy_setting_at(i)); i++)
        if (!strcmp(s->name, name)) return s;
    return NULL;
}

const char *policy_setting_value(const struct policy_setting *setting, int value)
{
    if (setting->value) return setting->value(value);
    for (int i = 0; setting->values && setting->values[i]; i++)
        if (i == value) return setting->values[i];
    return NULL;
}

const char *policy_setting_legal(const struct policy_setting *setting, char *text, size_t size)
{
    if (setting->kind != POLICY_NAME) {
        snprintf(text, size, "%s", setting->legal);
        return text;
    }
    snprintf(text, size, "one of ");
    const char *name;
    for (int i = 0; (name = policy_setting_value(setting, i)); i++) {
        size_t n = strlen(text);
        snprintf(text + n, size - n, "%s%s", i ? ", " : "", name);
    }
    return text;
}

/* --- presets -----------------------------------------------------------------------------------------------------
 */

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
    enum kv_status status = set_name(&next, policy_setting_find("policy.preset"), name, err);
    const struct policy_setting *s;
    for (int i = 0; !status && (s = policy_setting_at(i)); i++) /* the preset's own row has no initial value */
        if (s->initial) status = set_one(&next, s, s->initial, err);
    const char *const *edit = preset_at(next.preset)->edits;
    for (int i = 0; !status && i < 2 * PRESET_EDITS && edit[i]; i += 2)
        status = policy_set(&next, edit[i], edit[i + 1], err);
    if (!status) *policy = next;
    return status;
}

/* --- setting and showing -----------------------------------------------------------------------------------------
 */

enum kv_status policy_set(struct kv_policy *policy, const char *name, const char *value, struct kv_error *err)
{
    const struct policy_setting *s;
    enum kv_status status = find(name, &s, err);
    return status ? status : set_one(policy, s, value, err);
}

enum kv_status policy_set_many(
    struct kv_policy *policy, const char *const *name, const char *const *value, int count, struct kv_error *err)
{
    struct kv_policy next = *policy;
    for (int i = 0; i < count; i++) {
        const struct policy_setting *s, *other;
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

/* Shortest decimal that reads back as the same double. */
static void format_real(double value, char *text, size_t size)
{
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, size, "%.*g", digits, value);
        if (strtod(text, NULL) == value) return;
    }
}

static void format(const struct kv_policy *policy, const struct policy_setting *s, char *text, size_t size)
{
    double value = field(policy, s);
    const char *name = s->kind == POLICY_NAME ? policy_setting_value(s, (int)value) : NULL;
    if (s->kind == POLICY_NAME)
        snprintf(text, size, "%s", name ? name : "?");
    else if (is_total(s) && value == 0)
        snprintf(text, size, "unset");
    else if (s->kind == POLICY_BOUND && value == POLICY_AUTO)
        snprintf(text, size, "auto");
    else if (s->kind == POLICY_REAL)
        format_real(value, text, size);
    else if (s->kind == POLICY_BYTES)
        snprintf(text, size, "%lld", (long long)policy->bytes);
    else
        snprintf(text, size, "%d", (int)value);
}

enum kv_status policy_get(
    const struct kv_policy *policy, const char *name, char *text, size_t size, struct kv_error *err)
{
    const struct policy_setting *s;
    enum kv_status status = find(name, &s, err);
    if (!status) format(policy, s, text, size);
    return status;
}

int policy_diff(const struct kv_policy *policy, const struct policy_setting **changed, int max)
{
    struct kv_policy preset;
    int n = 0;
    const char *name = policy_preset_name(policy->preset);
    if (!name || policy_preset(name, &preset, NULL)) return 0;
    const struct policy_setting *s;
    for (int i = 0; (s = policy_setting_at(i)); i++) {
        double value = field(policy, s);
        if (value == field(&preset, s) || (is_total(s) && value == 0)) continue;
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
    const struct policy_setting *s;
    for (int i = 0; (s = policy_setting_at(i)); i++) {
        char text[40];
        if (field_legal(policy, s)) continue;
        format(policy, s, text, sizeof text);
        return refuse(s, text, err);
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

unsigned policy_needs_all(void) { return KV_NEED_ENTROPY | KV_NEED_COLUMNS | KV_NEED_WINDOW | KV_NEED_LAST; }

int policy_sets(const struct kv_policy *policy, int n_kv_head)
{
    return policy->group == POLICY_GROUP_KV_HEAD ? n_kv_head : 1;
}

/* --- tables ------------------------------------------------------------------------------------------------------
 */

#define AT(field) .offset = offsetof(struct kv_policy, field)
#define WORDS(...)                                                                                                 \
    .values = (const char *const[]) { __VA_ARGS__, NULL }
#define AUTO_WORD WORDS("auto")

static const struct policy_setting settings[] = {
    { "policy.preset", POLICY_NAME, AT(preset), .value = policy_preset_name,
        .help = "Named policy; sets all the settings below at once." },
    { "policy.allocator", POLICY_NAME, AT(allocator), "entropy", .value = policy_allocator_name,
        .help = "How the budget is shared out over layers." },
    { "policy.selector", POLICY_NAME, AT(selector), "sum", .value = policy_selector_name,
        .help = "What a token is scored by." },
    { "policy.ratio", POLICY_REAL, AT(ratio), "0.25", 1e-9, 1, "in (0, 1]",
        .help = "Share of the prompt's tokens that is kept, over all layers." },
    { "policy.tokens", POLICY_COUNT, AT(tokens), NULL, 1, INT_MAX, "a whole number of tokens, at least 1",
        .help = "Tokens kept per layer on average, instead of policy.ratio." },
    { "policy.bytes", POLICY_BYTES, AT(bytes), NULL, 1, 0x1p62, "a whole number of bytes, at least 1",
        .help = "Size of the kept K and V over all layers, instead of policy.ratio." },
    { "policy.sinks", POLICY_COUNT, AT(sinks), "4", 0, INT_MAX / 4, "a whole number of tokens, 0 or more",
        .help = "First tokens, always kept, inside the budget." },
    { "policy.recent", POLICY_COUNT, AT(recent), "32", 0, INT_MAX / 4, "a whole number of tokens, 0 or more",
        .help = "Last tokens of the prompt, always kept, inside the budget." },
    { "policy.floor", POLICY_BOUND, AT(floor), "auto", 1, INT_MAX, "auto or a whole number of tokens, at least 1",
        AUTO_WORD, .help = "Smallest budget of a layer; auto = the tokens that are always kept." },
    { "policy.cap", POLICY_BOUND, AT(cap), "auto", 1, INT_MAX, "auto or a whole number of tokens, at least 1",
        AUTO_WORD, .help = "Largest budget of a layer; auto = the whole prompt." },
    { "policy.rows", POLICY_NAME, AT(rows), "all", WORDS("all", "window", "last"),
        .help = "Query rows that entropy and the selectors sum and mean are taken from." },
    { "policy.window", POLICY_COUNT, AT(window), "32", 1, KV_LAST_ROWS, "a whole number of rows in 1..128",
        .help = "Last query rows that make the observation window." },
    { "policy.entropy", POLICY_NAME, AT(entropy), "raw", WORDS("raw", "log-length"),
        .help = "Entropy in nats, or divided by the logarithm of how many keys the row sees." },
    { "policy.power", POLICY_REAL, AT(power), "1", -16, 16, "in [-16, 16]",
        .help = "Exponent of the entropy in a layer's weight; the allocator inverse negates it." },
    { "policy.pool", POLICY_NAME, AT(pool), "auto", WORDS("auto", "none", "avg", "max"),
        .help = "Pooling of scores along positions; auto = avg for the window, none else." },
    { "policy.kernel", POLICY_ODD, AT(kernel), "5", 1, 255, "an odd number in 1..255",
        .help = "Width of the pooling in tokens." },
    { "policy.reduce", POLICY_NAME, AT(reduce), "sum", WORDS("sum", "mean", "max"),
        .help = "How the scores of query heads become one." },
    { "policy.group", POLICY_NAME, AT(group), "shared", WORDS("shared", "kv-head"),
        .help = "One kept set for all heads of a layer, or one for each KV head." },
    { "policy.query-aware", POLICY_NAME, AT(query_aware), "on", WORDS("off", "on"),
        .help = "Whether the question may take part in the scores; off = compress before it is read." },
    { "policy.every", POLICY_COUNT, AT(every), "0", 0, INT_MAX, "a whole number of tokens, 0 or more",
        .help = "Compress again after so many decoded tokens; 0 = never." },
    { "policy.positions", POLICY_NAME, AT(positions), "keep", WORDS("keep", "rerotate"),
        .help = "Kept keys stay at their true positions, or are rotated to their places in the cache." },
};

static const struct preset presets[] = {
    { "seed", "Budgets by attention entropy, tokens by accumulated attention (Kim & Jung 2025).", { NULL } },
    { "seed-literal", "The seed with no token forced.", { "policy.sinks", "0", "policy.recent", "0" } },
    { "uniform", "The same budget in every layer, tokens as the seed.", { "policy.allocator", "uniform" } },
    { "inverse", "Budgets by 1 / entropy, tokens as the seed.", { "policy.allocator", "inverse" } },
    { "full", "Everything is kept.",
        { "policy.allocator", "uniform", "policy.selector", "streaming", "policy.ratio", "1" } },
    { "streaming", "Sinks and the most recent tokens (StreamingLLM).",
        { "policy.allocator", "uniform", "policy.selector", "streaming" } },
    { "manual", "Budgets by the user's own weights, tokens as the seed.", { "policy.allocator", "manual" } },
};

const struct policy_setting *policy_setting_at(int row)
{
    return row >= 0 && row < (int)KV_COUNT(settings) ? &settings[row] : NULL;
}

static const struct preset *preset_at(int row)
{
    return row >= 0 && row < (int)KV_COUNT(presets) ? &presets[row] : NULL;
}
