/* Reads of keys, from the probabilities of the pass that is under way. */
#include "inspector/stop/reads.h"

#include <stdlib.h>
#include <string.h>

#include "engine/reads.h"
#include "inspector/language/line.h"
#include "inspector/tokens.h"

#define TOLD 6 /* reads that are told at one stop */

/* Both ends count. */
struct span {
    int first, last;
};

struct reads {
    char *text;  /* as typed */
    char *which; /* the tokens, as tokens_read takes them; NULL = numbers in list */
    struct span layer, head;
    int32_t *list; /* [n] positions */
    int n;
    double floor; /* < 0: that of the session */
};

/* --- what is meant ---------------------------------------------------------------------------------------------------- */

static enum kv_status not_a_key(struct session *s)
{
    return kv_fail(&s->err, KV_BAD_ARG,
        "Expression cannot be implemented with read/access watchpoint: name keys, as \"text\", @POS or "
        "attn[L][H][*][J].");
}

static enum kv_status find_tokens(struct session *s, struct reads *r)
{
    int places;
    if (!r->which) return KV_OK;
    free(r->list);
    r->list = NULL;
    r->n = 0;
    return tokens_read(s, r->which, &r->list, &r->n, &places);
}

static enum kv_status one_number(struct session *s, const struct expr *e, int node, int size, int *out)
{
    struct value v;
    struct expr part = *e;
    if (e->node[node].kind == EXPR_LAST) return *out = size - 1, KV_OK;
    part.root = node;
    enum kv_status st = expr_eval(s, &part, &v, &s->err);
    double number = !st && v.kind == VALUE_NUMBER && !v.n_dim ? v.number[0] : -1e9;
    value_free(&v);
    if (st) return st;
    if (number < 0) number += size;
    if (!(number >= 0 && number < size) || number != (int)number)
        return kv_fail(&s->err, KV_BAD_ARG, "An index must be a whole number in 0..%d.", size - 1);
    *out = (int)number;
    return KV_OK;
}

static enum kv_status read_span(
    struct session *s, const struct expr *e, int node, int size, int focus, struct span *out)
{
    const struct expr_node *n = &e->node[node];
    *out = (struct span){ 0, size - 1 };
    if (n->kind == EXPR_ALL) return KV_OK;
    if (n->kind == EXPR_FOCUS) return out->first = out->last = focus, KV_OK;
    if (n->kind != EXPR_RANGE) {
        enum kv_status st = one_number(s, e, node, size, &out->first);
        out->last = out->first;
        return st;
    }
    enum kv_status st = one_number(s, e, n->left, size, &out->first);
    if (!st) st = one_number(s, e, n->right, size, &out->last);
    if (!st && out->last < out->first)
        st = kv_fail(&s->err, KV_BAD_ARG, "The range %d..%d runs backwards.", out->first, out->last);
    return st;
}

static enum kv_status list_span(struct session *s, struct reads *r, struct span at)
{
    r->n = at.last - at.first + 1;
    r->list = kv_alloc((size_t)r->n, sizeof *r->list);
    if (!r->list) return kv_fail(&s->err, KV_NO_MEMORY, "No memory for %d positions.", r->n);
    for (int i = 0; i < r->n; i++) r->list[i] = at.first + i;
    return KV_OK;
}

/* attn[L][H][*][J], kv[L][H][J] */
static enum kv_status read_indices(
    struct session *s, const struct expr *e, const struct expr_node *n, struct reads *r)
{
    const char *name = n->kind == EXPR_INDEX ? e->pool + e->node[n->left].text : "";
    bool named = n->kind == EXPR_INDEX && e->node[n->left].kind == EXPR_NAME;
    int part[4], count = 0, want = named && !strcmp(name, "attn") ? 4 : named && !strcmp(name, "kv") ? 3 : 0;
    for (int at = want ? n->first : -1; at >= 0; at = e->node[at].next)
        if (count++ < 4) part[count - 1] = at;
    if (!want || count != want) return not_a_key(s);
    if (want == 4 && e->node[part[2]].kind != EXPR_ALL)
        return kv_fail(&s->err, KV_BAD_ARG, "Reads by every row are watched: write attn[L][H][*][J].");
    const struct expr_node *key = &e->node[part[want - 1]];
    enum kv_status st = read_span(s, e, part[0], s->facts.n_layer, s->layer, &r->layer);
    if (!st) st = read_span(s, e, part[1], s->facts.n_head, s->head, &r->head);
    if (st) return st;
    if (key->kind == EXPR_TEXT) {
        char quoted[EXPR_POOL + 8];
        r->which = kv_strdup(line_quote(e->pool + key->text, strlen(e->pool + key->text), quoted, sizeof quoted));
        return r->which ? find_tokens(s, r) : kv_fail(&s->err, KV_NO_MEMORY, "No memory for a text.");
    }
    struct span at;
    st = read_span(s, e, part[want - 1], s->facts.n_context, s->token, &at);
    return st ? st : list_span(s, r, at);
}

