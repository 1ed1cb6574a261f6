/* sweep: reading the command, the table, and what goes where. */
#include "inspector/lab/sweep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/lab/regret.h"
#include "inspector/lab/stopped.h"
#include "inspector/language/line.h"
#include "inspector/json/rows.h"
#include "inspector/run.h"

/* --- reading ------------------------------------------------------------------------------------------------------- */

static enum kv_status add_value(struct sweep_axis *a, const char *text, size_t n, struct kv_error *err)
{
    if (a->n == SWEEP_VALUES) return kv_fail(err, KV_BAD_ARG, "%s takes at most %d values.", a->name, SWEEP_VALUES);
    if (!n) return kv_fail(err, KV_BAD_ARG, "A value of %s is missing.", a->name);
    char *copy = strndup(text, n);
    if (!copy) return kv_fail(err, KV_NO_MEMORY, "No memory for the values of %s.", a->name);
    a->value[a->n++] = copy;
    return KV_OK;
}

/* lo:hi:step, both ends included. */
static enum kv_status add_range(struct sweep_axis *a, const char *text, struct kv_error *err)
{
    double low, high, by;
    int used = 0;
    if (sscanf(text, "%lf:%lf:%lf%n", &low, &high, &by, &used) != 3 || text[used] || !(by > 0) || !(high >= low) ||
        (high - low) / by >= SWEEP_VALUES)
        return kv_fail(err, KV_BAD_ARG, "%s=%.60s is no range LOW:HIGH:STEP of at most %d values.", a->name, text,
            SWEEP_VALUES);
    enum kv_status st = KV_OK;
    for (int i = 0; low + i * by <= high + by * 1e-9 && !st; i++) {
        char value[40];
        snprintf(value, sizeof value, "%.10g", low + i * by);
        st = add_value(a, value, strlen(value), err);
    }
    return st;
}

static enum kv_status add_axis(struct sweep *w, const char *word, struct kv_error *err)
{
    const char *equals = strchr(word, '=');
    size_t n = equals ? (size_t)(equals - word) : 0;
    if (!n || n >= sizeof w->axis[0].name)
        return kv_fail(err, KV_BAD_ARG, "\"%.60s\" is neither NAME=A,B,... nor NAME=LOW:HIGH:STEP.", word);
    if (w->n_axis == SWEEP_AXES) return kv_fail(err, KV_BAD_ARG, "sweep takes at most %d settings.", SWEEP_AXES);
    struct sweep_axis *a = &w->axis[w->n_axis++];
    memcpy(a->name, word, n);
    if (!strcmp(a->name, "policy")) snprintf(a->name, sizeof a->name, "policy.preset");
    const char *p = equals + 1;
    if (strchr(p, ':')) return add_range(a, p, err);
    enum kv_status st = KV_OK;
    do {
        size_t length = strcspn(p, ",");
        st = add_value(a, p, length, err);
        p += length + (p[length] == ',');
    } while (!st && *p);
    return st;
}

/* Short words beside the names of the list; ms stands for two of them. */
static const struct {
    const char *word;
    enum metric metric;
} words_of[] = { { "rouge", METRIC_rougeL }, { "kept", METRIC_share }, { "bytes", METRIC_kv_bytes },
    { "ms", METRIC_compress_us }, { "ms", METRIC_decode_us } };

static bool is_word(const char *word, const char *text, size_t n)
{
    return strlen(word) == n && !strncmp(text, word, n);
}

static enum kv_status add_metrics(struct sweep *w, const char *p, struct kv_error *err)
{
    memset(w->want, 0, sizeof w->want);
    for (size_t n; *p; p += n + (p[n] == ',')) {
        bool known = false;
        n = strcspn(p, ",");
        for (size_t i = 0; i < KV_COUNT(words_of); i++)
            if (is_word(words_of[i].word, p, n)) w->want[words_of[i].metric] = known = true;
        for (int m = 0; m < METRIC_COUNT; m++)
            if (metrics[m].by & METRIC_BY_SWEEP && is_word(metrics[m].name, p, n)) w->want[m] = known = true;
        if (!known)
            return kv_fail(err, KV_BAD_ARG, "-metric takes kl, top1, mass, rouge, kept, bytes and ms, not %.*s.",
                (int)kv_min(n, (size_t)40), p);
    }
    return KV_OK;
}

