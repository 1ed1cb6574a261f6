/* why TOKENS: what decided over tokens, layer by layer. */
#include "inspector/policy/why.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/edit.h"
#include "inspector/info.h"
#include "inspector/json/rows.h"
#include "inspector/tokens.h"
#include "inspector/policy/why_budget.h"
#include "render/utf8.h"

/* What compress decided over all tokens; arrays [n_layer] or [n_layer][n]. */
struct fate {
    size_t n;
    double *score, *rank, *reason, *margin, *cut, *budget;
    int8_t *pin; /* [n_layer][n] enum kv_edit */
};

static void fate_close(struct fate *f)
{
    free(f->score);
    free(f->rank);
    free(f->reason);
    free(f->margin);
    free(f->cut);
    free(f->budget);
    free(f->pin);
}

static bool fate_open(struct session *s, struct fate *f)
{
    struct kv_array a;
    size_t layers = (size_t)s->facts.n_layer;
    int ignored;
    *f = (struct fate){ .score = info_copy(s, "score", &a) };
    if (!f->score) return false;
    f->n = a.dim[1];
    f->pin = kv_alloc(layers * f->n, 1);
    if (!f->pin) return kv_fail(&s->err, KV_NO_MEMORY, "No memory for the edits of %zu tokens.", f->n), false;
    for (size_t l = 0; l < layers; l++)
        kv_policy_edits(s->engine, KV_POLICY_COMPRESSED, (int)l, f->pin + l * f->n, &ignored);
    return (f->rank = info_copy(s, "rank", &a)) && (f->reason = info_copy(s, "reason", &a)) &&
           (f->margin = info_copy(s, "margin", &a)) && (f->cut = info_copy(s, "cut", &a)) &&
           (f->budget = info_copy(s, "budget.app", &a));
}

/* How a layer's tokens came in or not. */
struct crowd {
    int by_reason[8]; /* of kv_reason_name */
    int competitors, by_score;
    int last; /* rank of the last one in; -1 = none came in by score */
    int last_position;
};

static struct crowd count_crowd(const struct fate *f, int layer)
{
    struct crowd c = { .last = -1, .last_position = -1 };
    for (size_t j = 0, i = (size_t)layer * f->n; j < f->n; j++, i++) {
        c.by_reason[(int)f->reason[i] & 7]++;
        if (f->rank[i] < 0) continue;
        c.competitors++;
        if (f->reason[i] <= 0) continue;
        c.by_score++;
        if (f->rank[i] > c.last) c.last = (int)f->rank[i], c.last_position = (int)j;
    }
    return c;
}

static int layers_kept(struct session *s, const struct fate *f, int position)
{
    int kept = 0;
    for (int l = 0; l < s->facts.n_layer; l++) kept += f->reason[(size_t)l * f->n + (size_t)position] > 0;
    return kept;
}

/* --- cells ------------------------------------------------------------------------------------------------------- */

static const char *rule_text(const struct fate *f, size_t i)
{
    int reason = 0;
    while (reason < (int)f->reason[i] && kv_reason_name[reason]) reason++;
    if (reason || f->rank[i] >= 0) return kv_reason_name[reason] ? kv_reason_name[reason] : "?";
    return f->pin[i] < 0 ? "evicted by edit" : "evicted, no room";
}

static const char *rank_text(double rank, char *out)
{
    if (rank < 0) return "forced";
    snprintf(out, 24, "%.0f", rank);
    return out;
}

static const char *margin_text(double margin, char *out)
{
    if (isnan(margin)) return "";
    double percent = 100 * margin;
    snprintf(out, 24, margin == 0 ? "0 %%" : fabs(percent) < 99999.95 ? "%+.1f %%" : "%+.2g %%", percent);
    return out;
}

