/* What an engine holds; shared by the files of engine/ and engine/run/, and by nobody else. */
#ifndef KV_STATE_H
#define KV_STATE_H

#include <stdatomic.h>

#include "engine/edit.h"
#include "engine/history.h"
#include "engine/model/model.h"
#include "engine/policy/policy.h"
#include "engine/run/cache.h"
#include "engine/run/forward.h"
#include "engine/run/pins.h"
#include "engine/run/plan.h"
#include "engine/run/record.h"
#include "engine/run/sample.h"
#include "engine/settings.h"
#include "engine/text/chat.h"
#include "engine/text/tokenizer.h"

/* What a compression decided; every array [n_layer], or by row of the kept sets [n_layer][sets] and [n_layer][sets][n]. */
struct selection {
    int n;             /* positions that it decided about: the prompt's, or all up to the one that came last */
    double *weight;    /* of the allocator */
    double *request;   /* tokens by weight alone */
    int32_t *lo, *hi;  /* bounds of the budget, tokens */
    int32_t *unseen;   /* first positions that are dropped, for the sliding window has left them behind */
    int32_t *budget;   /* tokens applied */
    uint8_t *rule;     /* enum policy_bound that decided the budget */
    int32_t total[2];  /* tokens over all layers: asked for, shared out */
    int sets;          /* kept sets of a layer: 1 = shared by all heads, else one for each KV head */
    int32_t *selector; /* [l] row of the selector table; NULL (a core): the policy's */
    int32_t *kept;     /* [row][n] ascending positions, the first n_kept[row] count */
    int32_t *n_kept;   /* [row] -1 = not selected yet, then in all rows of the layer */
    int32_t *ahead;    /* [row] n_kept to come, where all else was filled in already (run/ahead.c); or NULL */
    float *score;      /* [row][n] */
    uint8_t *reason;   /* [row][n] enum policy_reason */
    struct kv_policy policy; /* in force when it was made */
    uint64_t seed;           /* of the selector random */
    struct pins *pins;       /* in force when it was made */
    size_t bytes;            /* of the arrays by position */
    bool allocated;
    bool again; /* of a later compression: what was gone before it, or could not be kept, has the score NaN */
};

/* Row of the kept set that KV head g of a layer reads. */
static inline size_t selection_row(const struct selection *s, int layer, int g)
{
    return (size_t)layer * (size_t)s->sets + (s->sets > 1 ? (size_t)g : 0);
}

static inline bool selected(const struct selection *s, int layer)
{
    return s->n_kept && s->n_kept[selection_row(s, layer, 0)] >= 0;
}

/* What came of a prefill: the kept cache, what was appended to it, and the reply. */
struct run {
    struct cache prefix, tail;
    int base, tail_len; /* tokens that the prefix was chosen from; those in the tail come right behind them */
    int32_t *
        shift; /* [n_layer] what RoPE takes off the positions behind the prefix, whose keys were turned to 0, 1, ...;
                       NULL = nothing (policy.positions keep) */
    int compressed, since;  /* compressions that are done; tokens decoded since the last one */
    struct record *tally;   /* of a run that compresses again; NULL = it does not (policy.every 0) */
    struct cache fresh;     /* a compression under way over prefix and tail, until its last layer is gathered: */
    struct selection *next; /* what it makes of the prefix, and what it has decided */
    int32_t *reply;
    int n_reply, reply_cap;
    struct sampler sampler;
};

struct twin_result {
    int n;                 /* steps */
    int32_t *full, *other; /* [n] argmax of the two runs at every step */
    double *kl;            /* [n] nats; 0 at a step that is not judged */
};

/* The reply that kv_score judges, as the full cache reads it; kept between calls on the same reply. */
struct score_base {
    int32_t *reply; /* [n_reply] */
    int n_reply;
    int rows;      /* question and reply tokens that are fed: all but the last */
    float *input;  /* [n_layer][rows][hidden] inputs of every layer */
    float *logits; /* [rows - first][n_vocab], of the rows that predict the reply */
    size_t bytes;  /* of input and logits */
};

