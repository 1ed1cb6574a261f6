/* Opening a tokenizer: pieces, byte tokens, special tokens and the merge table out of a vocabulary that may be
 * hostile; and the questions about single tokens.
 *
 * The file writes a token's bytes in the byte-level alphabet of GPT-2: each byte is one visible character. Only
 * normal tokens take part in bytes and merges; control, user-defined, unused and unknown ones are literal text.
 * That is what makes it impossible for text to be merged into a control token. */
#include "engine/text/tables.h"

#include "engine/text/utf8.h"

#include <stdlib.h>
#include <string.h>

enum { TYPE_NORMAL = 1, TYPE_CONTROL = 3, TYPE_USER = 4 }; /* tokenizer.ggml.token_type */

#define ALPHABET_END 324 /* one past the last code point of the byte-level alphabet */

struct alphabet {
    int16_t byte[ALPHABET_END]; /* byte that a code point stands for, -1 = none */
};

/* Text of a token -> id, open addressing, only while opening. */
struct name_table {
    int32_t *id; /* [mask + 1], -1 = empty slot */
    size_t mask;
    const struct kv_string *token;
};

static const struct kv_string no_string = { "", 0 };
static const char *const end_names[];

/* Visible Latin-1 characters stand for themselves, the 68 others for U+0100 and on, in order. */
static void alphabet_make(struct alphabet *a)
{
    int16_t next = 256;
    memset(a, 0xFF, sizeof *a);
    for (int16_t b = 0; b < 256; b++) {
        bool visible = (b > 0x20 && b < 0x7F) || (b > 0xA0 && b != 0xAD);
        a->byte[visible ? b : next++] = b;
    }
}

/* Code points of the alphabet take one or two bytes of UTF-8. False: some character is not of the alphabet. */
static bool alphabet_read(const struct alphabet *a, struct kv_string s, char *bytes, size_t *n)
{
    *n = 0;
    for (size_t i = 0, length; i < s.length; i += length) {
        unsigned char c = (unsigned char)s.text[i];
        if (utf8_next(s.text + i, s.length - i, &length) != UTF8_GOOD || length > 2) return false;
        size_t point = length == 1 ? c : (size_t)(c & 0x1F) << 6 | ((unsigned char)s.text[i + 1] & 0x3F);
        if (point >= ALPHABET_END || a->byte[point] < 0) return false;
        bytes[(*n)++] = (char)a->byte[point];
    }
    return true;
}

/* FNV-1a (Fowler, Noll, Vo), over as many strings as follow one another. */
static uint64_t hash_more(uint64_t h, struct kv_string s)
{
    for (size_t i = 0; i < s.length; i++) h = (h ^ (unsigned char)s.text[i]) * 0x100000001B3u;
    return h;
}

/* Slot of the token whose text is head followed by tail, or the empty slot where it belongs. */
static size_t name_slot(const struct name_table *names, struct kv_string head, struct kv_string tail)
{
    uint64_t h = hash_more(hash_more(0xCBF29CE484222325u, head), tail);
    for (size_t i = (size_t)(h ^ h >> 32) & names->mask;; i = (i + 1) & names->mask) {
        if (names->id[i] < 0) return i;
        const struct kv_string *s = &names->token[names->id[i]];
        if (s->length == head.length + tail.length && !memcmp(s->text, head.text, head.length) &&
            !memcmp(s->text + head.length, tail.text, tail.length)) {
            return i;
        }
    }
}

static int token_type(const struct kv_vocabulary *v, int id)
{
    return v->token_type ? v->token_type[id] : TYPE_NORMAL;
}

static unsigned char flags_of(const struct kv_vocabulary *v, int id)
{
    unsigned char flag = token_type(v, id) == TYPE_CONTROL ? TOKEN_CONTROL : 0;
    if (id == v->eos) return flag | TOKEN_END;
    if (token_type(v, id) == TYPE_NORMAL) return flag;
    for (const char *const *name = end_names; *name; name++) {
        if (strlen(*name) == v->token[id].length && !memcmp(*name, v->token[id].text, v->token[id].length)) {
            return flag | TOKEN_END;
        }
    }
    return flag;
}

