/* Tokens as places: the pass that reads a position, and a reply that has come to say something. */
#include "inspector/stop/place.h"

#include <stdlib.h>
#include <string.h>

#include "engine/look.h"
#include "inspector/run.h"
#include "inspector/session.h"
#include "inspector/tokens.h"

static int length_of(struct session *s, const char *name)
{
    struct kv_array a;
    struct kv_error ignored;
    return kv_value(s->engine, name, &a, &ignored) ? 0 : (int)a.dim[0];
}

static bool pass_begins(const struct kv_where *now, const struct kv_where *before)
{
    return !before || before->branch != now->branch || before->phase != now->phase || before->pass != now->pass;
}

/* Positions that the pass beginning here reads; false where it reads none of the prompt. */
static bool pass_rows(struct session *s, const struct kv_where *now, int *first, int *end)
{
    int n = length_of(s, "tok"), total = n, segment = kv_pass_rows(s->engine);
    *first = now->pass * segment;
    if (now->phase == KV_PHASE_ask) {
        *first += n;
        total += length_of(s, "question");
    } else if (now->phase != KV_PHASE_prefill) {
        return false;
    }
    *end = *first + segment < total ? *first + segment : total;
    return true;
}

bool place_said(struct session *s, const char *text)
{
    struct kv_array reply;
    bool ended;
    size_t length = strlen(text), tail = 0, found = 0;
    int n = (int)run_reply(s, &reply, &ended), from = n;
    if (!n || ended) return false; /* a token that ends the reply says nothing */
    const int32_t *id = reply.data;
    size_t newest;
    kv_token_bytes(s->engine, id[n - 1], &newest);
    for (size_t bytes = 0; from > 0 && bytes < length + newest; from--, bytes += tail)
        kv_token_bytes(s->engine, id[from - 1], &tail);
    char *said = kv_tokens_text(s->engine, id + from, n - from);
    size_t all = said ? strlen(said) : 0;
    for (const char *p = said; p && (p = strstr(p, text)); p++) found = (size_t)(p - said) + length;
    free(said);
    return found && found + newest > all;
}

/* Whether the pass that begins here reads one of the places where the prompt says the text. */
static bool reads_text(struct session *s, const char *text, int first, int end)
{
    int32_t *list;
    int n, places;
    bool yes = false;
    struct kv_error keep = s->err;
    if (tokens_find(s, text, &list, &n, &places)) {
        s->err = keep; /* the reply may say it yet */
        return false;
    }
    for (int i = 0; i < n; i++) yes = yes || (list[i] >= first && list[i] < end);
    free(list);
    return yes;
}

bool place_near(const struct location *at, const struct kv_where *now, const struct kv_where *before)
{
    return location_token(at) ? pass_begins(now, before) : location_here(at, now, before);
}

bool place_here(
    struct session *s, const struct location *at, const struct kv_where *now, const struct kv_where *before)
{
    int first, end;
    if (!location_token(at)) return location_here(at, now, before);
    if (!pass_begins(now, before)) return false;
    if (pass_rows(s, now, &first, &end)) {
        if (at->text[0]) return reads_text(s, at->text, first, end);
        return at->position >= first && at->position < end;
    }
    if (now->phase == KV_PHASE_compress || !before) return false;
    if (at->text[0]) return place_said(s, at->text);
    return at->position == length_of(s, "tok") + length_of(s, "question") + length_of(s, "reply") - 1;
}

enum kv_status place_check(struct session *s, const struct location *at, char *note, size_t size)
{
    note[0] = '\0';
    if (at->position >= s->facts.n_context)
        return kv_fail(&s->err, KV_BAD_ARG, "Token @%d out of range; the model's context holds %d (0-%d).",
            at->position, s->facts.n_context, s->facts.n_context - 1);
    if (!at->text[0]) return KV_OK;
    int32_t *list;
    int n = 0, places = 0;
    struct kv_error ignored = s->err;
    bool found = s->prompt_name && !tokens_find(s, at->text, &list, &n, &places);
    s->err = ignored;
    if (!found)
        snprintf(note, size, " (the prompt does not say it; waiting for the reply)");
    else if (n == 1)
        snprintf(note, size, " (token @%d)", list[0]);
    else
        snprintf(note, size, " (%d place%s, %d tokens, the first @%d)", places, places == 1 ? "" : "s", n, list[0]);
    if (found) free(list);
    return KV_OK;
}
