/* whatif: a fork of the run under other settings, compressed, compared and decoded; then dropped, or kept. */
#include "inspector/lab/whatif.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/lab/runs.h"
#include "inspector/lab/setting_list.h"
#include "inspector/language/line.h"
#include "inspector/picture/recipe.h"
#include "inspector/json/rows.h"
#include "inspector/run.h"
#include "inspector/tokens.h"

#define TEXT_COLUMNS 72

enum { FULL, RUN, FORK, OWN };

struct whatif {
    struct setting_list set;
    const char *commands; /* behind --, NULL = none */
    int tokens;
    bool keep, time; /* the fork stays; it is decoded alone, too */
    int base, fork;
    bool compared; /* with the base run, too: it is compressed */
    struct kv_comparison result;
    int at[4]; /* place of FULL, RUN, FORK and OWN, its own text, in it; -1 = not there */
    double us; /* that it took */
    double kept[3];
    size_t active[3];
    double compress_us[3], token_us[3]; /* NaN: it has not */
    char policy[3][64];
};

/* --- reading ------------------------------------------------------------------------------------------------------- */

static enum kv_status read_args(struct session *s, const char *args, struct whatif *w)
{
    struct line_words words;
    char setting[32] = "64", before[sizeof s->command];
    const char *dashes = strstr(args, "--");
    while (dashes && ((dashes > args && dashes[-1] != ' ') || (dashes[2] && dashes[2] != ' ')))
        dashes = strstr(dashes + 2, "--");
    snprintf(before, sizeof before, "%.*s", (int)(dashes ? (size_t)(dashes - args) : strlen(args)), args);
    w->commands = dashes ? dashes + 2 + strspn(dashes + 2, " \t") : NULL;
    kv_get(s->engine, "judge.tokens", setting, sizeof setting, &s->err);
    w->tokens = (int)strtol(setting, NULL, 10);
    enum kv_status st = line_split(before, &words, &s->err);
    for (int i = 0; i < words.count && !st; i++) {
        long long n;
        if (!strcmp(words.word[i], "-keep"))
            w->keep = true;
        else if (!strcmp(words.word[i], "-time"))
            w->time = true;
        else if (!strcmp(words.word[i], "-n") && i + 1 < words.count) {
            st = line_integer(words.word[++i], 2, 1 << 20, "a number of tokens", &n, &s->err);
            w->tokens = (int)n;
        } else if (*words.word[i] == '-')
            st = kv_fail(&s->err, KV_BAD_ARG,
                "whatif takes NAME=VALUE..., -n TOKENS, -keep, -time and -- COMMANDS, not %.40s.", words.word[i]);
        else
            st = setting_list_add(&w->set, words.word[i], &s->err);
    }
    if (!st && !w->set.count && !w->commands)
        st = kv_fail(&s->err, KV_BAD_ARG, "Argument required (NAME=VALUE..., or -- and commands).");
    return st;
}

/* "kv evict 5; set budget L1 60; recompress": what may be tried, and nothing that moves a request. */
static enum kv_status run_commands(struct session *s, const char *text)
{
    static const char *const allowed[] = { "kv pin ", "kv evict ", "kv unpin", "set ", "policy ", "recompress" };
    enum kv_status st = KV_OK;
    while (text && *text && !st) {
        char line[sizeof s->command];
        size_t n = strcspn(text, ";");
        bool fits = false;
        snprintf(line, sizeof line, "%.*s", (int)kv_min(n, sizeof line - 1), text);
        for (size_t i = 0; i < KV_COUNT(allowed); i++)
            fits = fits || !strncmp(line, allowed[i], strlen(allowed[i]));
        if (!fits)
            st = kv_fail(&s->err, KV_BAD_ARG,
                "whatif tries kv pin, evict and unpin, set, policy and recompress, not \"%.60s\".", line);
        else if (strncmp(line, "recompress", 10) != 0) /* that is what it does in any case */
            st = session_line(s, line).status;
        text += n + (text[n] == ';');
        text += strspn(text, " \t");
    }
    return st;
}

/* --- running -------------------------------------------------------------------------------------------------------- */

static enum kv_status step(struct session *s, enum kv_unit unit)
{
    enum kv_status st;
    do st = kv_step(s->engine, unit, &s->err);
    while (st == KV_STOPPED && !session_interrupted());
    return st;
}

/* What the selected run is, as one of the columns. */
static void note_run(struct session *s, struct whatif *w, int i)
{
    struct kv_array kept;
    struct kv_error ignored;
    struct kv_run_facts f;
    struct kv_time t;
    w->kept[i] = w->compress_us[i] = w->token_us[i] = NAN;
    if (kv_run_look(s->engine, kv_run_selected(s->engine), &f, &ignored)) return;
    memcpy(w->policy[i], f.policy, sizeof f.policy);
    w->active[i] = f.active;
    if (!f.compressed) return;
    if (!kv_value(s->engine, "kept", &kept, &ignored)) {
        double sum = 0;
        size_t cells = kept.dim[0] * kept.dim[1] * (kept.n_dim == 3 ? kept.dim[2] : 1);
        for (size_t j = 0; j < cells; j++) sum += ((const uint8_t *)kept.data)[j];
        w->kept[i] = sum / (double)cells;
    }
    kv_time(s->engine, KV_PHASE_compress, &t);
    w->compress_us[i] = t.us;
    kv_time(s->engine, KV_PHASE_decode, &t);
    if (t.tokens) w->token_us[i] = t.us / t.tokens;
}

