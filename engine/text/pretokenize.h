/* Words: the splitting steps of a vocabulary, regular expressions run by PCRE2 with Unicode properties (and its JIT
 * compiler where there is one), and the steps that the names of GGUF files stand for. */
#ifndef KV_PRETOKENIZE_H
#define KV_PRETOKENIZE_H

#include "engine/model/model.h"

/* GPT-2's expression, which ByteLevel of tokenizer.json runs where it is not told otherwise. */
extern const char pre_gpt2[];

/* The steps of a name in tokenizer.ggml.pre; NULL = a name that no row has. */
const struct kv_text_step *pre_steps(struct kv_string name, int *n);

struct pre_rule; /* compiled and immutable: threads may share it */
struct pre_scan; /* working memory of one scan */

/* Compiles the splits among n steps. KV_UNSUPPORTED: an expression that PCRE2 cannot run or would understand in
 * another way, and any split when built without PCRE2. */
enum kv_status pre_open(const struct kv_text_step *step, int n, struct pre_rule **out, struct kv_error *err);
void pre_close(struct pre_rule *rule); /* NULL is fine */

struct pre_scan *pre_scan_open(const struct pre_rule *rule); /* NULL when memory is short; borrows the rule */
void pre_scan_close(struct pre_scan *scan);                  /* NULL is fine */

/* Calls word for each word of the text, in order; the words cover it. The text must be well-formed UTF-8. What an
 * expression does not match is a word of its own, and each further expression sees one word and nothing around it.
 * Ends with the first status that is not KV_OK. */
typedef enum kv_status pre_word_fn(void *ctx, const char *word, size_t bytes);
enum kv_status pre_words(
    struct pre_scan *scan, const char *text, size_t bytes, pre_word_fn *word, void *ctx, struct kv_error *err);

/* Whether the character that starts at `at` (< bytes) is white space, or a letter, mark, digit or connector. */
bool pre_is_space(struct pre_scan *scan, const char *text, size_t bytes, size_t at);
bool pre_is_word(struct pre_scan *scan, const char *text, size_t bytes, size_t at);

#endif
