/* show policy, save policy, and edits written as commands. */
#include "inspector/policy/policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/language/line.h"
#include "inspector/json/rows.h"
#include "inspector/picture/target.h"

#define LINE_BYTES 900 /* of a command that is written, at most about */

/* --- edits as commands ------------------------------------------------------------------------------------------ */

/* Layers first..last of [n_layer] that have this pin at a position, from layer l on; false = no more. */
static bool next_layers(const int8_t *pin, size_t n, int n_layer, int l, int8_t how, int *first, int *last)
{
    while (l < n_layer && pin[(size_t)l * n] != how) l++;
    *first = *last = l;
    while (*last + 1 < n_layer && pin[(size_t)(*last + 1) * n] == how) ++*last;
    return l < n_layer;
}

static bool same_column(const int8_t *pin, size_t n, int n_layer, size_t i, size_t j)
{
    for (int l = 0; l < n_layer; l++)
        if (pin[(size_t)l * n + i] != pin[(size_t)l * n + j]) return false;
    return true;
}

/* pin [n_layer][n]: one line for neighbors with the same pins, and for each run of layers. */
static void write_tokens(FILE *out, const int8_t *pin, size_t n, int n_layer, int8_t how, const char *word)
{
    for (size_t j = 0, end; j < n; j = end) {
        int first, last;
        for (end = j + 1; end < n && same_column(pin, n, n_layer, j, end);) end++;
        for (int l = 0; next_layers(pin + j, n, n_layer, l, how, &first, &last); l = last + 1) {
            fprintf(out, "kv %s %zu", word, j);
            if (end > j + 1) fprintf(out, "..%zu", end - 1);
            if (first == last && n_layer > 1) fprintf(out, " layer %d", first);
            if (first < last && (first || last < n_layer - 1)) fprintf(out, " layer %d..%d", first, last);
            fputc('\n', out);
        }
    }
}

static void write_budgets(FILE *out, const int *budget, int n_layer)
{
    int bytes = 0;
    for (int l = 0; l < n_layer; l++) {
        if (budget[l] < 0) continue;
        if (bytes > LINE_BYTES) bytes = 0, fputc('\n', out);
        if (!bytes) bytes += fprintf(out, "set budget");
        bytes += fprintf(out, " L%d %d", l, budget[l]);
    }
    if (bytes) fputc('\n', out);
}

char *policy_edits_text(struct session *s, enum kv_policy_of of)
{
    struct kv_array tok;
    struct kv_error ignored;
    int n_layer = s->facts.n_layer;
    size_t n = s->prompt_name && !kv_value(s->engine, "tok", &tok, &ignored) ? tok.dim[0] : 0, size;
    int8_t *pin = kv_alloc((size_t)n_layer * n + 1, 1);
    int *budget = kv_alloc((size_t)n_layer, sizeof *budget);
    char *text = NULL;
    FILE *out = pin && budget ? open_memstream(&text, &size) : NULL;
    if (out) {
        for (int l = 0; l < n_layer; l++)
            kv_policy_edits(s->engine, of, l, n ? pin + (size_t)l * n : NULL, &budget[l]);
        write_tokens(out, pin, n, n_layer, KV_PIN, "pin");
        write_tokens(out, pin, n, n_layer, KV_EVICT, "evict");
        write_budgets(out, budget, n_layer);
        if (fclose(out)) {
            free(text);
            text = NULL;
        }
    }
    free(pin);
    free(budget);
    return text;
}

/* --- show policy ------------------------------------------------------------------------------------------------- */

static const char *setting_at(int i)
{
    const struct kv_setting *row = kv_setting_at(i);
    return row ? row->name : NULL;
}

static void show_lines(struct session *s, const char *title, const char *fact, const char *lines)
{
    if (!lines || !*lines) return;
    rows_fact_text(s, fact, lines);
    fprintf(s->out, "%s\n", title);
    for (const char *end; *lines; lines = end + 1) {
        end = strchr(lines, '\n');
        fprintf(s->out, "  %.*s\n", (int)(end - lines), lines);
    }
}

