/* Words become numbers first, so that all counting compares numbers. */
#include "engine/rouge.h"

#include <stdlib.h>
#include <string.h>

#include "engine/judge/porter.h"

const char *const rouge_name[ROUGE_KINDS] = { "rouge1", "rouge2", "rougeL", "rougeLsum" };

/* --- words ------------------------------------------------------------------------------------------------------ */

struct words {
    uint32_t *id; /* [n] */
    size_t n, cap;
    size_t *line; /* [n_line + 1] where each line that is not empty begins */
    size_t n_line, line_cap;
};

/* Words seen so far; a word's number is its place in `start`. */
struct lexicon {
    char *bytes;
    size_t n_bytes, bytes_cap;
    size_t *start; /* [n + 1] */
    size_t n, cap;
    uint32_t *slot; /* [slots] number + 1, 0 = free; a power of two */
    size_t slots;
};

/* Room for one more element; false = no memory. */
static bool room(void *list, size_t *cap, size_t need, size_t size)
{
    void **data = list;
    if (need <= *cap) return true;
    size_t wanted = *cap ? *cap : 64;
    while (wanted < need) wanted *= 2;
    void *grown = realloc(*data, wanted * size);
    if (!grown) return false;
    *data = grown;
    *cap = wanted;
    return true;
}

static uint64_t hash(const char *text, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)text[i]) * 0x100000001b3u;
    return h ^ h >> 32;
}

static size_t find_slot(const struct lexicon *x, const char *text, size_t n)
{
    size_t at = hash(text, n) & (x->slots - 1);
    for (; x->slot[at]; at = (at + 1) & (x->slots - 1)) {
        size_t word = x->slot[at] - 1, begin = x->start[word];
        if (x->start[word + 1] - begin == n && !memcmp(x->bytes + begin, text, n)) break;
    }
    return at;
}

static bool grow_slots(struct lexicon *x)
{
    struct lexicon grown = *x;
    grown.slots = x->slots ? 2 * x->slots : 256;
    grown.slot = kv_alloc(grown.slots, sizeof *grown.slot);
    if (!grown.slot) return false;
    for (size_t i = 0; i < x->n; i++)
        grown.slot[find_slot(&grown, x->bytes + x->start[i], x->start[i + 1] - x->start[i])] = (uint32_t)i + 1;
    free(x->slot);
    *x = grown;
    return true;
}

static bool word_number(struct lexicon *x, const char *text, size_t n, uint32_t *id)
{
    if (2 * (x->n + 1) > x->slots && !grow_slots(x)) return false;
    size_t at = find_slot(x, text, n);
    if (!x->slot[at]) {
        if (!room(&x->bytes, &x->bytes_cap, x->n_bytes + n, 1)) return false;
        if (!room(&x->start, &x->cap, x->n + 2, sizeof *x->start)) return false;
        memcpy(x->bytes + x->n_bytes, text, n);
        x->start[x->n] = x->n_bytes;
        x->start[++x->n] = x->n_bytes += n;
        x->slot[at] = (uint32_t)x->n;
    }
    *id = x->slot[at] - 1;
    return true;
}

/* The lower-case letter or digit at text (length bytes of it), 0 = something that parts words. */
static char letter(const char *text, size_t left, size_t *length)
{
    char c = *text;
    *length = 1;
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) return c;
    if (c >= 'A' && c <= 'Z') return (char)(c - 'A' + 'a');
    if (left >= 3 && !memcmp(text, "\xE2\x84\xAA", *length = 3)) return 'k'; /* the Kelvin sign */
    *length = 1;
    return 0;
}

/* The capital I with a dot becomes an i and a combining dot, which ends the word. */
static bool dotted_i(const char *text, size_t left) { return left >= 2 && !memcmp(text, "\xC4\xB0", 2); }

struct reader {
    struct lexicon *lexicon;
    struct words *words;
    bool stem;
    char *word; /* the one being read, room for one byte more */
    size_t n, cap;
};

static bool add_letter(struct reader *r, char c)
{
    if (!room(&r->word, &r->cap, r->n + 2, 1)) return false;
    r->word[r->n++] = c;
    return true;
}