/* Fills pieces, flags, byte tokens and the table of names. Of tokens with the same text a normal one counts
 * before the others, and the first before the later ones. */
static enum kv_status read_tokens(
    struct kv_tokenizer *t, const struct kv_vocabulary *v, struct name_table *names, struct kv_error *err)
{
    struct alphabet alphabet;
    size_t total = 0, slots = 16, count = (size_t)v->n_token;
    for (size_t i = 0; i < count; i++) total += v->token[i].length;
    while (slots / 2 < count) slots *= 2;
    t->bytes = kv_alloc(total, 1);
    t->start = kv_alloc(count + 1, sizeof *t->start);
    t->flag = kv_alloc(count, 1);
    names->id = kv_alloc(slots, sizeof *names->id);
    if (!t->bytes || !t->start || !t->flag || !names->id) {
        return kv_fail(err, KV_NO_MEMORY, "No memory for the %d tokens of the vocabulary.", v->n_token);
    }
    names->mask = slots - 1;
    names->token = v->token;
    memset(names->id, 0xFF, slots * sizeof *names->id);
    memset(t->byte_id, 0xFF, sizeof t->byte_id);
    alphabet_make(&alphabet);
    for (int32_t id = 0; id < v->n_token; id++) {
        struct kv_string s = v->token[id];
        char *piece = t->bytes + t->start[id];
        size_t length = 0;
        bool text = token_type(v, id) == TYPE_NORMAL && alphabet_read(&alphabet, s, piece, &length);
        if (!text) length = s.length;
        if (!text && length) memcpy(piece, s.text, length);
        t->flag[id] = flags_of(v, id) | (text ? TOKEN_TEXT : 0);
        t->start[id + 1] = t->start[id] + length;
        if (!s.length) continue;
        int32_t *named = &names->id[name_slot(names, s, no_string)];
        if (*named < 0 || (text && !(t->flag[*named] & TOKEN_TEXT))) *named = id;
        int32_t *byte_id = &t->byte_id[(unsigned char)piece[0]];
        if (text && length == 1 && *byte_id < 0) *byte_id = id;
    }
    t->n_token = v->n_token;
    return KV_OK;
}

static enum kv_status bad_merge(const struct kv_vocabulary *v, int rank, const char *why, struct kv_error *err)
{
    const struct kv_string *m = &v->merge[rank];
    return kv_fail(err, KV_BAD_FILE, "Merge %d of %d in the vocabulary, \"%.*s\", %s.", rank, v->n_merge,
        (int)kv_min(m->length, 60), m->length ? m->text : "", why);
}

/* A merge of or into a token that is not plain text can never apply, or must not: it is left out. */
static enum kv_status read_merges(
    struct kv_tokenizer *t, const struct kv_vocabulary *v, const struct name_table *names, struct kv_error *err)
{
    int n_merge = v->n_merge > 0 ? v->n_merge : 0;
    enum kv_status status = bpe_table_open(&t->merges, (size_t)n_merge, err);
    if (status) return status;
    for (int rank = 0; rank < n_merge; rank++) {
        struct kv_string m = v->merge[rank];
        const char *space = m.length ? memchr(m.text, ' ', m.length) : NULL;
        if (!space || space == m.text || space + 1 == m.text + m.length) {
            return bad_merge(v, rank, "is not two tokens with a space between them", err);
        }
        struct kv_string left = { m.text, (size_t)(space - m.text) };
        struct kv_string right = { space + 1, m.length - left.length - 1 };
        int32_t a = names->id[name_slot(names, left, no_string)];
        int32_t b = names->id[name_slot(names, right, no_string)];
        int32_t both = names->id[name_slot(names, left, right)];
        if (a < 0 || b < 0 || both < 0) {
            return bad_merge(v, rank, "needs a token that the vocabulary does not have", err);
        }
        if (t->flag[a] & t->flag[b] & t->flag[both] & TOKEN_TEXT) {
            bpe_table_add(&t->merges, a, b, (uint32_t)rank, both);
        }
    }
    return KV_OK;
}

