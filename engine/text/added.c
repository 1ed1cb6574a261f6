/* The two sets of added tokens: those that are looked for in the text as it is, control tokens always among them, and
 * those that are looked for in normalized text, with their own text normalized likewise. */
#include "engine/text/tables.h"

#include "engine/text/normalize.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *left, const void *right)
{
    const struct added_token *a = left, *b = right;
    unsigned char first_a = (unsigned char)*a->text.text, first_b = (unsigned char)*b->text.text;
    if (first_a != first_b) return first_a < first_b ? -1 : 1;
    if (a->text.length != b->text.length) return a->text.length > b->text.length ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static uint8_t rule_of(const struct kv_tokenizer *t, const struct kv_vocabulary *v, int id)
{
    int type = v->token_type ? v->token_type[id] : TYPE_NORMAL;
    bool guarded = t->flag[id] & TOKEN_GUARDED;
    if (!v->token[id].length) return 0;
    if (!v->added) return guarded || type == TYPE_USER ? KV_ADDED : 0;
    return guarded ? v->added[id] & ~KV_ADDED_NORMALIZED : v->added[id];
}

/* The token's text as it stands behind the steps before KV_STEP_ADDED. */
static enum kv_status normalized(struct kv_tokenizer *t, struct kv_string *text, struct kv_error *err)
{
    char *now = NULL;
    size_t n = text->length;
    enum kv_status status = KV_OK;
    for (int i = 0; i < t->n_step && t->step[i].kind != KV_STEP_ADDED && !status; i++) {
        char *next;
        status = normalize_step(&t->step[i], now ? now : text->text, n, true, &next, &n, err);
        free(now);
        now = next;
    }
    if (!status && now) {
        *text = (struct kv_string){ arena_copy(&t->strings, now, n), n };
        if (!text->text) status = kv_fail(err, KV_NO_MEMORY, "No memory for an added token of %zu bytes.", n);
    }
    free(now);
    return status;
}

static enum kv_status fill(struct added_set *set, struct kv_tokenizer *t, const struct kv_vocabulary *v,
    uint8_t want, struct kv_error *err)
{
    size_t n = 0, room = 0;
    for (int id = 0; id < v->n_token; id++) {
        uint8_t rule = rule_of(t, v, id);
        room += rule && (rule & KV_ADDED_NORMALIZED) == want;
    }
    set->token = kv_alloc(room, sizeof *set->token);
    if (!set->token) return kv_fail(err, KV_NO_MEMORY, "No memory for the %zu added tokens.", room);
    for (int32_t id = 0; id < v->n_token; id++) {
        uint8_t rule = rule_of(t, v, id);
        size_t length;
        if (!rule || (rule & KV_ADDED_NORMALIZED) != want) continue;
        struct kv_string text = { tok_piece(t, id, &length), 0 };
        text.length = length;
        enum kv_status status = want ? normalized(t, &text, err) : KV_OK;
        if (status) return status;
        if (!text.length) continue;
        set->token[n++] = (struct added_token){ text, id, rule };
        set->start[(unsigned char)*text.text + 1]++;
    }
    for (size_t b = 0; b < 256; b++) set->start[b + 1] += set->start[b];
    qsort(set->token, n, sizeof *set->token, compare);
    return KV_OK;
}

enum kv_status added_open(struct kv_tokenizer *t, const struct kv_vocabulary *v, struct kv_error *err)
{
    bool step = false;
    for (int i = 0; i < t->n_step; i++) step = step || t->step[i].kind == KV_STEP_ADDED;
    enum kv_status status = fill(&t->raw, t, v, 0, err);
    if (!status && step) status = fill(&t->normal, t, v, KV_ADDED_NORMALIZED, err);
    return status;
}