static enum kv_status read_floor(struct session *s, const char *text, double *out)
{
    struct value v;
    enum kv_status st = expr_text(s, text, &v, &s->err);
    if (!st && (v.kind != VALUE_NUMBER || v.n_dim || !(v.number[0] >= 0 && v.number[0] < 1)))
        st = kv_fail(&s->err, KV_BAD_ARG, "A floor must be a number in [0, 1), not %.60s.", text);
    if (!st) *out = v.number[0];
    value_free(&v);
    return st;
}

/* The > that is in no string; NULL = none. */
static const char *find_floor(const char *text)
{
    bool quoted = false;
    for (const char *p = text; *p; p++) {
        if (*p == '\\' && p[1])
            p++;
        else if (*p == '"')
            quoted = !quoted;
        else if (*p == '>' && !quoted)
            return p;
    }
    return NULL;
}

static enum kv_status read_target(struct session *s, const char *target, struct reads *r)
{
    r->layer = (struct span){ 0, s->facts.n_layer - 1 };
    r->head = (struct span){ 0, s->facts.n_head - 1 };
    if (!*target) return kv_fail(&s->err, KV_BAD_ARG, "Argument required (expression to compute).");
    if (strchr("@\"0123456789", *target)) {
        r->which = kv_strdup(target);
        return r->which ? find_tokens(s, r) : kv_fail(&s->err, KV_NO_MEMORY, "No memory for a watchpoint.");
    }
    struct expr *e = kv_alloc(1, sizeof *e);
    if (!e) return kv_fail(&s->err, KV_NO_MEMORY, "No memory for a watchpoint.");
    enum kv_status st = expr_parse_all(target, e, &s->err);
    if (!st) st = read_indices(s, e, &e->node[e->root], r);
    free(e);
    return st;
}

enum kv_status reads_open(struct session *s, const char *text, struct reads **out)
{
    struct reads *r = kv_alloc(1, sizeof *r);
    const char *floor = find_floor(text);
    size_t length = floor ? (size_t)(floor - text) : strlen(text);
    while (length && strchr(" \t", text[length - 1])) length--;
    char *target = strndup(text, length);
    *out = NULL;
    if (!r || !target || !(r->text = kv_strdup(text))) {
        free(target);
        reads_free(r);
        return kv_fail(&s->err, KV_NO_MEMORY, "No memory for a watchpoint.");
    }
    r->floor = -1;
    enum kv_status st = read_target(s, target, r);
    if (!st && floor) st = read_floor(s, floor + 1 + strspn(floor + 1, " \t"), &r->floor);
    free(target);
    if (!st) {
        *out = r;
        return KV_OK;
    }
    reads_free(r);
    return st;
}

void reads_free(struct reads *r)
{
    if (!r) return;
    free(r->text);
    free(r->which);
    free(r->list);
    free(r);
}

const char *reads_text(const struct reads *r) { return r->text; }

void reads_kept(const struct reads *r, char *text, size_t size)
{
    const char *which = r->which && *r->which == '@' ? r->which + 1 : r->which;
    if (which)
        snprintf(text, size, "kept[%d..%d][%s]", r->layer.first, r->layer.last, which);
    else
        snprintf(text, size, "kept[%d..%d][%d..%d]", r->layer.first, r->layer.last, r->list[0], r->list[r->n - 1]);
}

void reads_reset(struct session *s, struct reads *r)
{
    struct kv_error keep = s->err;
    find_tokens(s, r);
    s->err = keep;
}

/* --- what was read ---------------------------------------------------------------------------------------------------- */

bool reads_near(const struct reads *r, const struct kv_where *now)
{
    return now->stage == KV_STAGE_observe && now->phase != KV_PHASE_done && now->layer >= r->layer.first &&
           now->layer <= r->layer.last;
}

enum kv_unit reads_unit(const struct kv_where *now)
{
    return now->phase == KV_PHASE_compress ? KV_UNIT_PASS : KV_UNIT_STAGE;
}

/* Of one layer and a range of heads: [heads][positions]. */
struct table {
    float *most;
    int32_t *row;
    int positions, heads, first;
};

static bool open_table(struct session *s, bool full, struct span head, struct table *t, struct kv_error *err)
{
    *t = (struct table){
        .positions = kv_reads_positions(s->engine), .heads = head.last - head.first + 1, .first = head.first
    };
    size_t cells = (size_t)t->positions * (size_t)t->heads;
    if (!cells) return false;
    t->most = kv_alloc(cells, sizeof *t->most);
    t->row = kv_alloc(cells, sizeof *t->row);
    return t->most && t->row && !kv_reads(s->engine, full, t->first, t->heads, t->most, t->row, err);
}

static void close_table(struct table *t)
{
    free(t->most);
    free(t->row);
}

/* One read, worth telling. */
struct hit {
    float most;
    int head, key, row;
};

static int larger(const void *a, const void *b)
{
    const struct hit *x = a, *y = b;
    if (x->most != y->most) return x->most < y->most ? 1 : -1;
    return x->head != y->head ? x->head - y->head : x->key - y->key;
}

/* Positions [n] of each head that are not told of: those of head h are row[h]. */
struct skipped {
    const uint8_t **row;
    int n;
};

/* The reads above the floor of list [n] (NULL = all positions; but not those skipped), the largest first; caller
 * frees. */