/* A token in a layer, for machines: what follows the columns that the caller has begun with. */
static void fate_columns(struct session *s, const struct fate *f, size_t i)
{
    rows_number(s, "score", f->score[i]);
    rows_number(s, "rank", f->rank[i] < 0 ? NAN : f->rank[i]);
    rows_number(s, "margin", f->margin[i]);
    rows_text(s, "rule", rule_text(f, i));
}

static void print_token(struct session *s, int position, int32_t id)
{
    char quoted[40];
    tokens_quote(s, id, quoted, sizeof quoted);
    int pad = 16 - (int)utf8_width(quoted);
    fprintf(s->out, "%8d  %s%*s", position, quoted, pad > 0 ? pad : 0, "");
}

/* --- what scores are made of --------------------------------------------------------------------------------------- */

/* A part as it goes into the score. */
static double part_value(const struct kv_part *p, double scaled)
{
    return p->total != 0 ? scaled / p->total : scaled;
}

static double head_value(const struct session *s, const struct kv_why *why, const double *head, int h)
{
    double sum = 0;
    for (int p = 0; p < why->n_part; p++)
        sum += part_value(&why->part[p], head[(size_t)p * (size_t)s->facts.n_head + (size_t)h]);
    return sum;
}

/* Columns between budget and score, where a score is more than one sum of attention. */
struct columns {
    int n;
    char name[4][16];
    double *value; /* [n_layer][4] */
};

/* One token in layers first..last. Without a head, what cannot be had is left out. */
static enum kv_status find_columns(
    struct session *s, const struct tokens_scope *scope, int position, struct columns *c)
{
    size_t layers = (size_t)s->facts.n_layer, heads = (size_t)s->facts.n_head;
    struct kv_why *why = kv_alloc(layers, sizeof *why);
    double *head = kv_alloc(2 * heads, sizeof *head);
    *c = (struct columns){ .value = kv_alloc(4 * layers, sizeof *c->value) };
    enum kv_status st =
        why && head && c->value ? KV_OK : kv_fail(&s->err, KV_NO_MEMORY, "No memory for the scores' parts.");
    bool divided = false, pooled = false;
    for (int l = scope->first; l <= scope->last && !st; l++) {
        double *value = c->value + 4 * l;
        st = kv_why(
            s->engine, l, session_kv_head(s, s->head), position, &why[l], scope->head < 0 ? NULL : head, &s->err);
        if (st) break;
        const struct kv_part *p = why[l].part;
        divided |= why[l].n_part == 1 && p->divided != p->raw;
        pooled |= why[l].n_part == 1 && p->scaled != p->divided;
        value[3] = scope->head < 0 ? 0 : head_value(s, &why[l], head, scope->head);
    }
    const struct kv_why *one = st ? NULL : &why[scope->first];
    if (one && one->n_part == 2)
        for (int i = 0; i < 2; i++) snprintf(c->name[c->n++], sizeof c->name[0], "%s", one->part[i].name);
    if (divided || pooled) snprintf(c->name[c->n++], sizeof c->name[0], "raw");
    if (divided && pooled) snprintf(c->name[c->n++], sizeof c->name[0], "per row");
    for (int l = scope->first; l <= scope->last && one; l++) {
        double *value = c->value + 4 * l;
        const struct kv_part *p = why[l].part;
        for (int i = 0; i < 2; i++)
            value[i] = one->n_part == 2 ? part_value(&p[i], p[i].scaled) : i ? p->divided : p->raw;
        value[c->n] = value[3];
    }
    if (one && one->n_part && scope->head >= 0)
        snprintf(c->name[c->n++], sizeof c->name[0], "head %d", scope->head);
    free(why);
    free(head);
    return scope->head < 0 && st != KV_NO_MEMORY ? KV_OK : st;
}

/* --- one token ------------------------------------------------------------------------------------------------------ */

