/* The online softmax of the tensor-core paths: what the threads of a block share, and the state of the rows that a
 * warp has in the fragments of m16n8: thread lane has pairs lane/4 + 8 r of each 16, r = 0, 1, and of each 8 keys two
 * neighbours, 2 (lane % 4) and the next, at [2 r] and [2 r + 1].
 *
 * Logits s are q k as the products give them; max is theirs. In the exponent of two, x = scale2 s - m with m = scale2
 * max, rounded once and the same wherever it is used: l += 2^x, u += x 2^x. max follows the largest logit with a slack:
 * weights may reach 2^8, and what was added up is seldom multiplied by anything. Each thread adds up its part of a tile
 * before it joins the rest, and the four threads of a row join at the end: at 128k keys no sum has more than some
 * thousand terms, and entropy, ln l - ln 2 u/l, stays within 1e-5 nats of exact. */
#ifndef KV_CUDA_ATTEND_ROWS_CUH
#define KV_CUDA_ATTEND_ROWS_CUH

#include "kernels/cuda/attend.cuh"

#define KV_LN2 0.69314718055994531f

#define KV_ATTEND_PAIRS_MAX 192 /* of a tile */

/* What all threads of a block read now and then, and nobody keeps in registers. */
struct kv_attend_block {
    struct kv_slots slots;
    struct kv_attend_tile tile;
    int g, rows;                            /* rows of the tile */
    unsigned char row[KV_ATTEND_PAIRS_MAX]; /* of each pair, counted from the tile's first */
    struct kv_slots_range seen[];           /* [rows] what each of them sees */
};

/* m: tiles of 16 pairs. */
template <int m> struct kv_rows {
    float max[m][2], l[m][2], u[m][2];
};

/* m tiles of 16 pairs, n tiles of 8 keys. */
template <int m, int n> struct kv_logits {
    float s[m][n][4];
};

static inline size_t kv_attend_block_bytes(int pairs, int group)
{
    int rows = (pairs - 1) / group + 2 < pairs ? (pairs - 1) / group + 2 : pairs;
    return sizeof(struct kv_attend_block) + (size_t)rows * sizeof(struct kv_slots_range);
}

/* The block's tile and KV head. */
KV_DEVICE const struct kv_attend_tile *kv_attend_tile_of(const struct kv_attend_args *a)
{
    return a->tile + blockIdx.x / (unsigned)a->n_kv_head;
}
KV_DEVICE int kv_attend_kv_head(const struct kv_attend_args *a)
{
    return (int)(blockIdx.x % (unsigned)a->n_kv_head);
}

/* Fills it in, by the block's first so many threads; a barrier is to follow. pairs: what a full tile has. */
KV_DEVICE void kv_attend_prepare(
    struct kv_attend_block *block, const struct kv_attend_args *a, int pairs, int threads)
{
    const struct kv_attend_tile *t = kv_attend_tile_of(a);
    const struct kv_seq *seq = a->seq + t->seq;
    int g = kv_attend_kv_head(a);
    struct kv_slots s = kv_slots_of(seq, g, a->type, a->head_dim);
    int first = kv_attend_row(a, t, 0), rows = kv_attend_row(a, t, t->pairs - 1) - first + 1;
    for (int i = (int)threadIdx.x; i < rows; i += threads)
        block->seen[i] = kv_slots_seen(&s, seq->row_pos[first + i], a->window);
    for (int i = (int)threadIdx.x; i < pairs; i += threads)
        block->row[i] = (unsigned char)(kv_attend_row(a, t, i) - first);
    if (threadIdx.x == 0) {
        block->slots = s;
        block->tile = *t;
        block->g = g;
        block->rows = rows;
    }
}

/* Whether some pair does not see all of slots [j0, j0 + keys). */
KV_DEVICE bool kv_attend_ragged(const struct kv_attend_block *block, int j0, int keys)
{
    return j0 < block->seen[block->rows - 1].lo || j0 + keys > block->seen[0].hi;
}

/* Hides the slots that a pair does not see; `pair`: the thread's first. */
template <int m, int n>
KV_DEVICE void kv_rows_hide(struct kv_logits<m, n> &x, const struct kv_attend_block *block, int pair, int j0)
{
#pragma unroll
    for (int i = 0; i < m; i++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
            struct kv_slots_range range = block->seen[block->row[pair + i * 16 + r * 8]];
            int j = j0 + kv_thread() % 4 * 2 - range.lo;
#pragma unroll
            for (int k = 0; k < n; k++)
#pragma unroll
                for (int e = 0; e < 2; e++)
                    if ((unsigned)(j + k * 8 + e) >= (unsigned)(range.hi - range.lo))
                        x.s[i][k][r * 2 + e] = KV_SOFTMAX_EMPTY;
        }
}

/* The tile's maximum of a row. */
template <int n> KV_DEVICE float kv_rows_most(const float (&s)[n][4], int r)
{
    float y = fmaxf(s[0][r * 2], s[0][r * 2 + 1]);
#pragma unroll
    for (int k = 1; k < n; k++) y = fmaxf(y, fmaxf(s[k][r * 2], s[k][r * 2 + 1]));
    y = fmaxf(y, __shfl_xor_sync(KV_ALL, y, 1));
    return fmaxf(y, __shfl_xor_sync(KV_ALL, y, 2));
}

/* Whether a logit of the row exceeds a bound that is not below 0. Bits of floats above 0 are in order as integers, and
 * above those of the others; of integers, Hopper compares three at once. */
