/* The engine's one public contract: a request (prefill -> compress -> ask -> decode) that stops at any stage
 * boundary.
 *
 * A model is immutable and may serve several engines. An engine holds one request; one thread drives it, and only
 * kv_stop() may be called from elsewhere, signal handlers included. Whatever a call returns by pointer is borrowed
 * and stays valid until the next call that steps, compresses, judges, starts or takes a prompt. A failed call
 * leaves one sentence in *err and the engine at a stage boundary, so that stepping may go on. Names of settings,
 * phases, stages and values are frozen.
 *
 * Units: entropy and KL in nats, budgets in tokens, memory in bytes, time in microseconds. Layers l, query heads h,
 * query rows i, key positions j; n = prompt tokens that the prefill read (the question not among them). */
#ifndef KV_ENGINE_H
#define KV_ENGINE_H

#include "kernels/base.h"

struct kv_model;
struct kv_engine;

/* --- models --------------------------------------------------------------------------------------------------- */

/* Opens a GGUF file, a Hugging Face folder, or "synthetic:NAME" (random weights, timing only). KV_IO, KV_BAD_FILE, KV_UNSUPPORTED,
 * KV_NO_MEMORY; on failure *out is NULL. */
enum kv_status kv_model_open(const char *path, struct kv_model **out, struct kv_error *err);
void kv_model_close(struct kv_model *model);

struct kv_model_facts {
    const char *path, *arch, *name;
    int n_layer, hidden, n_ff, n_head, n_kv_head, head_dim, n_vocab, n_context, sliding_window;
    size_t weight_bytes;
    bool synthetic;          /* random weights: everything printed about it must say so */
    char rope[64];           /* how RoPE is scaled: "none", "linear 4", "yarn 4 x 32768", ... */
    char sliding_layers[64]; /* those that the window is for: "all", "0-3,7", cut with "..."; "" = no window */
};
void kv_model_facts(const struct kv_model *model, struct kv_model_facts *facts);
/* Paths of the files that it was read from, by name; NULL behind the last (at once where it was made up). */
const char *kv_model_file(const struct kv_model *model, int index);

/* --- the engine and its settings ------------------------------------------------------------------------------ */

enum kv_status kv_engine_open(const struct kv_model *model, struct kv_engine **out, struct kv_error *err);
void kv_engine_close(struct kv_engine *engine);

struct kv_setting {
    const char *name;  /* "policy.ratio" */
    const char *legal; /* values in words: "on | off", "in (0, 1]" */
    const char *help;  /* one sentence */
};
const struct kv_setting *kv_setting_at(int index); /* NULL behind the last; valid until the next such call */

/* Sets several at once or none of them: naming two forms of one budget in one call is an error. engine.* take
 * effect at the next kv_start, policy.* at the next compress (policy.query-aware at the next kv_start), decode.*
 * and judge.* at once. KV_NOT_FOUND, KV_BAD_ARG, KV_UNSUPPORTED, KV_NO_MEMORY. */
enum kv_status kv_set(
    struct kv_engine *e, const char *const *name, const char *const *value, int count, struct kv_error *err);
enum kv_status kv_get(const struct kv_engine *e, const char *name, char *text, size_t size, struct kv_error *err);

/* One line: backend taken and why, device, SIMD path, threads, precision. */
void kv_describe(const struct kv_engine *e, char *text, size_t size);

/* --- the prompt ----------------------------------------------------------------------------------------------- */

/* Replaces the request. With a question, the text is context: it is prefilled and compressed, and the question is
 * prefilled over what was kept. chat wraps both in the model's chat template; user text never makes special tokens.
 * A question sets policy.query-aware off, none sets it on. KV_BAD_ARG when empty or longer than the context
 * allows, KV_NOT_FOUND when chat finds no template: then the old request stands. */
enum kv_status kv_prompt_text(
    struct kv_engine *e, const char *text, size_t bytes, const char *question, bool chat, struct kv_error *err);
