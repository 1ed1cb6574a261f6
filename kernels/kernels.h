/* How one stage is computed: the table that every backend fills in.
 *
 * The engine holds a backend's pointers without looking behind them: memory from alloc() or upload() may lie on
 * a device, and only read() brings it to the host. Activations are f32, row-major, one row a token. Calls on
 * one context come from one thread and take effect in order; results are complete after sync() or read(). A
 * NULL slot means "not supported" and is asked before use. Nothing allocates between reserve() and the next
 * reserve(). In KV_PRECISION_F32 every op cuts its work by tiles, never by threads: the thread count changes no
 * bit.
 *
 * Notation: n rows (tokens) of a pass; H query heads, G KV heads, d head_dim, D hidden. */
#ifndef KV_KERNELS_H
#define KV_KERNELS_H

#include "kernels/base.h"
#include "kernels/types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define KV_BACKEND_ABI    5
#define KV_INTERLEAVE_MAX 1024 /* channels of a head */

enum kv_precision {
    KV_PRECISION_FAST, /* bf16 GEMMs; decode: exact weights, activations of at least bf16 accuracy */
    KV_PRECISION_F32,  /* the reference: f32 throughout, dequantised weights */
    KV_PRECISION_INT8 /* activations of quantized weights in 8 bits, as llama.cpp has them: one scale a block of weights */
};

enum kv_simd { KV_SIMD_AUTO, KV_SIMD_PLAIN, KV_SIMD_AVX2, KV_SIMD_AVX512 };

struct kv_backend_options {
    enum kv_precision precision;
    enum kv_simd simd; /* highest path allowed; AUTO = the best this CPU has */
    int threads;       /* 0 = all cores */
    int device;        /* CUDA device number */
    int sm;            /* CUDA: newest kernels allowed, 80 = those that run everywhere; 0 = the best for the GPU */
};

/* The largest shapes that will be asked for; reserve() sizes scratch by them. */
struct kv_limits {
    int rows; /* of one pass, all sequences together */
    int keys; /* of one sequence: prefix + tail */
    int seqs; /* of one pass */
    int n_head, n_kv_head, head_dim;
    int widest; /* largest cols or rows of a matrix that linear() gets, the head excepted */
};

#define KV_OPS_COUNTED 48

struct kv_backend_stats {
    size_t bytes_live, bytes_peak; /* from alloc() */
    size_t scratch_bytes;          /* from reserve() */
    size_t upload_bytes;           /* from upload(); 0 where weights stay the host's */
    uint64_t launches;             /* ops called */
    uint64_t kernels, graphs;      /* started on a device */
    uint64_t waits;                /* of the host for a device: syncs, reads and what answers */
    size_t bytes_free;             /* that alloc() can still get; 0 = not known */
    int n_op;
    struct {
        const char *name;
        uint64_t calls;
        uint64_t timed;   /* of these while time_ops() was on, or of a kind that does several at once */
        double us;        /* that those took */
    } op[KV_OPS_COUNTED]; /* launches by kind, those that were called */
};

/* y[n][w.rows] (+)= x[n][w.cols] W^T + bias */
struct kv_matrix {
    const void *data; /* [rows][cols] in blocks of type, as uploaded */
    int type;         /* enum kv_type */
    int rows, cols;
};

struct kv_linear {
    struct kv_matrix w;
    const float *bias; /* [w.rows] or NULL */
    float *y;          /* [n][w.rows] */
    bool add;          /* add to y instead of replacing it (residual) */
};

struct kv_rope {
    const float *frequency; /* [dim/2] radians a position, on the host */
    float scale;            /* multiplies cosine and sine; 1 but with YaRN */
    int dim;                /* rotated channels, the first dim of head_dim */
    bool halves;            /* pairs (c, c + dim/2); else (2c, 2c+1) */
};

/* Keys and values of one sequence in one layer. len and pos have a stride over KV heads, 0 while all heads keep
 * the same tokens. Slots are ascending in position. k, v: [G][cap][d] of type, KV head g at byte
 * g*cap*d*sizeof(type); or, where heads keep different numbers of tokens, one head's slots right behind the other's,
 * and their positions alike, so that no room is lost: head g begins at slot start[g] of k, v and pos. */
struct kv_span {
    void *k, *v;
    int32_t *pos; /* [cap], head g at pos + g*pos_stride: position of each slot in the sequence */
    int32_t *len; /* head g: len[g*len_stride] slots in use, <= cap */
    int cap;      /* of the longest head */
    int pos_stride, len_stride;
    const int32_t *start; /* [G], or NULL: every head has room for cap slots; such a span is not appended to */
};

