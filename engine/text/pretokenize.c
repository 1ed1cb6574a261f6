/* Splits on PCRE2, one behind the other, and what the names of pre-tokenizers stand for. */
#include "engine/text/pretokenize.h"

#include "engine/text/expression.h"

#include <stdlib.h>
#include <string.h>

#define LITERAL(text)                                                                                              \
    {                                                                                                              \
        text, sizeof text - 1                                                                                      \
    }
#define SPLIT(text)                                                                                                \
    {                                                                                                              \
        .kind = KV_STEP_SPLIT, .from = LITERAL(text)                                                               \
    }
#define NFC                                                                                                        \
    {                                                                                                              \
        .kind = KV_STEP_NORMALIZE, .to = LITERAL("NFC")                                                            \
    }

#define GPT2  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define LATER "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
#define TAIL  "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define UPPER "\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}"
#define LOWER "\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}"
#define WORD  "[^\\r\\n\\p{L}\\p{N}]?[" UPPER "]"

const char pre_gpt2[] = GPT2;

static const struct pre_row {
    const char *names; /* with a space behind each */
    int n;
    struct kv_text_step step[4];
} pre_rows[] = {
    { "smollm codeshell exaone minerva-7b ", 2, { SPLIT("\\p{N}"), SPLIT(GPT2) } },
    { "gpt-2 phi-2 mpt olmo jais modern-bert ", 1, { SPLIT(GPT2) } },
    { "llama-bpe llama3 llama-v3 ", 1, { SPLIT(LATER "\\p{N}{1,3}" TAIL) } },
    { "qwen2 deepseek-r1-qwen ", 2, { NFC, SPLIT(LATER "\\p{N}" TAIL) } },
    { "tekken ", 1,
        { SPLIT(WORD "*[" LOWER "]+|" WORD "+[" LOWER "]*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+"
                     "|\\s+(?!\\S)|\\s+") } },
    { "default ", 4,
        { SPLIT("[\\p{P}\\$\\+<=>\\^~\\|]+"), SPLIT(GPT2), SPLIT("\\p{N}+"), SPLIT("[0-9][0-9][0-9]") } },
};

const struct kv_text_step *pre_steps(struct kv_string name, int *n)
{
    for (size_t i = 0; i < KV_COUNT(pre_rows) && name.length; i++) {
        for (const char *p = pre_rows[i].names; *p; p = strchr(p, ' ') + 1) {
            if (strcspn(p, " ") != name.length || memcmp(p, name.text, name.length)) continue;
            *n = pre_rows[i].n;
            return pre_rows[i].step;
        }
    }
    return NULL;
}

#ifdef KV_HAVE_PCRE2

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* What \w is to the `regex` crate of Rust, but for a few letters in circles. */
#define CLASSES "([" EXPRESSION_SPACE "])|([\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{200C}\\x{200D}])"

/* Expressions come with the file: one that backtracks without end is given up, not waited for. */
enum { MATCH_LIMIT = 2000000, STACK_MIN = 32 << 10, STACK_MAX = 1 << 20 };

struct pre_rule {
    pcre2_code *classes, **split; /* [n] */
    int n;
};

struct pre_scan {
    const struct pre_rule *rule;
    pcre2_match_data **match; /* [rule->n + 1], the last for classes */
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
    pre_word_fn *word;
    void *ctx;
    struct kv_error *err;
};

static enum kv_status compile(struct kv_string expression, pcre2_code **out, struct kv_error *err)
{
    char *text = NULL;
    int code;
    PCRE2_SIZE where;
    enum kv_status status = expression_translate(expression.text, expression.length, &text, err);
    if (status) return status;
    *out = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C,
        &code, &where, NULL);
    free(text);
    if (*out) {
        pcre2_jit_compile(*out, PCRE2_JIT_COMPLETE); /* without JIT the interpreter gives the same words */
        return KV_OK;
    }
    return kv_fail(err, KV_UNSUPPORTED,
        "PCRE2 cannot compile the pre-tokenizer's expression \"%.*s\" (its error %d at %zu); give the prompt as "
        "token ids.",
        (int)kv_min(expression.length, 80), expression.text, code, (size_t)where);
}

enum kv_status pre_open(const struct kv_text_step *step, int n, struct pre_rule **out, struct kv_error *err)
{
    static const struct kv_string classes = LITERAL(CLASSES);
    *out = NULL;
    struct pre_rule *rule = kv_alloc(1, sizeof *rule);
    if (rule) rule->split = kv_alloc((size_t)n + 1, sizeof *rule->split);
    if (!rule || !rule->split) {
        pre_close(rule);
        return kv_fail(err, KV_NO_MEMORY, "No memory for a pre-tokenizer.");
    }
    enum kv_status status = compile(classes, &rule->classes, err);
    for (int i = 0; i < n && !status; i++) {
        if (step[i].kind != KV_STEP_SPLIT) continue;
        status = compile(step[i].from, &rule->split[rule->n], err);
        rule->n += !status;
    }
    if (status) {
        pre_close(rule);
        return status;
    }
    *out = rule;
    return KV_OK;
}

void pre_close(struct pre_rule *rule)
{
    if (!rule) return;
    for (int i = 0; i < rule->n; i++) pcre2_code_free(rule->split[i]);
    pcre2_code_free(rule->classes);
    free(rule->split);
    free(rule);
}

