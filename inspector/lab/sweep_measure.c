/* The figures of a sweep: per prompt one prefill and one reading of the full cache's reply; per combination a fork that is
 * compressed, and decoded only where its text or its time is asked for; all kept sets are scored together. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/rouge.h"
#include "engine/regret.h"
#include "engine/runs.h"
#include "inspector/policy/beside.h"
#include "inspector/lab/regret.h"
#include "inspector/lab/stopped.h"
#include "inspector/lab/sweep.h"
#include "inspector/progress.h"
#include "inspector/run.h"

/* One prompt under measure. */
struct measurer {
    struct session *s;
    const struct sweep *w;
    struct kv_engine *e;
    const struct task *task; /* NULL: the session's request */
    const int32_t *reply;    /* the full cache's, lent */
    int n_reply, n_layer, n;
    int heads; /* 1, or rows of a layer, where a combination keeps other tokens in each KV head */
    char *full_text;
    int32_t *room;        /* [n_config][n_layer][heads][n] kept positions */
    const int32_t **kept; /* [n_config][n_layer][heads] as kv_score_heads takes them */
    int *n_kept;
    double *value; /* [n_config][METRIC_COUNT] */
    int measured;  /* combinations, from the first on */
};

static double *figures(const struct measurer *m, int config) { return m->value + (size_t)config * METRIC_COUNT; }

static enum kv_status step_to(struct measurer *m, enum kv_phase phase, int tokens)
{
    struct kv_where at;
    struct kv_array reply;
    enum kv_status st = KV_OK;
    for (kv_where(m->e, &at); at.phase < phase && !st; kv_where(m->e, &at)) {
        if (at.phase == KV_PHASE_decode && !kv_value(m->e, "reply", &reply, &m->s->err) &&
            (int)reply.dim[0] >= tokens)
            break;
        st = kv_step(m->e, KV_UNIT_PASS, &m->s->err);
        if (st == KV_STOPPED && !session_interrupted()) st = KV_OK; /* meant for a command before */
    }
    return st;
}

/* Positions that the selected run keeps, as rows of the scorer. */
static enum kv_status take_kept(struct measurer *m, int config)
{
    struct kv_array kept;
    char every[32] = "0", positions[32] = "";
    enum kv_status st = kv_get(m->e, "policy.every", every, sizeof every, &m->s->err);
    if (!st) st = kv_get(m->e, "policy.positions", positions, sizeof positions, &m->s->err);
    if (!st && strcmp(positions, "keep"))
        st = kv_fail(&m->s->err, KV_UNSUPPORTED,
            "sweep scores keys at their true positions: set policy.positions keep, or use whatif.");
    if (!st && strcmp(every, "0"))
        st = kv_fail(&m->s->err, KV_UNSUPPORTED,
            "sweep scores sets that are kept to the reply's end, and policy.every is %s: set it to 0, or use "
            "whatif.",
            every);
    if (!st) st = kv_value(m->e, "kept", &kept, &m->s->err);
    if (st) return st;
    const uint8_t *in = kept.data;
    size_t n = (size_t)m->n, rows = (size_t)m->n_layer * (size_t)m->heads;
    double sum = 0;
    for (size_t row = 0; row < rows; row++) {
        size_t cell = (size_t)config * rows + row, from = kept.n_dim == 3 ? row : row / (size_t)m->heads;
        int32_t *to = m->room + cell * n;
        int count = 0;
        for (size_t j = 0; j < n; j++)
            if (in[from * n + j]) to[count++] = (int32_t)j;
        m->kept[cell] = count == m->n ? NULL : to;
        m->n_kept[cell] = count;
        sum += count;
    }
    figures(m, config)[METRIC_share] = sum / ((double)rows * m->n);
    return KV_OK;
}

static enum kv_status take_mass(struct measurer *m, int config)
{
    double *share = regret_retained(m->s, m->e), sum = 0;
    if (!share) return m->s->err.code;
    for (int l = 0; l < m->n_layer; l++) sum += share[l];
    figures(m, config)[METRIC_mass] = sum / m->n_layer;
    free(share);
    return KV_OK;
}

