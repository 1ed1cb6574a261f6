/* The table of merges, from a file's list of them or from the scores of its tokens.
 *
 * SentencePiece joins the neighbors whose union is the token of the highest score, the leftmost first: so each way to
 * cut a token into two is a merge, and all that make the same token share a rank. */
#include "engine/text/tables.h"

#include "engine/text/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SCORED_MAX = 1024 }; /* bytes; every cut of a token is tried */

static const struct kv_string nothing = { "", 0 };

static enum kv_status bad_merge(const struct kv_vocabulary *v, int rank, const char *why, struct kv_error *err)
{
    const struct kv_string *m = &v->merge[rank];
    return kv_fail(err, KV_BAD_FILE, "Merge %d of %d in the vocabulary, \"%.*s\", %s.", rank, v->n_merge,
        (int)kv_min(m->length, 60), m->length ? m->text : "", why);
}

/* A merge of or into a token that is not plain text can never apply, or must not: it is left out. */
static enum kv_status from_list(
    struct kv_tokenizer *t, const struct kv_vocabulary *v, const struct name_table *names, struct kv_error *err)
{
    int n_merge = v->n_merge > 0 ? v->n_merge : 0;
    enum kv_status status = bpe_table_open(&t->merges, (size_t)n_merge, err);
    if (status) return status;
    for (int rank = 0; rank < n_merge; rank++) {
        struct kv_string m = v->merge[rank];
        const char *cut = m.length ? memchr(m.text, 0, m.length) : NULL;
        if (!cut && m.length) cut = memchr(m.text, ' ', m.length);
        if (!cut || cut == m.text || cut + 1 == m.text + m.length) {
            return bad_merge(v, rank, "is not two tokens with a space between them", err);
        }
        struct kv_string left = { m.text, (size_t)(cut - m.text) };
        struct kv_string right = { cut + 1, m.length - left.length - 1 };
        int32_t a = named_find(names, left, nothing), b = named_find(names, right, nothing);
        int32_t both = named_find(names, left, right);
        if (a < 0 || b < 0 || both < 0) {
            return bad_merge(v, rank, "needs a token that the vocabulary does not have", err);
        }
        if (t->flag[a] & t->flag[b] & t->flag[both] & TOKEN_TEXT) {
            bpe_table_add(&t->merges, a, b, (uint32_t)rank, both);
        }
    }
    return KV_OK;
}

struct scored {
    float score;
    int32_t id;
};

static int best_first(const void *left, const void *right)
{
    const struct scored *a = left, *b = right;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* Counts the merges into a token, and adds them where add is set. */
static size_t cut_token(struct kv_tokenizer *t, const struct name_table *names, int32_t id, uint32_t rank, bool add)
{
    struct kv_string s = names->token[id];
    size_t n = 0, length;
    for (size_t at = 0; at < s.length; at += length) {
        if (utf8_next(s.text + at, s.length - at, &length) != UTF8_GOOD) length = 1;
        if (at + length >= s.length) break;
        int32_t a = named_find(names, (struct kv_string){ s.text, at + length }, nothing);
        int32_t b = named_find(names, (struct kv_string){ s.text + at + length, s.length - at - length }, nothing);
        if (a < 0 || b < 0 || !(t->flag[a] & t->flag[b] & TOKEN_TEXT)) continue;
        if (add) bpe_table_add(&t->merges, a, b, rank, id);
        n++;
    }
    return n;
}

static enum kv_status from_scores(
    struct kv_tokenizer *t, const struct kv_vocabulary *v, const struct name_table *names, struct kv_error *err)
{
    size_t n = 0, merges = 0;
    struct scored *by_score = kv_alloc((size_t)v->n_token, sizeof *by_score);
    enum kv_status status = by_score ? KV_OK : kv_fail(err, KV_NO_MEMORY, "No memory for %d scores.", v->n_token);
    for (int32_t id = 0; id < v->n_token && !status; id++) {
        if (!(t->flag[id] & TOKEN_TEXT) || named_find(names, v->token[id], nothing) != id) continue;
        if (isnan(v->score[id]) || v->token[id].length > SCORED_MAX)
            status = kv_fail(err, KV_BAD_FILE, "Token %d of the vocabulary has %s.", id,
                isnan(v->score[id]) ? "a score that is no number" : "more than 1024 bytes");
        by_score[n++] = (struct scored){ v->score[id], id };
    }
    if (!status) qsort(by_score, n, sizeof *by_score, best_first);
    for (size_t i = 0; i < n && !status; i++) merges += cut_token(t, names, by_score[i].id, 0, false);
    if (!status) status = bpe_table_open(&t->merges, merges, err);
    for (size_t i = 0, rank = 0; i < n && !status; i++) {
        if (i && by_score[i].score != by_score[i - 1].score) rank = i;
        cut_token(t, names, by_score[i].id, (uint32_t)rank, true);
    }
    free(by_score);
    return status;
}

enum kv_status merges_open(
    struct kv_tokenizer *t, const struct kv_vocabulary *v, const struct name_table *names, struct kv_error *err)
{
    bool scored = t->characters && v->score && !v->n_merge;
    return scored ? from_scores(t, v, names, err) : from_list(t, v, names, err);
}
