/* Encoding: text falls into added tokens and the text between them; that goes through the vocabulary's steps, then
 * into runs of well-formed UTF-8 and stray bytes, a run into words, and a word into tokens.
 *
 * Words repeat, so each call keeps a small table of those that it has seen, and where their ids stand in the result.
 * Nothing is shared between calls. */
#include "engine/text/tables.h"

#include "engine/text/normalize.h"
#include "engine/text/utf8.h"

#include <stdlib.h>
#include <string.h>

enum { SEEN_WORD_MAX = 56, SEEN_MIN = 256, SEEN_MAX = 16384 };

struct seen_word {
    char text[SEEN_WORD_MAX];
    uint32_t bytes;    /* 0 = empty slot */
    uint32_t first, n; /* in the ids */
};

struct encoder {
    const struct kv_tokenizer *t;
    const char *text; /* as it was given, and how much of it */
    size_t bytes;
    const struct tok_part *part;
    struct pre_scan *scan;
    struct bpe_scratch scratch;
    struct seen_word *seen; /* [seen_mask + 1], one candidate a slot */
    size_t seen_mask;
    int32_t *ids;
    size_t n, capacity;
    size_t edited; /* bytes that steps have written */
    struct kv_error *err;
};

/* What steps may write, all together: a file could replace each letter by a thousand, again and again. */
#define EDITED_BASE ((size_t)4 << 20)
#define EDITED_EACH 64

static enum kv_status reserve(struct encoder *e, size_t more)
{
    if (e->capacity - e->n >= more) return KV_OK;
    size_t capacity = e->n + more + e->capacity / 2;
    int32_t *ids = realloc(e->ids, capacity * sizeof *ids);
    if (!ids) return kv_fail(e->err, KV_NO_MEMORY, "No memory for the %zu tokens of the text.", capacity);
    e->ids = ids;
    e->capacity = capacity;
    return KV_OK;
}

/* Steps may have moved the byte away from where the user knows it. */
static enum kv_status no_token(const struct encoder *e, const char *at)
{
    unsigned char b = (unsigned char)*at;
    uintptr_t where = (uintptr_t)at - (uintptr_t)e->text;
    if (where < e->bytes)
        return kv_fail(e->err, KV_UNSUPPORTED,
            "The vocabulary has no token for the byte 0x%02X, which the text has at byte %zu.", b, (size_t)where);
    return kv_fail(e->err, KV_UNSUPPORTED, "The vocabulary has no token for the byte 0x%02X of the text.", b);
}

/* Puts the tokens of single bytes at ids[*n]; false where one has none. */
static bool put_bytes(struct encoder *e, const char *text, size_t bytes, size_t *n, const char **missing)
{
    for (size_t i = 0; i < bytes; i++) {
        int32_t id = e->t->byte_id[(unsigned char)text[i]];
        if (id < 0) {
            *missing = text + i;
            return false;
        }
        e->ids[*n + i] = id;
    }
    *n += bytes;
    return true;
}

/* The symbols that a word is merged from, at ids[e->n] and on. */
static enum kv_status put_symbols(struct encoder *e, const char *word, size_t bytes, size_t *count)
{
    static const struct kv_string nothing = { "", 0 };
    const struct kv_tokenizer *t = e->t;
    size_t n = e->n, length;
    const char *missing = word;
    bool was_unknown = false;
    enum kv_status status = reserve(e, bytes);
    if (status) return status;
    if (!t->characters && !put_bytes(e, word, bytes, &n, &missing)) return no_token(e, missing);
    for (size_t i = 0; t->characters && i < bytes; i += length) {
        bool good = utf8_next(word + i, bytes - i, &length) == UTF8_GOOD;
        if (!good) length = 1;
        int32_t id = good ? named_find(&t->word, (struct kv_string){ word + i, length }, nothing) : -1;
        bool unknown = false;
        if (id >= 0) {
            e->ids[n++] = id;
        } else if (!t->byte_fallback || !put_bytes(e, word + i, length, &n, &missing)) {
            if (t->unknown < 0) return no_token(e, t->byte_fallback ? missing : word + i);
            unknown = true;
            if (!was_unknown || !t->fuse_unknown) e->ids[n++] = t->unknown;
        }
        was_unknown = unknown;
    }
    *count = n - e->n;
    return KV_OK;
}

static enum kv_status merge_word(struct encoder *e, const char *word, size_t bytes, size_t *merged)
{
    static const struct kv_string nothing = { "", 0 };
    size_t count = 0;
    if (e->t->ignore_merges) {
        int32_t id = named_find(&e->t->word, (struct kv_string){ word, bytes }, nothing);
        enum kv_status status = id < 0 ? KV_OK : reserve(e, 1);
        if (status) return status;
        if (id >= 0) {
            e->ids[e->n] = id;
            *merged = 1;
            return KV_OK;
        }
    }
    enum kv_status status = put_symbols(e, word, bytes, &count);
    if (status) return status;
    return bpe_merge_word(&e->t->merges, &e->scratch, e->ids + e->n, count, merged, e->err);
}

