/* What catchpoints wait for, read from the values that the engine has at the boundary. */
#include "inspector/stop/catch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/edit.h"
#include "inspector/language/line.h"
#include "inspector/expr/names.h"
#include "inspector/stop/place.h"
#include "inspector/stop/reads.h"
#include "inspector/run.h"
#include "inspector/tokens.h"

#define TOLD           6 /* tokens, layers or heads that are named */
#define REPEATED       8
#define DIVERGE_STEPS  64 /* where judge.tokens says nothing */
#define LONGEST_REPEAT 1000

struct catch
{
    enum catch_event event;
    char *args;
    int phase;     /* phase: -1 = any */
    int32_t *list; /* [n] positions that evict and evict-all wait for; NULL = any */
    int n;
    double bound;  /* collapse, diverge: nats; repeat: tokens */
    char text[64]; /* token: what the reply must say */
    int step;      /* diverge: the reply token that it waits for, -1 = none, -2 = not compared yet */
    double kl;     /* of that step, nats */
    int split;     /* first step at which the twins choose differently, -1 = none */
};

static const struct {
    const char *name;
    bool in_compress; /* looked for stage by stage in compress, and nowhere else */
    bool argument;    /* needed */
} events[] = {
    [CATCH_phase] = { "phase", false, false },
    [CATCH_compress] = { "compress", false, false },
    [CATCH_evict] = { "evict", true, false },
    [CATCH_evict_all] = { "evict-all", true, false },
    [CATCH_read_miss] = { "read-miss", false, false },
    [CATCH_sink_loss] = { "sink-loss", true, false },
    [CATCH_clamp] = { "clamp", true, false },
    [CATCH_empty] = { "empty", true, false },
    [CATCH_nan] = { "nan", false, false },
    [CATCH_collapse] = { "collapse", false, true },
    [CATCH_diverge] = { "diverge", false, true },
    [CATCH_eos] = { "eos", false, false },
    [CATCH_oom] = { "oom", false, false },
    [CATCH_repeat] = { "repeat", false, false },
    [CATCH_token] = { "token", false, true },
};

/* --- setting ------------------------------------------------------------------------------------------------------ */

static enum kv_status read_tokens(struct session *s, struct catch *c)
{
    int places;
    free(c->list);
    c->list = NULL;
    c->n = 0;
    return *c->args ? tokens_read(s, c->args, &c->list, &c->n, &places) : KV_OK;
}

static enum kv_status read_phase(struct session *s, struct catch *c)
{
    for (c->phase = *c->args ? KV_PHASE_COUNT - 1 : -1; c->phase >= KV_PHASE_prefill; c->phase--)
        if (!strcmp(c->args, kv_phase_name[c->phase])) break;
    if (c->phase >= KV_PHASE_prefill || !*c->args) return KV_OK;
    return kv_fail(&s->err, KV_BAD_ARG, "No phase \"%.40s\" to catch (prefill compress ask decode done).", c->args);
}

static enum kv_status read_bound(struct session *s, struct catch *c, double low, double high, const char *what)
{
    struct value v;
    enum kv_status st = expr_text(s, c->args, &v, &s->err);
    if (!st && (v.kind != VALUE_NUMBER || v.n_dim || !(v.number[0] >= low && v.number[0] <= high)))
        st = kv_fail(&s->err, KV_BAD_ARG, "%s must be a number in %g..%g, not %.60s.", what, low, high, c->args);
    if (!st) c->bound = v.number[0];
    value_free(&v);
    return st;
}

static enum kv_status read_text(struct session *s, struct catch *c)
{
    struct line_words words;
    enum kv_status st = line_split(c->args, &words, &s->err);
    if (st) return st;
    if (words.count != 1 || !*words.word[0] || strlen(words.word[0]) >= sizeof c->text)
        return kv_fail(&s->err, KV_BAD_ARG, "A text of 1 to %zu bytes is needed, in quotes where it has blanks.",
            sizeof c->text - 1);
    snprintf(c->text, sizeof c->text, "%s", words.word[0]);
    return KV_OK;
}

