/* Neighbours in the queue that one kernel does, with the same bits and the same memory left behind.
 *
 *   norm, linear                 the norm comes first in every block of the GEMV; the first one writes what norm would
 *   linear of two, swiglu        a warp has the same rows of both, and joins them
 *   norm or swiglu, halves       what rounds x for tensor cores norms or joins it first, and leaves that too
 *   interleave, norm, rope of queries and of keys, appends     turn.cu; or, with attention of few rows, attend_few.cu
 *   appends of neighbouring rows to several caches             turn.cu
 * all for few rows; what is not recognised stays as it is. A layer of a decoded token is 5 launches so: norm + q, k, v;
 * rope + append + attention; o + residual; norm + gate, up + swiglu; down + residual. */
#include "kernels/cuda/attend_few.h"
#include "kernels/cuda/skinny.h"
#include "kernels/cuda/steps.cuh"
#include "kernels/cuda/turn.h"

#include <string.h>

/* The queue as it is read, and where it is written again: never further than it was read. */
struct tape {
    struct kv_cuda *cu;
    size_t at, out;
};

static const void *peek(const struct tape *t, size_t ahead, const struct kv_cuda_kind *kind)
{
    const struct kv_cuda *cu = t->cu;
    size_t i = t->at + ahead;
    return i < cu->n_op && cu->op[i].kind == kind ? cu->args + cu->op[i].at : NULL;
}

/* Puts an op in place of the next `count`; its args go behind all others. */
static void put(struct tape *t, size_t count, const struct kv_cuda_kind *kind, const void *args, size_t size)
{
    struct kv_cuda *cu = t->cu;
    cu->op[t->out++] = (struct kv_cuda_op){ kind, (uint32_t)cu->args_used, (uint32_t)size };
    memcpy(cu->args + cu->args_used, args, size);
    cu->args_used += (size + 15) & ~(size_t)15;
    t->at += count;
}

static bool apart(const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
    const char *x = (const char *)a, *y = (const char *)b;
    return x + a_bytes <= y || y + b_bytes <= x;
}

/* ---- a norm and the matrices behind it ---- */

static bool takes_norm(const struct kv_gemv *g, const struct kv_norm_args *norm)
{
    size_t bytes = norm->n * (size_t)norm->cols * sizeof(float);
    bool takes = g->x == norm->y && (size_t)g->n == norm->n && g->cols == norm->cols && g->n <= KV_GEMV_ROWS &&
                 g->cols % 8 == 0 && apart(norm->x, bytes, norm->y, bytes);
    for (int k = 0; k < g->n_matrix && takes; k++) {
        size_t y = (size_t)g->n * (size_t)g->m[k].rows * sizeof(float);
        takes = apart(g->m[k].y, y, norm->x, bytes) && apart(g->m[k].y, y, norm->y, bytes);
    }
    return takes;
}

/* Whether op `ahead` is the swiglu of both of g's matrices. */
static bool is_swiglu(const struct tape *t, size_t ahead, const struct kv_gemv *g)
{
    const struct kv_swiglu_args *s = (const struct kv_swiglu_args *)peek(t, ahead, &kv_cuda_swiglu_kind);
    return s && g->n_matrix == 2 && g->m[0].rows == g->m[1].rows && !g->m[0].add && !g->m[1].add &&
           s->gate == g->m[0].y && s->up == g->m[1].y && s->y == g->m[0].y && g->cols % 8 == 0 &&
           s->count == (size_t)g->n * (size_t)g->m[0].rows;
}

/* Matrices of one x may be several ops, one a type; the norm then comes first in each. */
static bool fuse_linear(struct tape *t)
{
    const struct kv_norm_args *norm = (const struct kv_norm_args *)peek(t, 0, &kv_cuda_norm_kind);
    const struct kv_gemv *first = (const struct kv_gemv *)peek(t, norm ? 1 : 0, &kv_cuda_gemv);
    if (!first || (norm && !takes_norm(first, norm))) return false;
    if (!norm && !is_swiglu(t, 1, first)) return false;
    size_t skip = norm ? 1 : 0; /* the norm goes with the first matrices */
    do {
        struct kv_gemv g = *(const struct kv_gemv *)peek(t, skip, &kv_cuda_gemv);
        if (norm) {
            g.x = norm->x;
            g.norm = norm->weight;
            g.eps = norm->eps;
            g.h = skip ? norm->y : NULL;
        }
        g.swiglu = is_swiglu(t, skip + 1, &g);
        put(t, skip + 1 + (g.swiglu ? 1 : 0), &kv_cuda_gemv, &g, sizeof g);
        skip = 0;
        first = (const struct kv_gemv *)peek(t, 0, &kv_cuda_gemv);
    } while (norm && first && takes_norm(first, norm));
    return true;
}