enum kv_status kv_prompt_ids(
    struct kv_engine *e, const int32_t *ids, int n, const int32_t *question, int n_question, struct kv_error *err);

/* The bytes of one token (*length of them, no NUL), and of many as valid UTF-8 (caller frees; NULL = no memory). */
const char *kv_token_bytes(const struct kv_engine *e, int32_t id, size_t *length);
char *kv_tokens_text(const struct kv_engine *e, const int32_t *ids, int n);

/* --- stepping ------------------------------------------------------------------------------------------------- */

#define KV_PHASES(X) X(load) X(tokenize) X(prefill) X(compress) X(ask) X(decode) X(done)
#define KV_STAGES(X)                                                                                               \
    X(embed)                                                                                                       \
    X(norm)                                                                                                        \
    X(qkv) X(rope) X(append) X(attend) X(observe) X(oproj) X(ffn) X(head) X(sample) X(allocate) X(select) X(gather)
#define X(name) KV_PHASE_##name,
enum kv_phase { KV_PHASES(X) KV_PHASE_COUNT };
#undef X
#define X(name) KV_STAGE_##name,
enum kv_stage { KV_STAGES(X) KV_STAGE_COUNT };
#undef X
extern const char *const kv_phase_name[KV_PHASE_COUNT];
extern const char *const kv_stage_name[KV_STAGE_COUNT];

/* A stage boundary: the stage named here is the next to run. */
struct kv_where {
    enum kv_phase phase;
    int pass;  /* prefill or ask segment, decoded token, or number of the compression */
    int layer; /* -1 where the stage belongs to no layer */
    enum kv_stage stage;
    uint64_t tick; /* boundaries since kv_start; a replay shows the same ones */
    int branch;    /* counts edits: 0 = as started */
};

/* How far kv_step goes: at least one stage, then on to the first boundary where a new stage, layer, pass or phase
 * begins. */
enum kv_unit { KV_UNIT_STAGE, KV_UNIT_LAYER, KV_UNIT_PASS, KV_UNIT_PHASE };

enum kv_status kv_start(
    struct kv_engine *e, struct kv_error *err); /* to tick 0, before the prefill's first stage */
enum kv_status kv_step(struct kv_engine *e, enum kv_unit unit, struct kv_error *err); /* KV_STOPPED after kv_stop */
void kv_end(struct kv_engine *e);           /* drops the request; prompt and settings stay */
bool kv_started(const struct kv_engine *e); /* false: only prompt, settings and model can be looked at */
void kv_where(const struct kv_engine *e, struct kv_where *where);
/* Async-signal-safe: the running call ends at the next boundary; with none running, the next one hears it. */
void kv_stop(struct kv_engine *e);

/* Long calls report through this (NULL = nobody): what is being done, in words, and done of total. */
typedef void kv_progress_fn(void *ctx, const char *what, double done, double total);
void kv_on_progress(struct kv_engine *e, kv_progress_fn *fn, void *ctx);

/* Back to the start of compress:0 with the policy as it is now, from the same prefill (which runs again first, with
 * the engine.* settings it had, where layers were compacted in place). Drops what was selected, decoded and judged;
 * a new branch. KV_NOT_NOW before the prefill is done; KV_STOPPED leaves the new branch in its prefill. */
enum kv_status kv_recompress(struct kv_engine *e, struct kv_error *err);

/* --- looking -------------------------------------------------------------------------------------------------- */

enum kv_element { KV_F32, KV_F64, KV_I32, KV_U8 };

struct kv_array {
    enum kv_element type;
    int n_dim;
    size_t dim[4];
    const void *data;    /* row-major, on the host */
    const char *unit;    /* "nats", "tokens", "" */
    const char *axis[4]; /* "layer", "head", "row", "position", "token", "step" */
};

