/* One given reply under many kept sets: sequences of one batch, each beginning at the first layer that its set
 * changes, with the inputs that the full cache's own reading left there. */
#include "engine/runs.h"
#include "engine/state.h"

#include "engine/judge/kl.h"
#include "engine/run/verdict.h"

#include <stdlib.h>
#include <string.h>

/* One kept set of the call. */
struct member {
    int set;   /* its number in the call */
    int first; /* first layer that does not keep everything; n_layer = none */
};

struct scorer {
    struct kv_engine *e;
    const int32_t *const *kept; /* [n_set][n_layer][heads] */
    const int *n_kept;
    int heads;                  /* 1, or one kept set a KV head */
    int32_t *index;             /* [heads][n] a layer's sets one behind the other */
    struct member *member;      /* [n_set], by first layer */
    int batch;                  /* sequences of one pass */
    int rows;                   /* of one sequence */
    int judged;                 /* first row whose logits predict a reply token that is judged */
    int first_step;             /* the step that this row predicts: 0 behind a question, else 1 */
    struct cache_format format; /* one "layer" a sequence of the batch */
    struct cache prefix, tail;
    int32_t *id, *pos;    /* [batch * rows] */
    float *logits;        /* host [LOGIT_ROWS][n_vocab] */
    struct kl_step *step; /* [n_reply] */
};

void score_forget(struct score_base *b)
{
    free(b->reply);
    free(b->input);
    free(b->logits);
    *b = (struct score_base){ 0 };
}

static size_t hidden(const struct scorer *s) { return (size_t)s->e->model->shape.hidden; }
static size_t vocab(const struct scorer *s) { return (size_t)s->e->model->shape.n_vocab; }

static int by_first(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    return x->first != y->first ? x->first - y->first : x->set - y->set;
}

/* Whether a layer's sets hold the whole prompt. */
static bool whole(const struct scorer *s, size_t cell)
{
    for (int g = 0; g < s->heads; g++)
        if (s->kept[cell * (size_t)s->heads + (size_t)g]) return false;
    return true;
}

/* Room for the whole prompt in every sequence. */
static enum kv_status open_prefix(struct scorer *s, struct kv_error *err)
{
    const struct kv_engine *e = s->e;
    if (s->heads == 1) return cache_alloc(&s->prefix, e->n, err);
    int32_t *n = kv_alloc((size_t)s->heads, sizeof *n);
    s->index = kv_alloc((size_t)s->heads * (size_t)e->n, sizeof *s->index);
    enum kv_status status =
        n && s->index ? KV_OK : kv_fail(err, KV_NO_MEMORY, "No memory for the sets of %d KV heads.", s->heads);
    for (int g = 0; g < s->heads && n; g++) n[g] = e->n;
    for (int i = 0; i < s->batch && !status; i++) status = cache_alloc_heads(&s->prefix, i, n, err);
    free(n);
    return status;
}

static enum kv_status open_scorer(
    struct scorer *s, const int32_t *reply, int n_reply, int n_set, struct kv_error *err)
{
    struct kv_engine *e = s->e;
    int n_layer = e->model->shape.n_layer;
    s->rows = e->n_question + n_reply - 1;
    s->first_step = e->n_question ? 0 : 1;
    s->judged = e->n_question ? e->n_question - 1 : 0;
    enum kv_status status = machine_reserve(&e->machine, s->rows, e->n + s->rows + 1, err);
    if (status) return status;
    s->batch = e->machine.rows / s->rows;
    if (s->batch > PASS_SEQS) s->batch = PASS_SEQS;
    if (s->batch > n_set) s->batch = n_set;
    size_t cells = (size_t)s->batch * (size_t)s->rows;
    s->member = kv_alloc((size_t)n_set, sizeof *s->member);
    s->id = kv_alloc(cells, sizeof *s->id);
    s->pos = kv_alloc(cells, sizeof *s->pos);
    s->logits = kv_alloc(LOGIT_ROWS * vocab(s), sizeof *s->logits);
    s->step = kv_alloc((size_t)n_reply, sizeof *s->step);
    if (!s->member || !s->id || !s->pos || !s->logits || !s->step)
        return kv_fail(err, KV_NO_MEMORY, "No memory to score %d kept sets.", n_set);
    for (int i = 0; i < n_set; i++) {
        int l = 0;
        while (l < n_layer && whole(s, (size_t)i * (size_t)n_layer + (size_t)l)) l++;
        s->member[i] = (struct member){ i, l };
    }
    qsort(s->member, (size_t)n_set, sizeof *s->member, by_first);
    for (int i = 0; i < s->batch; i++) {
        memcpy(s->id + i * s->rows, e->question, (size_t)e->n_question * sizeof *s->id);
        memcpy(s->id + i * s->rows + e->n_question, reply, (size_t)(n_reply - 1) * sizeof *s->id);
        for (int j = 0; j < s->rows; j++) s->pos[i * s->rows + j] = e->n + j;
    }
    s->format = e->format;
    s->format.n_layer = s->batch;
    status = cache_init(&s->prefix, &s->format, err);
    if (!status) status = open_prefix(s, err);
    if (!status) status = cache_init(&s->tail, &s->format, err);
    if (!status) status = cache_alloc(&s->tail, s->rows, err);
    return status;
}