/* One sequence's part of a pass: n_row query rows, which see first the prefix, then the tail, as far as pos[]
 * is not beyond the row's own position (and, with a window w, not w or more behind it). A zero cap means no
 * such span. */
struct kv_seq {
    struct kv_span prefix;  /* read-only here: shared by every run that starts from it */
    struct kv_span tail;    /* this sequence's own tokens; attend() runs after append() put the rows' keys in */
    const int32_t *row_pos; /* [n_row] positions of the query rows, ascending */
    int n_row;
};

struct kv_attend {
    const struct kv_seq *seq; /* [n_seq] on the host; rows of q, out follow each other in this order */
    int n_seq;
    int n_head, n_kv_head, head_dim;
    int type;       /* of K and V: enum kv_type F32, F16, BF16 */
    float scale;    /* multiplies q.k: 1/sqrt(d) */
    int window;     /* 0 = all keys */
    const float *q; /* [n][H][d], rotated */
    float *out;     /* [n][H*d] */
    float *lse;     /* [n][H] log-sum-exp of the scaled logits, nats; or NULL */
    float *entropy; /* [n][H] Shannon entropy of the row's softmax, nats; or NULL */
};

/* One selection, all on the host: the budget best of n scores (see kernels/select.h). */
struct kv_select {
    const float *score;    /* [n] */
    const uint8_t *forced; /* [n] enum kv_forced; NULL = all by score */
    int n, budget;
    int32_t *kept; /* [budget] ascending, the first *n_kept count */
    int *n_kept;
};

struct kv_backend {
    uint32_t abi; /* KV_BACKEND_ABI */
    size_t size;  /* sizeof(struct kv_backend) */
    const char *name;
    bool on_host; /* memory from alloc() is the host's own: a read costs no more than a copy */

    enum kv_status (*init)(const struct kv_backend_options *options, void **ctx, struct kv_error *err);
    void (*free)(void *ctx);
    /* One line for the user: device, SIMD path, threads, libraries. */
    void (*describe)(void *ctx, char *text, size_t size);
    void (*stats)(void *ctx, struct kv_backend_stats *stats);
    /* Whether ops are launched one by one, with a clock around each. */
    enum kv_status (*time_ops)(void *ctx, bool on, struct kv_error *err);
    enum kv_status (*reserve)(void *ctx, const struct kv_limits *limits, struct kv_error *err);
    enum kv_status (*sync)(void *ctx, struct kv_error *err);

    /* Memory, zeroed, counted in stats; release takes the same size. */
    void *(*alloc)(void *ctx, size_t bytes);
    void (*release)(void *ctx, void *p, size_t bytes);
    enum kv_status (*write)(void *ctx, void *to, const void *host, size_t bytes, struct kv_error *err);
    enum kv_status (*read)(void *ctx, void *host, const void *from, size_t bytes, struct kv_error *err);
    /* From one place of this backend to another; they do not overlap. */
    enum kv_status (*copy)(void *ctx, void *to, const void *from, size_t bytes, struct kv_error *err);
    /* Makes weights usable: the CPU borrows the host pointer, a device copies. Lives until free(). */
    enum kv_status (*upload)(void *ctx, const void *host, size_t bytes, const void **out, struct kv_error *err);

