/* Profiles: measured curves of one model in one JSON file, from which budgets come for any total. A page of the engine's
 * public contract.
 *
 * For every prompt that was measured a profile holds the damage done by compressing one layer alone: KL(full || it) in
 * nats a reply token, by selector, layer and kept share (engine/tune.h). Prompts have kinds; where there are several,
 * budgets make the worst kind's damage small, relative to what equal budgets would do to it. `policy.profile FILE` reads
 * one for the allocator and the selector `tuned`. sessions/PROFILE.md describes the file. */
#ifndef KV_PROFILE_H
#define KV_PROFILE_H

#include "engine/engine.h"

#define KV_PROFILE_SHARES    32 /* points of a curve at most */
#define KV_PROFILE_SELECTORS 8
#define KV_PROFILE_FACTS     12
#define KV_PROFILE_WORD      80 /* bytes of a name */
#define KV_PROFILE_BY_LAYER  "by-layer"

struct kv_profile_prompt {
    char kind[KV_PROFILE_WORD], name[KV_PROFILE_WORD];
    char sha[65];      /* SHA-256 of what was read: prompt, question, how it was wrapped */
    int tokens, reply; /* of the prompt; of the reply that was judged */
    int asked;         /* tokens of a question that was read after compress; 0 = none */
    double *kl;        /* [n_selector][n_layer][n_share] nats a token; NaN = not measured yet */
};

/* Shares of the layers that were measured all at once to be better than the curves' (tune -refine), for one total and the
 * profile's choice of selectors. */
struct kv_profile_refined {
    double total;  /* mean share */
    double *share; /* [n_layer] */
};

struct kv_profile {
    char program[32];                         /* "kvdbg 0.1" */
    char model[128], arch[32], model_sha[65]; /* as kv_model_facts; the file's SHA-256, or what stands for it */
    int n_layer;
    char engine[256];                                  /* kv_describe */
    int reply;                                         /* longest reply, tokens */
    char policy[KV_PROFILE_FACTS][2][KV_PROFILE_WORD]; /* settings that the curves depend on: name, value */
    int n_policy;
    int n_share, n_selector, n_prompt;
    double share[KV_PROFILE_SHARES]; /* ascending, in (0, 1) */
    char selector[KV_PROFILE_SELECTORS][KV_PROFILE_WORD];
    char choice[KV_PROFILE_WORD];     /* the selector that `tuned` means, measured here or not, "" = the first; or
                                     KV_PROFILE_BY_LAYER: the best of those measured, layer by layer */
    struct kv_profile_prompt *prompt; /* [n_prompt] */
    int n_refined;
    struct kv_profile_refined *refined; /* [n_refined] */
};

/* KV_IO, KV_BAD_FILE, KV_NO_MEMORY; KV_UNSUPPORTED for a later format, or where the program was built without cJSON. */
enum kv_status kv_profile_read(const char *path, struct kv_profile **out, struct kv_error *err);
/* Writes it under a temporary name, synced, then renamed: on failure no file is left or changed. */
enum kv_status kv_profile_write(const struct kv_profile *p, const char *path, struct kv_error *err);
struct kv_profile *kv_profile_copy(const struct kv_profile *p); /* NULL = no memory */
void kv_profile_free(struct kv_profile *p);                     /* NULL is fine */
/* A KL with as many digits as the file has: what is measured is rounded at once, so that means do not depend on whether
 * the file was read in between. */
double kv_profile_rounded(double kl);

/* Adds a prompt, nothing of it measured; its index, or -1 = no memory. */
int kv_profile_add(struct kv_profile *p, const struct kv_profile_prompt *prompt);
/* Shares [n_layer] for a total, in place of those that it has for that. KV_NO_MEMORY. */
enum kv_status kv_profile_refine(struct kv_profile *p, double total, const double *share, struct kv_error *err);
/* Forgets them: what they were measured with has changed. */
void kv_profile_unrefine(struct kv_profile *p);
/* Curve [n_share] of a prompt. */
double *kv_profile_curve(const struct kv_profile *p, int prompt, int selector, int layer);
bool kv_profile_measured(const struct kv_profile *p, int prompt);
/* Index of a kind's name in the order of first appearance, and their number; name NULL = the number. -1 = no such. */
int kv_profile_kind(const struct kv_profile *p, const char *name);
const char *kv_profile_kind_name(const struct kv_profile *p, int kind);
/* The kind's curve: mean over its measured prompts, made non-increasing. KV_NOT_FOUND without any. */
enum kv_status kv_profile_mean(
    const struct kv_profile *p, int kind, int selector, int layer, double *kl, struct kv_error *err);

/* All that two profiles of one model, grid and policy measured; a prompt that both have counts once, as the mean. Of the
 * selectors, those that both have; nothing refined. KV_BAD_ARG where they do not fit together. */
enum kv_status kv_profile_merge(
    const struct kv_profile *a, const struct kv_profile *b, struct kv_profile **out, struct kv_error *err);

/* The choice's name, of one selector or KV_PROFILE_BY_LAYER. */
const char *kv_profile_choice(const struct kv_profile *p);
bool kv_profile_by_layer(const struct kv_profile *p);

/* Whether it is of this model: shape and name (the caller compares hashes). KV_BAD_ARG with the sentence. */
enum kv_status kv_profile_fits(const struct kv_profile *p, const struct kv_model *model, struct kv_error *err);

struct kv_profile_plan {
    double total; /* mean share kept, in (0, 1] */
    double least; /* share that every layer keeps */
    const char
        *with;     /* a selector's name; NULL = the profile's choice. One without curves goes by the choice's, or by
                         the first */
    double *share; /* [n_layer] out */
    int *selector; /* [n_layer] out, index into p->selector; or NULL */
    double *damage, *uniform; /* [kinds] out, nats: of this plan, and of equal shares; or NULL */
};
/* Shares of the layers that do least damage (engine/judge/curves.h); or the refined ones, where there are some for such a
 * total (to 2 %). */
enum kv_status kv_profile_spend(const struct kv_profile *p, struct kv_profile_plan *plan, struct kv_error *err);

#endif