/* A norm or a swiglu whose result is rounded to halves next: one kernel, which leaves that result too. */
static bool fuse_halves(struct tape *t)
{
    const struct kv_norm_args *norm = (const struct kv_norm_args *)peek(t, 0, &kv_cuda_norm_kind);
    const struct kv_swiglu_args *join = (const struct kv_swiglu_args *)peek(t, 0, &kv_cuda_swiglu_kind);
    const struct kv_halves *next = (const struct kv_halves *)peek(t, 1, &kv_cuda_halves);
    const float *x = norm ? norm->x : join ? join->gate : NULL, *y = norm ? norm->y : join ? join->y : NULL;
    if (!next || !x || next->x != y || (uintptr_t)x % 16) return false;
    size_t count = (size_t)next->n * (size_t)next->cols, bytes = count * sizeof(float);
    if (norm ? norm->cols != next->cols || norm->n != (size_t)next->n || !apart(x, bytes, y, bytes)
             : join->count != count || (x != y && !apart(x, bytes, y, bytes)) || !apart(join->up, bytes, y, bytes))
        return false;
    struct kv_halves h = *next;
    h.x = x;
    h.h = (float *)next->x;
    if (norm)
        h.norm = norm->weight, h.eps = norm->eps;
    else
        h.up = join->up;
    put(t, 2, &kv_cuda_halves, &h, sizeof h);
    return true;
}

/* ---- queries and keys ---- */

/* What of one side comes next; op: how many ops ahead it is looked for. The angles of the pass, which the first rope makes,
 * may stand in front of it: angles gets their op. */
static bool take_side(
    const struct tape *t, size_t *op, struct kv_turn *turn, int k, const struct kv_cuda_op **angles)
{
    struct kv_turn_heads *heads = &turn->heads;
    struct kv_turn_side *side = &heads->side[k];
    const struct kv_norm_args *norm = (const struct kv_norm_args *)peek(t, *op, &kv_cuda_norm_kind);
    if (norm) ++*op;
    if (peek(t, *op, &kv_cuda_angles_kind)) *angles = &t->cu->op[t->at + (*op)++];
    const struct kv_rope_args *rope = (const struct kv_rope_args *)peek(t, *op, &kv_cuda_rope_kind);
    if (!rope ||
        (k && (rope->angles != heads->angles || rope->head_dim != heads->head_dim || rope->pairs != heads->pairs ||
                  rope->step != heads->step || rope->other != heads->other)))
        return false;
    ++*op;
    size_t per_row = (size_t)rope->heads * (size_t)rope->pairs;
    if (rope->count % per_row || (k && rope->count / per_row != (size_t)turn->n)) return false;
    turn->n = (int)kv_min(rope->count / per_row, KV_TURN_ROWS + 1);
    heads->angles = rope->angles;
    heads->head_dim = rope->head_dim;
    heads->pairs = rope->pairs;
    heads->step = rope->step;
    heads->other = rope->other;
    side->x = rope->x;
    side->heads = rope->heads;
    if (!norm) return true;
    side->norm = norm->weight;
    side->eps = norm->eps;
    return norm->x == rope->x && norm->y == rope->x && norm->cols == rope->head_dim &&
           norm->n == (size_t)turn->n * (size_t)rope->heads;
}

static bool take_interleave(const struct tape *t, size_t op, const struct kv_turn *turn, int k)
{
    const struct kv_interleave_args *a = (const struct kv_interleave_args *)peek(t, op, &kv_cuda_interleave_kind);
    const struct kv_turn_heads *heads = &turn->heads;
    return a && a->x == heads->side[k].x && a->head_dim == heads->head_dim &&
           a->heads == (size_t)turn->n * (size_t)heads->side[k].heads;
}

/* Whether this append may be done at the same time as those that turn has: none of them moves its lengths. */
static bool goes_along(const struct kv_turn *turn, const struct kv_append_args *a)
{
    bool apart = true;
    for (int s = 0; s < turn->n_append; s++) apart = apart && turn->append[s].to.len != a->to.len;
    return apart;
}

/* The appends that follow, one a sequence, of the turned keys' rows in their order; what does not fit is left. */
static int take_appends(const struct tape *t, size_t *op, struct kv_turn *turn)
{
    const struct kv_append_args *a;
    const struct kv_turn_heads *heads = &turn->heads;
    size_t width = (size_t)heads->side[1].heads * (size_t)heads->head_dim;
    int row = 0;
    for (; (a = (const struct kv_append_args *)peek(t, *op, &kv_cuda_append_kind)); ++*op) {
        if (turn->n_append == KV_TURN_APPENDS || a->head_dim != heads->head_dim ||
            a->n_kv_head != heads->side[1].heads || a->n > turn->n - row || !goes_along(turn, a))
            break;
        if (!turn->n_append) turn->v = a->v, turn->fault = a->fault, turn->type = a->type;
        if (a->k != heads->side[1].x + (size_t)row * width || a->v != turn->v + (size_t)row * width ||
            a->type != turn->type)
            break;
        turn->append[turn->n_append++] = (struct kv_turn_append){ a->to, a->pos, row, a->n };
        row += a->n;
    }
    return row;
}

