/* Edits of budgets and tokens, and the log of every change of policy. */
#include "inspector/policy/edits.h"

#include "engine/runs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/core.h"
#include "inspector/language/line.h"
#include "inspector/stop/location.h"
#include "inspector/json/rows.h"
#include "inspector/tokens.h"

#define LOG_MOST    1000 /* edits remembered; older ones go */
#define DELTA_CELLS 3    /* layers a line, */
#define DELTA_WIDTH 25   /* each so wide */

enum edit_state { EDIT_DONE, EDIT_UNDONE, EDIT_PASSED /* undone, and something else was done since */ };

struct edit {
    int number;
    enum edit_state state;
    char *text;
    char place[64]; /* "compress:0 allocate"; empty = no request was running */
    uint64_t tick;
    struct kv_policy_copy *before, *after;
};

struct edit_log {
    struct edit *list;
    int n, cap, last; /* entries; number of the latest */
};

/* --- the log ---------------------------------------------------------------------------------------------------- */

static void free_edit(struct edit *e)
{
    free(e->text);
    kv_policy_free(e->before);
    kv_policy_free(e->after);
}

void edits_forget(struct session *s)
{
    struct edit_log *log = s->edits;
    for (int i = 0; log && i < log->n; i++) free_edit(&log->list[i]);
    if (log) free(log->list);
    free(log);
    s->edits = NULL;
    s->prompts++;
}

struct edits_watch edits_before(struct session *s)
{
    return (struct edits_watch){ s->engine ? kv_policy_take(s->engine) : NULL, s->prompts,
        s->edits ? s->edits->last : 0, s->engine ? kv_run_selected(s->engine) : 0 };
}

/* The edit that undo takes back, or redo does again: an index, -1 = none. */
static int find_undo(const struct edit_log *log)
{
    int i = log ? log->n - 1 : -1;
    while (i >= 0 && log->list[i].state != EDIT_DONE) i--;
    return i;
}

static int find_redo(const struct edit_log *log)
{
    int i = log ? find_undo(log) + 1 : 0;
    while (log && i < log->n && log->list[i].state != EDIT_UNDONE) i++;
    return log && i < log->n ? i : -1;
}

/* Room for one more; what is oldest goes. */
static struct edit *grow(struct session *s)
{
    if (!s->edits) s->edits = kv_alloc(1, sizeof *s->edits);
    struct edit_log *log = s->edits;
    if (!log) return NULL;
    if (log->n == LOG_MOST) {
        free_edit(&log->list[0]);
        memmove(log->list, log->list + 1, (size_t)--log->n * sizeof *log->list);
    }
    if (log->n == log->cap) {
        int cap = log->cap ? 2 * log->cap : 16;
        struct edit *list = realloc(log->list, (size_t)cap * sizeof *list);
        if (!list) return NULL;
        log->list = list;
        log->cap = cap;
    }
    return &log->list[log->n];
}

static void add(struct session *s, const char *path, const char *args, struct kv_policy_copy *before,
    struct kv_policy_copy *after)
{
    struct edit *e = grow(s);
    char *text = NULL;
    if (!e || asprintf(&text, "%s%s%s", path, *args ? " " : "", args) < 0) {
        kv_policy_free(before);
        kv_policy_free(after);
        return;
    }
    struct edit_log *log = s->edits;
    for (int i = 0; i < log->n; i++)
        if (log->list[i].state == EDIT_UNDONE) log->list[i].state = EDIT_PASSED;
    *e = (struct edit){ ++log->last, EDIT_DONE, text, "", 0, before, after };
    log->n++;
    if (!kv_started(s->engine)) return;
    struct kv_where w;
    kv_where(s->engine, &w);
    e->tick = w.tick;
    location_where(&w, e->place, sizeof e->place);
}

/* Where the lines within did not end in the present policy, something was put back: they count no more. */
static void pass_over(struct edit_log *log, int number, const struct kv_policy_copy *now)
{
    int last = find_undo(log);
    if (last < 0 || log->list[last].number <= number || kv_policy_same(log->list[last].after, now)) return;
    for (int i = log->n - 1; i >= 0 && log->list[i].number > number; i--) log->list[i].state = EDIT_PASSED;
}