    /* x[n][cols] = rows ids[n] (host) of the embedding matrix */
    enum kv_status (*embed)(
        void *ctx, const struct kv_matrix *w, const int32_t *ids, int n, float *x, struct kv_error *err);
    /* y = x / sqrt(mean(x^2) + eps) * weight, each of n rows of cols; y == x allowed */
    enum kv_status (*norm)(
        void *ctx, const float *x, const float *weight, float eps, int n, int cols, float *y, struct kv_error *err);
    /* All matrices take the same x[n][cols]; no y overlaps x or another y. */
    enum kv_status (*linear)(
        void *ctx, const struct kv_linear *l, int n_linear, const float *x, int n, struct kv_error *err);
    /* Turns x[n][heads][d] in place by positions pos[n] (host). */
    enum kv_status (*rope)(void *ctx, const struct kv_rope *rope, const int32_t *pos, float *x, int n, int heads,
        int head_dim, struct kv_error *err);
    /* Puts the channels of each head of x[n][heads][d] in place from halves (c, c + d/2) to neighbours (2c, 2c + 1):
     * what a matrix whose rows are in the one order gives becomes what RoPE takes in the other. */
    enum kv_status (*interleave)(void *ctx, float *x, int n, int heads, int head_dim, struct kv_error *err);
    /* Puts k, v [n][G][d] f32 behind the span's last slot, converted to type, with their positions (host). */
    enum kv_status (*append)(void *ctx, struct kv_span *to, int type, int n_kv_head, int head_dim, const float *k,
        const float *v, const int32_t *pos, int n, struct kv_error *err);
    /* Softmax attention in one online pass; lse and entropy come from it at no second one. */
    enum kv_status (*attend)(void *ctx, const struct kv_attend *a, struct kv_error *err);
    /* sums[h][j] += sum over the rows of a of exp(logit - lse): column sums of the attention matrix, for prefix
     * then tail slots j of a's only sequence; needs a->lse, leaves out alone. Head h at sums + h*stride. */
    enum kv_status (*columns)(
        void *ctx, const struct kv_attend *a, float *sums, size_t stride, struct kv_error *err);
    /* out[row][j]: attention probabilities of one head for a's only sequence, 0 where masked; needs a->lse. */
    enum kv_status (*probabilities)(
        void *ctx, const struct kv_attend *a, int head, float *out, size_t stride, struct kv_error *err);
    /* What policies measure besides; each is described in kernels/cpu/ by its name.
     * norms: L1 or L2 (power) of a span's keys or values, out[g][stride]. cosine: of rows a, b [n][cols], out[n].
     * moments: adds queries q[n][H][d] to blocks by head; fresh: the first ones. expect: logits of a span's keys
     * from normal queries, out[h][stride]. */
    enum kv_status (*norms)(void *ctx, const struct kv_span *span, bool values, int power, int type, int n_kv_head,
        int head_dim, float *out, size_t stride, struct kv_error *err);
    enum kv_status (*cosine)(
        void *ctx, const float *a, const float *b, int n, int cols, float *out, struct kv_error *err);
    enum kv_status (*moments)(void *ctx, const float *q, int n, int n_head, int head_dim, bool fresh,
        float *moments, struct kv_error *err);
    enum kv_status (*expect)(void *ctx, const struct kv_span *span, int type, int n_head, int n_kv_head,
        int head_dim, const float *mean, const float *cov, float scale, float *out, size_t stride,
        struct kv_error *err);
    /* y[i] = silu(gate[i]) * up[i]; y may be gate or up */
    enum kv_status (*swiglu)(
        void *ctx, const float *gate, const float *up, size_t count, float *y, struct kv_error *err);
    /* Copies slots index[n] (host, ascending) of prefix-then-tail of `from` to the empty span `to`, positions
     * too. */
    enum kv_status (*gather)(void *ctx, const struct kv_seq *from, int type, int n_kv_head, int head_dim,
        const int32_t *index, int n, struct kv_span *to, struct kv_error *err);
    /* The same where every KV head has slots of its own: n[g] of them at index + g*index_stride (host), to a span that
     * has room for that many from start[g] on, and a length for each head. */
    enum kv_status (*gather_heads)(void *ctx, const struct kv_seq *from, int type, int n_kv_head, int head_dim,
        const int32_t *index, size_t index_stride, const int32_t *n, struct kv_span *to, struct kv_error *err);
    /* Adds neighbouring rows in f64, in their order: out[g][j] = sum of x[h][j] over rows h of g*each..g*each+each-1, for
     * `groups` of them. Rows of x `stride` apart, of out n. */
    enum kv_status (*fold)(void *ctx, const float *x, size_t stride, int groups, int each, size_t n, double *out,
        struct kv_error *err);
    /* struct kv_select by its parts. */
    enum kv_status (*select)(void *ctx, const float *score, const uint8_t *forced, int n, int budget, int32_t *kept,
        int *n_kept, struct kv_error *err);
    /* Many at once, where memory is a device's for as few waits as can be. */
    enum kv_status (*select_many)(void *ctx, const struct kv_select *s, int count, struct kv_error *err);
    /* Index of the first of the largest of x[n], given on the host; -1 when one is NaN or none is finite. */
    enum kv_status (*argmax)(void *ctx, const float *x, size_t n, int *index, struct kv_error *err);
};

/* The reference backend, always linked. */
extern const struct kv_backend kv_backend_cpu;

#ifdef __cplusplus
}
#endif

#endif
