/* The mapping of inspector.md 5.1: args are the policy in force, locals what the frame has of its own, registers the
 * scalars of the focused layer. */
#include "inspector/stop/info_frame.h"

#include <math.h>
#include <string.h>

#include "engine/look.h"
#include "inspector/stop/frames.h"
#include "inspector/language/line.h"
#include "inspector/expr/names.h"
#include "inspector/expr/print.h"
#include "inspector/json/rows.h"

/* "NAME = VALUE" where the expression has one now; false where not. */
static bool show_value(struct session *s, const char *text, const char *indent)
{
    struct value v;
    struct kv_error ignored;
    s->computed = false;
    if (expr_text(s, text, &v, &ignored)) return false;
    bool there = v.kind != VALUE_VOID && (v.kind != VALUE_NUMBER || v.count);
    if (there) {
        rows_new(s);
        rows_text(s, "name", text);
        rows_cell(s, "value", &v);
        rows_text(s, "unit", *v.unit ? v.unit : NULL);
        fprintf(s->out, "%s%s = ", indent, text);
        print_value(s, &v);
        fprintf(s->out, "%s\n", s->computed ? session_mark(s) : "");
    }
    value_free(&v);
    return there;
}

struct reaction cmd_info_args(struct session *s, const char *args)
{
    const struct kv_setting *row;
    char name[64];
    (void)args;
    for (int i = 0; (row = kv_setting_at(i)); i++) {
        snprintf(name, sizeof name, "%s", row->name);
        if (!strncmp(name, "policy.", 7)) show_value(s, name, "");
    }
    return DONE;
}

void info_frame_locals(struct session *s, int frame, const char *indent)
{
    static const char *const of[FRAME_COUNT][5] = {
        [FRAME_STAGE] = { "entropy[%d]", "score[%d]", "rank[%d]", "kept[%d]", "reason[%d]" },
        [FRAME_LAYER] = { "entropy[%d]", "score[%d]", "rank[%d]", "kept[%d]", "reason[%d]" },
        [FRAME_PASS] = { "reply" },
        [FRAME_PHASE] = { "E", "weight", "budget.req", "budget.app" },
        [FRAME_REQUEST] = { "tok", "question", "reply" },
    };
    int shown = 0;
    for (size_t i = 0; i < KV_COUNT(of[0]) && of[frame][i]; i++) {
        char text[64], *hole;
        snprintf(text, sizeof text, "%s", of[frame][i]);
        if ((hole = strstr(text, "%d"))) snprintf(hole, sizeof text - (size_t)(hole - text), "%d]", s->layer);
        shown += show_value(s, text, indent);
    }
    if (!shown) fprintf(s->out, "No locals.\n");
}

struct reaction cmd_info_locals(struct session *s, const char *args)
{
    (void)args;
    info_frame_locals(s, frames_selected(s), "");
    return DONE;
}

/* --- registers ------------------------------------------------------------------------------------------------------ */

static bool wanted(const struct line_words *words, const char *name)
{
    for (int i = 0; i < words->count; i++)
        if (!strcmp(words->word[i], name)) return true;
    return !words->count;
}

static void show_register(struct session *s, const char *name, double x, const char *unit)
{
    char text[32] = "nan";
    if (!isnan(x)) snprintf(text, sizeof text, "%.7g", x);
    rows_new(s);
    rows_text(s, "name", name);
    rows_number(s, "value", x);
    rows_text(s, "unit", *unit ? unit : NULL);
    fprintf(s->out, "%-14s %s", name, text);
    if (*unit) fprintf(s->out, "%*s%s", (int)(19 - strlen(text)), "", unit);
    fprintf(s->out, "%s\n", session_mark(s));
    rows_new(s);
    rows_text(s, "name", name);
    rows_number(s, "value", x);
    rows_text(s, "unit", *unit ? unit : NULL);
}

/* Values that have one number a layer, and what its cache holds. */
struct reaction cmd_info_registers(struct session *s, const char *args)
{
    struct line_words words;
    const char *name;
    int found = 0, missing = 0;
    if (line_split(args, &words, &s->err)) return failed(s);
    for (int i = 0; (name = kv_value_name(i)); i++) {
        struct kv_array a;
        struct kv_error ignored;
        if (!wanted(&words, name) || kv_value(s->engine, name, &a, &ignored)) continue;
        if (a.n_dim != 1 || !a.axis[0] || strcmp(a.axis[0], "layer")) continue;
        show_register(s, name, array_number(&a, (size_t)s->layer), a.unit ? a.unit : "");
        found++;
    }
    const struct {
        const char *name, *unit;
        double x;
    } own[] = { { "$layer", "", s->layer }, { "cache.tokens", "tokens read", kv_cache_tokens(s->engine, s->layer) },
        { "cache.slots", "tokens", kv_cache_slots(s->engine, s->layer, session_kv_head(s, s->head), NULL, 0) } };
    for (size_t i = 0; i < KV_COUNT(own); i++)
        if (wanted(&words, own[i].name)) show_register(s, own[i].name, own[i].x, own[i].unit), found++;
    for (int i = 0; i < words.count && found < words.count; i++) {
        bool known = false;
        for (size_t k = 0; k < KV_COUNT(own); k++) known = known || !strcmp(words.word[i], own[k].name);
        struct kv_array a;
        known = known || !kv_value(s->engine, words.word[i], &a, &s->err);
        if (!known) missing++;
        if (!known) kv_fail(&s->err, KV_NOT_FOUND, "Invalid register `%.60s'", words.word[i]);
    }
    return missing ? failed(s) : DONE;
}

/* --- line and source ------------------------------------------------------------------------------------------------ */

struct reaction cmd_info_line(struct session *s, const char *args)
{
    struct kv_where w;
    struct value start;
    int now;
    (void)args;
    kv_where(s->engine, &w);
    int n = kv_pass_costs(s->engine, NULL, 0, &now);
    if (!n) {
        fprintf(s->out, "The request is done: no pass is under way.\n");
        return DONE;
    }
    fprintf(s->out, "Pass %d of %s starts at tick %llu and ends at tick %llu; stage %d of its %d is next.\n",
        w.pass, kv_phase_name[w.phase], (unsigned long long)(w.tick - (uint64_t)now),
        (unsigned long long)(w.tick - (uint64_t)now + (uint64_t)n), now + 1, n);
    enum kv_status st = value_scalar(&start, (double)w.tick - now, true, "", &s->err);
    if (!st) st = names_assign(s, "_", &start, &s->err);
    value_free(&start);
    return st ? failed(s) : DONE;
}

struct reaction cmd_info_source(struct session *s, const char *args)
{
    struct kv_array a;
    struct kv_error ignored;
    size_t lines = 1;
    (void)args;
    if (!s->prompt_name) {
        fprintf(s->out, "No current source file: there is no prompt.\n");
        return DONE;
    }
    for (size_t i = 0; i < s->prompt_bytes; i++) lines += s->prompt[i] == '\n';
    fprintf(s->out, "Current source file is %s\nContains %zu line%s, %zu bytes", s->prompt_name, lines,
        lines == 1 ? "" : "s", s->prompt_bytes);
    if (!kv_value(s->engine, "tok", &a, &ignored)) fprintf(s->out, ", %zu tokens", a.dim[0]);
    fprintf(s->out, ".\nSource language is %s.\n",
        s->prompt_ids ? "token ids"
        : s->chat     ? "the model's chat template around plain text"
                      : "plain text");
    if (s->question) fprintf(s->out, "Question: %s\n", s->question);
    return DONE;
}
