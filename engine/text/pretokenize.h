/* Pre-tokenizers: how text falls into words before byte-pair merging, by the name that a GGUF file states in
 * tokenizer.ggml.pre. Each is one regular expression, run by PCRE2 with Unicode properties (and its JIT compiler
 * where there is one). */
#ifndef KV_PRETOKENIZE_H
#define KV_PRETOKENIZE_H

#include "engine/model/model.h"

struct pre_rule; /* compiled and immutable: threads may share it */
struct pre_scan; /* working memory of one scan */

/* KV_UNSUPPORTED for a name that no row has, and for every name when built without PCRE2. */
enum kv_status pre_open(struct kv_string name, struct pre_rule **out, struct kv_error *err);
void pre_close(struct pre_rule *rule); /* NULL is fine */

struct pre_scan *pre_scan_open(const struct pre_rule *rule); /* NULL when memory is short; borrows the rule */
void pre_scan_close(struct pre_scan *scan);                  /* NULL is fine */

/* Where the word that starts at `at` (< bytes) ends: at < *end <= bytes. The text must be well-formed UTF-8 and
 * `at` the start of a character. What the expression does not match is a word of its own. */
enum kv_status pre_next(
    struct pre_scan *scan, const char *text, size_t bytes, size_t at, size_t *end, struct kv_error *err);

#endif
