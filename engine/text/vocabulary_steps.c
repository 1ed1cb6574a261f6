/* tokenizer.json's normalizer, pre-tokenizer, decoder and post-processor. Each is an object with a type, Sequence a
 * list of them. Types that would change ids and are not read here are refused by their names. */
#include "engine/text/vocabulary_parts.h"

#include "engine/text/normalize.h"
#include "engine/text/pretokenize.h"

#include <stdlib.h>
#include <string.h>

#ifdef KV_HAVE_CJSON

enum { DEPTH_MAX = 8 };

#define SPACE_MARK "\xE2\x96\x81" /* U+2581 */

/* One object of a part; `what` names the part in sentences. */
typedef enum kv_status part_fn(struct vocabulary_reader *r, const cJSON *object, const char *type);

struct part {
    const char *key, *list; /* of the file, and of a Sequence */
    const char *what;
    part_fn *read;
};

static enum kv_status refuse(struct vocabulary_reader *r, const char *what, const char *detail, const char *more)
{
    return kv_fail(r->err, KV_UNSUPPORTED,
        "The tokenizer's %s %.60s%s is not read by kvdbg; give the prompt as token ids.", what, detail, more);
}

static enum kv_status add(struct vocabulary_reader *r, struct kv_text_step step)
{
    if (r->n_step == VOCABULARY_STEPS)
        return kv_fail(r->err, KV_UNSUPPORTED, "The tokenizer has more than %d steps.", VOCABULARY_STEPS);
    if (!step.from.text) step.from = (struct kv_string){ "", 0 };
    if (!step.to.text) step.to = (struct kv_string){ "", 0 };
    r->step[r->n_step++] = step;
    return KV_OK;
}

/* A pattern {"String": ...} or {"Regex": ...}. */
static const char *pattern_of(const cJSON *object, bool *regex)
{
    const cJSON *pattern = cJSON_GetObjectItemCaseSensitive(object, "pattern");
    const char *text = vocabulary_text(pattern, "Regex");
    *regex = text != NULL;
    return text ? text : vocabulary_text(pattern, "String");
}

/* ---- normalizer ---- */

static enum kv_status read_normalizer(struct vocabulary_reader *r, const cJSON *object, const char *type)
{
    static const char part[] = "normalizer";
    struct kv_text_step step = { .kind = KV_STEP_NORMALIZE, .to = { type, strlen(type) } };
    if (normalize_knows(step.to)) {
        step.to = vocabulary_keep(r, type);
    } else if (!strcmp(type, "Prepend")) {
        const char *head = vocabulary_text(object, "prepend");
        step = (struct kv_text_step){ .kind = KV_STEP_PREPEND, .to = vocabulary_keep(r, head ? head : "") };
    } else if (!strcmp(type, "Replace")) {
        bool regex;
        const char *from = pattern_of(object, &regex), *to = vocabulary_text(object, "content");
        if (regex || !from) return refuse(r, part, "Replace", " of an expression");
        step = (struct kv_text_step){
            .kind = KV_STEP_REPLACE, .from = vocabulary_keep(r, from), .to = vocabulary_keep(r, to ? to : "")
        };
    } else {
        return refuse(r, part, type, "");
    }
    return add(r, step);
}

/* ---- pre-tokenizer ---- */

static enum kv_status add_split(struct vocabulary_reader *r, const char *expression)
{
    return add(r, (struct kv_text_step){ .kind = KV_STEP_SPLIT, .from = vocabulary_keep(r, expression) });
}

/* A literal text as an expression: all but letters and digits is escaped. */
static enum kv_status add_literal_split(struct vocabulary_reader *r, const char *text)
{
    size_t n = strlen(text), to = 0;
    char *expression = arena_take(r->arena, 2 * n + 1, 1);
    if (!expression) return kv_fail(r->err, KV_NO_MEMORY, "No memory for a pre-tokenizer.");
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        bool plain = c >= 0x80 || c <= ' ' || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
        if (!plain) expression[to++] = '\\';
        expression[to++] = (char)c;
    }
    return add(r, (struct kv_text_step){ .kind = KV_STEP_SPLIT, .from = { expression, to } });
}

static bool has_split(const struct vocabulary_reader *r)
{
    for (int i = 0; i < r->n_step; i++)
        if (r->step[i].kind == KV_STEP_SPLIT) return true;
    return false;
}

static enum kv_status read_metaspace(struct vocabulary_reader *r, const cJSON *object)
{
    const char *mark = vocabulary_text(object, "replacement"), *scheme = vocabulary_text(object, "prepend_scheme");
    if (!mark || strcmp(mark, SPACE_MARK))
        return refuse(r, "pre-tokenizer", "Metaspace", " with another mark than U+2581");
    if (has_split(r)) return refuse(r, "pre-tokenizer", "Metaspace", " behind another one");
    if (!scheme) scheme = vocabulary_flag(object, "add_prefix_space", true) ? "always" : "never";
    struct kv_string space = vocabulary_keep(r, " "), to = vocabulary_keep(r, mark);
    enum kv_status status = add(r, (struct kv_text_step){ .kind = KV_STEP_REPLACE, .from = space, .to = to });
    if (!status && strcmp(scheme, "never"))
        status = add(r, (struct kv_text_step){
                            .kind = KV_STEP_PREPEND, .to = to, .unless = true, .first = !strcmp(scheme, "first") });
    if (!status && vocabulary_flag(object, "split", true))
        status = add_split(r, SPACE_MARK "[^" SPACE_MARK "]*|[^" SPACE_MARK "]+");
    return status;
}

