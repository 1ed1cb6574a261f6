/* What the readers of tokenizer.json share; for engine/text/vocabulary*.c only. */
#ifndef KV_VOCABULARY_PARTS_H
#define KV_VOCABULARY_PARTS_H

#include "engine/text/arena.h"
#include "engine/text/vocabulary.h"

/* Fills tokens, scores, types and ids from the bytes of tokenizer.model; the strings stand in the arena. KV_BAD_FILE,
 * KV_UNSUPPORTED (no BPE, a normalizer that changes text), KV_NO_MEMORY. */
enum kv_status vocabulary_read_model(
    struct kv_string file, int n_vocab, struct kv_vocabulary *v, struct arena *arena, struct kv_error *err);

#ifdef KV_HAVE_CJSON
#include <cjson/cJSON.h>

enum { VOCABULARY_STEPS = 32 };

struct vocabulary_reader {
    struct kv_vocabulary *v;
    struct arena *arena;
    struct kv_text_step step[VOCABULARY_STEPS];
    int n_step;
    bool byte_level;
    const char *bos; /* the token that the post-processor puts in front, NULL = none; borrowed from the file */
    struct kv_error *err;
};

/* The value of an object's key where it is a string, or NULL; the same of booleans, or the default. */
const char *vocabulary_text(const cJSON *object, const char *key);
bool vocabulary_flag(const cJSON *object, const char *key, bool otherwise);

/* A copy in the arena; text NULL when memory is short, which *err then says. */
struct kv_string vocabulary_keep(struct vocabulary_reader *r, const char *text);

/* Reads normalizer, pre_tokenizer, decoder and post_processor of tokenizer.json into v->step, v->kind and r->bos.
 * normalized: whether some added token is looked for in normalized text. KV_UNSUPPORTED names the kind that is not
 * read. */
enum kv_status vocabulary_read_steps(struct vocabulary_reader *r, const cJSON *root, bool normalized);

#endif
#endif