/* A line each layer. */
static enum kv_status why_token(
    struct session *s, const struct fate *f, const struct tokens_scope *scope, int position, int32_t id)
{
    char quoted[64], rank[24], margin[24];
    struct columns c;
    enum kv_status st = find_columns(s, scope, position, &c);
    if (st) {
        free(c.value);
        return st;
    }
    fprintf(s->out, "@%d %s%s: kept in %d of %d layers (%s)\n", position,
        tokens_quote(s, id, quoted, sizeof quoted), session_set_name(s), layers_kept(s, f, position),
        s->facts.n_layer, session_mode(s));
    fprintf(s->out, "%5s %7s", "layer", "budget");
    for (int k = 0; k < c.n; k++) fprintf(s->out, " %10s", c.name[k]);
    fprintf(s->out, " %10s %7s %8s %10s %9s  %s\n", "score", "rank", "last in", "cut-off", "margin", "rule");
    for (int l = scope->first; l <= scope->last; l++) {
        size_t i = (size_t)l * f->n + (size_t)position;
        struct crowd crowd = count_crowd(f, l);
        rows_new(s);
        rows_number(s, "layer", l);
        rows_number(s, "budget", f->budget[l]);
        for (int k = 0; k < c.n; k++) rows_number(s, c.name[k], c.value[4 * l + k]);
        fate_columns(s, f, i);
        rows_number(s, "last in", crowd.last < 0 ? NAN : crowd.last);
        rows_number(s, "cut-off", f->cut[l]);
        fprintf(s->out, "%5d %7.0f", l, f->budget[l]);
        for (int k = 0; k < c.n; k++) fprintf(s->out, " %10.4g", c.value[4 * l + k]);
        fprintf(s->out, " %10.4g %7s", f->score[i], rank_text(f->rank[i], rank));
        if (crowd.last >= 0)
            fprintf(s->out, " %8d %10.4g", crowd.last, f->cut[l]);
        else
            fprintf(s->out, " %8s %10s", "none", "");
        fprintf(s->out, " %9s  %s\n", margin_text(f->margin[i], margin), rule_text(f, i));
    }
    free(c.value);
    return KV_OK;
}

/* The rule that decided, in words. */
static void tell_rule(struct session *s, const struct fate *f, size_t i, const struct crowd *c)
{
    char sinks[24] = "?", recent[24] = "?";
    struct kv_error ignored;
    const char *rule = rule_text(f, i);
    kv_policy_get(s->engine, KV_POLICY_COMPRESSED, "policy.sinks", sinks, sizeof sinks, &ignored);
    kv_policy_get(s->engine, KV_POLICY_COMPRESSED, "policy.recent", recent, sizeof recent, &ignored);
    fprintf(s->out, "  rule      %s", rule);
    if (!strcmp(rule, "sink"))
        fprintf(s->out, ": one of the first %s tokens (policy.sinks)\n", sinks);
    else if (!strcmp(rule, "recent"))
        fprintf(s->out, ": one of the last %s tokens (policy.recent)\n", recent);
    else if (!strcmp(rule, "pin"))
        fprintf(s->out, ": pinned by edit\n");
    else if (!strcmp(rule, "tie"))
        fprintf(s->out, ": of equal scores, the lower positions are kept\n");
    else if (!strcmp(rule, "evicted, no room"))
        fprintf(s->out, ": the budget does not hold all tokens that must be kept\n");
    else if (f->rank[i] >= 0)
        fprintf(s->out, ": rank %.0f is %s the best %d of %d\n", f->rank[i],
            f->reason[i] > 0 ? "among" : "not among", c->by_score, c->competitors);
    else
        fputc('\n', s->out);
}

/* What a score is where no attention that was given went into it. */
static const char *no_parts(struct session *s)
{
    static const struct {
        const char *selector, *text;
    } of[] = { { "streaming", "no attention: streaming scores by position" },
        { "random", "no attention: random scores by lot" },
        { "knorm", "no attention: knorm scores by the lengths of its keys, the shorter the better" },
        { "expected", "attention that queries to come should give it, times the lengths of its values" } };
    char selector[24] = "";
    kv_policy_get(s->engine, KV_POLICY_COMPRESSED, "policy.selector", selector, sizeof selector, &s->err);
    for (size_t i = 0; i < KV_COUNT(of); i++)
        if (!strcmp(of[i].selector, selector)) return of[i].text;
    return "no attention";
}