/* What differs from the preset, or from what compress ran with. */
static void show_diff(struct session *s)
{
    char now[200], then[200] = "", preset[200], title[80];
    struct kv_error ignored;
    const char *name;
    int rows = 0;
    bool compressed = !kv_policy_get(s->engine, KV_POLICY_COMPRESSED, "policy.preset", then, sizeof then, &ignored);
    for (int i = 0; (name = setting_at(i)); i++) {
        if (strncmp(name, "policy.", 7) || kv_policy_get(s->engine, KV_POLICY_NOW, name, now, sizeof now, &ignored))
            continue;
        kv_policy_get(s->engine, KV_POLICY_PRESET, name, preset, sizeof preset, &ignored);
        if (compressed) kv_policy_get(s->engine, KV_POLICY_COMPRESSED, name, then, sizeof then, &ignored);
        if (!strcmp(now, preset) && (!compressed || !strcmp(now, then))) continue;
        rows_new(s);
        rows_text(s, "setting", name);
        rows_text(s, "now", now);
        rows_text(s, "preset", preset);
        if (compressed) rows_text(s, "compressed", then);
        if (!rows++)
            fprintf(
                s->out, "%-20s %-12s %s\n", "setting", "now", compressed ? "preset       compressed" : "preset");
        fprintf(s->out, compressed ? "%-20s %-12s %-12s %s\n" : "%-20s %-12s %s%s\n", name, now, preset,
            compressed ? then : "");
    }
    char *here = policy_edits_text(s, KV_POLICY_NOW),
         *there = compressed ? policy_edits_text(s, KV_POLICY_COMPRESSED) : NULL;
    bool same = here && there && !strcmp(here, there);
    if (!rows && here && !*here && (!compressed || same))
        fprintf(s->out, "The policy is %s as it comes%s.\n",
            kv_policy_title(s->engine, KV_POLICY_NOW, title, sizeof title),
            compressed ? ", and compress ran with it" : "");
    show_lines(s, same ? "Edits, which compress ran with:" : "Edits:", "edits", here);
    if (!same) show_lines(s, "Edits that compress ran with:", "edits_compressed", there);
    if (compressed && !same && there && !*there) fprintf(s->out, "Compress ran without edits.\n");
    free(here);
    free(there);
}

static void show_setting(struct session *s, const char *name, const char *value)
{
    rows_new(s);
    rows_text(s, "name", name);
    rows_text(s, "value", value);
    fprintf(s->out, "%-20s %s\n", name, value);
}

struct reaction cmd_policy(struct session *s, const char *args)
{
    if (!*args) return cmd_show_policy(s, args);
    return refuse(s, KV_NOT_FOUND, "Undefined policy command: \"%.60s\".  Try \"help policy\".", args);
}

struct reaction cmd_show_policy(struct session *s, const char *args)
{
    char value[200];
    const char *name;
    if (*args && strcmp(args, "-diff")) return refuse(s, KV_BAD_ARG, "\"%.60s\" is not -diff.", args);
    if (*args) {
        show_diff(s);
        return DONE;
    }
    for (int i = 0; (name = setting_at(i)); i++)
        if (!strncmp(name, "policy.", 7) && !kv_get(s->engine, name, value, sizeof value, &s->err))
            show_setting(s, name, value);
    char *edits = policy_edits_text(s, KV_POLICY_NOW);
    show_lines(s, "Edits:", "edits", edits);
    free(edits);
    return DONE;
}

/* --- save policy ------------------------------------------------------------------------------------------------- */

/* The preset, what differs from it, and the edits. */
static enum kv_status write_policy(struct session *s, const char *path)
{
    char now[200], preset[200], title[80];
    const char *name;
    char *edits = policy_edits_text(s, KV_POLICY_NOW);
    if (!edits) return kv_fail(&s->err, KV_NO_MEMORY, "No memory for the policy's edits.");
    FILE *out = fopen(path, "w");
    if (!out) {
        free(edits);
        return kv_fail(&s->err, KV_IO, "Cannot write %.300s: %s.", path, strerror(errno));
    }
    kv_policy_title(s->engine, KV_POLICY_NOW, title, sizeof title);
    fprintf(out, "# kvdbg policy %s\n", title);
    kv_policy_get(s->engine, KV_POLICY_NOW, "policy.preset", now, sizeof now, &s->err);
    fprintf(out, "set policy.preset %s\n", now);
    for (int i = 0; (name = setting_at(i)); i++) {
        if (strncmp(name, "policy.", 7) || kv_policy_get(s->engine, KV_POLICY_NOW, name, now, sizeof now, &s->err))
            continue;
        kv_policy_get(s->engine, KV_POLICY_PRESET, name, preset, sizeof preset, &s->err);
        const char *quote = strchr(now, ' ') ? "\"" : ""; /* the name of a profile */
        if (strcmp(now, preset) && strcmp(now, "unset")) fprintf(out, "set %s %s%s%s\n", name, quote, now, quote);
    }
    if (*edits) fprintf(out, "# Edits hold for the prompt %s alone.\n%s", s->prompt_name, edits);
    free(edits);
    bool whole = !ferror(out);
    if (!fclose(out) && whole) return KV_OK;
    return kv_fail(&s->err, KV_IO, "Cannot write %.300s: %s.", path, strerror(errno));
}

/* save policy [-f] FILE */
struct reaction cmd_save_policy(struct session *s, const char *args)
{
    struct line_words words;
    struct target t;
    if (line_split(args, &words, &s->err)) return failed(s);
    bool force = words.count == 2 && !strcmp(words.word[0], "-f");
    if (words.count != 1 + force) return refuse(s, KV_BAD_ARG, "Argument required ([-f] FILE).");
    if (target_open(s, words.word[force], force, &t) || write_policy(s, t.fresh) || target_close(s, &t))
        return failed(s);
    fprintf(s->out, "Saved to file '%s'.\n", t.path);
    return DONE;
}