void edits_after(struct session *s, struct edits_watch *watch, const char *path, const char *args)
{
    struct kv_policy_copy *after = watch->before && watch->prompts == s->prompts ? kv_policy_take(s->engine) : NULL;
    bool same_run = after && watch->run == kv_run_selected(s->engine);
    bool changed = same_run && !kv_policy_same(watch->before, after);
    if (same_run) pass_over(s->edits, watch->last, after);
    int last = find_undo(s->edits);
    /* a line within has logged it, or it is what undo and redo do */
    if (changed && last >= 0 && kv_policy_same(s->edits->list[last].after, after)) changed = false;
    int next = changed ? find_redo(s->edits) : -1;
    if (next >= 0 && kv_policy_same(s->edits->list[next].before, after)) changed = false;
    if (changed)
        add(s, path, args, watch->before, after);
    else {
        kv_policy_free(watch->before);
        kv_policy_free(after);
    }
    watch->before = NULL;
}

struct reaction cmd_info_edits(struct session *s, const char *args)
{
    (void)args;
    if (!s->edits || !s->edits->n) {
        fprintf(s->out, "No edits.\n");
        return DONE;
    }
    fprintf(s->out, "%-4s %-6s %8s  %-22s %s\n", "Num", "Undone", "Tick", "Place", "Edit");
    for (int i = 0; i < s->edits->n; i++) {
        const struct edit *e = &s->edits->list[i];
        char tick[24] = "-";
        rows_new(s);
        rows_number(s, "Num", e->number);
        rows_number(s, "Tick", *e->place ? (double)e->tick : NAN);
        rows_text(s, "Place", *e->place ? e->place : NULL);
        rows_text(s, "Edit", e->text);
        rows_flag(s, "Undone", e->state != EDIT_DONE);
        if (*e->place) snprintf(tick, sizeof tick, "%llu", (unsigned long long)e->tick);
        fprintf(s->out, "%-4d %-6s %8s  %-22s %s\n", e->number, e->state == EDIT_DONE ? "n" : "y", tick,
            *e->place ? e->place : "before the run", e->text);
    }
    return DONE;
}

char *edits_write(const struct session *s)
{
    char *text = NULL;
    size_t size;
    FILE *out = s->edits && s->edits->n ? open_memstream(&text, &size) : NULL;
    for (int i = 0; out && i < s->edits->n; i++) {
        const struct edit *e = &s->edits->list[i];
        fprintf(
            out, "%d %d %llu\t%s\t%s\n", e->number, (int)e->state, (unsigned long long)e->tick, e->place, e->text);
    }
    if (out && fclose(out)) {
        free(text);
        return NULL;
    }
    return text;
}

void edits_read(struct session *s, const char *text)
{
    for (const char *end; (end = strchr(text, '\n')); text = end + 1) {
        struct edit read = { 0 };
        int state, used = 0;
        unsigned long long tick;
        bool fits = sscanf(text, "%9d %1d %19llu%n", &read.number, &state, &tick, &used) == 3 &&
                    state >= EDIT_DONE && state <= EDIT_PASSED && text[used] == '\t';
        const char *place = text + used + 1, *what = fits ? memchr(place, '\t', (size_t)(end - place)) : NULL;
        struct edit *e = what && (size_t)(what - place) < sizeof read.place ? grow(s) : NULL;
        if (!e || !(read.text = strndup(what + 1, (size_t)(end - what - 1)))) return;
        read.state = (enum edit_state)state;
        read.tick = tick;
        memcpy(read.place, place, (size_t)(what - place));
        *e = read;
        s->edits->last = read.number;
        s->edits->n++;
    }
}

/* --- what an edit does to the budgets ------------------------------------------------------------------------------ */

/* Budgets [n_layer] of the next compress; NULL where they are not known yet. */
static int32_t *next_budgets(struct session *s)
{
    struct kv_error ignored;
    int32_t *budget = kv_alloc((size_t)s->facts.n_layer, sizeof *budget);
    if (budget && !kv_next_budgets(s->engine, budget, &ignored)) return budget;
    free(budget);
    return NULL;
}

/* Whether compress has allocated already, so that an edit waits for the next one. */
static bool too_late(struct session *s)
{
    struct kv_where w;
    kv_where(s->engine, &w);
    return w.phase > KV_PHASE_compress || (w.phase == KV_PHASE_compress && w.stage != KV_STAGE_allocate);
}