struct pre_scan *pre_scan_open(const struct pre_rule *rule)
{
    struct pre_scan *scan = kv_alloc(1, sizeof *scan);
    if (!scan) return NULL;
    scan->rule = rule;
    scan->match = kv_alloc((size_t)rule->n + 1, sizeof *scan->match);
    scan->context = pcre2_match_context_create(NULL);
    scan->stack = pcre2_jit_stack_create(STACK_MIN, STACK_MAX, NULL); /* NULL without JIT */
    bool good = scan->match && scan->context;
    for (int i = 0; i <= rule->n && good; i++) good = (scan->match[i] = pcre2_match_data_create(4, NULL)) != NULL;
    if (!good) {
        pre_scan_close(scan);
        return NULL;
    }
    pcre2_set_match_limit(scan->context, MATCH_LIMIT);
    if (scan->stack) pcre2_jit_stack_assign(scan->context, NULL, scan->stack);
    return scan;
}

void pre_scan_close(struct pre_scan *scan)
{
    if (!scan) return;
    for (int i = 0; i <= scan->rule->n && scan->match; i++) pcre2_match_data_free(scan->match[i]);
    pcre2_match_context_free(scan->context);
    pcre2_jit_stack_free(scan->stack);
    free(scan->match);
    free(scan);
}

/* A word that ends before `*end` is not matched; one of no bytes is skipped, as if it were not there. */
static enum kv_status next_word(
    struct pre_scan *scan, int level, const char *text, size_t bytes, size_t at, size_t *end)
{
    const pcre2_code *code = scan->rule->split[level];
    PCRE2_SPTR subject = (PCRE2_SPTR)text;
    uint32_t flags = PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY;
    int found = pcre2_match(code, subject, bytes, at, flags, scan->match[level], scan->context);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT)
        found = pcre2_match(code, subject, bytes, at, flags | PCRE2_NO_JIT, scan->match[level], scan->context);
    if (found < 0 && found != PCRE2_ERROR_NOMATCH) {
        return kv_fail(scan->err, found == PCRE2_ERROR_NOMEMORY ? KV_NO_MEMORY : KV_UNSUPPORTED,
            "PCRE2 gave up on the text at byte %zu of %zu (its error %d).", at, bytes, found);
    }
    const PCRE2_SIZE *span = pcre2_get_ovector_pointer(scan->match[level]);
    *end = found < 0 || span[1] <= at ? bytes : span[0] > at ? span[0] : span[1];
    return KV_OK;
}

static enum kv_status split(struct pre_scan *scan, int level, const char *text, size_t bytes)
{
    if (level == scan->rule->n) return scan->word(scan->ctx, text, bytes);
    for (size_t at = 0, end = 0; at < bytes; at = end) {
        enum kv_status status = next_word(scan, level, text, bytes, at, &end);
        if (!status) status = split(scan, level + 1, text + at, end - at);
        if (status) return status;
    }
    return KV_OK;
}

enum kv_status pre_words(
    struct pre_scan *scan, const char *text, size_t bytes, pre_word_fn *word, void *ctx, struct kv_error *err)
{
    scan->word = word;
    scan->ctx = ctx;
    scan->err = err;
    return bytes ? split(scan, 0, text, bytes) : KV_OK;
}

/* 1 = white space, 2 = of a word, 0 = neither. */
static int class_at(struct pre_scan *scan, const char *text, size_t bytes, size_t at)
{
    pcre2_match_data *match = scan->match[scan->rule->n];
    int found = pcre2_match(scan->rule->classes, (PCRE2_SPTR)text, bytes, at, PCRE2_NO_UTF_CHECK | PCRE2_ANCHORED,
        match, scan->context);
    return found > 0 ? found - 1 : 0;
}

bool pre_is_space(struct pre_scan *scan, const char *text, size_t bytes, size_t at)
{
    return class_at(scan, text, bytes, at) == 1;
}

bool pre_is_word(struct pre_scan *scan, const char *text, size_t bytes, size_t at)
{
    return class_at(scan, text, bytes, at) == 2;
}

#else

#include <ctype.h>

struct pre_rule {
    int n;
};

struct pre_scan {
    int n;
};

enum kv_status pre_open(const struct kv_text_step *step, int n, struct pre_rule **out, struct kv_error *err)
{
    *out = NULL;
    for (int i = 0; i < n; i++) {
        if (step[i].kind != KV_STEP_SPLIT) continue;
        return kv_fail(err, KV_UNSUPPORTED,
            "This build has no PCRE2, so it cannot turn text into tokens; give the prompt as token ids, or install "
            "libpcre2-dev and build again.");
    }
    *out = kv_alloc(1, sizeof **out);
    return *out ? KV_OK : kv_fail(err, KV_NO_MEMORY, "No memory for a pre-tokenizer.");
}

void pre_close(struct pre_rule *rule) { free(rule); }

struct pre_scan *pre_scan_open(const struct pre_rule *rule)
{
    return kv_alloc(1, rule ? sizeof(struct pre_scan) : 1);
}

void pre_scan_close(struct pre_scan *scan) { free(scan); }

enum kv_status pre_words(
    struct pre_scan *scan, const char *text, size_t bytes, pre_word_fn *word, void *ctx, struct kv_error *err)
{
    (void)scan, (void)err;
    return bytes ? word(ctx, text, bytes) : KV_OK;
}

bool pre_is_space(struct pre_scan *scan, const char *text, size_t bytes, size_t at)
{
    (void)scan, (void)bytes;
    return isspace((unsigned char)text[at]);
}

bool pre_is_word(struct pre_scan *scan, const char *text, size_t bytes, size_t at)
{
    (void)scan, (void)bytes;
    return isalnum((unsigned char)text[at]) || text[at] == '_';
}

#endif