static void close_scorer(struct scorer *s)
{
    cache_free(&s->prefix);
    cache_free(&s->tail);
    free(s->member);
    free(s->id);
    free(s->pos);
    free(s->logits);
    free(s->step);
    free(s->index);
}

static struct pass begin_batch(struct scorer *s)
{
    struct pass p = { .m = &s->e->machine, .ids = s->id, .pos = s->pos };
    for (int i = 0; i < s->batch; i++) p.seq[i] = (struct pass_seq){ .tail = &s->tail.span[i], .n = s->rows };
    return p;
}

/* Logits of judged rows of sequence i, LOGIT_ROWS at a time, through take(). */
static enum kv_status each_logits(struct scorer *s, struct pass *p, int i,
    void (*take)(struct scorer *s, int row, const float *logits), struct kv_error *err)
{
    const struct machine *m = p->m;
    enum kv_status status = KV_OK;
    for (int row = s->judged; row < s->rows && !status; row += LOGIT_ROWS) {
        int n = s->rows - row < LOGIT_ROWS ? s->rows - row : LOGIT_ROWS;
        status = pass_head(p, i * s->rows + row, n, 0, err);
        if (!status) status = m->be->read(m->ctx, s->logits, m->logits, (size_t)n * vocab(s) * sizeof(float), err);
        for (int j = 0; j < n && !status; j++) take(s, row - s->judged + j, s->logits + (size_t)j * vocab(s));
    }
    return status;
}

static void keep_logits(struct scorer *s, int row, const float *logits)
{
    memcpy(s->e->base.logits + (size_t)row * vocab(s), logits, vocab(s) * sizeof(float));
}

static void judge_logits(struct scorer *s, int row, const float *logits)
{
    kl_compare(s->e->base.logits + (size_t)row * vocab(s), logits, (int)vocab(s), &s->step[s->first_step + row]);
}

/* Reads the reply over the full cache once, keeping the inputs of every layer and the logits. */
static enum kv_status make_base(struct scorer *s, const int32_t *reply, int n_reply, struct kv_error *err)
{
    struct kv_engine *e = s->e;
    struct score_base *b = &e->base;
    size_t layers = (size_t)e->model->shape.n_layer, cells = (size_t)s->rows * hidden(s);
    if (b->n_reply == n_reply && b->rows == s->rows && !memcmp(b->reply, reply, (size_t)n_reply * sizeof *reply))
        return KV_OK;
    score_forget(b);
    b->reply = kv_alloc((size_t)n_reply, sizeof *b->reply);
    b->input = kv_alloc(layers * cells, sizeof *b->input);
    b->logits = kv_alloc((size_t)(s->rows - s->judged) * vocab(s), sizeof *b->logits);
    b->bytes = (layers * cells + (size_t)(s->rows - s->judged) * vocab(s)) * sizeof(float);
    enum kv_status status = KV_OK;
    if (!b->reply || !b->input || !b->logits)
        status = kv_fail(err, KV_NO_MEMORY, "No memory for the reading of a reply of %d tokens.", n_reply);
    struct pass p = begin_batch(s);
    p.n_seq = 1;
    p.n = s->rows;
    if (!status) status = pass_stage(&p, KV_STAGE_embed, -1, err);
    for (int l = 0; l < (int)layers && !status; l++) {
        status = p.m->be->read(p.m->ctx, b->input + (size_t)l * cells, p.m->x, cells * sizeof(float), err);
        p.seq[0].prefix = &e->resident.span[l];
        if (!status) status = cache_truncate(&s->tail, 0, 0, err);
        if (!status) status = pass_layers(&p, l, l + 1, err);
    }
    if (!status) status = each_logits(s, &p, 0, keep_logits, err);
    if (status) {
        score_forget(b);
        return status;
    }
    memcpy(b->reply, reply, (size_t)n_reply * sizeof *reply);
    b->n_reply = n_reply;
    b->rows = s->rows;
    return KV_OK;
}