/* Attention that the rows reading a reply give the prompt over the full cache (engine/regret.h). */
struct mass {
    int32_t *reply; /* [n_reply] */
    int n_reply;
    float *mean; /* [n_layer][n_head][n] */
};

/* The full cache's greedy reply, as far as it was decoded. */
struct full_reply {
    int32_t *token; /* [n] */
    int n;
    bool ended; /* by a stop token, or the context's end */
};

/* One compression of a history. */
struct decision {
    uint64_t tick; /* boundary at which it begins */
    bool made;     /* the rest holds, for allocate has run: */
    struct kv_policy policy;
    uint64_t seed;
    struct pins *pins;
};

/* What was decided on the way to the frontier, so that replays decide the same. */
struct past {
    uint64_t highest;          /* the frontier */
    uint64_t done;             /* tick at which the request was done, UINT64_MAX = not yet */
    bool cut;                  /* a setting changed behind the frontier: the next step starts a branch */
    struct decision *decision; /* [n_decision] compress:0, compress:1, ...; the last one may only be due */
    int n_decision, decision_cap;
    struct sampler seeded; /* before the first draw */
    int32_t *token;        /* [n] the reply, */
    struct sampler *drawn; /* [n] and the random state after each of its draws */
    int n, cap;
    float **sums; /* [n_sums] the record's at the start of prefill pass p, host; NULL = not kept */
    int n_sums;
    size_t bytes, limit; /* of all sums */
};

struct kv_engine {
    const struct kv_model *model;
    struct kv_tokenizer *tok; /* NULL: tok_error says why */
    struct kv_error tok_error;
    struct settings set;  /* as the user has them now */
    struct pins *pins;    /* edits as they are now */
    unsigned prompt;      /* how many prompts there were */
    struct settings used; /* as the request was started with */
    atomic_bool stop;
    kv_progress_fn *progress;
    void *progress_ctx;

    int32_t *ids; /* [n_all] the prompt, context before question */
    int n_all, n_context;
    int n;             /* tokens of the prefill: the context, or all where the policy is query-aware */
    int32_t *question; /* [n_question] into ids: what is prefilled after compress */
    int n_question;

    /* the machine; kept between requests while its settings stay the same */
    struct machine machine;
    struct cache_format format;
    char backend_note[200]; /* which backend was taken, and why */
    bool time_ops;          /* a clock around each of its ops */
    struct plan plan[PLAN_KINDS];

    /* the request */
    bool started;
    struct kv_where at;
    int item; /* next item of the current plan */
    bool far; /* nobody looks before this pass is over */
    struct pass pass;
    int32_t *row_id, *row_pos; /* [rows] of the current pass */
    struct cache resident;     /* the whole prefill; layers compacted in place are gone from it */
    bool in_place;             /* engine.snapshot off: gather took the resident layers */
    uint64_t compress_tick;    /* boundary at which compress:0 begins */
    struct record record;
    struct selection sel;
    struct run run;
    float *logits;         /* [n_vocab] of the run's last sampled row, host: by engine_logits() */
    float *sampled;        /* device: they stay there till somebody looks; NULL where memory is the host's own */
    bool logits_owed;      /* logits are to be read from sampled */
    float *prefill_logits; /* [n_vocab] of the prompt's last row, host; set once the prefill is done without
                              question */
    struct kv_time time[KV_PHASE_COUNT];
    double *stage_us; /* [items of the longest plan] of the items before the cursor, in this pass */
    struct past past;
    struct twin_result twin;
    struct score_base base;
    struct mass mass;
    struct full_reply full_reply;
    void *value; /* what the last kv_value worked out, owned */

    struct other_run *others; /* [n_others] runs that are not selected, engine/run/runs.c */
    int n_others;
    int number, last_number; /* of the selected run, 0 = 1; highest that any run of this request has had, 0 = 2 */

    struct core *core; /* the file that stands in for a machine (engine/core.h); NULL: a live request */
};