static enum kv_status compress(struct session *s, struct whatif *w)
{
    struct kv_where at;
    const char *name[SETTING_LIST_MOST], *value[SETTING_LIST_MOST];
    enum kv_status st = KV_OK;
    setting_list_pairs(&w->set, name, value);
    if (w->set.count) st = kv_set(s->engine, name, value, w->set.count, &s->err);
    if (!st) st = run_commands(s, w->commands);
    if (!st) st = kv_recompress(s->engine, &s->err); /* the first token is drawn as decode.* says now */
    if (st) return st;
    recipe_note_policy(s);
    for (kv_where(s->engine, &at); at.phase == KV_PHASE_compress && !st; kv_where(s->engine, &at))
        st = step(s, KV_UNIT_PHASE);
    return st;
}

/* The full cache, the run where it is compressed, and the fork, all fed the leader's tokens; and the fork fed its own. */
static enum kv_status compare(struct session *s, struct whatif *w)
{
    int run[4], n = 0;
    char leader[32] = "full";
    double begin = kv_now_us();
    w->at[FULL] = n, run[n++] = KV_RUN_FULL;
    w->at[RUN] = -1;
    if (w->compared) w->at[RUN] = n, run[n++] = w->base;
    w->at[FORK] = n, run[n++] = w->fork;
    w->at[OWN] = n, run[n++] = -w->fork;
    kv_get(s->engine, "judge.leader", leader, sizeof leader, &s->err);
    int lead = strcmp(leader, "self") ? 0 : w->at[FORK];
    enum kv_status st = kv_compare(s->engine, run, n, lead, w->tokens, &w->result, &s->err);
    w->us = kv_now_us() - begin;
    return st;
}

/* Its reply as a request decodes it, alone and by decode.*: as many tokens as were compared. */
static enum kv_status decode(struct session *s, const struct whatif *w)
{
    struct kv_where at;
    struct kv_array reply;
    enum kv_status st = KV_OK;
    for (kv_where(s->engine, &at); at.phase != KV_PHASE_done && !st; kv_where(s->engine, &at)) {
        if ((st = kv_value(s->engine, "reply", &reply, &s->err))) break;
        if ((int)reply.dim[0] >= w->tokens) break;
        st = step(s, KV_UNIT_PASS);
    }
    return st;
}

/* --- showing -------------------------------------------------------------------------------------------------------- */

static void flip_text(struct session *s, const struct whatif *w, int i, char *text, size_t size)
{
    char a[40], b[40];
    const struct kv_comparison *c = &w->result;
    int t = w->at[i] < 0 ? -1 : c->verdict[w->at[i]].first_divergent;
    if (t < 0)
        snprintf(text, size, "none in %d", c->steps);
    else
        snprintf(text, size, "step %d: %s became %s", t, tokens_quote(s, c->token[t], a, sizeof a),
            tokens_quote(s, c->token[w->at[i] * c->steps + t], b, sizeof b));
}

static void column_rows(struct session *s, const struct whatif *w, int i, const char *flip)
{
    const struct kv_verdict *v = &w->result.verdict[w->at[i]];
    rows_new(s);
    rows_number(s, "run", i == RUN ? w->base : w->fork);
    rows_text(s, "policy", w->policy[i]);
    rows_number(s, "kept", w->kept[i]);
    rows_number(s, "KL mean", v->kl_mean);
    rows_number(s, "KL max", v->kl_max);
    rows_number(s, "top1", v->top1);
    rows_number(s, "first divergent", v->first_divergent < 0 ? NAN : v->first_divergent);
    rows_text(s, "flip", flip);
    rows_number(s, "bytes", (double)w->active[i]);
    rows_number(s, "compress us", w->compress_us[i]);
    rows_number(s, "us a token", w->token_us[i]);
}

static char *ms(double us, char *text)
{
    if (isnan(us))
        snprintf(text, 32, "-");
    else
        snprintf(text, 32, "%.3g ms", us / 1e3);
    return text;
}

static void show_run(struct session *s, const struct whatif *w, int i)
{
    const struct kv_verdict *v = &w->result.verdict[w->at[i]];
    char name[32], bytes[32], flip[160], a[32], b[32];
    snprintf(name, sizeof name, i == RUN ? "run %d" : "what if", w->base);
    flip_text(s, w, i, flip, sizeof flip);
    column_rows(s, w, i, flip);
    fprintf(s->out, "%-8s %-22s kept %5.1f %%  KL mean %-9.3g max %-9.3g top-1 %5.1f %%  K and V %s\n", name,
        w->policy[i], 100 * w->kept[i], v->kl_mean, v->kl_max, 100 * v->top1,
        line_bytes((double)w->active[i], bytes));
    fprintf(s->out, "%-8s first flip: %s\n", "", flip);
    fprintf(
        s->out, "%-8s compress %s, decode alone %s a token\n", "", ms(w->compress_us[i], a), ms(w->token_us[i], b));
}

