/* Pre-tokenizers by name, on PCRE2.
 *
 * `smollm` is Digits(individual_digits) followed by GPT-2's expression run on each part. Both are one expression
 * here: a digit is always a word of its own, and white space in front of a digit stands at the end of its part,
 * so it stays together as it does at the end of the text. Digits are all numeric characters (Nd, Nl, No).
 *
 * White space is spelled out because PCRE2's \s also takes U+180E, which is no White_Space since Unicode 6.3. */
#include "engine/text/pretokenize.h"

#include <stdlib.h>
#include <string.h>

#ifdef KV_HAVE_PCRE2

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define SPACE "\\t-\\r \\x{85}\\p{Z}"
#define WORDS "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?[^" SPACE "\\p{L}\\p{N}]+"

struct pre_row {
    const char *name, *expression;
};

struct pre_rule {
    pcre2_code *code;
};

struct pre_scan {
    const pcre2_code *code;
    pcre2_match_data *match;
};

static const struct pre_row pre_rows[];

static const struct pre_row *find_row(struct kv_string name)
{
    for (const struct pre_row *row = pre_rows; row->name; row++) {
        if (strlen(row->name) == name.length && !memcmp(row->name, name.text, name.length)) return row;
    }
    return NULL;
}

enum kv_status pre_open(struct kv_string name, struct pre_rule **out, struct kv_error *err)
{
    const struct pre_row *row = name.length ? find_row(name) : NULL;
    int code, shown = (int)kv_min(name.length, 40);
    PCRE2_SIZE where;
    *out = NULL;
    if (!row) {
        return kv_fail(err, KV_UNSUPPORTED,
            "The pre-tokenizer \"%.*s\" of this vocabulary is not known; give the prompt as token ids.", shown,
            shown ? name.text : "");
    }
    struct pre_rule *rule = kv_alloc(1, sizeof *rule);
    if (!rule) return kv_fail(err, KV_NO_MEMORY, "No memory for the pre-tokenizer %s.", row->name);
    rule->code = pcre2_compile(
        (PCRE2_SPTR)row->expression, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &code, &where, NULL);
    if (!rule->code) {
        free(rule);
        return kv_fail(err, KV_UNSUPPORTED,
            "This build of PCRE2 cannot compile the pre-tokenizer %s (its error %d at %zu); it needs Unicode "
            "support.",
            row->name, code, (size_t)where);
    }
    pcre2_jit_compile(rule->code, PCRE2_JIT_COMPLETE); /* without JIT the interpreter gives the same words */
    *out = rule;
    return KV_OK;
}

void pre_close(struct pre_rule *rule)
{
    if (rule) pcre2_code_free(rule->code);
    free(rule);
}

struct pre_scan *pre_scan_open(const struct pre_rule *rule)
{
    struct pre_scan *scan = kv_alloc(1, sizeof *scan);
    if (!scan) return NULL;
    scan->code = rule->code;
    scan->match = pcre2_match_data_create(1, NULL);
    if (scan->match) return scan;
    free(scan);
    return NULL;
}

void pre_scan_close(struct pre_scan *scan)
{
    if (scan) pcre2_match_data_free(scan->match);
    free(scan);
}

enum kv_status pre_next(
    struct pre_scan *scan, const char *text, size_t bytes, size_t at, size_t *end, struct kv_error *err)
{
    int found = pcre2_match(scan->code, (PCRE2_SPTR)text, bytes, at, PCRE2_NO_UTF_CHECK, scan->match, NULL);
    if (found < 0 && found != PCRE2_ERROR_NOMATCH) {
        return kv_fail(err, found == PCRE2_ERROR_NOMEMORY ? KV_NO_MEMORY : KV_UNSUPPORTED,
            "PCRE2 gave up on the text at byte %zu of %zu (its error %d).", at, bytes, found);
    }
    const PCRE2_SIZE *span = pcre2_get_ovector_pointer(scan->match);
    *end = found < 0 || span[1] <= at ? bytes : span[0] > at ? span[0] : span[1];
    return KV_OK;
}

static const struct pre_row pre_rows[] = {
    { "smollm", "\\p{N}|" WORDS "|[" SPACE "]+(?![^" SPACE "\\p{N}])|[" SPACE "]+" },
    { "gpt-2", WORDS "| ?\\p{N}+|[" SPACE "]+(?![^" SPACE "])|[" SPACE "]+" },
    { NULL, NULL },
};

#else

enum kv_status pre_open(struct kv_string name, struct pre_rule **out, struct kv_error *err)
{
    (void)name;
    *out = NULL;
    return kv_fail(err, KV_UNSUPPORTED,
        "This build has no PCRE2, so it cannot turn text into tokens; give the prompt as token ids, or install "
        "libpcre2-dev and build again.");
}

void pre_close(struct pre_rule *rule) { (void)rule; }

struct pre_scan *pre_scan_open(const struct pre_rule *rule)
{
    (void)rule;
    return NULL;
}

void pre_scan_close(struct pre_scan *scan) { (void)scan; }

enum kv_status pre_next(
    struct pre_scan *scan, const char *text, size_t bytes, size_t at, size_t *end, struct kv_error *err)
{
    (void)scan, (void)text, (void)at;
    *end = bytes;
    return kv_fail(err, KV_UNSUPPORTED, "This build has no PCRE2, so it cannot turn text into tokens.");
}

#endif