static bool end_word(struct reader *r)
{
    struct words *w = r->words;
    if (!r->n) return true;
    if (r->stem && r->n > 3) r->n = porter_stem(r->word, r->n);
    if (!room(&w->id, &w->cap, w->n + 1, sizeof *w->id)) return false;
    bool ok = word_number(r->lexicon, r->word, r->n, &w->id[w->n]);
    w->n += ok;
    r->n = 0;
    return ok;
}

static bool begin_line(struct words *w)
{
    if (!room(&w->line, &w->line_cap, w->n_line + 2, sizeof *w->line)) return false;
    w->line[w->n_line++] = w->n;
    return true;
}

static bool read_words(struct lexicon *x, const struct rouge_text *text, bool stem, struct words *w)
{
    struct reader r = { x, w, stem, NULL, 0, 0 };
    bool ok = true, fresh = true;
    for (size_t i = 0, length; i < text->bytes && ok; i += length) {
        const char *p = text->text + i;
        size_t left = text->bytes - i;
        char c = letter(p, left, &length);
        if (*p == '\n') {
            ok = end_word(&r);
            fresh = true;
            continue;
        }
        if (fresh) ok = begin_line(w);
        fresh = false;
        if (c)
            ok = ok && add_letter(&r, c);
        else if (dotted_i(p, left))
            length = 2, ok = ok && add_letter(&r, 'i') && end_word(&r);
        else
            ok = ok && end_word(&r);
    }
    ok = ok && end_word(&r);
    if (ok && w->n_line) w->line[w->n_line] = w->n;
    free(r.word);
    return ok;
}

/* --- counting --------------------------------------------------------------------------------------------------- */