static enum kv_status read_args(struct session *s, const struct line_words *words, struct sweep *w)
{
    const struct {
        const char *name, **to;
    } file[] = { { "-prompts", &w->prompts }, { "-csv", &w->csv }, { "-jsonl", &w->jsonl }, { "-png", &w->png } };
    enum kv_status st = KV_OK;
    w->tokens = regret_steps(s);
    w->want[METRIC_kl] = w->want[METRIC_top1] = w->want[METRIC_mass] = w->want[METRIC_share] =
        w->want[METRIC_kv_bytes] = true;
    for (int i = 0; i < words->count && !st; i++) {
        const char *word = words->word[i], *next = i + 1 < words->count ? words->word[i + 1] : NULL;
        long long n;
        const char **to = NULL;
        for (size_t k = 0; k < KV_COUNT(file); k++)
            if (!strcmp(word, file[k].name)) to = file[k].to;
        if (*word == '-' && !next) return kv_fail(&s->err, KV_BAD_ARG, "%.40s needs a value.", word);
        if (to)
            *to = next, i++;
        else if (!strcmp(word, "-n")) {
            st = line_integer(next, 2, 1 << 20, "a number of tokens", &n, &s->err);
            w->tokens = (int)n;
            i++;
        } else if (!strcmp(word, "-metric"))
            st = add_metrics(w, next, &s->err), i++;
        else if (*word == '-')
            st = kv_fail(&s->err, KV_BAD_ARG,
                "sweep takes NAME=VALUES..., -metric, -n, -prompts, -csv, -jsonl and -png, not %.40s.", word);
        else
            st = add_axis(w, word, &s->err);
    }
    if (!st && !w->n_axis)
        st = kv_fail(&s->err, KV_BAD_ARG, "Argument required (NAME=A,B,... or NAME=LOW:HIGH:STEP).");
    long long count = 1;
    for (int a = 0; a < w->n_axis; a++) count *= w->axis[a].n;
    if (!st && count > SWEEP_CONFIGS)
        st = kv_fail(&s->err, KV_BAD_ARG, "That is %lld combinations; %d are the limit.", count, SWEEP_CONFIGS);
    if (!st && w->png && w->n_axis > 2)
        st = kv_fail(&s->err, KV_BAD_ARG, "A picture shows one setting, or two, not %d.", w->n_axis);
    w->n_config = (int)count;
    return st;
}

/* --- showing -------------------------------------------------------------------------------------------------------- */

double sweep_mean(const struct sweep *w, int config, enum metric metric)
{
    double sum = 0;
    int n = 0;
    for (int p = 0; p < w->done; p++) {
        double x = w->value[((size_t)p * (size_t)w->n_config + (size_t)config) * METRIC_COUNT + metric];
        if (isnan(x)) continue;
        sum += x;
        n++;
    }
    return n ? sum / n : NAN;
}

static int axis_width(const struct sweep_axis *a)
{
    size_t most = strlen(a->name);
    for (int i = 0; i < a->n; i++) most = kv_max(most, strlen(a->value[i]));
    return (int)most;
}

#define CELL 11 /* columns of a figure with its unit */

static void show_cell(struct session *s, int metric, double x)
{
    char text[32] = "-";
    if (metric == METRIC_kv_bytes && !isnan(x))
        line_bytes(x, text);
    else if (!isnan(x) && strstr(metrics[metric].name, "_us"))
        snprintf(text, sizeof text, "%.0f us", x);
    else if (!isnan(x))
        snprintf(text, sizeof text, metrics[metric].scale == 100 ? "%.2f %%" : "%.4g",
            metrics[metric].scale == 100 ? 100 * x : x);
    fprintf(s->out, "  %*s", CELL, text);
}

