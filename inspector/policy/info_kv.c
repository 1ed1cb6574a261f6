/* Tables over layers, heads and tokens. */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/info.h"
#include "inspector/lab/regret.h"
#include "inspector/lab/sharing.h"
#include "engine/look.h"
#include "inspector/language/line.h"
#include "inspector/json/rows.h"
#include "inspector/tokens.h"

#define RANGES     6 /* of kept positions shown a layer */
#define TOKEN_ROWS 40

double *info_copy(struct session *s, const char *name, struct kv_array *a)
{
    if (session_set(s, s->engine, name, -1, a, &s->err)) return NULL;
    size_t count = 1;
    for (int d = 0; d < a->n_dim; d++) count *= a->dim[d];
    double *copy = kv_alloc(count, sizeof *copy);
    if (!copy) kv_fail(&s->err, KV_NO_MEMORY, "No memory for %zu numbers.", count);
    for (size_t i = 0; copy && i < count; i++) copy[i] = array_number(a, i);
    a->data = NULL;
    return copy;
}

enum kv_status info_layer(struct session *s, const char *args, int *layer)
{
    struct line_words words;
    long long n;
    *layer = -1;
    enum kv_status st = line_split(args, &words, &s->err);
    if (st || !words.count) return st;
    const char *digits = words.word[0] + (words.word[0][0] == 'L');
    if (!strcmp(words.word[0], "layer")) digits = words.count > 1 ? words.word[1] : "";
    if ((st = line_integer(digits, -1000000, 1000000, "a layer", &n, &s->err))) return st;
    if (n < 0 || n >= s->facts.n_layer)
        return kv_fail(&s->err, KV_BAD_ARG, "Layer %lld out of range; model has %d (0-%d).", n, s->facts.n_layer,
            s->facts.n_layer - 1);
    *layer = (int)n;
    return KV_OK;
}

/* Whether the value is there; otherwise its columns are left out. */
static double *maybe(struct session *s, const char *name, struct kv_array *a)
{
    double *copy = info_copy(s, name, a);
    s->err = (struct kv_error){ 0 };
    return copy;
}

/* Budget that a sliding window has made worthless. */
static void print_unseen(struct session *s)
{
    int unseen = 0;
    for (int l = 0; l < s->facts.n_layer; l++) unseen += kv_cache_unseen(s->engine, l);
    rows_fact(s, "unseen", unseen);
    if (unseen)
        fprintf(s->out, "  unseen    %d of those: the sliding window has left them behind for good\n", unseen);
}

/* Where keys were turned to their places in the cache, the next token's differs from its position. */
static void tell_places(struct session *s)
{
    int least = INT_MAX, most = 0, next = kv_cache_tokens(s->engine, 0);
    for (int l = 0; l < s->facts.n_layer; l++) {
        int32_t last = -1;
        int n = kv_cache_slots(s->engine, l, 0, NULL, 0);
        int32_t *place = kv_alloc((size_t)n + 1, sizeof *place);
        if (place && kv_cache_places(s->engine, l, 0, place, n) > 0) last = place[n - 1];
        free(place);
        least = last + 1 < least ? last + 1 : least;
        most = last + 1 > most ? last + 1 : most;
    }
    rows_fact(s, "next_place_least", least);
    rows_fact(s, "next_place_most", most);
    if (least < next)
        fprintf(s->out, "  places    keys are turned to them: position %d stands at %d to %d\n", next, least, most);
}

/* How far the KV heads' own sets differ in size. */
static void tell_heads(struct session *s)
{
    struct kv_array head;
    struct kv_error ignored;
    double least = INFINITY, most = 0;
    if (kv_value(s->engine, "budget.head", &head, &ignored)) return;
    for (size_t i = 0; i < head.dim[0] * head.dim[1]; i++) {
        least = fmin(least, array_number(&head, i));
        most = fmax(most, array_number(&head, i));
    }
    rows_fact(s, "least_of_a_head", least);
    rows_fact(s, "most_of_a_head", most);
    fprintf(s->out,
        "  KV heads  each its own tokens, %.0f to %.0f of the prompt; entries are means over the heads\n", least,
        most);
}

