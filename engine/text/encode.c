/* Encoding: text falls into special tokens and the text between them, that into runs of well-formed UTF-8 and
 * stray bytes, a run into words, and a word into tokens.
 *
 * Words repeat, so each call keeps a small table of the words that it has seen: where one stands in the text and
 * where its ids stand in the result. Nothing is shared between calls. */
#include "engine/text/tables.h"

#include "engine/text/utf8.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_MAX ((size_t)1 << 30) /* positions and counts fit 32 bits */

enum { SEEN_WORD_MAX = 64, SEEN_MIN = 256, SEEN_MAX = 16384 };

struct seen_word {
    uint32_t at, bytes; /* in the text; 0 bytes = empty slot */
    uint32_t first, n;  /* in the ids */
};

struct encoder {
    const struct kv_tokenizer *t;
    const char *text;
    struct pre_scan *scan;
    struct bpe_scratch scratch;
    struct seen_word *seen; /* [seen_mask + 1], one candidate a slot */
    size_t seen_mask;
    int32_t *ids;
    size_t n, capacity;
    struct kv_error *err;
};

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

/* Appends the byte tokens of a word, for merging. */
static enum kv_status put_bytes(struct encoder *e, size_t at, size_t bytes)
{
    enum kv_status status = reserve(e, bytes);
    if (status) return status;
    for (size_t i = 0; i < bytes; i++) {
        unsigned char b = (unsigned char)e->text[at + i];
        if ((e->ids[e->n + i] = e->t->byte_id[b]) < 0) {
            return kv_fail(e->err, KV_UNSUPPORTED,
                "The vocabulary has no token for the byte 0x%02X, which the text has at byte %zu.", b, at + i);
        }
    }
    return KV_OK;
}

static enum kv_status put_word(struct encoder *e, size_t at, size_t bytes)
{
    const char *word = e->text + at;
    struct seen_word *seen = NULL;
    size_t merged;
    if (bytes <= SEEN_WORD_MAX) {
        uint64_t h = 0;
        for (size_t i = 0; i < bytes; i++) h = (h ^ (unsigned char)word[i]) * 0x9E3779B97F4A7C15u;
        seen = &e->seen[(size_t)(h >> 32) & e->seen_mask];
        if (seen->bytes == bytes && !memcmp(e->text + seen->at, word, bytes)) {
            enum kv_status status = reserve(e, seen->n);
            if (status) return status;
            memcpy(e->ids + e->n, e->ids + seen->first, seen->n * sizeof *e->ids);
            e->n += seen->n;
            return KV_OK;
        }
    }
    enum kv_status status = put_bytes(e, at, bytes);
    if (!status) status = bpe_merge_word(&e->t->merges, &e->scratch, e->ids + e->n, bytes, &merged, e->err);
    if (status) return status;
    if (seen) {
        *seen = (struct seen_word){ (uint32_t)at, (uint32_t)bytes, (uint32_t)e->n, (uint32_t)merged };
    }
    e->n += merged;
    return KV_OK;
}

/* Well-formed UTF-8. */
static enum kv_status put_run(struct encoder *e, size_t at, size_t end)
{
    const char *run = e->text + at;
    for (size_t word = 0, next, bytes = end - at; word < bytes; word = next) {
        enum kv_status status = pre_next(e->scan, run, bytes, word, &next, e->err);
        if (!status) status = put_word(e, at + word, next - word);
        if (status) return status;
    }
    return KV_OK;
}

/* Any bytes, without special tokens. */
static enum kv_status put_plain(struct encoder *e, size_t at, size_t end)
{
    while (at < end) {
        size_t good = at, length;
        while (good < end && utf8_next(e->text + good, end - good, &length) == UTF8_GOOD) good += length;
        enum kv_status status = put_run(e, at, good);
        if (!status && good < end) status = put_bytes(e, good, 1);
        if (status) return status;
        if (good < end) e->n++;
        at = good + 1;
    }
    return KV_OK;
}

/* Whether a special token starts here: the longest, or -1. */
static int32_t special_at(const struct kv_tokenizer *t, const char *text, size_t bytes, size_t *length)
{
    unsigned char first = (unsigned char)*text;
    for (size_t i = t->special_start[first]; i < t->special_start[first + 1]; i++) {
        const char *piece = tok_piece(t, t->special[i], length);
        if (*length <= bytes && !memcmp(piece, text, *length)) return t->special[i];
    }
    return -1;
}

static enum kv_status put_all(struct encoder *e, size_t bytes, bool parse_special)
{
    size_t plain = 0, length;
    for (size_t i = 0; parse_special && i < bytes;) {
        int32_t id = special_at(e->t, e->text + i, bytes - i, &length);
        if (id < 0) {
            i++;
            continue;
        }
        enum kv_status status = put_plain(e, plain, i);
        if (!status) status = reserve(e, 1);
        if (status) return status;
        e->ids[e->n++] = id;
        plain = i += length;
    }
    return put_plain(e, plain, bytes);
}

enum kv_status tok_encode(const struct kv_tokenizer *t, const char *text, size_t bytes, bool parse_special,
    int32_t **ids, size_t *n, struct kv_error *err)
{
    struct encoder e = { .t = t, .text = text, .err = err };
    size_t slots = SEEN_MIN;
    *ids = NULL;
    *n = 0;
    if (bytes > TEXT_MAX) {
        return kv_fail(err, KV_BAD_ARG, "The text has %zu bytes; at most %zu can be tokenized.", bytes, TEXT_MAX);
    }
    while (slots < SEEN_MAX && slots < bytes / 16) slots *= 2;
    e.seen_mask = slots - 1;
    e.seen = kv_alloc(slots, sizeof *e.seen);
    e.scan = pre_scan_open(t->pre);
    enum kv_status status = e.seen && e.scan ? reserve(&e, bytes / 4 + 16)
                                             : kv_fail(err, KV_NO_MEMORY, "No memory to tokenize the text.");
    if (!status) status = put_all(&e, bytes, parse_special);
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