template <int n> KV_DEVICE bool kv_rows_exceed(const float (&s)[n][4], int r, float bound)
{
    int y = max(__float_as_int(s[0][r * 2]), __float_as_int(s[0][r * 2 + 1]));
#pragma unroll
    for (int k = 1; k < n; k++) y = max(max(y, __float_as_int(s[k][r * 2])), __float_as_int(s[k][r * 2 + 1]));
    y = max(y, __shfl_xor_sync(KV_ALL, y, 1));
    return __int_as_float(max(y, __shfl_xor_sync(KV_ALL, y, 2))) > bound;
}

/* Raises the rows' maxima where those of the tile exceed them by more than `slack`, which is seldom after the first
 * tile. True where some row of the warp may have a new one; then what was weighted by the old ones is to be multiplied
 * by shrink. */
template <int m, int n, bool entropy>
KV_DEVICE bool kv_rows_raise(
    struct kv_rows<m> &rows, const struct kv_logits<m, n> &x, float scale2, float slack, float (&shrink)[m][2])
{
    bool same = true;
#pragma unroll
    for (int i = 0; i < m; i++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float bound = rows.max[i][r] + slack;
            same = !kv_rows_exceed(x.s[i], r, bound) && bound >= 0 && same;
        }
    if (__all_sync(KV_ALL, same)) return false;
#pragma unroll
    for (int i = 0; i < m; i++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float most = kv_rows_most(x.s[i], r), max = most > rows.max[i][r] + slack ? most : rows.max[i][r];
            float delta = __fmul_rn(rows.max[i][r], scale2) - __fmul_rn(max, scale2);
            shrink[i][r] = kv_exp2(delta);
            if (entropy) rows.u[i][r] = shrink[i][r] * fmaf(delta, rows.l[i][r], rows.u[i][r]);
            rows.l[i][r] *= shrink[i][r];
            rows.max[i][r] = max;
        }
    return true;
}

/* o: tiles of 8 channels. */
template <int m, int c> KV_DEVICE void kv_rows_shrink(float (&o)[m][c][4], const float (&shrink)[m][2])
{
#pragma unroll
    for (int i = 0; i < m; i++)
#pragma unroll
        for (int k = 0; k < c; k++)
#pragma unroll
            for (int e = 0; e < 4; e++) o[i][k][e] *= shrink[i][e / 2];
}

/* u of a row once more, from its weights, where 0 * -inf came into it; NaN if a weight is. Little code, for it lies in
 * the middle of a loop that never runs it: the weights go round. */
template <int n> KV_DEVICE float kv_rows_finite(float (&p)[n][4], int r)
{
    float u = 0;
#pragma unroll 1
    for (int i = 0; i < n * 2; i++) {
        float first = p[0][r * 2];
        u += first == 0 ? 0 : first * __log2f(first);
#pragma unroll
        for (int k = 0; k < n * 2 - 1; k++) p[k / 2][r * 2 + k % 2] = p[(k + 1) / 2][r * 2 + (k + 1) % 2];
        p[n - 1][r * 2 + 1] = first;
    }
    return u;
}

/* Turns logits into weights and adds them up. A row that has seen nothing yet has no maximum to subtract. */
template <int m, int n, bool entropy>
KV_DEVICE void kv_rows_weigh(struct kv_rows<m> &rows, struct kv_logits<m, n> &x, float scale2)
{
#pragma unroll
    for (int i = 0; i < m; i++) {
        float u[2] = {};
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float most = rows.max[i][r] == KV_SOFTMAX_EMPTY ? 0 : __fmul_rn(rows.max[i][r], scale2), l = 0;
#pragma unroll
            for (int k = 0; k < n; k++)
#pragma unroll
                for (int e = r * 2; e < r * 2 + 2; e++) {
                    float shifted = fmaf(x.s[i][k][e], scale2, -most), p = kv_exp2(shifted);
                    l += p;
                    if (entropy) u[r] = fmaf(p, shifted, u[r]);
                    x.s[i][k][e] = p;
                }
            rows.l[i][r] += l;
        }
        if (!entropy) continue;
        if (u[0] + u[1] != u[0] + u[1])
            for (int r = 0; r < 2; r++) u[r] = kv_rows_finite<n>(x.s[i], r);
        rows.u[i][0] += u[0];
        rows.u[i][1] += u[1];
    }
}

/* Joins the four threads of each row and writes out, lse and entropy of the pairs from `pair` on. */
template <int m, int c, bool entropy>
KV_DEVICE void kv_rows_finish(const struct kv_attend_args *a, const struct kv_attend_block *block,
    const struct kv_rows<m> &rows, const float (&o)[m][c][4], int pair)
{
    int lane = (int)threadIdx.x % 4;
#pragma unroll
    for (int i = 0; i < m; i++)
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float l = rows.l[i][r], u = rows.u[i][r];
            l += __shfl_xor_sync(KV_ALL, l, 1);
            l += __shfl_xor_sync(KV_ALL, l, 2);
            if (entropy) u += __shfl_xor_sync(KV_ALL, u, 1);
            if (entropy) u += __shfl_xor_sync(KV_ALL, u, 2);
            if (pair + i * 16 + r * 8 >= block->tile.pairs) continue;
            size_t head = kv_attend_head(a, &block->tile, block->g, pair + i * 16 + r * 8);
            float norm = l == 0 ? 0 : 1 / l, *out = a->out + head * (size_t)(c * 8) + lane * 2;
#pragma unroll
            for (int k = 0; k < c; k++)
                *(float2 *)(out + k * 8) = make_float2(o[i][k][r * 2] * norm, o[i][k][r * 2 + 1] * norm);
            if (lane) continue;
            if (a->lse)
                a->lse[head] =
                    l == 0 ? KV_SOFTMAX_EMPTY : fmaf(__fmul_rn(rows.max[i][r], a->scale2), KV_LN2, logf(l));
            if (entropy) a->entropy[head] = l == 0 ? 0 : logf(l) - KV_LN2 * (u / l);
        }
}

#endif
