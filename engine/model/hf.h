/* Hugging Face folders as models: config.json, one or many *.safetensors, generation_config.json; the vocabulary comes
 * from the tokenizer's files. */
#ifndef KV_HF_H
#define KV_HF_H

#include "engine/model/model.h"

/* Whether there is a folder of that name. */
bool hf_is_folder(const char *path);

/* Errors: KV_IO, KV_BAD_FILE, KV_UNSUPPORTED (an architecture or a part that is not read; a build without cJSON),
 * KV_NO_MEMORY. */
enum kv_status hf_open(const char *path, struct kv_model **out, struct kv_error *err);

#endif
