/* The location grammar, and how far the engine may run before it must be asked again. */
#include "inspector/stop/location.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/language/line.h"

static int find(const char *const *names, int count, const char *text, size_t length)
{
    for (int i = 0; i < count; i++)
        if (strlen(names[i]) == length && !memcmp(names[i], text, length)) return i;
    return -1;
}

/* "embed norm qkv ..." for a refusal. */
static void list(const char *const *names, int first, int count, char *text, size_t size)
{
    size_t at = 0;
    for (int i = first; i < count && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, "%s%s", i > first ? " " : "", names[i]);
}

/* Digits at *p within end as an int; -1 when there are none or too many. */
static int digits(const char **p, const char *end)
{
    long n = 0;
    const char *start = *p;
    while (*p < end && **p >= '0' && **p <= '9' && *p - start < 9) n = 10 * n + (*(*p)++ - '0');
    return *p == start || (*p < end && **p >= '0' && **p <= '9') ? -1 : (int)n;
}

static bool compress_stage(int stage)
{
    return stage == KV_STAGE_allocate || stage == KV_STAGE_select || stage == KV_STAGE_gather;
}

static bool layer_stage(int stage)
{
    return stage != KV_STAGE_embed && stage != KV_STAGE_head && stage != KV_STAGE_sample &&
           stage != KV_STAGE_allocate;
}

static enum kv_status bad(const char *text, size_t length, const char *why, struct kv_error *err)
{
    return kv_fail(err, KV_BAD_ARG,
        "Bad location \"%.*s\": %s.  A location is PHASE[:N], [PHASE[:N]:]L<n>[.STAGE], [PHASE[:N]].STAGE, "
        "*TICK, @POS or \"TEXT\".",
        (int)kv_min(length, 60), text, why);
}

static enum kv_status parse_tick(const char *text, size_t length, struct location *out, struct kv_error *err)
{
    char digits[24], *end;
    if (length < 2 || length > 19) return bad(text, length, "a number must follow the *", err);
    snprintf(digits, sizeof digits, "%.*s", (int)length - 1, text + 1);
    out->tick = digits[0] >= '0' && digits[0] <= '9' ? strtoll(digits, &end, 10) : -1;
    if (out->tick < 0 || *end) return bad(text, length, "a number must follow the *", err);
    return KV_OK;
}

static enum kv_status parse_position(const char *text, size_t length, struct location *out, struct kv_error *err)
{
    const char *p = text + 1, *end = text + length;
    out->position = digits(&p, end);
    return out->position < 0 || p < end ? bad(text, length, "a token's number must follow the @", err) : KV_OK;
}

static enum kv_status parse_text(const char *text, size_t length, struct location *out, struct kv_error *err)
{
    size_t n = 0;
    const char *p = text + 1, *end = text + length;
    for (; p < end && *p != '"'; p++) {
        char c = *p;
        if (c == '\\' && p + 1 < end) c = *++p == 'n' ? '\n' : *p == 't' ? '\t' : *p;
        if (n + 1 == sizeof out->text) return bad(text, length, "the text is too long", err);
        out->text[n++] = c;
    }
    if (p + 1 != end) return bad(text, length, p < end ? "it goes on behind its end" : "a \" is missing", err);
    return n ? KV_OK : bad(text, length, "the text is empty", err);
}

size_t location_length(const char *text)
{
    if (*text != '"') return strcspn(text, " \t");
    size_t n = 1;
    while (text[n] && text[n] != '"') n += text[n] == '\\' && text[n + 1] ? 2 : 1;
    return n + (text[n] == '"') + (text[n] ? strcspn(text + n + 1, " \t") : 0);
}

bool location_token(const struct location *loc) { return loc->position >= 0 || loc->text[0]; }

static enum kv_status check(const char *text, size_t length, const struct location *loc, struct kv_error *err)
{
    char why[120];
    if (loc->phase == KV_PHASE_load || loc->phase == KV_PHASE_tokenize)
        return kv_fail(err, KV_BAD_ARG,
            "Phase %s is over when a request starts; the first place to stop at is prefill.",
            kv_phase_name[loc->phase]);
    if (loc->stage < 0) {
        if (loc->layer >= 0 && loc->phase == KV_PHASE_done) return bad(text, length, "done has no layers", err);
        return KV_OK;
    }
    if (loc->layer >= 0 && !layer_stage(loc->stage)) {
        snprintf(why, sizeof why, "stage %s belongs to no layer", kv_stage_name[loc->stage]);
        return bad(text, length, why, err);
    }
    if (loc->phase >= 0 && (loc->phase == KV_PHASE_compress) != compress_stage(loc->stage)) {
        snprintf(why, sizeof why, "phase %s has no stage %s", kv_phase_name[loc->phase], kv_stage_name[loc->stage]);
        return bad(text, length, why, err);
    }
    return KV_OK;
}

