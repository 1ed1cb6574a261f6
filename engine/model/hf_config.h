/* The shape that a Hugging Face folder's config.json states, as transformers reads it, and the tokens that end a reply, of its
 * generation_config.json. */
#ifndef KV_HF_CONFIG_H
#define KV_HF_CONFIG_H

#include "engine/model/arch.h"
#include "engine/model/hf_json.h"

struct hf_config {
    const struct arch *arch;
    struct kv_shape shape;           /* all but the name */
    bool tied;                       /* the head is the embedding, whatever the files hold beside it */
    bool qkv_bias, o_bias, ffn_bias; /* parts that must be there; else they must not */
};

/* KV_BAD_FILE: a key is missing, of the wrong type, or has a value that no model has; KV_UNSUPPORTED: it asks for a part
 * that is not built, which the sentence names. */
enum kv_status hf_config_read(const struct hf_json *config, struct hf_config *out, struct kv_error *err);

/* Ids of the tokens that end a reply: of generation_config.json, else of config.json. *ids is the caller's to free.
 * generation may have no root: then there is no such file. */
enum kv_status hf_config_ends(const struct hf_json *config, const struct hf_json *generation, int n_vocab,
    int32_t **ids, int *n, struct kv_error *err);

#endif