/* Its own reply, alone, as a request decodes it. */
static enum kv_status take_text(struct measurer *m, int config)
{
    struct kv_time time;
    struct kv_array reply;
    struct rouge_score score[ROUGE_KINDS];
    struct rouge_text target[16] = { { m->full_text, strlen(m->full_text) } };
    int n = 1;
    enum kv_status st = step_to(m, KV_PHASE_done, m->w->tokens);
    if (!st) st = kv_value(m->e, "reply", &reply, &m->s->err);
    char *text = st ? NULL : kv_tokens_text(m->e, reply.data, (int)reply.dim[0]);
    if (!st && !text) st = kv_fail(&m->s->err, KV_NO_MEMORY, "No memory for a reply.");
    for (int i = 0; m->task && i < m->task->reference.n && i < (int)KV_COUNT(target); i++, n = i)
        target[i] = (struct rouge_text){ m->task->reference.text[i], strlen(m->task->reference.text[i]) };
    const struct rouge_text said = { text, text ? strlen(text) : 0 };
    if (!st) st = rouge(target, n, &said, false, score, &m->s->err);
    if (!st) figures(m, config)[METRIC_rougeL] = score[ROUGE_L].f;
    kv_time(m->e, KV_PHASE_decode, &time);
    if (time.tokens) figures(m, config)[METRIC_decode_us] = time.us / time.tokens;
    free(text);
    return st;
}

static enum kv_status measure_fork(struct measurer *m, int config)
{
    const struct sweep *w = m->w;
    const char *name[SWEEP_AXES], *value[SWEEP_AXES];
    struct kv_run_facts facts;
    struct kv_time time;
    for (int a = 0; a < w->n_axis; a++)
        name[a] = w->axis[a].name, value[a] = w->axis[a].value[sweep_at(w, config, a)];
    enum kv_status st = kv_set(m->e, name, value, w->n_axis, &m->s->err);
    if (!st) st = kv_recompress(m->e, &m->s->err);
    if (!st) st = step_to(m, KV_PHASE_ask, 0);
    if (!st) st = take_kept(m, config);
    if (!st && w->want[METRIC_mass]) st = take_mass(m, config);
    if (!st) st = kv_run_look(m->e, kv_run_selected(m->e), &facts, &m->s->err);
    if (st) return st;
    figures(m, config)[METRIC_kv_bytes] = (double)facts.active;
    kv_time(m->e, KV_PHASE_compress, &time);
    figures(m, config)[METRIC_compress_us] = time.us;
    return w->want[METRIC_rougeL] || w->want[METRIC_decode_us] ? take_text(m, config) : KV_OK;
}

static enum kv_status measure_config(struct measurer *m, int config)
{
    int base = kv_run_selected(m->e), fork;
    enum kv_status st = kv_run_fork(m->e, &fork, &m->s->err);
    if (st) return st;
    st = measure_fork(m, config);
    struct kv_error err = m->s->err;
    enum kv_status back = kv_run_select(m->e, base, &m->s->err);
    if (!back) back = kv_run_drop(m->e, fork, &m->s->err);
    if (!back) m->s->err = err;
    return st ? st : back;
}

/* The first n combinations. */
static enum kv_status score(struct measurer *m, int n)
{
    struct kv_verdict *verdict = kv_alloc((size_t)n, sizeof *verdict);
    if (!verdict) return kv_fail(&m->s->err, KV_NO_MEMORY, "No memory for %d verdicts.", n);
    enum kv_status st =
        kv_score_heads(m->e, m->reply, m->n_reply, n, m->heads, m->kept, m->n_kept, NULL, verdict, &m->s->err);
    for (int c = 0; c < n && !st; c++) {
        figures(m, c)[METRIC_kl] = verdict[c].kl_mean;
        figures(m, c)[METRIC_top1] = verdict[c].top1;
    }
    free(verdict);
    return st;
}

/* Rows of a layer: as many as there are KV heads, where one of the combinations lets them keep their own. */
static enum kv_status find_heads(struct measurer *m)
{
    char group[32] = "";
    enum kv_status st = kv_get(m->e, "policy.group", group, sizeof group, &m->s->err);
    bool own = !strcmp(group, "kv-head");
    for (int a = 0; a < m->w->n_axis; a++)
        own = own || !strcmp(m->w->axis[a].name, "policy.group") || !strcmp(m->w->axis[a].name, "policy.preset");
    m->heads = own ? m->s->facts.n_kv_head : 1;
    return st;
}