static void show_text(struct session *s, const char *title, const int32_t *ids, int n)
{
    char *text = kv_tokens_text(s->engine, ids, n);
    int column = 0;
    fprintf(s->out, "%s\n  ", title);
    for (const char *p = text; p && *p; p++, column++)
        if (*p == '\n' || (*p == ' ' && column > TEXT_COLUMNS)) {
            fprintf(s->out, "\n  ");
            column = 0;
        } else
            fputc(*p, s->out);
    fputc('\n', s->out);
    free(text);
}

/* The fork's own text, where it is not what the full cache says. */
static void show_reply(struct session *s, const struct whatif *w)
{
    const struct kv_comparison *c = &w->result;
    const int32_t *own = c->token + w->at[OWN] * c->steps;
    int n = c->length[w->at[OWN]], t = 0;
    while (t < n && own[t] == c->token[t]) t++;
    char *text = kv_tokens_text(s->engine, own, n);
    rows_fact_text(s, "reply", text);
    free(text);
    if (t == n) {
        fprintf(s->out, "Its own text: the full cache's tokens, %d of %d.\n", n, n);
        return;
    }
    show_text(s, "Full cache:", c->token, c->length[FULL]);
    show_text(s, "What if:", own, n);
}

static void show(struct session *s, const struct whatif *w)
{
    const struct kv_comparison *c = &w->result;
    char took[32];
    fprintf(s->out, "From the same prefill, %d steps fed one reply; KL(full || run) in nats a token (%s)\n",
        c->steps, session_mode(s));
    if (w->compared) show_run(s, w, RUN);
    show_run(s, w, FORK);
    fprintf(s->out, "%-8s all %d decoded together: %s a step\n", "", c->n_run, ms(w->us / c->steps, took));
    rows_fact(s, "steps", c->steps);
    rows_fact(s, "us", w->us);
    rows_fact(s, "kl_mean", c->verdict[w->at[FORK]].kl_mean);
    rows_fact(s, "first_divergent",
        c->verdict[w->at[FORK]].first_divergent < 0 ? NAN : c->verdict[w->at[FORK]].first_divergent);
    rows_unit(s, "KL mean", "nats");
    if (w->compared) {
        const struct kv_verdict *v = &c->last;
        rows_fact(s, "kl_mean_to_run", v->kl_mean);
        fprintf(s->out, "KL(run %d || what if): mean %.3g, max %.3g; top-1 agreement %.1f %%\n", w->base,
            v->kl_mean, v->kl_max, 100 * v->top1);
    }
    if (!isnan(s->noise_mean)) fprintf(s->out, "Noise floor: mean %.3g, max %.3g\n", s->noise_mean, s->noise_max);
    show_reply(s, w);
}

/* --- the command ----------------------------------------------------------------------------------------------------- */

static struct reaction keep_fork(struct session *s, const struct whatif *w)
{
    struct kv_where at;
    kv_where(s->engine, &at);
    run_rewound(s);
    fprintf(s->out, "It is kept as run %d, where commands go from now on; \"inferior %d\" goes back to run %d.\n",
        w->fork, w->base, w->base);
    stops_moved(s);
    snprintf(s->stop_reason, sizeof s->stop_reason, "inferior");
    run_show_stop(s, "", &at);
    return STEPPED;
}

struct reaction cmd_whatif(struct session *s, const char *args)
{
    struct whatif w = { .base = kv_run_selected(s->engine) };
    struct kv_where at;
    enum kv_status st = read_args(s, args, &w);
    double kl = s->kl_mean;
    run_end_line(s);
    kv_where(s->engine, &at);
    w.compared = at.phase > KV_PHASE_compress;
    note_run(s, &w, RUN);
    if (!st) st = runs_fork(s, &w.fork);
    if (st) {
        setting_list_free(&w.set);
        return failed(s);
    }
    st = compress(s, &w);
    if (!st) st = compare(s, &w);
    if (!st && (w.keep || w.time)) st = decode(s, &w);
    note_run(s, &w, FORK);
    if (!st) {
        show(s, &w);
        kl = w.result.verdict[w.at[FORK]].kl_mean;
    }
    struct reaction r = DONE;
    if (!st && w.keep)
        r = keep_fork(s, &w);
    else {
        struct kv_error err = s->err;
        if (!runs_select(s, w.base)) runs_drop(s, w.fork);
        s->err = err;
    }
    s->kl_mean = kl;
    kv_comparison_free(&w.result);
    setting_list_free(&w.set);
    return st ? failed(s) : r;
}