static enum kv_status read_args(struct session *s, struct catch *c)
{
    switch (c->event) {
    case CATCH_phase: return read_phase(s, c);
    case CATCH_evict:
    case CATCH_evict_all:
    case CATCH_read_miss: return read_tokens(s, c);
    case CATCH_collapse: return read_bound(s, c, 0, 100, "An entropy in nats");
    case CATCH_diverge: return read_bound(s, c, 0, 1000, "A KL in nats");
    case CATCH_repeat:
        c->bound = REPEATED;
        return *c->args ? read_bound(s, c, 1, LONGEST_REPEAT, "A number of tokens") : KV_OK;
    case CATCH_token: return read_text(s, c);
    default:
        if (!*c->args) return KV_OK;
        return kv_fail(&s->err, KV_BAD_ARG, "Junk at end of arguments: \"%.60s\".", c->args);
    }
}

enum kv_status catch_open(struct session *s, enum catch_event event, const char *args, struct catch **out)
{
    struct catch *c = kv_alloc(1, sizeof *c);
    *out = NULL;
    if (!c || !(c->args = kv_strdup(args))) {
        free(c);
        return kv_fail(&s->err, KV_NO_MEMORY, "No memory for a catchpoint.");
    }
    c->event = event;
    c->step = -2;
    enum kv_status st = KV_OK;
    if (events[event].argument && !*args)
        st = kv_fail(&s->err, KV_BAD_ARG, "Argument required (%s).",
            event == CATCH_token ? "text that the reply must say" : "bound in nats");
    if (!st) st = read_args(s, c);
    if (!st) {
        *out = c;
        return KV_OK;
    }
    catch_free(c);
    return st;
}

void catch_free(struct catch *c)
{
    if (!c) return;
    free(c->args);
    free(c->list);
    free(c);
}

const char *catch_name(const struct catch *c) { return events[c->event].name; }
const char *catch_args(const struct catch *c) { return c->args; }
enum catch_event catch_event(const struct catch *c) { return c->event; }

/* "117-119, 130" */
static void list_ranges(const int32_t *list, int n, char *text, size_t size)
{
    size_t at = 0;
    text[0] = '\0';
    for (int i = 0; i < n && at + 32 < size;) {
        int j = i;
        while (j + 1 < n && list[j + 1] == list[j] + 1) j++;
        at += (size_t)snprintf(text + at, size - at, "%s%d", i ? ", " : "", list[i]);
        if (j > i) at += (size_t)snprintf(text + at, size - at, "-%d", list[j]);
        i = j + 1;
        if (i < n && at + 32 >= size) snprintf(text + at, size - at, ", ...");
    }
}

void catch_title(const struct catch *c, char *text, size_t size)
{
    char ranges[160];
    list_ranges(c->list, c->n, ranges, sizeof ranges);
    if (c->list)
        snprintf(text, size, "%s, %d token%s match%s: %s", catch_name(c), c->n, c->n == 1 ? "" : "s",
            c->n == 1 ? "es" : "", ranges);
    else
        snprintf(text, size, "%s%s%.80s", catch_name(c), *c->args ? " " : "", c->args);
}

void catch_reset(struct session *s, struct catch *c)
{
    struct kv_error keep = s->err;
    if (c->event == CATCH_evict || c->event == CATCH_evict_all || c->event == CATCH_read_miss) read_tokens(s, c);
    c->step = -2;
    s->err = keep;
}

/* --- where ---------------------------------------------------------------------------------------------------------- */

static bool phase_begins(const struct kv_where *now, const struct kv_where *before)
{
    return !before || before->branch != now->branch || before->phase != now->phase;
}

static bool pass_begins(const struct kv_where *now, const struct kv_where *before)
{
    return phase_begins(now, before) || before->pass != now->pass;
}

static bool reading(const struct kv_where *now)
{
    return now->phase == KV_PHASE_ask || now->phase == KV_PHASE_decode;
}

bool catch_near(const struct catch *c, const struct kv_where *now, const struct kv_where *before)
{
    bool selected = now->phase == KV_PHASE_compress && now->stage == KV_STAGE_gather;
    switch (c->event) {
    case CATCH_phase: return phase_begins(now, before) && (c->phase < 0 || c->phase == (int)now->phase);
    case CATCH_compress: return pass_begins(now, before) && now->phase == KV_PHASE_compress;
    case CATCH_clamp: return now->phase == KV_PHASE_compress && now->stage == KV_STAGE_select && !now->layer;
    case CATCH_collapse: return phase_begins(now, before) && now->phase == KV_PHASE_compress && !now->pass;
    case CATCH_nan:
        return pass_begins(now, before) || selected ||
               (now->phase == KV_PHASE_prefill && now->stage == KV_STAGE_oproj);
    case CATCH_oom: return false;
    case CATCH_read_miss: return now->stage == KV_STAGE_observe && reading(now);
    case CATCH_diverge: return pass_begins(now, before) && now->phase >= KV_PHASE_decode;
    default: return events[c->event].in_compress ? selected : before && pass_begins(now, before);
    }
}