struct reaction cmd_info_kv(struct session *s, const char *args)
{
    struct kv_memory m;
    struct kv_array tok, shape;
    struct kv_error ignored;
    char resident[32], active[32], element[16];
    if (!strncmp(args, "regret", 6) && regret_may(s)) return failed(s);
    if (!strncmp(args, "regret", 6)) return cmd_regret(s, args + 6 + strspn(args + 6, " "));
    if (!strncmp(args, "sharing", 7)) return info_sharing(s, args);
    if (*args) return refuse(s, KV_BAD_ARG, "\"%.40s\" is neither sharing nor regret.", args);
    if (session_value(s, "tok", &tok)) return failed(s);
    kv_memory(s->engine, &m);
    double n = (double)tok.dim[0], full = n * s->facts.n_layer, count = 0, held = 0, least = INFINITY, most = 0;
    double *used = maybe(s, "budget.used", &shape);
    info_kv_bytes(s, 1, element, sizeof element);
    fprintf(s->out, "KV cache: %.0f tokens x %d layers x %d KV heads of %d, %s (%s)\n", n, s->facts.n_layer,
        s->facts.n_kv_head, s->facts.head_dim, element, session_mode(s));
    fprintf(s->out, "  resident  %s (the whole prefill, kept for inspection)\n",
        line_bytes((double)m.resident, resident));
    rows_fact(s, "tokens", n);
    rows_fact(s, "layers", s->facts.n_layer);
    rows_fact(s, "resident", (double)m.resident);
    rows_unit(s, "resident", "bytes");
    bool there = !kv_value(s->engine, "kept", &shape, &ignored), own = there && shape.n_dim == 3;
    double sets = own ? (double)shape.dim[1] : 1;
    for (double i = 0; there && i < full * sets; i++) count += array_number(&shape, (size_t)i) != 0;
    count /= sets;
    for (int l = 0; used && l < s->facts.n_layer; l++) {
        held += used[l];
        least = fmin(least, used[l]);
        most = fmax(most, used[l]);
    }
    if (used) {
        rows_fact(s, "active", (double)m.active);
        rows_unit(s, "active", "bytes");
        rows_fact(s, "kept", count);
        rows_fact(s, "entries", full);
        rows_fact(s, "used", held);
        fprintf(s->out, "  active    %s, room for the reply included\n", line_bytes((double)m.active, active));
        fprintf(s->out, "  kept      %.0f of the prompt's %.0f entries over all layers (%.1f %%)\n", count, full,
            100 * count / full);
        fprintf(
            s->out, "  used      %.0f entries with question and reply, %.0f to %.0f a layer\n", held, least, most);
        print_unseen(s);
        tell_places(s);
        if (own) tell_heads(s);
    } else {
        fprintf(s->out, "  active    not there before compress\n");
    }
    free(used);
    return DONE;
}

struct reaction cmd_info_layers(struct session *s, const char *args)
{
    struct kv_array a, heads;
    int only;
    if (info_layer(s, args, &only)) return failed(s);
    double *E = info_copy(s, "E", &a), *H = E ? info_copy(s, "entropy", &heads) : NULL;
    if (!H) {
        free(E);
        return failed(s);
    }
    double *budget = maybe(s, "budget.app", &a), *used = maybe(s, "budget.used", &a);
    fprintf(s->out, "Layers (entropy in nats: mean over %d heads, least and most of a head; %s)\n", s->facts.n_head,
        session_mode(s));
    rows_unit(s, "E", "nats");
    rows_unit(s, "min", "nats");
    rows_unit(s, "max", "nats");
    fprintf(s->out, "%5s %8s %8s %8s%s\n", "layer", "E", "min", "max", budget ? "   budget     used" : "");
    for (int l = 0; l < s->facts.n_layer; l++) {
        if (only >= 0 && l != only) continue;
        const double *row = H + (size_t)l * heads.dim[1];
        double least = INFINITY, most = -INFINITY;
        for (size_t h = 0; h < heads.dim[1]; h++) least = fmin(least, row[h]), most = fmax(most, row[h]);
        fprintf(s->out, "%5d %8.3f %8.3f %8.3f", l, E[l], least, most);
        rows_new(s);
        rows_number(s, "layer", l);
        rows_number(s, "E", E[l]);
        rows_number(s, "min", least);
        rows_number(s, "max", most);
        if (budget) rows_number(s, "budget", budget[l]);
        if (budget && used) rows_number(s, "used", used[l]);
        if (budget) fprintf(s->out, " %8.0f", budget[l]);
        if (budget && used) fprintf(s->out, " %8.0f", used[l]);
        fputc('\n', s->out);
    }
    free(E);
    free(H);
    free(budget);
    free(used);
    return DONE;
}