static enum kv_status read_byte_level(struct vocabulary_reader *r, const cJSON *object)
{
    enum kv_status status = KV_OK;
    r->byte_level = true;
    if (vocabulary_flag(object, "add_prefix_space", true)) {
        if (has_split(r)) return refuse(r, "pre-tokenizer", "ByteLevel", " with a space in front of every word");
        status =
            add(r, (struct kv_text_step){ .kind = KV_STEP_PREPEND, .to = vocabulary_keep(r, " "), .unless = true });
    }
    if (!status && vocabulary_flag(object, "use_regex", true)) status = add_split(r, pre_gpt2);
    return status;
}

static enum kv_status read_pre_tokenizer(struct vocabulary_reader *r, const cJSON *object, const char *type)
{
    static const char part[] = "pre-tokenizer";
    if (r->byte_level) return refuse(r, part, type, " behind ByteLevel");
    if (!strcmp(type, "ByteLevel")) return read_byte_level(r, object);
    if (!strcmp(type, "Metaspace")) return read_metaspace(r, object);
    if (!strcmp(type, "Digits"))
        return add_split(r, vocabulary_flag(object, "individual_digits", false) ? "\\p{N}" : "\\p{N}+");
    if (strcmp(type, "Split")) return refuse(r, part, type, "");
    bool regex, invert = vocabulary_flag(object, "invert", false);
    const char *pattern = pattern_of(object, &regex), *behavior = vocabulary_text(object, "behavior");
    if (!pattern || !behavior) return refuse(r, part, "Split", " without a pattern or a behavior");
    /* matches are words either way; what lies between them is, in files that remove it, nothing */
    if (strcmp(behavior, "Isolated") && !(invert && !strcmp(behavior, "Removed")))
        return refuse(r, "pre-tokenizer Split with the behavior", behavior, "");
    return regex ? add_split(r, pattern) : add_literal_split(r, pattern);
}

/* ---- decoder and post-processor ---- */

/* Pieces are decoded from the vocabulary alone; these say what that does anyway. */
static enum kv_status read_decoder(struct vocabulary_reader *r, const cJSON *object, const char *type)
{
    static const char *const known[] = { "ByteLevel", "Replace", "ByteFallback", "Fuse", "Strip", "Metaspace" };
    (void)object;
    for (size_t i = 0; i < KV_COUNT(known); i++)
        if (!strcmp(type, known[i])) return KV_OK;
    return refuse(r, "decoder", type, "");
}

static enum kv_status read_post_processor(struct vocabulary_reader *r, const cJSON *object, const char *type)
{
    if (!strcmp(type, "ByteLevel")) return KV_OK;
    if (strcmp(type, "TemplateProcessing")) return refuse(r, "post-processor", type, "");
    const cJSON *first = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(object, "single"), 0);
    r->bos = vocabulary_text(cJSON_GetObjectItemCaseSensitive(first, "SpecialToken"), "id");
    return KV_OK;
}

/* ---- all ---- */

static enum kv_status walk(struct vocabulary_reader *r, const struct part *part, const cJSON *object, int depth)
{
    const char *type = vocabulary_text(object, "type");
    if (!object || cJSON_IsNull(object)) return KV_OK;
    if (!type) return kv_fail(r->err, KV_BAD_FILE, "The tokenizer's %s has no type.", part->what);
    if (strcmp(type, "Sequence")) return part->read(r, object, type);
    if (depth == DEPTH_MAX) return refuse(r, part->what, "Sequence", " within so many others");
    const cJSON *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(object, part->list))
    {
        enum kv_status status = walk(r, part, item, depth + 1);
        if (status) return status;
    }
    return KV_OK;
}

static const struct part parts[];

enum kv_status vocabulary_read_steps(struct vocabulary_reader *r, const cJSON *root, bool normalized)
{
    for (const struct part *part = parts; part->key; part++) {
        enum kv_status status = walk(r, part, cJSON_GetObjectItemCaseSensitive(root, part->key), 0);
        if (!status && part->read == read_normalizer && normalized)
            status = add(r, (struct kv_text_step){ .kind = KV_STEP_ADDED });
        if (status) return status;
    }
    for (int i = 0; i < r->n_step; i++)
        if (!r->step[i].from.text || !r->step[i].to.text)
            return kv_fail(r->err, KV_NO_MEMORY, "No memory for the tokenizer's steps.");
    r->v->step = kv_alloc((size_t)r->n_step + 1, sizeof *r->v->step);
    if (!r->v->step) return kv_fail(r->err, KV_NO_MEMORY, "No memory for the tokenizer's steps.");
    memcpy(r->v->step, r->step, (size_t)r->n_step * sizeof *r->step);
    r->v->n_step = r->n_step;
    r->v->kind = r->byte_level ? (struct kv_string){ "gpt2", 4 } : (struct kv_string){ "llama", 5 };
    return KV_OK;
}

static const struct part parts[] = {
    { "normalizer", "normalizers", "normalizer", read_normalizer },
    { "pre_tokenizer", "pretokenizers", "pre-tokenizer", read_pre_tokenizer },
    { "decoder", "decoders", "decoder", read_decoder },
    { "post_processor", "processors", "post-processor", read_post_processor },
    { NULL, NULL, NULL, NULL },
};

#endif