static int compare_special(const void *left, const void *right, void *tokenizer)
{
    const struct kv_tokenizer *t = tokenizer;
    int32_t a = *(const int32_t *)left, b = *(const int32_t *)right;
    size_t length_a, length_b;
    unsigned char first_a = (unsigned char)*tok_piece(t, a, &length_a);
    unsigned char first_b = (unsigned char)*tok_piece(t, b, &length_b);
    if (first_a != first_b) return first_a < first_b ? -1 : 1;
    if (length_a != length_b) return length_a > length_b ? -1 : 1;
    return a < b ? -1 : a > b;
}

static bool is_special(const struct kv_vocabulary *v, int id)
{
    int type = token_type(v, id);
    return v->token[id].length && (type == TYPE_CONTROL || type == TYPE_USER);
}

static enum kv_status read_specials(struct kv_tokenizer *t, const struct kv_vocabulary *v, struct kv_error *err)
{
    size_t n = 0;
    for (int id = 0; id < v->n_token; id++) n += is_special(v, id);
    t->special = kv_alloc(n, sizeof *t->special);
    if (!t->special) return kv_fail(err, KV_NO_MEMORY, "No memory for the %zu special tokens.", n);
    n = 0;
    for (int32_t id = 0; id < v->n_token; id++) {
        if (!is_special(v, id)) continue;
        t->special[n++] = id;
        t->special_start[(unsigned char)v->token[id].text[0] + 1]++;
    }
    for (size_t b = 0; b < 256; b++) t->special_start[b + 1] += t->special_start[b];
    qsort_r(t->special, n, sizeof *t->special, compare_special, t);
    return KV_OK;
}

enum kv_status tok_open(const struct kv_vocabulary *v, struct kv_tokenizer **out, struct kv_error *err)
{
    struct name_table names = { 0 };
    enum kv_status status;
    *out = NULL;
    if (v->kind.length != 4 || memcmp(v->kind.text, "gpt2", 4)) {
        return kv_fail(err, KV_UNSUPPORTED,
            "The vocabulary is of the kind \"%.*s\"; only byte-level BPE (\"gpt2\") is read.",
            (int)kv_min(v->kind.length, 40), v->kind.length ? v->kind.text : "");
    }
    if (v->n_token <= 0) return kv_fail(err, KV_BAD_FILE, "The vocabulary has no tokens.");
    struct kv_tokenizer *t = kv_alloc(1, sizeof *t);
    if (!t) return kv_fail(err, KV_NO_MEMORY, "No memory for a tokenizer.");
    if ((status = pre_open(v->pre, &t->pre, err))) goto out;
    if ((status = read_tokens(t, v, &names, err))) goto out;
    if ((status = read_merges(t, v, &names, err))) goto out;
    if ((status = read_specials(t, v, err))) goto out;
    *out = t;
    t = NULL;
out:
    free(names.id);
    tok_close(t);
    return status;
}

void tok_close(struct kv_tokenizer *t)
{
    if (!t) return;
    pre_close(t->pre);
    bpe_table_close(&t->merges);
    free(t->bytes);
    free(t->start);
    free(t->flag);
    free(t->special);
    free(t->id);
    free(t);
}

static int compare_id(const void *left, const void *right)
{
    int32_t a = *(const int32_t *)left, b = *(const int32_t *)right;
    return a < b ? -1 : a > b;
}

const char *tok_piece(const struct kv_tokenizer *t, int32_t id, size_t *length)
{
    *length = 0;
    if (id < 0 || id >= t->n_token) return NULL;
    const int32_t *found = t->id ? bsearch(&id, t->id, (size_t)t->n_id, sizeof id, compare_id) : NULL;
    if (t->id && !found) return NULL;
    size_t i = found ? (size_t)(found - t->id) : (size_t)id;
    *length = t->start[i + 1] - t->start[i];
    return t->bytes + t->start[i];
}

bool tok_is_control(const struct kv_tokenizer *t, int32_t id)
{
    return t->flag && id >= 0 && id < t->n_token && t->flag[id] & TOKEN_CONTROL;
}

bool tok_is_end(const struct kv_tokenizer *t, int32_t id)
{
    return t->flag && id >= 0 && id < t->n_token && t->flag[id] & TOKEN_END;
}

static const char *const end_names[] = { "<|im_end|>", "<|endoftext|>", NULL };