enum kv_unit catch_unit(const struct catch *c, const struct kv_where *now)
{
    if (events[c->event].in_compress) return now->phase == KV_PHASE_compress ? KV_UNIT_STAGE : KV_UNIT_PASS;
    bool stages = now->phase == KV_PHASE_prefill || now->phase == KV_PHASE_compress;
    if (c->event == CATCH_read_miss) stages = reading(now);
    return (c->event == CATCH_nan || c->event == CATCH_read_miss) && stages ? KV_UNIT_STAGE : KV_UNIT_PASS;
}

/* --- what ----------------------------------------------------------------------------------------------------------- */

static double number_of(struct session *s, const char *name, int at)
{
    struct kv_array a;
    struct kv_error ignored;
    if (kv_value(s->engine, name, &a, &ignored) || (size_t)at >= a.dim[0]) return NAN;
    return array_number(&a, (size_t)at);
}

/* "L12.select (H=1.60 nats, budget req 1810 / app 1024)": the stage that was just run */
static void tell_layer(struct session *s, const struct kv_where *now, FILE *f)
{
    fprintf(f, "L%d.select (H=%.2f nats, budget req %.0f / app %.0f)", now->layer, number_of(s, "E", now->layer),
        number_of(s, "budget.req", now->layer), number_of(s, "budget.app", now->layer));
}

/* One more of many: "@18 "48"" */
static void tell_token(struct session *s, FILE *f, int told, int position)
{
    char quoted[64];
    int n = 0;
    const int32_t *ids = tokens_prompt(s, &n);
    if (told >= TOLD || !ids || position >= n) return;
    fprintf(f, "%s@%d %s", told ? ", " : "", position, tokens_quote(s, ids[position], quoted, sizeof quoted));
}

static void tell_more(FILE *f, int count)
{
    if (count > TOLD) fprintf(f, " and %d more", count - TOLD);
}

static int ascending(const void *a, const void *b) { return *(const int32_t *)a - *(const int32_t *)b; }

static bool in_list(const struct catch *c, int position)
{
    const int32_t key = position;
    return !*c->args || (c->n && bsearch(&key, c->list, (size_t)c->n, sizeof key, ascending));
}

/* Whether a layer keeps a token in any head: a copy, for what is told about a token reads other values meanwhile.
 * [layers][n], caller frees; NULL = not there. */
static uint8_t *kept_copy(struct session *s, size_t *layers, size_t *n)
{
    struct kv_array a;
    struct kv_error ignored;
    if (kv_value(s->engine, "kept", &a, &ignored)) return NULL;
    *layers = a.dim[0];
    *n = a.dim[a.n_dim - 1];
    size_t sets = a.n_dim == 3 ? a.dim[1] : 1, row = sets * *n;
    uint8_t *kept = kv_alloc(*layers * *n, 1);
    for (size_t i = 0; kept && i < *layers * row; i++) kept[i / row * *n + i % *n] |= ((const uint8_t *)a.data)[i];
    return kept;
}

/* One layer's evictions; or, behind the last layer, what none of them keeps. */
static bool evicted(struct session *s, const struct catch *c, const struct kv_where *now, FILE *f)
{
    size_t layers, n, layer = (size_t)now->layer;
    bool all = c->event == CATCH_evict_all;
    uint8_t *kept = kept_copy(s, &layers, &n);
    int count = 0;
    for (size_t j = 0; kept && (!all || layer + 1 == layers) && j < n; j++) {
        bool gone = in_list(c, (int)j);
        for (size_t l = all ? 0 : layer; gone && l <= layer; l++) gone = !kept[l * n + j];
        if (!gone) continue;
        if (!count && !all) tell_layer(s, now, f);
        if (!count) fputs(all ? "no layer keeps " : " evicts ", f);
        tell_token(s, f, count++, (int)j);
    }
    tell_more(f, count);
    free(kept);
    return count;
}

static bool lost_sinks(struct session *s, const struct kv_where *now, FILE *f)
{
    size_t layers, n, layer = (size_t)now->layer;
    char text[32] = "0";
    struct kv_error ignored;
    kv_get(s->engine, "policy.sinks", text, sizeof text, &ignored);
    size_t sinks = strtoul(text, NULL, 10), count = 0;
    if (!sinks) sinks = 1;
    uint8_t *kept = kept_copy(s, &layers, &n);
    for (size_t j = 0; kept && j < sinks && j < n; j++) {
        if (kept[layer * n + j]) continue;
        if (!count) tell_layer(s, now, f), fputs(" loses ", f);
        tell_token(s, f, (int)count++, (int)j);
    }
    tell_more(f, (int)count);
    free(kept);
    return count;
}