struct reaction cmd_info_heads(struct session *s, const char *args)
{
    struct kv_array shape;
    int layer;
    if (info_layer(s, args, &layer)) return failed(s);
    if (layer < 0) layer = s->layer;
    double *H = info_copy(s, "entropy", &shape);
    if (!H) return failed(s);
    fprintf(s->out, "Heads of layer %d (entropy in nats, mean over the policy's rows; %s)\n%5s %8s %8s\n", layer,
        session_mode(s), "head", "KV head", "H");
    for (int h = 0; h < s->facts.n_head; h++) {
        int group = h / (s->facts.n_head / s->facts.n_kv_head);
        double entropy = H[(size_t)layer * shape.dim[1] + (size_t)h];
        fprintf(s->out, "%5d %8d %8.3f\n", h, group, entropy);
        rows_new(s);
        rows_number(s, "head", h);
        rows_number(s, "KV head", group);
        rows_number(s, "H", entropy);
    }
    rows_fact(s, "layer", layer);
    rows_unit(s, "H", "nats");
    free(H);
    return DONE;
}

/* A bar of at most 30 characters: used in #, the rest of what was applied in =, the request as |. */
static void bar_text(double requested, double applied, double used, double most, char *out)
{
    int cells = 30, r = (int)(requested / most * cells), a = (int)lround(applied / most * cells),
        u = (int)lround(used / most * cells);
    for (int i = 0; i < cells; i++) out[i] = i < u && i < a ? '#' : i < a ? '=' : ' ';
    if (r >= 0) out[r < cells ? r : cells - 1] = '|';
    while (cells && out[cells - 1] == ' ') cells--;
    out[cells] = '\0';
}

static void budget_row(struct session *s, int layer, const double *x)
{
    static const char *const column[] = { "E", "weight", "requested", "applied", "used" }, *const unit[] = { "nats",
        "", "tokens", "tokens", "tokens" };
    char element[16];
    rows_new(s);
    rows_number(s, "layer", layer);
    for (size_t i = 0; i < KV_COUNT(column); i++) {
        rows_number(s, column[i], x[i]);
        if (*unit[i]) rows_unit(s, column[i], unit[i]);
    }
    rows_number(s, "bytes", info_kv_bytes(s, x[4], element, sizeof element));
    rows_unit(s, "bytes", "bytes");
}