static enum kv_status put_word(void *encoder, const char *word, size_t bytes)
{
    struct encoder *e = encoder;
    struct seen_word *seen = NULL;
    size_t merged = 0;
    if (bytes <= SEEN_WORD_MAX) {
        uint64_t h = 0;
        for (size_t i = 0; i < bytes; i++) h = (h ^ (unsigned char)word[i]) * 0x9E3779B97F4A7C15u;
        seen = &e->seen[(size_t)(h >> 32) & e->seen_mask];
        if (seen->bytes == bytes && !memcmp(seen->text, word, bytes)) {
            enum kv_status status = reserve(e, seen->n);
            if (status) return status;
            memcpy(e->ids + e->n, e->ids + seen->first, seen->n * sizeof *e->ids);
            e->n += seen->n;
            return KV_OK;
        }
    }
    enum kv_status status = merge_word(e, word, bytes, &merged);
    if (status) return status;
    if (seen) {
        memcpy(seen->text, word, bytes);
        seen->bytes = (uint32_t)bytes;
        seen->first = (uint32_t)e->n;
        seen->n = (uint32_t)merged;
    }
    e->n += merged;
    return KV_OK;
}

/* Any bytes, as the steps left them. Characters that are not split are one word, stray bytes among them. */
static enum kv_status put_plain(struct encoder *e, const char *text, size_t bytes)
{
    if (e->t->characters && !e->t->n_split) return bytes ? put_word(e, text, bytes) : KV_OK;
    for (size_t at = 0; at < bytes;) {
        size_t good = at, length;
        while (good < bytes && utf8_next(text + good, bytes - good, &length) == UTF8_GOOD) good += length;
        enum kv_status status = pre_words(e->scan, text + at, good - at, put_word, e, e->err);
        if (!status && good < bytes) status = put_word(e, text + good, 1);
        if (status) return status;
        at = good + 1;
    }
    return KV_OK;
}

/* ---- added tokens ---- */

/* Where a piece of text stands in the whole: PREPEND asks. */
enum place { AT_START, BEHIND_TOKEN, CONTINUES };

struct match {
    const struct added_token *token;
    size_t from, to; /* with the white space that the token takes */
};

/* The end of the white space that starts at `at`, and the start of that which ends there. */
static size_t space_behind(struct encoder *e, const char *text, size_t bytes, size_t at)
{
    size_t length;
    while (at < bytes && utf8_next(text + at, bytes - at, &length) == UTF8_GOOD &&
           pre_is_space(e->scan, text, bytes, at))
        at += length;
    return at;
}

/* The start of the character that ends at `at` (> 0), or `at` where none does. */
static size_t character_before(const char *text, size_t at)
{
    for (size_t back = 1, length; back <= kv_min(at, 4); back++)
        if (utf8_next(text + at - back, back, &length) == UTF8_GOOD && length == back) return at - back;
    return at;
}

static size_t space_before(struct encoder *e, const char *text, size_t at, size_t limit)
{
    while (at > limit) {
        size_t before = character_before(text, at);
        if (before == at || before < limit || !pre_is_space(e->scan, text, at, before)) break;
        at = before;
    }
    return at;
}

static bool stands_alone(struct encoder *e, const char *text, size_t bytes, size_t from, size_t to)
{
    size_t before = from ? character_before(text, from) : from, length;
    if (before < from && pre_is_word(e->scan, text, from, before)) return false;
    return to >= bytes || utf8_next(text + to, bytes - to, &length) != UTF8_GOOD ||
           !pre_is_word(e->scan, text, bytes, to);
}

/* Guarded tokens come from where special tokens are parsed alone: not out of marked bytes. */
static bool allowed(const struct encoder *e, const struct added_token *token, const char *at)
{
    if (!(e->t->flag[token->id] & TOKEN_GUARDED)) return true;
    if (!e->part->special) return false;
    const unsigned char *mark = e->part->mark;
    return !mark || !memchr(mark + (at - e->text), 1, token->text.length);
}

/* Whether an added token starts at `at`: the longest. */
static const struct added_token *added_at(
    const struct encoder *e, const struct added_set *set, const char *text, size_t bytes, size_t at)
{
    unsigned char first = (unsigned char)text[at];
    for (size_t i = set->start[first]; i < set->start[first + 1]; i++) {
        const struct added_token *token = &set->token[i];
        size_t length = token->text.length;
        if (length <= bytes - at && !memcmp(token->text.text, text + at, length) && allowed(e, token, text + at))
            return token;
    }
    return NULL;
}