/* Every head's own tokens of a layer. */
static enum kv_status gather_heads(
    struct scorer *s, const struct kv_seq *from, size_t cell, int i, struct kv_error *err)
{
    const struct cache_format *f = &s->e->format;
    size_t n = (size_t)s->e->n;
    int32_t *count = kv_alloc((size_t)s->heads, sizeof *count);
    if (!count) return kv_fail(err, KV_NO_MEMORY, "No memory for the sets of %d KV heads.", s->heads);
    for (size_t g = 0; g < (size_t)s->heads; g++) {
        const int32_t *kept = s->kept[cell * (size_t)s->heads + g];
        count[g] = kept ? s->n_kept[cell * (size_t)s->heads + g] : s->e->n;
        for (int k = 0; k < count[g]; k++) s->index[g * n + (size_t)k] = kept ? kept[k] : k;
    }
    enum kv_status status = f->be->gather_heads(
        f->ctx, from, f->type, f->n_kv_head, f->head_dim, s->index, n, count, &s->prefix.span[i], err);
    free(count);
    return status;
}

/* What sequence i reads in layer l: the resident cache, or its sets' tokens gathered from it. */
static enum kv_status bind_layer(struct scorer *s, struct pass *p, int i, int set, int l, struct kv_error *err)
{
    struct kv_engine *e = s->e;
    const struct cache_format *f = &e->format;
    size_t cell = (size_t)set * (size_t)f->n_layer + (size_t)l;
    enum kv_status status = cache_truncate(&s->tail, i, 0, err);
    p->seq[i].prefix = &e->resident.span[l];
    if (status || whole(s, cell)) return status;
    p->seq[i].prefix = &s->prefix.span[i];
    const struct kv_seq from = { .prefix = e->resident.span[l] };
    status = cache_truncate(&s->prefix, i, 0, err);
    if (status || s->heads > 1) return status ? status : gather_heads(s, &from, cell, i, err);
    return f->be->gather(
        f->ctx, &from, f->type, f->n_kv_head, f->head_dim, s->kept[cell], s->n_kept[cell], &s->prefix.span[i], err);
}

/* Members [0, n) in one batch; they are sorted by first layer, so those under way are always the first of it. */
static enum kv_status run_batch(
    struct scorer *s, const struct member *member, int n, struct pass *p, struct kv_error *err)
{
    const struct machine *m = p->m;
    int n_layer = m->shape->n_layer;
    size_t cells = (size_t)s->rows * hidden(s);
    enum kv_status status = KV_OK;
    p->n_seq = p->n = 0;
    for (int l = member[0].first; l < n_layer && !status; l++) {
        for (; p->n_seq < n && member[p->n_seq].first == l && !status; p->n_seq++)
            status = m->be->write(m->ctx, m->x + (size_t)p->n_seq * cells, s->e->base.input + (size_t)l * cells,
                cells * sizeof(float), err);
        p->n = p->n_seq * s->rows;
        for (int i = 0; i < p->n_seq && !status; i++) status = bind_layer(s, p, i, member[i].set, l, err);
        if (!status) status = pass_layers(p, l, l + 1, err);
    }
    return status;
}