struct reaction cmd_info_budget(struct session *s, const char *args)
{
    struct kv_array a;
    int only;
    if (info_layer(s, args, &only)) return failed(s);
    double *E = NULL, *weight = NULL, *req = NULL, *app = NULL, *used = NULL;
    struct reaction r = DONE;
    if (!(app = info_copy(s, "budget.app", &a)) || !(req = info_copy(s, "budget.req", &a)) ||
        !(weight = info_copy(s, "weight", &a)) || !(E = info_copy(s, "E", &a)) ||
        !(used = info_copy(s, "budget.used", &a)))
        r = failed(s);
    double most = 1, sums[4] = { 0 };
    char element[16], bytes[32], bar[32];
    for (int l = 0; !r.status && l < s->facts.n_layer; l++) {
        most = fmax(most, fmax(req[l], fmax(app[l], used[l])));
        sums[0] += req[l], sums[1] += app[l], sums[2] += used[l],
            sums[3] += info_kv_bytes(s, used[l], element, sizeof element);
    }
    if (!r.status) {
        fprintf(s->out,
            "Budgets (E in nats; requested, applied and used in tokens; bytes of K and V in %s by formula; %s)\n",
            element, session_mode(s));
        fprintf(s->out, "%5s %7s %8s %9s %8s %7s %9s  # used  = applied  | requested\n", "layer", "E", "weight",
            "requested", "applied", "used", "bytes");
    }
    for (int l = 0; !r.status && l < s->facts.n_layer; l++) {
        if (only >= 0 && l != only) continue;
        budget_row(s, l, (const double[]){ E[l], weight[l], req[l], app[l], used[l] });
        bar_text(req[l], app[l], used[l], most, bar);
        fprintf(s->out, "%5d %7.3f %8.4f %9.1f %8.0f %7.0f %9s  %s\n", l, E[l], weight[l], req[l], app[l], used[l],
            line_bytes(info_kv_bytes(s, used[l], element, sizeof element), bytes), bar);
    }
    if (!r.status && only < 0)
        fprintf(s->out, "%5s %7s %8s %9.1f %8.0f %7.0f %9s\n", "sum", "", "", sums[0], sums[1], sums[2],
            line_bytes(sums[3], bytes));
    free(E);
    free(weight);
    free(req);
    free(app);
    free(used);
    return r;
}

/* "0-3 17 20-22 ... 1222-1253": runs of kept positions, the middle ones left out. */
static void ranges_text(const double *kept, size_t n, char *out, size_t size)
{
    size_t runs = 0, seen = 0, at = 0;
    out[0] = '\0';
    for (size_t j = 0; j < n; j++) runs += kept[j] != 0 && (!j || !kept[j - 1]);
    for (size_t j = 0; j < n && at + 32 < size;) {
        if (!kept[j]) {
            j++;
            continue;
        }
        size_t last = j;
        while (last + 1 < n && kept[last + 1]) last++;
        bool shown = runs <= RANGES || seen < RANGES - 2 || seen >= runs - 2;
        if (shown && last > j)
            at += (size_t)snprintf(out + at, size - at, "%s%zu-%zu", at ? " " : "", j, last);
        else if (shown)
            at += (size_t)snprintf(out + at, size - at, "%s%zu", at ? " " : "", j);
        else if (seen == RANGES - 2)
            at += (size_t)snprintf(out + at, size - at, " (%zu more)", runs - RANGES);
        seen++;
        j = last + 1;
    }
}

/* All of them, where the console leaves the middle out. */
static void positions_cell(struct session *s, const double *kept, size_t n, size_t count)
{
    struct value v;
    if (!s->json || !count || value_array(&v, 1, &count, &s->err)) return;
    for (size_t j = 0, i = 0; j < n; j++)
        if (kept[j] != 0) v.number[i++] = (double)j;
    rows_cell(s, "positions", &v);
    value_free(&v);
}

/* Kept or not [rows][*n], which the caller frees: the prompt's tokens, then those that a later compression met. NULL
 * with the sentence. */
static double *kept_rows(struct session *s, struct kv_array *a, size_t *prompt, size_t *n)
{
    struct kv_array more;
    struct kv_error ignored;
    if (session_value(s, "kept", a)) return NULL;
    *prompt = a->dim[a->n_dim - 1];
    *n = *prompt + (kv_value(s->engine, "kept.later", &more, &ignored) ? 0 : more.dim[more.n_dim - 1]);
    size_t rows = a->dim[0] * (a->n_dim == 3 ? a->dim[1] : 1);
    double *kept = kv_alloc(rows * *n, sizeof *kept);
    if (!kept) {
        kv_fail(&s->err, KV_NO_MEMORY, "No memory for %zu numbers.", rows * *n);
        return NULL;
    }
    const char *const name[] = { "kept", "kept.later" };
    for (size_t part = 0, at = 0; at < *n; part++) {
        kv_value(s->engine, name[part], &more, &ignored);
        size_t width = more.dim[more.n_dim - 1];
        for (size_t i = 0; i < rows * width; i++) kept[i / width * *n + at + i % width] = array_number(&more, i);
        at += width;
    }
    return kept;
}

