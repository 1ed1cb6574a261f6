/* JSON files of a Hugging Face folder, read by cJSON: one object each, whose keys are there once.
 *
 * A value is asked for by its key: KV_NOT_FOUND where the key is absent or null, and *out keeps what it had;
 * KV_BAD_FILE with a sentence that names file, key and what was expected where it is of another type or out of range. */
#ifndef KV_HF_JSON_H
#define KV_HF_JSON_H

#include "kernels/base.h"

struct cJSON;

struct hf_json {
    struct cJSON *root;
    const char *name; /* of the file, for sentences: borrowed */
};

/* FOLDER/NAME, for the caller to free; NULL = no memory. */
char *hf_path(const char *folder, const char *name);

/* Reads FOLDER/NAME, of `limit` bytes at most. KV_NOT_FOUND (there is no such file), KV_IO, KV_BAD_FILE, KV_NO_MEMORY;
 * KV_UNSUPPORTED where the program was built without cJSON. */
enum kv_status hf_json_read(
    const char *folder, const char *name, size_t limit, struct hf_json *out, struct kv_error *err);
void hf_json_close(struct hf_json *j); /* a zeroed one is fine */

/* What stands at a key, NULL where it is absent or null. */
const struct cJSON *hf_json_at(const struct cJSON *object, const char *key);

/* Values of an object of the file. */
enum kv_status hf_json_whole(const struct hf_json *j, const struct cJSON *object, const char *key, int least,
    int most, int *out, struct kv_error *err);
enum kv_status hf_json_real(
    const struct hf_json *j, const struct cJSON *object, const char *key, float *out, struct kv_error *err);
enum kv_status hf_json_bool(
    const struct hf_json *j, const struct cJSON *object, const char *key, bool *out, struct kv_error *err);
enum kv_status hf_json_text(
    const struct hf_json *j, const struct cJSON *object, const char *key, const char **out, struct kv_error *err);
enum kv_status hf_json_object(const struct hf_json *j, const struct cJSON *object, const char *key,
    const struct cJSON **out, struct kv_error *err);

/* KV_BAD_FILE where a key of the object stands in it twice. */
enum kv_status hf_json_unique(const struct hf_json *j, const struct cJSON *object, struct kv_error *err);

#endif