/* Attention to these rows that waits behind the appends of all of them; in one go with all that. */
static bool take_attention(const struct tape *t, size_t *op, const struct kv_turn *turn, struct kv_few *joined)
{
    const struct kv_turn_side *q = &turn->heads.side[0], *k = &turn->heads.side[1];
    const struct kv_append_args *first = (const struct kv_append_args *)peek(t, *op, &kv_cuda_append_kind);
    size_t n = *op, d = (size_t)turn->heads.head_dim * sizeof(float);
    while (peek(t, n, &kv_cuda_append_kind)) n++;
    const struct kv_few *few = (const struct kv_few *)peek(t, n, &kv_cuda_few);
    if (!first || !few || (size_t)few->appends != n - *op || few->tiles != 1 || few->q != q->x ||
        few->n_head != q->heads || first->k != k->x || few->n_kv_head != k->heads ||
        few->head_dim != turn->heads.head_dim || few->n_row != turn->n)
        return false;
    size_t q_heads = (size_t)turn->n * (size_t)q->heads, k_heads = (size_t)turn->n * (size_t)k->heads;
    const void *out[] = { few->out, few->lse, few->entropy };
    for (size_t i = 0; i < KV_COUNT(out); i++) { /* written while other blocks still read */
        size_t bytes = q_heads * (i ? sizeof(float) : d);
        if (out[i] && (!apart(out[i], bytes, q->x, q_heads * d) || !apart(out[i], bytes, k->x, k_heads * d) ||
                          !apart(out[i], bytes, first->v, k_heads * d)))
            return false;
    }
    *joined = *few;
    joined->joined = 1;
    joined->turn = turn->heads;
    joined->v = first->v;
    joined->fault = first->fault;
    *op = n + 1;
    return true;
}

static bool fuse_turn(struct tape *t)
{
    struct kv_turn turn = {};
    const struct kv_cuda_op *angles = NULL;
    size_t op = 0;
    turn.heads.interleave = peek(t, 0, &kv_cuda_interleave_kind) && peek(t, 1, &kv_cuda_interleave_kind);
    if (turn.heads.interleave) op = 2;
    if (!take_side(t, &op, &turn, 0, &angles) || !take_side(t, &op, &turn, 1, &angles)) return false;
    for (int k = 0; k < 2 && turn.heads.interleave; k++)
        if (!take_interleave(t, (size_t)k, &turn, k)) return false;
    if (turn.n > KV_TURN_ROWS || turn.heads.head_dim > KV_CUDA_MAX_DIM) return false;
    struct kv_few few;
    bool attends = take_attention(t, &op, &turn, &few);
    if (!attends) take_appends(t, &op, &turn);
    turn.ticket = t->cu->ticket + KV_CUDA_TICKETS;
    if (angles) t->cu->op[t->out++] = *angles;
    if (attends)
        put(t, op, &kv_cuda_few, &few, sizeof few);
    else
        put(t, op, &kv_cuda_turn, &turn, sizeof turn);
    return true;
}

/* Appends of keys that something else has turned, or has not. */
static bool fuse_appends(struct tape *t)
{
    const struct kv_append_args *a = (const struct kv_append_args *)peek(t, 0, &kv_cuda_append_kind);
    struct kv_turn turn = {};
    size_t op = 0;
    if (!a || !peek(t, 1, &kv_cuda_append_kind) || a->head_dim > KV_CUDA_MAX_DIM) return false;
    turn.heads.side[1].x = (float *)a->k; /* that heads without pairs are not written */
    turn.heads.side[1].heads = a->n_kv_head;
    turn.heads.head_dim = a->head_dim;
    turn.n = KV_TURN_ROWS;
    turn.n = take_appends(t, &op, &turn);
    if (op < 2) return false;
    turn.ticket = t->cu->ticket + KV_CUDA_TICKETS;
    put(t, op, &kv_cuda_turn, &turn, sizeof turn);
    return true;
}

/* The same work by fewer launches; what the queue held is counted before. */
void kv_cuda_fuse(struct kv_cuda *cu)
{
    struct tape t = { cu, 0, 0 };
    while (t.at < cu->n_op) {
        bool room = cu->args_used + 2 * KV_CUDA_ARGS_MOST <= KV_CUDA_ARGS_BYTES;
        if (room && (fuse_linear(&t) || fuse_halves(&t) || fuse_turn(&t) || fuse_appends(&t))) continue;
        cu->op[t.out++] = cu->op[t.at++];
    }
    cu->n_op = t.out;
}
