/* Opening a tokenizer: steps, pieces, byte tokens, added tokens and the merge table out of a vocabulary that may be
 * hostile; and the questions about single tokens.
 *
 * A byte-level file writes a token's bytes in the alphabet of GPT-2: each byte is one visible character; a
 * SentencePiece file writes a space as U+2581 and single bytes as <0x0A>. Only normal tokens take part in bytes and
 * merges; control, user-defined, unused and unknown ones are literal text. That is what makes it impossible for text
 * to be merged into a control token. */
#include "engine/text/tables.h"

#include "engine/text/normalize.h"
#include "engine/text/utf8.h"

#include <stdlib.h>
#include <string.h>

#define SPACE_MARK   "\xE2\x96\x81" /* U+2581 */
#define ALPHABET_END 324            /* one past the last code point of the byte-level alphabet */

struct alphabet {
    int16_t byte[ALPHABET_END]; /* byte that a code point stands for, -1 = none */
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

enum kv_status named_open(struct name_table *names, const struct kv_string *token, int n, struct kv_error *err)
{
    size_t slots = 16;
    while (slots / 2 < (size_t)n) slots *= 2;
    names->id = kv_alloc(slots, sizeof *names->id);
    if (!names->id) return kv_fail(err, KV_NO_MEMORY, "No memory for the %d tokens of the vocabulary.", n);
    names->mask = slots - 1;
    names->token = token;
    memset(names->id, 0xFF, slots * sizeof *names->id);
    return KV_OK;
}

size_t named_slot(const struct name_table *names, struct kv_string head, struct kv_string tail)
{
    uint64_t h = hash_more(hash_more(0xCBF29CE484222325u, head), tail);
    for (size_t i = (size_t)(h ^ h >> 32) & names->mask;; i = (i + 1) & names->mask) {
        if (names->id[i] < 0) return i;
        const struct kv_string *s = &names->token[names->id[i]];
        if (s->length == head.length + tail.length && (!head.length || !memcmp(s->text, head.text, head.length)) &&
            (!tail.length || !memcmp(s->text + head.length, tail.text, tail.length))) {
            return i;
        }
    }
}

int32_t named_find(const struct name_table *names, struct kv_string head, struct kv_string tail)
{
    return names->id[named_slot(names, head, tail)];
}

static int token_type(const struct kv_vocabulary *v, int id)
{
    return v->token_type ? v->token_type[id] : TYPE_NORMAL;
}

static unsigned char flags_of(const struct kv_vocabulary *v, int id)
{
    int type = token_type(v, id);
    unsigned char flag = type == TYPE_CONTROL   ? TOKEN_CONTROL | TOKEN_GUARDED
                         : type == TYPE_UNKNOWN ? TOKEN_GUARDED
                                                : 0;
    if (id == v->eos) return flag | TOKEN_END;
    if (type == TYPE_NORMAL) return flag;
    for (const char *const *name = end_names; *name; name++) {
        if (strlen(*name) == v->token[id].length && !memcmp(*name, v->token[id].text, v->token[id].length)) {
            return flag | TOKEN_END;
        }
    }
    return flag;
}

static int hex(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

/* The piece of a SentencePiece token; text: whether characters may become it. */
static bool piece_of_characters(struct kv_string s, int type, char *piece, size_t *n)
{
    const char *p = s.text;
    *n = 0;
    if (type == TYPE_BYTE && s.length == 6 && !memcmp(p, "<0x", 3) && hex(p[3]) >= 0 && hex(p[4]) >= 0) {
        piece[(*n)++] = (char)(hex(p[3]) << 4 | hex(p[4]));
        return false;
    }
    for (size_t i = 0; i < s.length; (*n)++) {
        bool space = type == TYPE_NORMAL && s.length - i >= 3 && !memcmp(p + i, SPACE_MARK, 3);
        piece[*n] = space ? ' ' : p[i];
        i += space ? 3 : 1;
    }
    return type == TYPE_NORMAL;
}

/* Fills pieces, flags, byte tokens and the table of names. */
static enum kv_status read_tokens(
    struct kv_tokenizer *t, const struct kv_vocabulary *v, struct name_table *names, struct kv_error *err)
{
    struct alphabet alphabet;
    size_t total = 0, count = (size_t)v->n_token;
    enum kv_status status = named_open(names, v->token, v->n_token, err);
    if (status) return status;
    for (size_t i = 0; i < count; i++) total += v->token[i].length;
    t->bytes = kv_alloc(total, 1);
    t->start = kv_alloc(count + 1, sizeof *t->start);
    t->flag = kv_alloc(count, 1);
    if (!t->bytes || !t->start || !t->flag) {
        return kv_fail(err, KV_NO_MEMORY, "No memory for the %d tokens of the vocabulary.", v->n_token);
    }
    memset(t->byte_id, 0xFF, sizeof t->byte_id);
    alphabet_make(&alphabet);
    for (int32_t id = 0; id < v->n_token; id++) {
        struct kv_string s = v->token[id];
        int type = token_type(v, id);
        char *piece = t->bytes + t->start[id];
        size_t length = 0;
        bool text = t->characters ? piece_of_characters(s, type, piece, &length)
                                  : type == TYPE_NORMAL && alphabet_read(&alphabet, s, piece, &length);
        if (!text && !t->characters) length = s.length;
        if (!text && !t->characters && length) memcpy(piece, s.text, length);
        t->flag[id] = flags_of(v, id) | (text ? TOKEN_TEXT : 0);
        t->start[id + 1] = t->start[id] + length;
        if (!s.length) continue;
        int32_t *named = &names->id[named_slot(names, s, no_string)];
        if (*named < 0 || (text && !(t->flag[*named] & TOKEN_TEXT))) *named = id;
        int32_t *byte_id = &t->byte_id[(unsigned char)piece[0]];
        if ((t->characters ? type == TYPE_BYTE : text) && length == 1 && *byte_id < 0) *byte_id = id;
    }
    t->n_token = v->n_token;
    return KV_OK;
}

/* Words are compared with what the text holds when words are made: bytes, or characters with U+2581 for a space. */
static enum kv_status read_words(struct kv_tokenizer *t, const struct kv_vocabulary *v, struct kv_error *err)
{
    if (!t->characters && !t->ignore_merges) return KV_OK;
    t->key = kv_alloc((size_t)t->n_token, sizeof *t->key);
    if (!t->key) return kv_fail(err, KV_NO_MEMORY, "No memory for the %d tokens of the vocabulary.", t->n_token);
    enum kv_status status = named_open(&t->word, t->key, t->n_token, err);
    for (int32_t id = 0; id < t->n_token && !status; id++) {
        if (!(t->flag[id] & TOKEN_TEXT) || !v->token[id].length) continue;
        t->key[id].text = tok_piece(t, id, &t->key[id].length);
        if (t->characters)
            t->key[id] = (struct kv_string){ arena_copy(&t->strings, v->token[id].text, v->token[id].length),
                v->token[id].length };
        if (!t->key[id].text) return kv_fail(err, KV_NO_MEMORY, "No memory for the tokens of the vocabulary.");
        int32_t *named = &t->word.id[named_slot(&t->word, t->key[id], no_string)];
        if (*named < 0) *named = id;
    }
    return status;
}

static const struct kv_text_step sentencepiece[] = {
    { .kind = KV_STEP_PREPEND, .to = { " ", 1 } },
    { .kind = KV_STEP_REPLACE, .from = { " ", 1 }, .to = { SPACE_MARK, 3 } },
};

static enum kv_status find_steps(
    const struct kv_vocabulary *v, bool characters, const struct kv_text_step **step, int *n, struct kv_error *err)
{
    *step = v->step;
    *n = v->n_step;
    if (v->step) return KV_OK;
    if (characters) {
        *step = sentencepiece + !v->add_space_prefix;
        *n = (int)KV_COUNT(sentencepiece) - !v->add_space_prefix;
        return KV_OK;
    }
    if ((*step = pre_steps(v->pre, n))) return KV_OK;
    int shown = (int)kv_min(v->pre.length, 40);
    return kv_fail(err, KV_UNSUPPORTED,
        "The pre-tokenizer \"%.*s\" of this vocabulary is not known; give the prompt as token ids.", shown,
        shown ? v->pre.text : "");
}

static bool copy_string(struct arena *a, struct kv_string *s)
{
    s->text = arena_copy(a, s->length ? s->text : "", s->length);
    return s->text != NULL;
}

static enum kv_status read_steps(struct kv_tokenizer *t, const struct kv_vocabulary *v, struct kv_error *err)
{
    const struct kv_text_step *step;
    int n;
    enum kv_status status = find_steps(v, t->characters, &step, &n, err);
    if (!status) status = pre_open(step, n, &t->pre, err);
    if (status) return status;
    t->step = arena_take(&t->strings, (size_t)n + 1, sizeof *t->step);
    if (!t->step) return kv_fail(err, KV_NO_MEMORY, "No memory for a tokenizer.");
    for (int i = 0; i < n; i++) {
        struct kv_text_step *to = &t->step[t->n_step];
        if (step[i].kind == KV_STEP_SPLIT) {
            t->n_split++;
            continue;
        }
        *to = step[i];
        if (to->kind == KV_STEP_NORMALIZE && !normalize_knows(to->to))
            return kv_fail(err, KV_UNSUPPORTED, "The vocabulary asks for a normal form that is not known.");
        if (!copy_string(&t->strings, &to->from) || !copy_string(&t->strings, &to->to))
            return kv_fail(err, KV_NO_MEMORY, "No memory for a tokenizer.");
        t->n_step++;
    }
    return KV_OK;
}

static bool is_kind(const struct kv_vocabulary *v, const char *name)
{
    return v->kind.length == strlen(name) && !memcmp(v->kind.text, name, v->kind.length);
}

enum kv_status tok_open(const struct kv_vocabulary *v, struct kv_tokenizer **out, struct kv_error *err)
{
    struct name_table names = { 0 };
    enum kv_status status;
    *out = NULL;
    if (!is_kind(v, "gpt2") && !is_kind(v, "llama")) {
        return kv_fail(err, KV_UNSUPPORTED,
            "The vocabulary is of the kind \"%.*s\"; byte-level BPE (\"gpt2\") and SentencePiece BPE (\"llama\") "
            "are read.",
            (int)kv_min(v->kind.length, 40), v->kind.length ? v->kind.text : "");
    }
    if (v->n_token <= 0) return kv_fail(err, KV_BAD_FILE, "The vocabulary has no tokens.");
    struct kv_tokenizer *t = kv_alloc(1, sizeof *t);
    if (!t) return kv_fail(err, KV_NO_MEMORY, "No memory for a tokenizer.");
    t->characters = is_kind(v, "llama");
    t->ignore_merges = v->ignore_merges;
    t->byte_fallback = v->byte_fallback;
    t->fuse_unknown = v->fuse_unknown;
    t->unknown = v->unknown < v->n_token ? v->unknown : -1;
    if ((status = read_steps(t, v, err))) goto out;
    if ((status = read_tokens(t, v, &names, err))) goto out;
    if ((status = merges_open(t, v, &names, err))) goto out;
    if ((status = read_words(t, v, err))) goto out;
    if ((status = added_open(t, v, err))) goto out;
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
    free(t->raw.token);
    free(t->normal.token);
    free(t->key);
    free(t->word.id);
    arena_close(&t->strings);
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

static const char *const end_names[] = { "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|eom_id|>",
    "<|end_of_text|>", NULL };