static struct rouge_score score_of(double hits, size_t n_target, size_t n_prediction)
{
    struct rouge_score s = { n_prediction ? hits / (double)n_prediction : 0, n_target ? hits / (double)n_target : 0,
        0 };
    if (s.precision + s.recall > 0) s.f = 2 * s.precision * s.recall / (s.precision + s.recall);
    return s;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t *sorted_ngrams(const struct words *w, size_t n, size_t *count)
{
    *count = w->n >= n ? w->n - n + 1 : 0;
    uint64_t *gram = kv_alloc(*count + 1, sizeof *gram);
    for (size_t i = 0; gram && i < *count; i++)
        gram[i] = n == 1 ? w->id[i] : (uint64_t)w->id[i] << 32 | w->id[i + 1];
    if (gram) qsort(gram, *count, sizeof *gram, by_number);
    return gram;
}

/* n = 1 or 2. */
static bool score_ngrams(const struct words *t, const struct words *p, size_t n, struct rouge_score *score)
{
    size_t n_t, n_p, hits = 0;
    uint64_t *a = sorted_ngrams(t, n, &n_t), *b = sorted_ngrams(p, n, &n_p);
    bool ok = a && b;
    for (size_t i = 0, j = 0; ok && i < n_t && j < n_p;) {
        hits += a[i] == b[j];
        uint64_t x = a[i], y = b[j];
        i += x <= y;
        j += y <= x;
    }
    if (ok) *score = score_of((double)hits, n_t, n_p);
    free(a);
    free(b);
    return ok;
}

/* Lengths of the longest common subsequences of all beginnings; the caller frees. [(n + 1)][(m + 1)] */
static uint32_t *lcs_table(const uint32_t *a, size_t n, const uint32_t *b, size_t m)
{
    size_t stride = m + 1;
    uint32_t *t = kv_alloc(n + 1, stride * sizeof *t);
    for (size_t i = 1; t && i <= n; i++)
        for (size_t j = 1; j <= m; j++) {
            uint32_t up = t[(i - 1) * stride + j], left = t[i * stride + j - 1];
            t[i * stride + j] = a[i - 1] == b[j - 1] ? t[(i - 1) * stride + j - 1] + 1 : up > left ? up : left;
        }
    return t;
}

/* The same, of the whole alone: two rows are enough. */
static bool lcs_length(const struct words *t, const struct words *p, size_t *length)
{
    uint32_t *row = kv_alloc(p->n + 1, sizeof *row);
    if (!row) return false;
    for (size_t i = 0; i < t->n; i++) {
        uint32_t corner = 0;
        for (size_t j = 1; j <= p->n; j++) {
            uint32_t up = row[j];
            if (t->id[i] == p->id[j - 1])
                row[j] = corner + 1;
            else if (row[j - 1] > up)
                row[j] = row[j - 1];
            corner = up;
        }
    }
    *length = row[p->n];
    free(row);
    return true;
}

/* Marks the words of a target's line that one longest common subsequence with a line of the prediction holds. */
static bool mark_common(const uint32_t *a, size_t n, const uint32_t *b, size_t m, bool *common)
{
    uint32_t *t = lcs_table(a, n, b, m);
    if (!t) return false;
    size_t stride = m + 1;
    for (size_t i = n, j = m; i && j;) {
        if (a[i - 1] == b[j - 1])
            common[--i] = true, j--;
        else if (t[i * stride + j - 1] > t[(i - 1) * stride + j])
            j--;
        else
            i--;
    }
    free(t);
    return true;
}

/* Every word counts as often as both texts still have it. */
static bool score_lines(const struct words *t, const struct words *p, size_t n_word, struct rouge_score *score)
{
    size_t hits = 0;
    uint32_t *in_target = kv_alloc(n_word + 1, sizeof *in_target);
    uint32_t *in_prediction = kv_alloc(n_word + 1, sizeof *in_prediction);
    bool *common = kv_alloc(t->n + 1, sizeof *common);
    bool ok = in_target && in_prediction && common;
    for (size_t i = 0; ok && i < t->n; i++) in_target[t->id[i]]++;
    for (size_t i = 0; ok && i < p->n; i++) in_prediction[p->id[i]]++;
    for (size_t l = 0; ok && l < t->n_line; l++) {
        size_t begin = t->line[l], n = t->line[l + 1] - begin;
        for (size_t k = 0; ok && k < p->n_line; k++)
            ok = mark_common(t->id + begin, n, p->id + p->line[k], p->line[k + 1] - p->line[k], common + begin);
        for (size_t i = begin; ok && i < begin + n; i++) {
            uint32_t id = t->id[i];
            if (!common[i] || !in_target[id] || !in_prediction[id]) continue;
            in_target[id]--;
            in_prediction[id]--;
            hits++;
        }
    }
    if (ok) *score = score_of((double)hits, t->n, p->n);
    free(in_target);
    free(in_prediction);
    free(common);
    return ok;
}

static bool score_one(const struct rouge_text *target, const struct rouge_text *prediction, bool stem,
    struct rouge_score score[ROUGE_KINDS])
{
    struct lexicon x = { 0 };
    struct words t = { 0 }, p = { 0 };
    size_t length = 0;
    bool ok = read_words(&x, target, stem, &t) && read_words(&x, prediction, stem, &p) &&
              score_ngrams(&t, &p, 1, &score[ROUGE_1]) && score_ngrams(&t, &p, 2, &score[ROUGE_2]) &&
              lcs_length(&t, &p, &length) && score_lines(&t, &p, x.n, &score[ROUGE_LSUM]);
    score[ROUGE_L] = score_of((double)length, t.n, p.n);
    free(x.bytes);
    free(x.start);
    free(x.slot);
    free(t.id);
    free(t.line);
    free(p.id);
    free(p.line);
    return ok;
}

enum kv_status rouge(const struct rouge_text *target, int n, const struct rouge_text *prediction, bool stem,
    struct rouge_score score[ROUGE_KINDS], struct kv_error *err)
{
    if (n < 1) return kv_fail(err, KV_BAD_ARG, "ROUGE needs a reference to compare with.");
    for (int i = 0; i < n; i++) {
        struct rouge_score one[ROUGE_KINDS] = { 0 };
        if (!score_one(&target[i], prediction, stem, one))
            return kv_fail(err, KV_NO_MEMORY, "No memory to compare texts of %zu and %zu bytes.", target[i].bytes,
                prediction->bytes);
        for (int k = 0; k < ROUGE_KINDS; k++)
            if (!i || one[k].f > score[k].f) score[k] = one[k];
    }
    return KV_OK;
}