static enum kv_status open_prompt(struct measurer *m)
{
    struct kv_array tok;
    enum kv_status st = kv_full_reply(m->e, m->w->tokens, &m->reply, &m->n_reply, &m->s->err);
    if (!st) st = kv_value(m->e, "tok", &tok, &m->s->err);
    if (!st) st = find_heads(m);
    if (!st && m->w->want[METRIC_mass]) st = kv_mass(m->e, m->reply, m->n_reply, &m->s->err);
    if (st) return st;
    m->n = (int)tok.dim[0];
    m->n_layer = m->s->facts.n_layer;
    size_t cells = (size_t)m->w->n_config * (size_t)m->n_layer * (size_t)m->heads;
    m->room = kv_alloc(cells * (size_t)m->n, sizeof *m->room);
    m->kept = kv_alloc(cells, sizeof *m->kept);
    m->n_kept = kv_alloc(cells, sizeof *m->n_kept);
    m->full_text = kv_tokens_text(m->e, m->reply, m->n_reply);
    if (m->room && m->kept && m->n_kept && m->full_text) return KV_OK;
    return kv_fail(&m->s->err, KV_NO_MEMORY, "No memory for the kept sets of %d combinations.", m->w->n_config);
}

static enum kv_status measure_prompt(struct measurer *m)
{
    enum kv_status st = open_prompt(m);
    for (int c = 0; c < m->w->n_config && !st; c++) {
        progress_show(m->s, "sweep", c, m->w->n_config);
        st = lab_heard(m->s, measure_config(m, c));
        m->measured += !st;
    }
    struct kv_error why = m->s->err;
    bool part = st == KV_STOPPED && m->measured > 0; /* what is there is worth its score */
    if ((!st || part) && (m->w->want[METRIC_kl] || m->w->want[METRIC_top1])) {
        enum kv_status scored = score(m, m->measured);
        if (scored) m->measured = 0, st = scored;
    }
    if (part && m->measured) m->s->err = why;
    free(m->room);
    free((void *)m->kept);
    free(m->n_kept);
    free(m->full_text);
    return st;
}

/* The rows of a file, each read by a second engine. */
static enum kv_status measure_tasks(struct session *s, struct sweep *w)
{
    const struct task_how how = { 0 };
    struct kv_engine *e = NULL;
    static const char *const rooms[] = { "policy.", "decode.", "judge." };
    enum kv_status st = beside_open(s, &e);
    for (size_t i = 0; i < KV_COUNT(rooms) && !st; i++) st = beside_settings(s, e, rooms[i]);
    if (!st) kv_on_progress(e, progress_show, s);
    struct kv_engine *before = session_interrupts(e);
    for (int p = 0; p < w->n_prompt && !st; p++) {
        char title[96];
        struct measurer m = { .s = s, .w = w, .e = e, .task = &w->tasks.task[p] };
        m.value = w->value + (size_t)p * (size_t)w->n_config * METRIC_COUNT;
        snprintf(title, sizeof title, "row %d of %d", p + 1, w->n_prompt);
        progress_title(title, false);
        st = task_prompt(s, e, m.task, &how);
        if (!st) st = kv_start(e, &s->err);
        if (!st) st = step_to(&m, KV_PHASE_compress, 0);
        if (!st) st = measure_prompt(&m);
        if (!st) w->done++;
    }
    progress_title("", false);
    session_interrupts(before);
    kv_engine_close(e);
    return st;
}

enum kv_status sweep_measure(struct session *s, struct sweep *w)
{
    enum kv_status st;
    if (w->prompts)
        st = measure_tasks(s, w);
    else {
        struct measurer m = { .s = s, .w = w, .e = s->engine, .value = w->value };
        struct kv_where at;
        kv_where(s->engine, &at);
        st = kv_started(s->engine) && at.phase > KV_PHASE_prefill
                 ? measure_prompt(&m)
                 : kv_fail(&s->err, KV_NOT_NOW,
                       "There is no finished prefill to sweep from: run first, or -prompts FILE.");
        w->n_shown = m.measured;
        w->done = m.measured > 0;
    }
    progress_clear();
    return st;
}