static bool emptied(struct session *s, const struct kv_where *now, FILE *f)
{
    size_t layers, n;
    uint8_t *kept = kept_copy(s, &layers, &n);
    bool empty = kept && !memchr(kept + (size_t)now->layer * n, 1, n);
    if (empty) tell_layer(s, now, f), fputs(" keeps nothing", f);
    free(kept);
    return empty;
}

/* Budgets that a bound has moved by a token or more. */
static bool clamped(struct session *s, FILE *f)
{
    struct kv_array rule;
    struct kv_error ignored;
    int count = 0;
    if (kv_value(s->engine, "budget.rule", &rule, &ignored)) return false;
    for (int l = 0; l < s->facts.n_layer; l++) {
        const char *name = kv_budget_rule_name[((const uint8_t *)rule.data)[l]];
        double asked = number_of(s, "budget.req", l), given = number_of(s, "budget.app", l);
        bool low = !strcmp(name, "floor") && asked <= given - 1, high = !strcmp(name, "cap") && asked >= given + 1;
        if (!low && !high) continue;
        if (count < TOLD)
            fprintf(f, "%sL%d (req %.0f / app %.0f, %s)", count ? ", " : "budgets are clamped: ", l, asked, given,
                name);
        count++;
    }
    tell_more(f, count);
    return count;
}

/* The first value that is no finite number; `only` >= 0: in that row of the first dimension. */
static bool not_finite(struct session *s, const char *name, int only, FILE *f)
{
    struct kv_array a;
    struct kv_error ignored;
    if (kv_value(s->engine, name, &a, &ignored)) return false;
    size_t count = 1, from = 0;
    for (int d = only >= 0; d < a.n_dim; d++) count *= a.dim[d];
    if (only >= 0) from = (size_t)only * count;
    for (size_t i = from; i < from + count; i++) {
        double x = array_number(&a, i);
        if (isfinite(x)) continue;
        size_t width = a.n_dim > 1 ? a.dim[a.n_dim - 1] : 0, sets = a.n_dim == 3 ? a.dim[1] : 1;
        const char *what = isnan(x) ? "nan" : x > 0 ? "inf" : "-inf";
        if (sets > 1) { /* a KV head's row goes by its first query head */
            size_t head = i / width % sets * (size_t)(s->facts.n_head / s->facts.n_kv_head);
            fprintf(f, "%s[%zu][%zu][%zu] is %s", name, i / width / sets, head, i % width, what);
        } else if (width)
            fprintf(f, "%s[%zu][%zu] is %s", name, i / width, i % width, what);
        else
            fprintf(f, "%s[%zu] is %s", name, i, what);
        return true;
    }
    return false;
}

static bool not_a_number(struct session *s, const struct kv_where *now, const struct kv_where *before, FILE *f)
{
    if (now->phase == KV_PHASE_prefill && now->stage == KV_STAGE_oproj)
        return not_finite(s, "entropy", now->layer, f);
    if (now->phase == KV_PHASE_compress && now->stage == KV_STAGE_gather)
        return now->layer + 1 == s->facts.n_layer && not_finite(s, "score", -1, f);
    return before && pass_begins(now, before) && not_finite(s, "logit", -1, f);
}

static bool collapsed(struct session *s, const struct catch *c, FILE *f)
{
    struct kv_array a;
    struct kv_error ignored;
    int count = 0;
    if (kv_value(s->engine, "entropy", &a, &ignored)) return false;
    for (size_t i = 0; i < a.dim[0] * a.dim[1]; i++) {
        double x = array_number(&a, i);
        if (!(x < c->bound)) continue;
        if (count < TOLD)
            fprintf(f, "%sentropy[%zu][%zu] = %.4g nats", count ? ", " : "heads have collapsed: ", i / a.dim[1],
                i % a.dim[1], x);
        count++;
    }
    tell_more(f, count);
    return count;
}

