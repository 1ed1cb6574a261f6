/* Core files: a page of the engine's public contract beside engine.h. A core holds what a started request knows, its
 * weights apart, in one .safetensors file. It opens as an engine that can be looked at without its model or a GPU:
 * kv_value, kv_attention, kv_where, kv_get, kv_memory, kv_time, kv_describe, look.h and the tokens' texts answer as the live
 * request did, bit for bit; kv_twin gives the comparison that was made before. What would run, and kv_set, answers
 * KV_NOT_NOW with KV_CORE_CANNOT_RUN; what the core does not hold, KV_NOT_NOW with "NAME is not in this core file".
 *
 * The format, version 1. L layers, H query heads, G KV heads, n tokens of the prefill, V of the vocabulary. Little-
 * endian, no gaps; kvdbg writes the types named here and reads any float for a float, any integer for an integer.
 *
 *   values, each under its name for kv_value
 *     tok I32 [n]   question reply I32 [*]   entropy F64 [L][H]   E weight budget.req F64 [L]
 *     budget.app .used .floor .cap I32 [L]   budget.rule U8 [L]   budget.total I32 [2]   cut F32 [L]
 *     kept reason U8 [L][n]   logit F32 [V]; where policy.group is kv-head, cut is [L][G], and kept, reason, score and
 *     rank are [L][G][n]
 *     kl F64 [*]   full other I32 [*] (the steps of the last comparison)
 *     n_kept I32 [L], or [L][G]: tokens that compress selected, -1 = not yet
 *     pins compress.pins I32 [*][4]: layer, first, end, 1 kept or -1 evicted; pins.budget compress.pins.budget I32
 *     [L], -1 = the solver's: the user's edits now, and those that compress ran with
 *     +scores      score F32 [L][n], rank I32 [L][n]
 *     +entropy_q   entropy_q F32 [L][H][n]
 *     +columns     columns F32 [L][H][n], and what else the selector has read: stats.window, stats.last alike
 *   pieces of the tokens that occur, and of the 64 best logits: piece.id I32 [m] ascending, piece.start I32 [m + 1]
 *     into piece.bytes U8 [*]
 *   prompt.text U8 [*]: the prompt as the user gave it
 *   costs F64 [*][6]: the stages of the pass under the cursor (stage, layer, tick, us, flops, bytes of look.h)
 *   +attn l.h      attn.l.h F32 [r][r], probabilities by query row and key position of all r tokens that were read
 *   +kv            resident.k.l resident.v.l [G][len][d] of the prefill, active.k.l active.v.l [G][len][d] that decode
 *                  reads, in the cache's own type, active.pos.l I32 [len] their positions; where policy.group is
 *                  kv-head, the slots of one head behind those of the other: [slots][d] and [slots]
 *   __metadata__   all texts. "format" "kvdbg-core", "format.version" "1", "program";
 *     model.path .arch .name .layers .hidden .ffn .heads .kv-heads .head-dim .vocabulary .context .sliding-window
 *     .sliding-layers .rope .weight-bytes .synthetic ("on", "off"); phase pass layer stage tick branch item tail (stage of
 *     the pass; tokens behind the prefill),
 *     history.compress .highest; every setting under its name, those that compress ran with as compress.policy.*;
 *     backend; mem.NAME in bytes; time.PHASE "US TOKENS"; and the notes of whoever wrote it
 *   Only tok, format, model.layers, .heads, .vocabulary and phase must be there: another program's core need not hold
 *   more than it knows. */
#ifndef KV_CORE_H
#define KV_CORE_H

#include "engine/engine.h"

#define KV_CORE_VERSION    1
#define KV_CORE_CANNOT_RUN "A core file cannot run; open its model with \"file MODEL\"."

enum kv_core_part {
    KV_CORE_BASE,
    KV_CORE_SCORES,
    KV_CORE_ENTROPY_Q,
    KV_CORE_COLUMNS,
    KV_CORE_KV,
    KV_CORE_ATTN,
    KV_CORE_PARTS
};
extern const char *const kv_core_part_name[KV_CORE_PARTS]; /* "base", "scores", ... */

/* A text of the metadata beside the engine's own; invalid UTF-8 becomes U+FFFD. */
struct kv_core_note {
    const char *key, *text;
};

#define KV_CORE_MAPS 64

struct kv_core_want {
    bool part[KV_CORE_PARTS]; /* base is always written, ATTN where there are maps */
    int layer[KV_CORE_MAPS], head[KV_CORE_MAPS], n_map;
    const struct kv_core_note *note;
    int n_note;
    const char *text; /* the prompt as the user gave it; NULL = none */
    size_t text_bytes;
};

/* Bytes of the file that kv_core_write would make now, by part; their sum is its size. KV_NOT_NOW before a request is
 * started, or for a part that is not there yet; KV_BAD_ARG for a head that there is not. */
enum kv_status kv_core_size(
    struct kv_engine *e, const struct kv_core_want *want, uint64_t bytes[KV_CORE_PARTS], struct kv_error *err);
/* Writes it under a temporary name, synced, then renamed: on failure no file is left or changed. KV_IO, KV_STOPPED,
 * KV_NO_MEMORY; KV_UNSUPPORTED where the program was built without cJSON. */
enum kv_status kv_core_write(
    struct kv_engine *e, const char *path, const struct kv_core_want *want, struct kv_error *err);

/* Opens a core as a model without weights and an engine that stands where the request stood; both are closed as usual.
 * On failure both are NULL. KV_IO, KV_BAD_FILE, KV_UNSUPPORTED (a later format; no cJSON), KV_NO_MEMORY. */
enum kv_status kv_core_open(
    const char *path, struct kv_model **model, struct kv_engine **engine, struct kv_error *err);
/* The file behind an engine; NULL: a live one. */
const char *kv_core_path(const struct kv_engine *e);
/* A text of its metadata, NULL where it has none; borrowed. */
const char *kv_core_note(const struct kv_engine *e, const char *key);
/* The prompt as the user gave it, with a NUL behind it; borrowed, empty where it has none. */
const char *kv_core_text(const struct kv_engine *e, size_t *bytes);

#endif