/* What has changed since before[], which is freed. */
static void show_deltas(struct session *s, int32_t *before)
{
    int32_t *after = before ? next_budgets(s) : NULL;
    long long sums[2] = { 0 };
    int cells = 0, pad = 0;
    for (int l = 0; after && l < s->facts.n_layer; l++) {
        char cell[64];
        sums[0] += before[l];
        sums[1] += after[l];
        if (before[l] == after[l]) continue;
        rows_new(s);
        rows_number(s, "layer", l);
        rows_number(s, "before", before[l]);
        rows_number(s, "after", after[l]);
        int width = snprintf(cell, sizeof cell, "L%d %d -> %d (%+d)", l, before[l], after[l], after[l] - before[l]);
        fprintf(s->out, "%s%*s%s",
            !cells                ? "Budgets: "
            : cells % DELTA_CELLS ? ""
                                  : "\n         ",
            cells % DELTA_CELLS ? pad : 0, "", cell);
        pad = width < DELTA_WIDTH ? DELTA_WIDTH - width : 1;
        cells++;
    }
    if (cells && sums[0] == sums[1])
        fprintf(s->out, "\nSum: %lld tokens, as before.\n", sums[1]);
    else if (cells)
        fprintf(s->out, "\nSum: %lld -> %lld tokens.\n", sums[0], sums[1]);
    if (too_late(s)) fprintf(s->out, "It takes effect at the next compress: see recompress.\n");
    free(before);
    free(after);
}

static struct reaction step_log(struct session *s, bool back)
{
    int i = back ? find_undo(s->edits) : find_redo(s->edits);
    if (i < 0) return refuse(s, KV_NOT_NOW, back ? "No edit to undo." : "No edit to redo.");
    struct edit *e = &s->edits->list[i];
    int32_t *before = next_budgets(s);
    if (kv_policy_put(s->engine, back ? e->before : e->after, &s->err)) {
        free(before);
        return failed(s);
    }
    e->state = back ? EDIT_UNDONE : EDIT_DONE;
    fprintf(s->out, "%s edit %d: %s\n", back ? "Undone:" : "Done again:", e->number, e->text);
    show_deltas(s, before);
    return CHANGED;
}

struct reaction cmd_policy_undo(struct session *s, const char *args)
{
    if (kv_core_path(s->engine)) return refuse(s, KV_NOT_NOW, "%s", KV_CORE_CANNOT_RUN);
    if (*args) return refuse(s, KV_BAD_ARG, "policy undo takes back the last edit, and no argument.");
    return step_log(s, true);
}

struct reaction cmd_policy_redo(struct session *s, const char *args)
{
    if (kv_core_path(s->engine)) return refuse(s, KV_NOT_NOW, "%s", KV_CORE_CANNOT_RUN);
    if (*args) return refuse(s, KV_BAD_ARG, "policy redo does the last undone edit again, and takes no argument.");
    return step_log(s, false);
}

/* --- set budget ------------------------------------------------------------------------------------------------------ */

struct budgets {
    int count;
    int32_t *layer, *tokens; /* [n_layer] */
};

/* "600", "auto", or "+64" and "-64" from what the layer would get. */
static enum kv_status read_tokens(
    struct session *s, const char *word, int layer, const int32_t *now, int32_t *tokens)
{
    long long n;
    bool relative = *word == '+' || *word == '-';
    if (!strcmp(word, "auto")) return *tokens = KV_BUDGET_AUTO, KV_OK;
    enum kv_status st =
        line_integer(word, relative ? -1000000000 : 0, 1000000000, "a budget in tokens", &n, &s->err);
    if (st) return st;
    if (relative && !now)
        return kv_fail(&s->err, KV_NOT_NOW,
            "%.20s is relative to a budget, and those are not known before the prefill is complete.", word);
    if (relative) n += now[layer];
    if (n < 1)
        return kv_fail(
            &s->err, KV_BAD_ARG, "A layer must keep at least 1 token, and layer %d would get %lld.", layer, n);
    *tokens = (int32_t)n;
    return KV_OK;
}

static enum kv_status read_budgets(struct session *s, char *words, const int32_t *now, struct budgets *b)
{
    char *save, *word = strtok_r(words, " \t", &save);
    if (word && !strcmp(word, "auto") && !strtok_r(NULL, " \t", &save)) {
        for (int l = 0; l < s->facts.n_layer; l++) b->layer[l] = l, b->tokens[l] = KV_BUDGET_AUTO;
        b->count = s->facts.n_layer;
        return KV_OK;
    }
    for (; word; word = strtok_r(NULL, " \t", &save)) {
        long long layer;
        const char *digits = word + (*word == 'L');
        enum kv_status st = line_integer(digits, -1000000, 1000000, "a layer", &layer, &s->err);
        if (st) return st;
        if (layer < 0 || layer >= s->facts.n_layer)
            return kv_fail(&s->err, KV_BAD_ARG, "Layer %lld out of range; model has %d (0-%d).", layer,
                s->facts.n_layer, s->facts.n_layer - 1);
        char *value = strtok_r(NULL, " \t", &save);
        if (!value)
            return kv_fail(
                &s->err, KV_BAD_ARG, "Argument required (budget of layer %lld: tokens, +N, -N or auto).", layer);
        for (int i = 0; i < b->count; i++)
            if (b->layer[i] == layer) return kv_fail(&s->err, KV_BAD_ARG, "Layer %lld is given twice.", layer);
        if ((st = read_tokens(s, value, (int)layer, now, &b->tokens[b->count]))) return st;
        b->layer[b->count++] = (int32_t)layer;
    }
    return KV_OK;
}

