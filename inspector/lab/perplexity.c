/* perplexity. */
#include "inspector/lab/perplexity.h"

#include <stdlib.h>

#include "engine/perplexity.h"
#include "inspector/language/line.h"
#include "inspector/json/rows.h"
#include "inspector/run.h"
#include "inspector/session_load.h"

#define WINDOW "512"

static void show(struct session *s, const char *name, int window, const struct kv_perplexity *p)
{
    fprintf(s->out, "Perplexity of %s: %.4f +/- %.5f  (%s)\n", name, p->ppl, p->ppl_error, session_mode(s));
    fprintf(s->out, "  %.6f +/- %.6f nats a token over %d tokens: the second halves of %d windows of %d\n", p->nll,
        p->nll_error, p->tokens, p->windows, window);
    fprintf(s->out, "  %d tokens in the text; %.2f s, %.0f tokens a second\n", p->text_tokens, p->us * 1e-6,
        (double)p->windows * window / p->us * 1e6);
    rows_fact(s, "ppl", p->ppl);
    rows_fact(s, "ppl_error", p->ppl_error);
    rows_fact(s, "nll", p->nll);
    rows_fact(s, "nll_error", p->nll_error);
    rows_fact(s, "tokens", p->tokens);
    rows_fact(s, "windows", p->windows);
    rows_fact(s, "window", window);
    rows_fact(s, "text_tokens", p->text_tokens);
    rows_fact(s, "seconds", p->us * 1e-6);
    rows_unit(s, "nll", "nats");
    rows_unit(s, "nll_error", "nats");
}

struct reaction cmd_perplexity(struct session *s, const char *args)
{
    struct line_words words;
    long long window, most = 0;
    if (line_split(args, &words, &s->err)) return failed(s);
    if (words.count < 1 || words.count > 3)
        return refuse(s, KV_BAD_ARG, "perplexity takes a FILE, tokens of a window, and a number of windows.");
    const char *name = words.word[0];
    if (line_integer(
            words.count > 1 ? words.word[1] : WINDOW, 4, 1 << 30, "tokens of a window", &window, &s->err) ||
        (words.count > 2 && line_integer(words.word[2], 1, 1 << 30, "a number of windows", &most, &s->err)))
        return failed(s);
    char *text = NULL;
    size_t bytes = 0;
    struct kv_perplexity p;
    if (session_read_text(s, name, &text, &bytes)) return failed(s);
    /* A text file's last newline ends its last line; it is no part of the text. */
    if (bytes && text[bytes - 1] == '\n') bytes--;
    enum kv_status st = kv_perplexity(s->engine, text, bytes, (int)window, (int)most, &p, &s->err);
    free(text);
    run_end_line(s);
    if (!st || (st == KV_STOPPED && p.windows)) show(s, name, (int)window, &p);
    return st ? failed(s) : DONE;
}