struct reaction cmd_info_kept(struct session *s, const char *args)
{
    struct kv_array a;
    int only;
    char ranges[240], later[64] = "";
    size_t n, prompt;
    double *kept = info_layer(s, args, &only) ? NULL : kept_rows(s, &a, &prompt, &n);
    if (!kept) return failed(s);
    size_t sets = a.n_dim == 3 ? a.dim[1] : 1;
    if (n > prompt) snprintf(later, sizeof later, " and the %zu that came behind it", n - prompt);
    fprintf(s->out, "Kept tokens of the %zu in the prompt%s (%s)\n%5s%s %7s %7s  positions\n", prompt, later,
        session_mode(s), "layer", sets > 1 ? " KV head" : "", "kept", "share");
    for (size_t k = 0; k < a.dim[0] * sets; k++) {
        const double *row = kept + k * n;
        size_t count = 0, l = k / sets;
        if (only >= 0 && l != (size_t)only) continue;
        for (size_t j = 0; j < n; j++) count += row[j] != 0;
        ranges_text(row, n, ranges, sizeof ranges);
        rows_new(s);
        rows_number(s, "layer", (double)l);
        if (sets > 1) rows_number(s, "KV head", (double)(k % sets));
        rows_number(s, "kept", (double)count);
        rows_number(s, "share", (double)count / (double)n);
        positions_cell(s, row, n, count);
        fprintf(s->out, "%5zu", l);
        if (sets > 1) fprintf(s->out, " %7zu", k % sets);
        fprintf(s->out, " %7zu %6.1f%%  %s\n", count, 100.0 * (double)count / (double)n, ranges);
    }
    free(kept);
    return DONE;
}

struct reaction cmd_info_tokens(struct session *s, const char *args)
{
    int32_t *list = NULL;
    int n = 0, places = 0, count = 0;
    struct kv_array shape;
    char quoted[64], all[32];
    if (!tokens_prompt(s, &count)) return failed(s);
    snprintf(all, sizeof all, "0..%d", count - 1);
    if (tokens_read(s, *args ? args : all, &list, &n, &places)) return failed(s);
    double *kept = kv_started(s->engine) ? maybe(s, "kept", &shape) : NULL;
    const int32_t *ids = tokens_prompt(s, &count);
    fprintf(s->out, "%8s %7s %s%s\n", "position", "id", kept ? "kept in layers  " : "", "text");
    /* Objects get all tokens, the console as many as fit a screen. */
    for (int i = 0; ids && i < n && (s->json || i < TOKEN_ROWS); i++) {
        int layers = 0;
        for (int l = 0; kept && l < s->facts.n_layer; l++)
            layers += kept[(size_t)l * shape.dim[1] + (size_t)list[i]] != 0;
        rows_new(s);
        rows_number(s, "position", list[i]);
        rows_number(s, "id", ids[list[i]]);
        if (kept) rows_number(s, "kept in layers", layers);
        rows_token(s, "text", ids[list[i]]);
        if (i >= TOKEN_ROWS) continue;
        fprintf(s->out, "%8d %7d ", list[i], ids[list[i]]);
        if (kept) fprintf(s->out, "%5d of %-5d  ", layers, s->facts.n_layer);
        fprintf(s->out, "%s\n", tokens_quote(s, ids[list[i]], quoted, sizeof quoted));
    }
    if (n > TOKEN_ROWS) fprintf(s->out, "... %d more; narrow it: info tokens A..B or \"text\".\n", n - TOKEN_ROWS);
    free(kept);
    free(list);
    return DONE;
}