static enum kv_status check_score(const struct kv_engine *e, int n_reply, int n_set, int heads,
    const int32_t *const *kept, const int *n_kept, struct kv_error *err)
{
    enum kv_status status = engine_need_prefill(e, err);
    if (status) return status;
    int n_layer = e->model->shape.n_layer, least = e->n_question ? 1 : 2;
    if (e->in_place)
        return kv_fail(err, KV_NOT_NOW,
            "The full cache is gone, for it was compacted in place: set engine.snapshot on, then run again.");
    if (n_reply < least || n_reply > e->model->shape.n_context - e->n_all)
        return kv_fail(err, KV_BAD_ARG,
            "A reply of %d tokens cannot be scored; the context leaves room for %d to %d.", n_reply, least,
            e->model->shape.n_context - e->n_all);
    if (n_set < 1) return kv_fail(err, KV_BAD_ARG, "There is no kept set to score.");
    if (heads != 1 && heads != e->model->shape.n_kv_head)
        return kv_fail(err, KV_BAD_ARG, "Kept sets are of all heads or of %d KV heads, not of %d.",
            e->model->shape.n_kv_head, heads);
    n_layer *= heads;
    for (size_t i = 0; i < (size_t)n_set * (size_t)n_layer; i++)
        for (int j = 0; kept[i] && j < n_kept[i]; j++)
            if (n_kept[i] > e->n || kept[i][j] < (j ? kept[i][j - 1] + 1 : 0) || kept[i][j] >= e->n)
                return kv_fail(err, KV_BAD_ARG, "Kept set %zu of layer %zu is not ascending positions below %d.",
                    i / (size_t)n_layer, i % (size_t)n_layer / (size_t)heads, e->n);
    return KV_OK;
}

static enum kv_status score_sets(
    struct scorer *s, int n_reply, int n_set, float *kl, struct kv_verdict *verdict, struct kv_error *err)
{
    struct kv_engine *e = s->e;
    enum kv_status status = KV_OK;
    for (int at = 0; at < n_set && !status; at += s->batch) {
        int n = n_set - at < s->batch ? n_set - at : s->batch;
        struct pass p = begin_batch(s);
        if (engine_stopped(e)) return kv_fail(err, KV_STOPPED, "Stopped on request.");
        status = run_batch(s, s->member + at, n, &p, err);
        for (int i = 0; i < n && !status; i++) {
            const struct member *member = &s->member[at + i];
            if (member->first == e->model->shape.n_layer)
                for (int row = 0; row < s->rows - s->judged; row++)
                    judge_logits(s, row, e->base.logits + (size_t)row * vocab(s));
            else
                status = each_logits(s, &p, i, judge_logits, err);
            if (!status) status = verdict_of(s->step, n_reply, s->first_step, &verdict[member->set], err);
            for (int t = 0; t < n_reply && kl && !status; t++)
                kl[(size_t)member->set * (size_t)n_reply + (size_t)t] =
                    t < s->first_step ? 0 : (float)s->step[t].kl;
        }
        engine_progress(e, "score", at + n, n_set);
    }
    return status;
}

enum kv_status kv_score(struct kv_engine *e, const int32_t *reply, int n_reply, int n_set,
    const int32_t *const *kept, const int *n_kept, float *kl, struct kv_verdict *verdict, struct kv_error *err)
{
    return kv_score_heads(e, reply, n_reply, n_set, 1, kept, n_kept, kl, verdict, err);
}

enum kv_status kv_score_heads(struct kv_engine *e, const int32_t *reply, int n_reply, int n_set, int heads,
    const int32_t *const *kept, const int *n_kept, float *kl, struct kv_verdict *verdict, struct kv_error *err)
{
    if (engine_need_live(e, err)) return err->code;
    enum kv_status status = check_score(e, n_reply, n_set, heads, kept, n_kept, err);
    if (status) return status;
    struct scorer s = { .e = e, .kept = kept, .n_kept = n_kept, .heads = heads };
    struct parked parked = { 0 };
    status = engine_park(e, &parked, err);
    if (!status) status = open_scorer(&s, reply, n_reply, n_set, err);
    if (!status) status = make_base(&s, reply, n_reply, err);
    if (!status) status = score_sets(&s, n_reply, n_set, kl, verdict, err);
    status = engine_unpark(e, &parked, status, err);
    close_scorer(&s);
    return status;
}