static void tell_parts(struct session *s, const struct tokens_scope *scope, int position)
{
    struct kv_why why;
    char reduce[24] = "";
    size_t heads = (size_t)s->facts.n_head;
    double *head = kv_alloc(2 * heads, sizeof *head);
    if (!head || kv_why(s->engine, scope->first, session_kv_head(s, s->head), position, &why, head, &s->err)) {
        if (head) fprintf(s->out, "  made of   %s\n", s->err.text);
        free(head);
        return;
    }
    kv_policy_get(s->engine, KV_POLICY_COMPRESSED, "policy.reduce", reduce, sizeof reduce, &s->err);
    if (!why.n_part) fprintf(s->out, "  made of   %s\n", no_parts(s));
    int group = s->facts.n_head / s->facts.n_kv_head, own = *session_set_name(s) ? session_kv_head(s, s->head) : -1;
    for (int p = 0; p < why.n_part; p++) {
        const struct kv_part *part = &why.part[p];
        fprintf(s->out, "  made of   %s: %.4g, %s of %d heads", part->name, part->raw, reduce,
            own < 0 ? s->facts.n_head : group);
        if (part->divided != part->raw) fprintf(s->out, "; %.4g per row", part->divided);
        if (part->pooled != part->divided) fprintf(s->out, "; %.4g pooled", part->pooled);
        if (part->scaled != part->pooled) fprintf(s->out, "; %.4g times the lengths of its values", part->scaled);
        if (part->total != 0)
            fprintf(s->out, "; %.4g as a share of %.4g", part_value(part, part->scaled), part->total);
        rows_fact(s, part->name, part_value(part, part->scaled));
        fprintf(s->out, "\n  heads    ");
        for (int h = 0; h < s->facts.n_head; h++) {
            if ((scope->head >= 0 && scope->head != h) || (own >= 0 && own != h / group)) continue;
            if (h && scope->head < 0) fprintf(s->out, h % 6 ? " " : "\n           ");
            fprintf(s->out, " %d: %.4g", h, head[(size_t)p * heads + (size_t)h]);
        }
        fputc('\n', s->out);
    }
    free(head);
}

/* What became of it in every KV head, where they have sets of their own. */
static void tell_sets(struct session *s, int layer, int position)
{
    struct kv_array reason;
    struct kv_error ignored;
    if (kv_value(s->engine, "reason", &reason, &ignored) || reason.n_dim != 3) return;
    fprintf(s->out, "  KV heads ");
    for (size_t g = 0; g < reason.dim[1]; g++) {
        size_t at = ((size_t)layer * reason.dim[1] + g) * reason.dim[2] + (size_t)position;
        fprintf(s->out, "%s %zu: %s", g ? "," : "", g, kv_reason_name[(int)array_number(&reason, at)]);
    }
    fputc('\n', s->out);
}