static struct hit *find_hits(
    const struct table *t, const int32_t *list, int n, const struct skipped *skip, double floor, int *count)
{
    int cap = 0;
    struct hit *hits = NULL;
    *count = 0;
    for (int h = 0; h < t->heads; h++)
        for (int i = 0; i < n; i++) {
            int j = list ? list[i] : i;
            if (j >= t->positions || (skip && (j >= skip->n || skip->row[h][j]))) continue;
            size_t at = (size_t)h * (size_t)t->positions + (size_t)j;
            if (!(t->most[at] > floor)) continue;
            if (*count == cap) {
                struct hit *more = realloc(hits, (size_t)(cap = cap ? 2 * cap : 16) * sizeof *hits);
                if (!more) return hits;
                hits = more;
            }
            hits[(*count)++] = (struct hit){ t->most[at], t->first + h, j, t->row[at] };
        }
    if (*count) qsort(hits, (size_t)*count, sizeof *hits, larger);
    return hits;
}

/* "@137 " magic"", of prompt, question or reply */
static void tell_token(struct session *s, FILE *f, int position)
{
    static const char *const parts[] = { "tok", "question", "reply" };
    char quoted[64];
    fprintf(f, "@%d", position);
    for (size_t i = 0; i < KV_COUNT(parts); i++) {
        struct kv_array a;
        struct kv_error ignored;
        if (kv_value(s->engine, parts[i], &a, &ignored)) continue;
        if (position < (int)a.dim[0]) {
            fprintf(f, " %s", tokens_quote(s, ((const int32_t *)a.data)[position], quoted, sizeof quoted));
            return;
        }
        position -= (int)a.dim[0];
    }
}

static double floor_of(const struct session *s, const struct reads *r)
{
    return r->floor >= 0 ? r->floor : s->pref.read_floor;
}

bool reads_happened(struct session *s, const struct reads *r, const struct kv_where *now, char **said)
{
    struct table t;
    int count = 0;
    struct hit *hits = NULL;
    struct kv_error ignored;
    if (open_table(s, false, r->head, &t, &ignored))
        hits = find_hits(&t, r->list, r->n, NULL, floor_of(s, r), &count);
    close_table(&t);
    size_t size;
    FILE *f = said && count ? open_memstream(said, &size) : NULL;
    for (int i = 0; f && i < count && i < TOLD; i++) {
        fprintf(f, "%s%.4g (L%d head %d: ", i ? "        " : "Value = ", (double)hits[i].most, now->layer,
            hits[i].head);
        tell_token(s, f, hits[i].row);
        fprintf(f, " reads ");
        tell_token(s, f, hits[i].key);
        fprintf(f, ")\n");
    }
    if (f && count > TOLD) fprintf(f, "        and %d more\n", count - TOLD);
    if (f) fclose(f);
    free(hits);
    return count;
}

bool reads_missed(struct session *s, const int32_t *list, int n, const struct kv_where *now, FILE *f)
{
    struct table t;
    struct kv_array kept;
    struct kv_error err = { 0 };
    int count = 0;
    struct hit *hits = NULL;
    struct span all = { 0, s->facts.n_head - 1 };
    const uint8_t **rows = kv_alloc((size_t)s->facts.n_head, sizeof *rows);
    if (open_table(s, true, all, &t, &err) && rows && !kv_value(s->engine, "kept", &kept, &err)) {
        size_t width = kept.dim[kept.n_dim - 1], sets = kept.n_dim == 3 ? kept.dim[1] : 1;
        for (int h = 0; h < s->facts.n_head; h++) {
            size_t set = (size_t)now->layer * sets + (sets > 1 ? (size_t)session_kv_head(s, h) : 0);
            rows[h] = (const uint8_t *)kept.data + set * width;
        }
        const struct skipped skip = { rows, (int)width };
        hits = find_hits(&t, list, list ? n : t.positions, &skip, s->pref.read_floor, &count);
    }
    close_table(&t);
    free(rows);
    for (int i = 0; i < count && i < TOLD; i++) {
        if (i)
            fputs(", ", f);
        else
            fprintf(f, "L%d.attend would give ", now->layer);
        fprintf(f, "%.4g under head %d to ", (double)hits[i].most, hits[i].head);
        tell_token(s, f, hits[i].key);
    }
    if (count > TOLD) fprintf(f, " and %d more", count - TOLD);
    if (count) fputs(", evicted here", f);
    if (err.code) fprintf(f, "reads cannot be judged: %s", err.text);
    free(hits);
    return count || err.code;
}

/* --- set kv read-floor ---------------------------------------------------------------------------------------------------- */

struct reaction cmd_set_read_floor(struct session *s, const char *args)
{
    if (!*args) return refuse(s, KV_BAD_ARG, "Argument required (attention that counts as a read, in [0, 1)).");
    return read_floor(s, args, &s->pref.read_floor) ? failed(s) : CHANGED;
}

struct reaction cmd_show_read_floor(struct session *s, const char *args)
{
    (void)args;
    fprintf(s->out, "Attention above %g of a row counts as a read.\n", s->pref.read_floor);
    return DONE;
}
