/* What any policy can save at most: KV bytes beside the weights, at several lengths of context. */
#include "inspector/lab/bounds.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/bytes.h"
#include "inspector/language/line.h"
#include "inspector/json/rows.h"

/* A share as a percentage, or "-" where no kept share does. */
static void percent(struct session *s, double share, int width)
{
    if (share < 0 || !isfinite(share))
        fprintf(s->out, " %*s", width + 2, "-");
    else
        fprintf(s->out, " %*.1f %%", width, 100 * share);
}

static void print_row(struct session *s, const struct kv_footprint *f, bool bits16, int context, double kept)
{
    char bytes[32];
    double cache = kv_cache_bytes(f, context);
    const double share[] = { kv_saved(f->weights, cache, 0), kv_saved(f->weights, cache, kept),
        kv_kept_for(f->weights, cache, KV_PAPER_MEMORY), kv_saved(f->read, cache, 0),
        kv_saved(f->read, cache, kept), kv_kept_for(f->read, cache, KV_PAPER_TIME) };
    static const char *const name[] = { "KV of memory", "memory saved", "kept for memory", "KV of decode",
        "decode saved", "kept for decode" };
    rows_new(s);
    rows_text(s, "format", bits16 ? "16 bits" : "as stored");
    rows_number(s, "context", context);
    rows_number(s, "KV", cache);
    rows_unit(s, "KV", "bytes");
    fprintf(s->out, "%8d %10s ", context, line_bytes(cache, bytes));
    for (size_t i = 0; i < KV_COUNT(share); i++) {
        rows_number(s, name[i], share[i] < 0 ? NAN : share[i]);
        percent(s, share[i], 6);
    }
    fputc('\n', s->out);
}

/* The request's own length, if there is one, in its place among round ones up to what the model was made for. */
static int contexts(struct session *s, int out[16])
{
    int n = 0, own = 0;
    struct kv_array tok;
    struct kv_error ignored;
    if (!kv_value(s->engine, "tok", &tok, &ignored)) own = (int)tok.dim[0];
    for (int c = 2048; n < 14 && (c <= s->facts.n_context || n < 2); c *= 2) {
        if (own && own < c) out[n++] = own;
        if (own <= c) own = 0;
        out[n++] = c;
    }
    if (own) out[n++] = own;
    return n;
}

static void tokens_needed(struct session *s, const struct kv_footprint *f, double kept)
{
    char text[2][32];
    double some = kv_tokens_for(f, KV_PAPER_TIME, kept), none = kv_tokens_for(f, KV_PAPER_TIME, 0);
    rows_fact(s, "tokens_for_decode", some);
    line_thousands((unsigned long long)none, text[1]);
    snprintf(text[0], sizeof text[0], "no number of");
    if (isfinite(some)) line_thousands((unsigned long long)some, text[0]);
    fprintf(s->out, "-%.1f %% of a decode step takes batch x context of %s tokens%s; of %s if nothing were kept.\n",
        100 * KV_PAPER_TIME, text[0], f->window ? " of full attention" : "", text[1]);
}

static void print_format(struct session *s, bool bits16, double kept)
{
    struct kv_footprint f;
    char bytes[3][32];
    int context[16];
    kv_footprint(s->engine, bits16, &f);
    fprintf(s->out, "\n%s: weights %s, of which a decode step reads %s; KV %s bytes a token of context\n",
        bits16 ? "In 16 bits" : "As stored", line_bytes(f.weights, bytes[0]), line_bytes(f.read, bytes[1]),
        line_thousands((unsigned long long)f.token, bytes[2]));
    fprintf(s->out, "%19s   --- of weights and KV ----   --- of a decode step's ---\n", "");
    fprintf(s->out, "%8s %10s   KV is    saved -4.18 %%    KV is    saved -46.6 %%\n", "context", "KV");
    for (int i = 0, n = contexts(s, context); i < n; i++) print_row(s, &f, bits16, context[i], kept);
    tokens_needed(s, &f, kept);
}

/* "0.25" or "25%"; without a word the policy's own share. */
static bool read_share(struct session *s, const char *args, double *kept)
{
    char *end, text[32];
    struct kv_error ignored;
    if (!*args && (kv_get(s->engine, "policy.ratio", text, sizeof text, &ignored) || !*text))
        snprintf(text, 32, "0.25");
    *kept = strtod(*args ? args : text, &end);
    if (*end == '%') *kept /= 100, end++;
    return !*end && *kept >= 0 && *kept < 1;
}

struct reaction cmd_info_bounds(struct session *s, const char *args)
{
    struct kv_footprint f;
    double kept;
    if (!read_share(s, args, &kept))
        return refuse(s, KV_BAD_ARG, "\"%.40s\" is no kept share; it is below 1, as in 0.25 or 25%%.", args);
    kv_footprint(s->engine, false, &f);
    if (f.weights <= 0) return refuse(s, KV_NOT_NOW, "A core file has no weights to set KV bytes beside.");
    rows_fact(s, "kept", kept);
    rows_fact_text(s, "basis", "predicted from bytes, not measured");
    fprintf(s->out,
        "Predicted from bytes alone, not measured%s.\nWhat any policy can save at most that keeps %.4g of the "
        "cache",
        s->facts.synthetic ? " (random weights in this model's shape)" : "", kept);
    if (f.window) fprintf(s->out, "; layers hold a window of %d at most (engine.sliding)", f.window);
    fprintf(s->out, ".\nUnder -4.18 %% (the paper's memory, on Qwen3-4B) and -46.6 %% (its time, on Mistral-7B) "
                    "stands the share to keep "
                    "for\nit; \"-\": none does.\n");
    print_format(s, false, kept);
    print_format(s, true, kept);
    return DONE;
}
