/* Queries and keys of a few rows on their way from their matrices to attention: interleave, norm of each head, rope, and
 * append of keys and values for up to KV_TURN_APPENDS sequences, in one launch with the bits of the single ops. Appends
 * alone, of keys that are turned already, are one launch too.
 *
 * q [n][H][d], k, v [n][G][d] f32, q and k in place. Bytes: 8 a value, 12 KB a row of 32 heads and 8: bound by the latency
 * of two reads behind each other and of a barrier, 2 us, where the ops one by one are 4 to 8 launches, and one more a
 * sequence. A warp has a head; with a key it takes the value of the same KV head along. Lengths move when the last block,
 * by an integer ticket, has done its part: all blocks read them. Where few rows attend at once, attend_few.cu does all of
 * this in its own launch. Not run on a GPU. */
#include "kernels/cuda/turn.cuh"

#define WARPS 8

/* ---- kernels ---- */

/* The key in `row`, of KV head g of row i of the pass, and its value: to the cache of the sequence that has the row. */
KV_DEVICE void append_head(const struct kv_turn *a, int i, int g, const float *row)
{
    int s = min(i, a->n_append - 1), d = a->heads.head_dim; /* each has a row at least */
    while (a->append[s].first > i) s--;
    const struct kv_turn_append *append = &a->append[s];
    if (i - append->first >= append->n) return; /* rows that are not appended, or not here */
    struct kv_append_args one = {};
    one.to = append->to;
    one.pos = append->pos;
    one.type = a->type;
    one.n_kv_head = a->heads.side[1].heads;
    one.head_dim = d;
    one.n = append->n;
    if (kv_append_full(&one) >= 0) return;
    const float *v = a->v + ((size_t)i * (size_t)one.n_kv_head + (size_t)g) * (size_t)d;
    for (int c = (int)threadIdx.x % KV_WARP; c < d; c += KV_WARP)
        kv_append_channel(&one, (size_t)(i - append->first), g, (size_t)c, row[c], v[c]);
}

/* By one warp, when all else is done: each lane has spans of its own, whose reads do not wait for one another. */
KV_DEVICE void move_lengths(const struct kv_turn *a)
{
    int heads = a->heads.side[1].heads, first = a->n_append;
    for (int s = (int)threadIdx.x; s < a->n_append; s += KV_WARP) {
        const struct kv_turn_append *append = &a->append[s];
        if (kv_span_full(&append->to, heads, append->n) < 0)
            kv_span_grow(&append->to, heads, append->n, 0, 1);
        else
            first = min(first, s);
    }
    for (int step = KV_WARP / 2; step; step /= 2) first = min(first, __shfl_xor_sync(KV_ALL, first, step));
    if (threadIdx.x || first == a->n_append) return;
    const struct kv_turn_append *append = &a->append[first];
    kv_span_refuse(&append->to, kv_span_full(&append->to, heads, append->n), append->n, a->fault);
}

__global__ void __launch_bounds__(WARPS *KV_WARP) turn_kernel(struct kv_turn a)
{
    __shared__ float room[WARPS][KV_CUDA_MAX_DIM];
    __shared__ bool last;
    int warp = (int)threadIdx.x / KV_WARP, queries = a.heads.side[0].heads, both = queries + a.heads.side[1].heads;
    int at = (int)blockIdx.x * WARPS + warp, i = at / both, h = at % both, k = h >= queries;
    kv_pdl_release();
    kv_pdl_wait();
    if (i < a.n) {
        struct kv_turn_raw raw;
        if (k) h -= queries;
        kv_turn_read(&a.heads, k, i, h, &raw);
        kv_turn_row(&a.heads, k, &raw, room[warp]);
        if (a.heads.pairs) kv_turn_write(&a.heads, k, i, h, room[warp]);
        if (k && a.n_append) append_head(&a, i, h, room[warp]);
    }
    if (!a.n_append) return;
    __syncthreads();
    if (threadIdx.x == 0) {
        last = kv_ticket(a.ticket) == gridDim.x - 1;
        if (last) *a.ticket = 0;
    }
    __syncthreads();
    if (last && warp == 0) move_lengths(&a);
}

/* ---- launch ---- */

static void launch(struct kv_cuda *cu, const void *args)
{
    const struct kv_turn *a = (const struct kv_turn *)args;
    size_t heads = (size_t)a->n * (size_t)(a->heads.side[0].heads + a->heads.side[1].heads);
    kv_cuda_launch_chained(
        cu, "rope and append", kv_cuda_blocks(heads, WARPS), WARPS * KV_WARP, 0, turn_kernel, *a);
}

const struct kv_cuda_kind kv_cuda_turn = { "rope and append", launch };