/* --- engine/run/step.c --- */
const struct plan *step_plan(const struct kv_engine *e);
/* Number of rows that the pass under the cursor has. */
int step_rows(const struct kv_engine *e);
/* Length of the tail that the run needs for the question and the whole reply, more than it has now. */
int step_tail_cap(const struct kv_engine *e);
void step_begin_phase(struct kv_engine *e, enum kv_phase phase);
/* Puts the cursor before the first stage of a pass; the rest of the state is the caller's. */
void step_put(struct kv_engine *e, const struct kv_where *at);
/* Runs the next stage. */
enum kv_status step_stage(struct kv_engine *e, struct kv_error *err);
/* Makes the first n tokens the reply. */
enum kv_status step_reply(struct kv_engine *e, const int32_t *token, int n, struct kv_error *err);

/* A cache was compressed already. */
static inline bool where_compressed(const struct kv_where *w)
{
    return w->phase > KV_PHASE_compress || (w->phase == KV_PHASE_compress && w->pass > 0);
}

/* --- engine/run/history.c --- */
/* The next stage has been run before, in this branch. */
static inline bool past_again(const struct kv_engine *e) { return e->at.tick < e->past.highest; }
void past_reset(struct past *p); /* of a request that starts; the limit stays */
/* Compression number k begins at this tick. */
enum kv_status past_due(struct past *p, int k, uint64_t tick, struct kv_error *err);
/* It was decided so. */
void past_decide(struct past *p, int k, const struct kv_policy *policy, uint64_t seed, struct pins *pins);
/* Compressions from[count], in place of those that were there. */
enum kv_status past_take(struct past *p, const struct decision *from, int count, struct kv_error *err);
void past_drop(struct past *p, uint64_t tick); /* those that begin later, and what was decided right there */
void decisions_free(struct decision *d, int count);
void past_free(struct past *p);
/* Forgets what lies behind the present tick. */
void past_cut(struct kv_engine *e);
/* Keeps the reply's token t. */
enum kv_status past_token(struct past *p, int t, int32_t token, const struct sampler *drawn, struct kv_error *err);
/* Keeps the record's sums where a prefill pass starts, if they fit. */
enum kv_status past_sums(struct kv_engine *e, struct kv_error *err);

/* --- engine/run/selection.c --- */
enum kv_status selection_init(struct selection *s, int n_layer, int n, struct kv_error *err);
void selection_free(struct selection *s);
/* The policy as a layer selects by it. */
struct kv_policy selection_policy(const struct selection *s, int layer);
/* Makes room for so many kept sets of a layer; nothing is selected then. */
enum kv_status selection_sets(struct selection *s, int n_layer, int n, int sets, struct kv_error *err);
/* Tokens that the layer keeps, on average over its KV heads; 0 = not selected yet. */
double selection_mean(const struct selection *s, int layer);
/* Nothing is allocated or selected yet. */
void selection_reset(struct selection *s, int n_layer);
/* A layer's edits as its selection meets them: pin [n] out, 1 = kept, -1 = dropped, also where no query to come sees the
 * first `unseen` tokens, unless the user keeps one. False (and zeros) when there is nothing. */
bool selection_pins(const struct pins *pins, int layer, int n, int unseen, int8_t *pin);
/* The mask [n] (enum kv_forced) that a row was selected with. KV_NO_MEMORY. */
enum kv_status selection_mask(const struct selection *s, int layer, int g, uint8_t *forced, struct kv_error *err);
/* Position of slot i of the KV head's keys: those that the selection keeps, then those after its base. */
static inline int selection_position(const struct selection *s, int layer, int g, int base, int i)
{
    size_t row = selection_row(s, layer, g);
    return i < s->n_kept[row] ? s->kept[row * (size_t)s->n + (size_t)i] : base + i - s->n_kept[row];
}
/* Gives up the kept cache and what was appended to it. */
void run_drop_caches(struct run *r);
/* Tokens that the run has read. */
static inline int run_seen(const struct run *r) { return r->base + r->tail_len; }