static void tell_budgets(struct session *s, const struct budgets *b)
{
    if (b->count == s->facts.n_layer && b->tokens[0] == KV_BUDGET_AUTO) {
        fprintf(s->out, "No budget is fixed.\n");
        return;
    }
    for (int i = 0; i < b->count; i++)
        if (b->tokens[i] == KV_BUDGET_AUTO)
            fprintf(s->out, "The budget of layer %d is the policy's again.\n", b->layer[i]);
        else
            fprintf(s->out, "The budget of layer %d is fixed at %d tokens.\n", b->layer[i], b->tokens[i]);
}

/* set budget L TOKENS|+N|-N|auto [L TOKENS...] | auto */
struct reaction cmd_set_budget(struct session *s, const char *args)
{
    size_t layers = (size_t)s->facts.n_layer;
    if (!*args)
        return refuse(s, KV_BAD_ARG, "Argument required (layer, and tokens, +N, -N or auto; or auto alone).");
    struct budgets b = { 0, kv_alloc(2 * layers, sizeof *b.layer), NULL };
    char *words = kv_strdup(args);
    int32_t *before = next_budgets(s);
    enum kv_status st =
        b.layer && words ? KV_OK : kv_fail(&s->err, KV_NO_MEMORY, "No memory for %zu budgets.", layers);
    if (!st) {
        b.tokens = b.layer + layers;
        st = read_budgets(s, words, before, &b);
    }
    if (!st) st = kv_edit_budgets(s->engine, b.layer, b.tokens, b.count, &s->err);
    if (!st) {
        tell_budgets(s, &b);
        show_deltas(s, before);
        before = NULL;
    }
    free(before);
    free(b.layer);
    free(words);
    return st ? failed(s) : CHANGED;
}

/* --- kv pin, evict, unpin ---------------------------------------------------------------------------------------------- */

static struct reaction edit_tokens(struct session *s, enum kv_edit how, const char *args)
{
    static const char *const done[] = { "Evicted", "Freed", "Pinned" };
    struct tokens_scope scope;
    int32_t *list = NULL;
    int count, places;
    if (!*args) return refuse(s, KV_BAD_ARG, "Argument required (token index, A..B, @POS or \"text\").");
    if (tokens_scope(s, args, &scope)) return failed(s);
    if (scope.head >= 0)
        return refuse(s, KV_UNSUPPORTED, "All heads of a layer keep the same tokens; name layers alone.");
    if (tokens_read(s, scope.what, &list, &count, &places)) return failed(s);
    int32_t *before = next_budgets(s);
    enum kv_status st = kv_edit_tokens(s->engine, how, list, count, scope.first, scope.last, &s->err);
    free(list);
    if (st) {
        free(before);
        return failed(s);
    }
    fprintf(s->out, "%s %d token%s", done[how + 1], count, count == 1 ? "" : "s");
    if (places > 1) fprintf(s->out, " in %d places", places);
    if (!scope.layers)
        fprintf(s->out, " in all %d layers.\n", s->facts.n_layer);
    else if (scope.first == scope.last)
        fprintf(s->out, " in layer %d.\n", scope.first);
    else
        fprintf(s->out, " in layers %d to %d.\n", scope.first, scope.last);
    show_deltas(s, before);
    return CHANGED;
}

struct reaction cmd_kv_pin(struct session *s, const char *args) { return edit_tokens(s, KV_PIN, args); }
struct reaction cmd_kv_evict(struct session *s, const char *args) { return edit_tokens(s, KV_EVICT, args); }

struct reaction cmd_kv_unpin(struct session *s, const char *args)
{
    if (*args) return edit_tokens(s, KV_UNPIN, args);
    if (!session_ask(s, "Free all tokens that are pinned or evicted? ")) return DONE;
    int32_t *before = next_budgets(s);
    if (kv_edit_tokens(s->engine, KV_UNPIN, NULL, 0, 0, s->facts.n_layer - 1, &s->err)) {
        free(before);
        return failed(s);
    }
    fprintf(s->out, "No token is pinned or evicted.\n");
    show_deltas(s, before);
    return CHANGED;
}
