/* The tensors of a Hugging Face folder: model.safetensors, or the files that model.safetensors.index.json names.
 *
 * The files are mapped read-only and read where they lie; only norms and biases that are not F32, and tensors that lie
 * askew, are copied. Files must lie in the folder itself (a link there may lead anywhere, as those of Hugging Face's cache
 * do). */
#ifndef KV_HF_WEIGHTS_H
#define KV_HF_WEIGHTS_H

#include "engine/model/hf_config.h"

/* Index and header sizes that are read at most, bytes. */
#define HF_INDEX_LIMIT ((size_t)16 << 20)
#define HF_FILES_LIMIT 1000 /* far more than any model has, and than may be open at once */

struct hf_weights;

/* Opens and checks all files. KV_IO, KV_BAD_FILE, KV_UNSUPPORTED (weights of another kind), KV_NO_MEMORY. */
enum kv_status hf_weights_open(const char *folder, struct hf_weights **out, struct kv_error *err);

/* Names of the files in the folder, the index included; NULL behind the last. */
const char *hf_weights_file(const struct hf_weights *w, int index);

/* Gives every tensor of the model its place; model->shape is known and model->layer has its elements. Afterwards only
 * the maps are kept. */
enum kv_status hf_weights_bind(
    struct hf_weights *w, const struct hf_config *config, struct kv_model *model, struct kv_error *err);

void hf_weights_close(struct hf_weights *w); /* NULL is fine */

#endif