/* The next added token at or behind *at, which moves on; false where there is no more. `limit`: where the text that
 * is still free begins. */
static bool next_match(struct encoder *e, const struct added_set *set, const char *text, size_t bytes, size_t *at,
    size_t limit, struct match *m)
{
    for (; *at < bytes; ++*at) {
        const struct added_token *token = added_at(e, set, text, bytes, *at);
        if (!token) continue;
        size_t from = *at, to = from + token->text.length;
        if ((token->rule & KV_ADDED_WORD) && !stands_alone(e, text, bytes, from, to)) {
            *at = to - 1;
            continue;
        }
        *m = (struct match){ token, from, to };
        if (token->rule & KV_ADDED_LSTRIP) m->from = space_before(e, text, from, limit);
        if (token->rule & KV_ADDED_RSTRIP) m->to = space_behind(e, text, bytes, to);
        *at = m->to;
        return true;
    }
    return false;
}

static enum kv_status put_steps(struct encoder *e, int i, const char *text, size_t bytes, enum place place);

/* The text between the set's tokens goes on with step `next`. */
static enum kv_status put_added(
    struct encoder *e, const struct added_set *set, int next, const char *text, size_t bytes, enum place place)
{
    struct match m;
    size_t plain = 0;
    for (size_t at = 0; set->start[256] && next_match(e, set, text, bytes, &at, plain, &m); plain = at) {
        enum kv_status status = KV_OK;
        if (m.from > plain) status = put_steps(e, next, text + plain, m.from - plain, plain ? BEHIND_TOKEN : place);
        if (!status) status = reserve(e, 1);
        if (status) return status;
        e->ids[e->n++] = m.token->id;
    }
    if (plain == bytes) return KV_OK;
    return put_steps(e, next, text + plain, bytes - plain, plain ? BEHIND_TOKEN : place);
}

static enum kv_status put_steps(struct encoder *e, int i, const char *text, size_t bytes, enum place place)
{
    if (i == e->t->n_step) return put_plain(e, text, bytes);
    const struct kv_text_step *step = &e->t->step[i];
    char *edited;
    size_t n;
    if (step->kind == KV_STEP_ADDED) return put_added(e, &e->t->normal, i + 1, text, bytes, place);
    if (step->kind == KV_STEP_PREPEND && place == CONTINUES) return put_steps(e, i + 1, text, bytes, place);
    enum kv_status status = normalize_step(step, text, bytes, place == AT_START, &edited, &n, e->err);
    e->edited += n;
    if (!status && e->edited > EDITED_BASE + EDITED_EACH * e->bytes)
        status =
            kv_fail(e->err, KV_UNSUPPORTED, "The tokenizer's steps make more than %d bytes of one.", EDITED_EACH);
    if (!status) status = put_steps(e, i + 1, edited, n, place);
    free(edited);
    return status;
}

enum kv_status tok_encode_part(const struct kv_tokenizer *t, const char *text, size_t bytes,
    const struct tok_part *part, int32_t **ids, size_t *n, struct kv_error *err)
{
    struct encoder e = { .t = t, .text = text, .bytes = bytes, .part = part, .err = err };
    size_t slots = SEEN_MIN;
    *ids = NULL;
    *n = 0;
    if (bytes > NORMALIZE_MAX) {
        return kv_fail(
            err, KV_BAD_ARG, "The text has %zu bytes; at most %zu can be tokenized.", bytes, NORMALIZE_MAX);
    }
    while (slots < SEEN_MAX && slots < bytes / 16) slots *= 2;
    e.seen_mask = slots - 1;
    e.seen = kv_alloc(slots, sizeof *e.seen);
    e.scan = pre_scan_open(t->pre);
    enum kv_status status = e.seen && e.scan ? reserve(&e, bytes / 4 + 16)
                                             : kv_fail(err, KV_NO_MEMORY, "No memory to tokenize the text.");
    if (!status && bytes) status = put_added(&e, &t->raw, 0, text, bytes, part->continues ? CONTINUES : AT_START);
    if (!status) {
        *ids = e.ids;
        *n = e.n;
        e.ids = NULL;
    }
    free(e.ids);
    free(e.seen);
    pre_scan_close(e.scan);
    bpe_scratch_close(&e.scratch);
    return status;
}

enum kv_status tok_encode(const struct kv_tokenizer *t, const char *text, size_t bytes, bool parse_special,
    int32_t **ids, size_t *n, struct kv_error *err)
{
    const struct tok_part part = { .special = parse_special };
    return tok_encode_part(t, text, bytes, &part, ids, n, err);
}
