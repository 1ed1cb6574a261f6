/* Completion from the command table, the settings and the values' names. */
#include "inspector/language/complete.h"

#include <string.h>

#include "inspector/language/define.h"
#include "inspector/stop/events.h"
#include "inspector/expr/expr_eval.h"
#include "inspector/language/lookup.h"
#include "inspector/expr/names.h"
#include "inspector/picture/picture.h"
#include "inspector/prompt.h"
#include "inspector/json/rows.h"
#include "inspector/language/table_groups.h"

struct wanted {
    const char *word;
    size_t length;
    void (*visit)(void *ctx, const char *word);
    void *ctx;
};

static void offer(const struct wanted *w, const char *word)
{
    if (!strncmp(word, w->word, w->length)) w->visit(w->ctx, word);
}

static void rows(const struct wanted *w, const struct command *table)
{
    for (const struct command *row = table; row->name; row++)
        if (row->group != GROUP_HIDDEN) offer(w, row->name);
}

static void settings(const struct wanted *w, const char *args)
{
    const struct kv_setting *row;
    char name[64];
    size_t n = strcspn(args, " \t");
    /* Behind a setting's name stand its legal words. */
    for (int i = 0; args[n] && (row = kv_setting_at(i)); i++) {
        if (strlen(row->name) != n || memcmp(row->name, args, n)) continue;
        char legal[300];
        snprintf(legal, sizeof legal, "%s", row->legal);
        if (strncmp(legal, "one of ", 7)) return; /* a range of numbers */
        for (char *p = strtok(legal + 7, " ,"); p; p = strtok(NULL, " ,")) offer(w, p);
        return;
    }
    for (int i = 0; (row = kv_setting_at(i)); i++) {
        snprintf(name, sizeof name, "%s", row->name);
        offer(w, name);
    }
}

static void values(const struct wanted *w)
{
    for (int i = 0; names_at(i); i++) offer(w, names_at(i));
    for (int i = 0; expr_function(i); i++) { /* kept and rank are values, too */
        int k = 0;
        while (names_at(k) && strcmp(names_at(k), expr_function(i))) k++;
        if (!names_at(k)) offer(w, expr_function(i));
    }
}

/* L<n>, once the L is there. */
static void layers(struct session *s, const struct wanted *w)
{
    char text[24];
    for (int l = 0; l < s->facts.n_layer && w->length && w->word[0] == 'L'; l++) {
        snprintf(text, sizeof text, "L%d", l);
        offer(w, text);
    }
}

/* Phases, or behind a dot or an L its stages. */
static void locations(struct session *s, const struct wanted *w)
{
    char text[96];
    const char *dot = memchr(w->word, '.', w->length);
    if (!dot) {
        for (int p = KV_PHASE_prefill; p < KV_PHASE_COUNT; p++) offer(w, kv_phase_name[p]);
        layers(s, w);
    }
    for (int i = 0; dot && i < KV_STAGE_COUNT; i++) {
        snprintf(text, sizeof text, "%.*s.%s", (int)kv_min((size_t)(dot - w->word), 60), w->word, kv_stage_name[i]);
        offer(w, text);
    }
}

bool complete_line(
    struct session *s, const char *line, size_t *start, void (*visit)(void *ctx, const char *word), void *ctx)
{
    static const char *const actions[] = { "stop", "nostop", "print", "noprint" };
    const struct command *row = NULL, *table = session_table(s);
    const char *at = line + strspn(line, " \t");
    struct kv_error ignored;
    for (;;) { /* command words that are complete */
        size_t n = strcspn(at, " \t");
        if (!at[n]) break;
        const struct command *found;
        size_t bare = kv_min(n, strcspn(at, "/")); /* without its /FMT */
        if (lookup_row(table, "", table == session_table(s) ? command_pins : NULL, at, bare, &found, &ignored))
            break;
        row = found;
        at += n + strspn(at + n, " \t");
        if (!row->sub) break;
        table = row->sub;
    }
    const char *word = strrchr(at, ' ');
    word = word ? word + 1 : at;
    if (row && row->complete == COMPLETE_VALUE) /* a name may follow any operator */
        for (const char *p = word; *p; p++)
            if (strchr("([+-*/<>=!&|^~%?:,", *p)) word = p + 1;
    *start = (size_t)(word - line);
    const struct wanted w = { word, strlen(word), visit, ctx };
    if ((!row || row->sub) && word == at) rows(&w, table);
    if (!row) return false;
    switch (row->complete) {
    case COMPLETE_COMMAND:
        if (!row->sub) rows(&w, session_table(s));
        return false;
    case COMPLETE_SETTING:
        settings(&w, row->sub || strcmp(row->name, "policy") ? at : "policy.preset ");
        return false;
    case COMPLETE_VALUE: values(&w); return false;
    case COMPLETE_LOCATION: locations(s, &w); return false;
    case COMPLETE_HEAT:
        for (int i = 0; i < PICTURE_COUNT; i++) offer(&w, picture_name[i]);
        return false;
    case COMPLETE_EVENT: rows(&w, catch_table); return false;
    case COMPLETE_SIGNAL:
        for (int i = 0; events_name(i); i++) offer(&w, events_name(i));
        for (size_t i = 0; i < KV_COUNT(actions) && word != at; i++) offer(&w, actions[i]);
        return false;
    case COMPLETE_TOKENS:
        offer(&w, "layer");
        if (!strcmp(row->name, "why")) offer(&w, word == at ? "budget" : "head");
        return false;
    case COMPLETE_LAYER:
        layers(s, &w);
        offer(&w, "auto");
        return false;
    case COMPLETE_FILE: return true;
    default: return false;
    }
}

/* Each candidate is printed as the whole line that it would make. */
struct printer {
    struct session *s;
    const char *line;
    size_t start;
};

static void print_candidate(void *ctx, const char *word)
{
    const struct printer *p = ctx;
    fprintf(p->s->out, "%.*s%s\n", (int)p->start, p->line, word);
    rows_new(p->s);
    rows_text(p->s, "word", word);
}

struct reaction cmd_complete(struct session *s, const char *args)
{
    struct printer p = { s, args, 0 };
    complete_line(s, args, &p.start, print_candidate, &p);
    return DONE;
}