/* --- engine/run/edit.c --- */
/* Puts pins in force (taken over); a change behind the frontier is noted. */
void edit_take(struct kv_engine *e, struct pins *next);

/* --- engine/run/runs.c --- */
/* Run 1 alone is left, the selected one. */
void runs_forget(struct kv_engine *e);
/* The spans [n_layer] that a run's decode reads before its tail; the full one's are the resident prefill. *shift is the run's. Of one that
 * compresses again *again gets what it goes by (else its past is NULL), and the spans are of now. KV_NOT_FOUND,
 * KV_NOT_NOW where it is not compressed. */
struct line_like;
enum kv_status runs_prefix(const struct kv_engine *e, int number, const struct kv_span **out,
    struct line_like *again, const int32_t **shift, struct kv_error *err);

/* --- engine/run/twin.c, score.c --- */
void twin_free(struct twin_result *t);
void score_forget(struct score_base *b);
void mass_forget(struct mass *m);

/* --- engine/settings.c --- */
bool settings_policy_same(const struct kv_policy *a, const struct kv_policy *b);
/* Whether policy.* and decode.* are the same. */
bool settings_steer_same(const struct settings *a, const struct settings *b);
/* Puts settings in force; a change behind the frontier is noted. */
void settings_take(struct kv_engine *e, const struct settings *next);

/* --- engine/backend.c --- */
/* The backend that the settings ask for, and one line why. KV_DEVICE when cuda was asked for and cannot be had. */
enum kv_status backend_pick(
    const struct settings *s, const struct kv_backend **be, char *note, size_t size, struct kv_error *err);
/* Where the backend that `auto` took could not be opened: the CPU, with the sentence in err as the reason why. */
bool backend_instead(
    const struct settings *s, const struct kv_backend **be, char *note, size_t size, struct kv_error *err);

/* Plain text as ids, behind the token that begins every text where the model wants one; the question follows an empty
 * line, as in a chat. The caller frees out->ids. */
enum kv_status engine_encode(struct kv_engine *e, const char *text, size_t bytes, const char *question,
    struct chat_ids *out, struct kv_error *err);
/* Opens the machine that the settings ask for, unless a request has one. */
enum kv_status engine_machine(struct kv_engine *e, struct kv_error *err);
/* Puts the request back to tick 0, with the settings that it was started with. */
enum kv_status engine_begin(struct kv_engine *e, struct kv_error *err);
/* Whether the token ends a reply. */
bool engine_is_end(const struct kv_engine *e, int32_t id);
/* True once for every kv_stop(). */
bool engine_stopped(struct kv_engine *e);
void engine_progress(struct kv_engine *e, const char *what, double done, double total);
/* Brings the logits of the last sampled row to e->logits. */
enum kv_status engine_logits(struct kv_engine *e, struct kv_error *err);
/* Rows of a prefill pass that a request would have which started now: engine.segment, or what suits the machine. */
int engine_segment(const struct kv_engine *e);
/* KV_NO_MEMORY, with the numbers, where the prompt's request cannot fit. */
enum kv_status engine_check_memory(const struct kv_engine *e, struct kv_error *err);
/* Puts a pass under way aside, for what comes next uses the machine; nothing where none is. Then unpark, whatever came
 * of it (status): the pass stands as before, and the first failure is returned. */
enum kv_status engine_park(const struct kv_engine *e, struct parked *out, struct kv_error *err);
enum kv_status engine_unpark(
    const struct kv_engine *e, struct parked *parked, enum kv_status status, struct kv_error *err);
/* KV_NOT_NOW with one sentence where the request is a core file, which can only be looked at. */
enum kv_status engine_need_live(const struct kv_engine *e, struct kv_error *err);
/* KV_NOT_NOW with one sentence unless the prefill is complete. */
enum kv_status engine_need_prefill(const struct kv_engine *e, struct kv_error *err);
/* The same for a finished compress:0. */
enum kv_status engine_need_compressed(const struct kv_engine *e, struct kv_error *err);

#endif