enum kv_status location_parse(
    const char *text, size_t length, int n_layer, struct location *out, struct kv_error *err)
{
    const char *p = text, *end = text + length;
    *out = (struct location)LOCATION_ANY;
    if (length && *p == '*') return parse_tick(text, length, out, err);
    if (length && *p == '@') return parse_position(text, length, out, err);
    if (length && *p == '"') return parse_text(text, length, out, err);
    if (p < end && *p >= 'a' && *p <= 'z') {
        size_t n = 0;
        while (p + n < end && p[n] >= 'a' && p[n] <= 'z') n++;
        out->phase = find(kv_phase_name, KV_PHASE_COUNT, p, n);
        if (out->phase < 0) {
            char names[100], why[180];
            list(kv_phase_name, KV_PHASE_prefill, KV_PHASE_COUNT, names, sizeof names);
            snprintf(why, sizeof why, "no phase \"%.*s\" (%s)", (int)kv_min(n, 40), p, names);
            return bad(text, length, why, err);
        }
        p += n;
        if (p + 1 < end && *p == ':' && p[1] >= '0' && p[1] <= '9') {
            p++;
            if ((out->pass = digits(&p, end)) < 0) return bad(text, length, "that pass number is too large", err);
        }
        if (p < end && *p == ':' && p + 1 < end && p[1] == 'L')
            p++;
        else if (p < end && *p != '.')
            return bad(text, length, "a pass number or a layer must follow the :", err);
    }
    if (p < end && *p == 'L') {
        p++;
        int layer = digits(&p, end);
        if (layer < 0) return bad(text, length, "a layer number must follow the L", err);
        if (layer >= n_layer)
            return kv_fail(
                err, KV_BAD_ARG, "Layer %d out of range; model has %d (0-%d).", layer, n_layer, n_layer - 1);
        out->layer = layer;
    }
    if (p < end && *p == '.') {
        p++;
        out->stage = find(kv_stage_name, KV_STAGE_COUNT, p, (size_t)(end - p));
        if (out->stage < 0) {
            char names[140], why[220];
            list(kv_stage_name, 0, KV_STAGE_COUNT, names, sizeof names);
            snprintf(why, sizeof why, "no stage \"%.*s\" (%s)", (int)kv_min((size_t)(end - p), 40), p, names);
            return bad(text, length, why, err);
        }
        p = end;
    }
    if (!length || p < end) return bad(text, length, length ? "it goes on behind its end" : "it is empty", err);
    return check(text, length, out, err);
}

void location_text(const struct location *loc, char *text, size_t size)
{
    size_t at = 0;
    text[0] = '\0';
    if (loc->text[0]) {
        line_quote(loc->text, strlen(loc->text), text, size);
        return;
    }
    if (loc->position >= 0 || loc->tick >= 0) {
        bool token = loc->position >= 0;
        snprintf(text, size, "%c%lld", token ? '@' : '*', token ? (long long)loc->position : (long long)loc->tick);
        return;
    }
    if (loc->phase >= 0) at += (size_t)snprintf(text + at, size - at, "%s", kv_phase_name[loc->phase]);
    if (loc->pass >= 0) at += (size_t)snprintf(text + at, size - at, ":%d", loc->pass);
    if (loc->layer >= 0) at += (size_t)snprintf(text + at, size - at, "%sL%d", at ? ":" : "", loc->layer);
    if (loc->stage >= 0) snprintf(text + at, size - at, ".%s", kv_stage_name[loc->stage]);
}

bool location_here(const struct location *loc, const struct kv_where *now, const struct kv_where *before)
{
    if (location_token(loc)) return false;
    if (loc->tick >= 0) return now->tick == (uint64_t)loc->tick;
    if (loc->phase >= 0 && (int)now->phase != loc->phase) return false;
    if (loc->pass >= 0 && now->pass != loc->pass) return false;
    if (loc->layer >= 0 && now->layer != loc->layer) return false;
    if (loc->stage >= 0) return now->phase != KV_PHASE_done && (int)now->stage == loc->stage;
    if (!before || before->branch != now->branch || before->phase != now->phase) return true;
    bool compress_again = now->phase == KV_PHASE_compress && before->pass != now->pass;
    if (loc->layer >= 0) return before->layer != now->layer || before->pass != now->pass;
    return loc->pass >= 0 ? before->pass != now->pass : compress_again;
}

enum kv_unit location_unit(const struct location *loc, const struct kv_where *now)
{
    if (loc->tick >= 0) return (uint64_t)loc->tick > now->tick ? KV_UNIT_STAGE : KV_UNIT_PASS;
    if (location_token(loc) || (loc->layer < 0 && loc->stage < 0)) return KV_UNIT_PASS;
    if (loc->phase >= 0 && (int)now->phase != loc->phase) return KV_UNIT_PASS;
    if (loc->pass >= 0 && now->pass != loc->pass) return KV_UNIT_PASS;
    if (loc->stage >= 0)
        return compress_stage(loc->stage) == (now->phase == KV_PHASE_compress) ? KV_UNIT_STAGE : KV_UNIT_PASS;
    return KV_UNIT_LAYER;
}

void location_where(const struct kv_where *w, char *text, size_t size)
{
    if (w->phase == KV_PHASE_done)
        snprintf(text, size, "done");
    else if (w->layer >= 0)
        snprintf(text, size, "%s:%d L%d.%s", kv_phase_name[w->phase], w->pass, w->layer, kv_stage_name[w->stage]);
    else
        snprintf(text, size, "%s:%d %s", kv_phase_name[w->phase], w->pass, kv_stage_name[w->stage]);
}