/* A value by its name (NAMES.md): entropy[l][h], E[l], entropy_q[l][h][i], columns[l][h][j], score[l][j],
 * rank[l][j], margin[l][j], cut[l], reason[l][j], kept[l][j] (these five [l][g] and [l][g][j], g a KV head, where
 * compress ran with policy.group kv-head), weight[l], budget.req[l], budget.app[l], budget.used[l] (tokens of one KV
 * head, on average), budget.head[l][g] (tokens kept), budget.floor[l], budget.cap[l], budget.rule[l] (edit.h),
 * budget.total[2] (asked for, shared out), sharing.*[l][g] (engine/run/sharing.h), kept.later[l][t] (question and
 * reply tokens that compress:1 or a later one met), tok[j], question[j], reply[t], logit[v], kl[t], full[t], other[t]
 * (tokens of the twins). rank is 0 for the best; cut is the lowest score that got a token in, and a margin (score - cut) /
 * |cut|, NaN of tokens that did not compete; a reason is an index into kv_reason_name. During compress:1 and later ones
 * all are of the one before. The next kv_value may take the array's place. KV_NOT_FOUND for a name that does
 * not exist, KV_NOT_NOW with the phase that will bring it. */
enum kv_status kv_value(struct kv_engine *e, const char *name, struct kv_array *out, struct kv_error *err);
const char *kv_value_name(int index);      /* NULL behind the last */
extern const char *const kv_reason_name[]; /* "evicted", "sink", "recent", "pin", "top-k", "tie", NULL */

/* Attention probabilities of one head for `rows` rows from `first` (prompt rows, then the reply's), recomputed on
 * demand: out[rows][stride], column j = key position; 0 where evicted (by now) or masked. stride >= first + rows. */
enum kv_status kv_attention(
    struct kv_engine *e, int layer, int head, int first, int rows, float *out, size_t stride, struct kv_error *err);

struct kv_memory {   /* bytes, all as allocated */
    size_t weights;  /* mapped, as stored */
    size_t resident; /* K and V of the whole prefill */
    size_t active;   /* K and V that decode reads: kept tokens (the resident layer, if all) and what came after */
    size_t stats;    /* entropies, scores, kept sets, last query rows, what kv_score keeps of a reply */
    size_t scratch;  /* activations and the backend's own */
    size_t peak;     /* highest resident set of this process, as the kernel counts it */
};
void kv_memory(const struct kv_engine *e, struct kv_memory *memory);

struct kv_time { /* spent in a phase so far */
    double us;
    int tokens;
};
void kv_time(const struct kv_engine *e, enum kv_phase phase, struct kv_time *time);

/* --- judging -------------------------------------------------------------------------------------------------- */

struct kv_verdict {
    int steps; /* reply tokens judged; the first is not where it comes from the prefill alone (no question) */
    double kl_mean, kl_median, kl_p99, kl_max; /* KL(full || other), nats a token; NaN: none judged */
    double top1;                               /* share of judged steps with the same argmax */
    int first_divergent;                       /* first judged step whose argmax differs, -1 = none */
};

/* Decodes n tokens (fewer at a stop token or the context's end) twice as a batch of two sequences, over the full
 * cache and over the compressed one, both fed the leader's tokens (judge.leader); values kl, full and other then
 * hold the steps. KV_NOT_NOW before compress is done, or without engine.snapshot. */
enum kv_status kv_twin(struct kv_engine *e, int n, struct kv_verdict *verdict, struct kv_error *err);

/* Scores one given reply under many kept sets in one pass each, all from the resident prefill, starting at the
 * first layer in which a set is not the whole prompt. kept[s*n_layer + l] lists n_kept[s*n_layer + l] ascending
 * positions, NULL = all. kl[s*n_reply + t] gets the nats of step t, 0 where it is not judged (NULL: not wanted). */
enum kv_status kv_score(struct kv_engine *e, const int32_t *reply, int n_reply, int n_set,
    const int32_t *const *kept, const int *n_kept, float *kl, struct kv_verdict *verdict, struct kv_error *err);

#endif