/* Both runs decode ahead once, as diff does, and the step is remembered. */
static enum kv_status compare_twins(struct session *s, struct catch *c)
{
    struct kv_verdict verdict;
    struct kv_array kl;
    char text[32] = "";
    struct kv_error ignored;
    kv_get(s->engine, "judge.tokens", text, sizeof text, &ignored);
    int n = (int)strtol(text, NULL, 10);
    c->step = -1;
    enum kv_status st = kv_twin(s->engine, n > 0 ? n : DIVERGE_STEPS, &verdict, &s->err);
    if (!st) st = kv_value(s->engine, "kl", &kl, &s->err);
    if (st) return st;
    c->split = verdict.first_divergent;
    for (size_t t = 0; t < kl.dim[0] && c->step < 0; t++)
        if (array_number(&kl, t) > c->bound) c->step = (int)t, c->kl = array_number(&kl, t);
    return KV_OK;
}

static size_t replied(struct session *s, const int32_t **ids)
{
    struct kv_array reply;
    bool ended;
    size_t n = run_reply(s, &reply, &ended);
    *ids = n ? reply.data : NULL;
    return n;
}

static bool diverged(struct session *s, struct catch *c, bool ask, FILE *f)
{
    const int32_t *ids;
    bool fresh = c->step == -2; /* it may be set when that step is over */
    if (fresh && !ask) return false;
    if (fresh && compare_twins(s, c)) {
        fprintf(f, "diverge cannot be judged: %s", s->err.text);
        s->err = (struct kv_error){ 0 };
        return true;
    }
    size_t due = (size_t)c->step + 1, now = replied(s, &ids);
    if (c->step < 0 || (fresh ? now < due : now != due)) return false;
    fprintf(f, "step %d: KL(full || this run) = %.4g nats, above %g", c->step, c->kl, c->bound);
    if (c->split >= 0 && c->split < c->step)
        fprintf(f, " (on the leader's tokens; the two choose differently from step %d on)", c->split);
    return true;
}

static bool repeated(struct session *s, const struct catch *c, FILE *f)
{
    const int32_t *ids = NULL;
    size_t n = replied(s, &ids), k = (size_t)c->bound;
    if (n < 2 * k || memcmp(ids + n - k, ids + n - 2 * k, k * sizeof *ids)) return false;
    char quoted[160], *text = kv_tokens_text(s->engine, ids + n - k, (int)k);
    fprintf(f, "the reply repeats %zu token%s: %s", k, k == 1 ? "" : "s",
        line_quote(text ? text : "", text ? strlen(text) : 0, quoted, sizeof quoted));
    free(text);
    return true;
}

static bool told(struct session *s, struct catch *c, const struct kv_where *now, const struct kv_where *before,
    bool ask, FILE *f)
{
    struct kv_array reply;
    bool ended = false;
    char quoted[160];
    switch (c->event) {
    case CATCH_phase: fprintf(f, "phase %s", kv_phase_name[now->phase]); return true;
    case CATCH_compress: fprintf(f, "compress:%d", now->pass); return true;
    case CATCH_evict:
    case CATCH_evict_all: return evicted(s, c, now, f);
    case CATCH_read_miss: return (c->list || !*c->args) && reads_missed(s, c->list, c->n, now, f);
    case CATCH_sink_loss: return lost_sinks(s, now, f);
    case CATCH_clamp: return clamped(s, f);
    case CATCH_empty: return emptied(s, now, f);
    case CATCH_nan: return not_a_number(s, now, before, f);
    case CATCH_collapse: return collapsed(s, c, f);
    case CATCH_diverge: return diverged(s, c, ask, f);
    case CATCH_repeat: return repeated(s, c, f);
    case CATCH_eos:
        if (now->phase == KV_PHASE_done) run_reply(s, &reply, &ended);
        if (ended) fputs("the model ends its reply", f);
        return ended;
    case CATCH_token:
        if (now->phase == KV_PHASE_compress || !place_said(s, c->text)) return false;
        fprintf(f, "the reply says %s", line_quote(c->text, strlen(c->text), quoted, sizeof quoted));
        return true;
    default: return false;
    }
}

bool catch_happened(
    struct session *s, struct catch *c, const struct kv_where *now, const struct kv_where *before, char **said)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    bool yes = f && told(s, c, now, before, said != NULL, f);
    if (f) fclose(f);
    if (said && yes)
        *said = text;
    else
        free(text);
    return yes;
}

bool catch_anyway(struct session *s, enum catch_event event, const struct kv_where *now,
    const struct kv_where *before, char **said)
{
    char none[] = "";
    struct catch c = { .event = event, .args = none };
    return catch_happened(s, &c, now, before, said);
}