/* Everything about it in one layer. */
static void why_detail(
    struct session *s, const struct fate *f, const struct tokens_scope *scope, int position, const int32_t *ids)
{
    char quoted[64], margin[24];
    int layer = scope->first;
    size_t i = (size_t)layer * f->n + (size_t)position;
    struct crowd c = count_crowd(f, layer);
    rows_fact(s, "layer", layer);
    rows_fact(s, "position", position);
    rows_fact(s, "budget", f->budget[layer]);
    rows_fact(s, "score", f->score[i]);
    rows_fact(s, "rank", f->rank[i] < 0 ? NAN : f->rank[i]);
    rows_fact(s, "cut_off", f->cut[layer]);
    rows_fact(s, "margin", f->margin[i]);
    rows_fact_text(s, "rule", rule_text(f, i));
    fprintf(s->out, "@%d %s in layer %d%s: %s (%s)\n", position,
        tokens_quote(s, ids[position], quoted, sizeof quoted), layer, session_set_name(s),
        f->reason[i] > 0 ? "kept" : "evicted", session_mode(s));
    tell_rule(s, f, i, &c);
    fprintf(s->out, "  budget    %.0f of %zu tokens: %d sinks, %d recent, %d pinned, %d by score (why budget %d)\n",
        f->budget[layer], f->n, c.by_reason[1], c.by_reason[2], c.by_reason[3], c.by_score, layer);
    fprintf(s->out, "  score     %.6g%s\n", f->score[i], f->rank[i] < 0 ? ", which does not count" : "");
    tell_parts(s, scope, position);
    if (c.last >= 0) {
        fprintf(s->out, "  cut-off   %.6g, of @%d %s, rank %d", f->cut[layer], c.last_position,
            tokens_quote(s, ids[c.last_position], quoted, sizeof quoted), c.last);
        if (!isnan(f->margin[i])) fprintf(s->out, "; margin %s", margin_text(f->margin[i], margin));
        fputc('\n', s->out);
    } else
        fprintf(s->out, "  cut-off   none: no token came in by score\n");
    tell_sets(s, layer, position);
}

/* --- several tokens -------------------------------------------------------------------------------------------------- */