static void show(struct session *s, const struct sweep *w)
{
    fprintf(s->out,
        "%d combination%s from one prefill, %d prompt%s, at most %d steps of the full cache's reply (%s)\n",
        w->n_shown, w->n_shown == 1 ? "" : "s", w->done, w->done == 1 ? "" : "s", w->tokens, session_mode(s));
    for (int a = 0; a < w->n_axis; a++)
        fprintf(s->out, "%s%-*s", a ? "  " : "", axis_width(&w->axis[a]), w->axis[a].name);
    for (int m = 0; m < METRIC_COUNT; m++)
        if (w->want[m]) fprintf(s->out, "  %*s", CELL, metrics[m].name);
    fputc('\n', s->out);
    for (int c = 0; c < w->n_shown; c++) {
        rows_new(s);
        for (int a = 0; a < w->n_axis; a++) {
            const char *value = w->axis[a].value[sweep_at(w, c, a)];
            rows_text(s, w->axis[a].name, value);
            fprintf(s->out, "%s%-*s", a ? "  " : "", axis_width(&w->axis[a]), value);
        }
        for (int m = 0; m < METRIC_COUNT; m++) {
            if (!w->want[m]) continue;
            double x = sweep_mean(w, c, (enum metric)m);
            rows_number(s, metrics[m].name, x);
            show_cell(s, m, x);
        }
        fputc('\n', s->out);
    }
    for (int m = 0; m < METRIC_COUNT; m++)
        if (w->want[m]) rows_unit(s, metrics[m].name, metrics[m].unit);
    rows_fact(s, "prompts", w->done);
}

/* --- the command ----------------------------------------------------------------------------------------------------- */

static enum kv_status write_files(struct session *s, const struct sweep *w)
{
    enum kv_status st = w->csv ? sweep_csv(s, w, w->csv) : KV_OK;
    if (!st && w->jsonl) st = sweep_jsonl(s, w, w->jsonl);
    if (!st && w->png) st = sweep_png(s, w, w->png);
    return st;
}

static void sweep_free(struct sweep *w)
{
    for (int a = 0; a < w->n_axis; a++)
        for (int i = 0; i < w->axis[a].n; i++) free(w->axis[a].value[i]);
    tasks_free(&w->tasks);
    free(w->value);
}

struct reaction cmd_sweep(struct session *s, const char *args)
{
    struct line_words words;
    struct sweep w = { .n_prompt = 1 };
    const struct task_how how = { 0 };
    enum kv_status st = line_split(args, &words, &s->err);
    if (!st) st = read_args(s, &words, &w);
    if (!st && w.prompts) st = tasks_read(&w.tasks, w.prompts, &how, &s->err);
    if (!st && w.prompts) w.n_prompt = (int)w.tasks.count;
    if (!st && !w.n_prompt) st = kv_fail(&s->err, KV_BAD_FILE, "There is no row in %.300s.", w.prompts);
    size_t cells = (size_t)w.n_prompt * (size_t)w.n_config * METRIC_COUNT;
    if (!st && !(w.value = kv_alloc(cells, sizeof *w.value)))
        st = kv_fail(&s->err, KV_NO_MEMORY, "No memory for %zu figures.", cells);
    for (size_t i = 0; w.value && i < cells; i++) w.value[i] = NAN;
    run_end_line(s);
    w.n_shown = w.n_config;
    if (!st) st = sweep_measure(s, &w);
    if (!st || (st == KV_STOPPED && w.done)) {
        struct kv_error err = s->err;
        show(s, &w);
        if (st)
            s->err = err; /* what is done is shown, and no file is written */
        else
            st = write_files(s, &w);
    }
    if (w.prompts)
        st = lab_stopped(s, st, ": %d of %d prompts were measured, and no file was written", w.done, w.n_prompt);
    else
        st = lab_stopped(
            s, st, ": %d of %d combinations were measured, and no file was written", w.n_shown, w.n_config);
    sweep_free(&w);
    return st ? failed(s) : DONE;
}