/* In one layer: a line each token. */
static void why_layer(
    struct session *s, const struct fate *f, int layer, const int32_t *list, int count, const int32_t *ids)
{
    char rank[24], margin[24];
    struct crowd c = count_crowd(f, layer);
    rows_fact(s, "layer", layer);
    rows_fact(s, "budget", f->budget[layer]);
    rows_fact(s, "cut_off", f->cut[layer]);
    fprintf(s->out, "Layer %d: budget %.0f of %zu tokens; %d of %d by score", layer, f->budget[layer], f->n,
        c.by_score, c.competitors);
    if (c.last >= 0) fprintf(s->out, ", cut-off %.4g", f->cut[layer]);
    fprintf(s->out, " (%s)\n%8s  %-16s %10s %7s %9s  %s\n", session_mode(s), "position", "token", "score", "rank",
        "margin", "rule");
    for (int k = 0; k < count; k++) {
        size_t i = (size_t)layer * f->n + (size_t)list[k];
        rows_new(s);
        rows_number(s, "position", list[k]);
        rows_token(s, "token", ids[list[k]]);
        fate_columns(s, f, i);
        print_token(s, list[k], ids[list[k]]);
        fprintf(s->out, " %10.4g %7s %9s  %s\n", f->score[i], rank_text(f->rank[i], rank),
            margin_text(f->margin[i], margin), rule_text(f, i));
    }
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* "1-3 5 7-9" of the layers that evicted a position. */
static void evicted_text(struct session *s, const struct fate *f, int position, char *out, size_t size)
{
    size_t at = 0;
    out[0] = '\0';
    for (int l = 0, last; l < s->facts.n_layer && at + 16 < size; l = last + 1) {
        for (last = l; last < s->facts.n_layer && !(f->reason[(size_t)last * f->n + (size_t)position] > 0);) last++;
        if (last == l) continue;
        at += (size_t)snprintf(out + at, size - at, last - l > 1 ? "%s%d-%d" : "%s%d", at ? " " : "", l, last - 1);
    }
}

/* Over several layers: a line each token, with the median of its rank and of the last rank that got in. */
static enum kv_status why_many(struct session *s, const struct fate *f, const struct tokens_scope *scope,
    const int32_t *list, int count, const int32_t *ids)
{
    size_t first = (size_t)scope->first, layers = (size_t)(scope->last - scope->first + 1);
    double *rank = kv_alloc(2 * layers, sizeof *rank), *last = rank + layers;
    if (!rank) return kv_fail(&s->err, KV_NO_MEMORY, "No memory for the ranks of %zu layers.", layers);
    for (size_t l = 0; l < layers; l++) last[l] = count_crowd(f, (int)(first + l)).last;
    qsort(last, layers, sizeof *last, by_size);
    fprintf(s->out, "Median over %zu layers of a token's rank and of the last rank that was kept (%s)\n", layers,
        session_mode(s));
    fprintf(s->out, "%8s  %-16s %8s %8s %8s  %s\n", "position", "token", "rank", "last in", "kept in",
        "evicted in layers");
    for (int i = 0; i < count; i++) {
        char evicted[200];
        for (size_t l = 0; l < layers; l++) rank[l] = f->rank[(first + l) * f->n + (size_t)list[i]];
        qsort(rank, layers, sizeof *rank, by_size);
        evicted_text(s, f, list[i], evicted, sizeof evicted);
        rows_new(s);
        rows_number(s, "position", list[i]);
        rows_token(s, "token", ids[list[i]]);
        rows_number(s, "rank", rank[layers / 2] < 0 ? NAN : rank[layers / 2]);
        rows_number(s, "last in", last[layers / 2]);
        rows_number(s, "kept in", layers_kept(s, f, list[i]));
        rows_text(s, "evicted in layers", evicted);
        print_token(s, list[i], ids[list[i]]);
        if (rank[layers / 2] >= 0)
            fprintf(s->out, " %8.0f", rank[layers / 2]);
        else
            fprintf(s->out, " %8s", "forced");
        fprintf(s->out, " %8.0f %8d%s%s\n", last[layers / 2], layers_kept(s, f, list[i]), *evicted ? "  " : "",
            evicted);
    }
    free(rank);
    return KV_OK;
}

/* --- the command ------------------------------------------------------------------------------------------------------ */

static enum kv_status tell(
    struct session *s, const struct fate *f, const struct tokens_scope *scope, const int32_t *list, int count)
{
    int n;
    bool one_layer = scope->layers && scope->first == scope->last;
    const int32_t *ids = tokens_prompt(s, &n);
    if (!ids) return s->err.code;
    if (count == 1 && one_layer) return why_detail(s, f, scope, list[0], ids), KV_OK;
    if (count == 1) return why_token(s, f, scope, list[0], ids[list[0]]);
    if (scope->head >= 0)
        return kv_fail(&s->err, KV_BAD_ARG, "A head's part is shown for one token; these are %d.", count);
    if (one_layer) return why_layer(s, f, scope->first, list, count, ids), KV_OK;
    return why_many(s, f, scope, list, count, ids);
}

struct reaction cmd_why(struct session *s, const char *args)
{
    int32_t *list = NULL;
    int count, places;
    struct fate f;
    struct kv_where w;
    struct tokens_scope scope;
    if (!*args) return refuse(s, KV_BAD_ARG, "Argument required (token index, @POS or \"text\").");
    if (!strncmp(args, "budget", 6) && (!args[6] || args[6] == ' '))
        return why_budget(s, args + 6 + (args[6] == ' '));
    kv_where(s->engine, &w);
    if (w.phase == KV_PHASE_compress && !w.pass)
        return refuse(s, KV_NOT_NOW, "why is not available before compress is done (now in compress:0).");
    if (tokens_scope(s, args, &scope)) return failed(s);
    int focus = s->head;
    if (tokens_read(s, scope.what, &list, &count, &places)) return failed(s);
    if (scope.head >= 0) s->head = scope.head; /* whose set it is, where KV heads have their own */
    if (!fate_open(s, &f)) {
        s->head = focus;
        fate_close(&f);
        free(list);
        return failed(s);
    }
    if (places > 1) fprintf(s->out, "%d places match.\n", places);
    enum kv_status st = tell(s, &f, &scope, list, count);
    s->token = list[0];
    s->head = focus;
    s->list_next = -1;
    fate_close(&f);
    free(list);
    return st ? failed(s) : DONE;
}
