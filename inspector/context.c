/* Each pane is one to three lines; one whose values are not there yet says so. */
#include "inspector/context.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/info.h"
#include "inspector/expr/list.h"
#include "inspector/tokens.h"

#define BAR 40 /* cells */

enum pane { PANE_ENTROPY, PANE_BUDGET, PANE_TOKENS, PANES };
static const char *const names[PANES] = { "entropy", "budget", "tokens" };

/* One glyph a number, from the least to the most of them. */
static void strip(struct session *s, const double *x, int n)
{
    static const char ramp[] = " .:-=+*#%@";
    double least = INFINITY, most = -INFINITY;
    for (int i = 0; i < n; i++) least = fmin(least, x[i]), most = fmax(most, x[i]);
    fputc('|', s->out);
    for (int i = 0; i < n; i++) {
        double share = most > least ? (x[i] - least) / (most - least) : 0.5;
        fputc(isnan(x[i]) ? '?' : ramp[(int)lround(share * (sizeof ramp - 2))], s->out);
    }
    fprintf(s->out, "|  %.2f to %.2f nats", least, most);
}

static void entropy_pane(struct session *s)
{
    struct kv_array layers, heads;
    struct kv_error ignored;
    double *E = kv_value(s->engine, "E", &layers, &ignored) ? NULL : info_copy(s, "E", &layers);
    double *H = E ? info_copy(s, "entropy", &heads) : NULL;
    bool any = false;
    for (int l = 0; E && l < s->facts.n_layer; l++) any = any || E[l] > 0;
    if (!H || !any) {
        fprintf(s->out, "entropy  none before attention\n");
    } else {
        fprintf(s->out, "entropy  layers ");
        strip(s, E, s->facts.n_layer);
        fprintf(s->out, "\n         L%-5d ", s->layer);
        if (isnan(E[s->layer])) {
            fprintf(s->out, "none before its attention\n");
        } else {
            strip(s, H + (size_t)s->layer * heads.dim[1], s->facts.n_head);
            fprintf(s->out, ", mean %.2f%s\n", E[s->layer], session_mark(s));
        }
    }
    free(E);
    free(H);
}

static void budget_pane(struct session *s)
{
    struct kv_array app, tok;
    struct kv_error ignored;
    char bar[BAR + 1];
    size_t n = kv_value(s->engine, "tok", &tok, &ignored) ? 0 : tok.dim[0];
    if (!n || kv_value(s->engine, "budget.app", &app, &ignored)) {
        fprintf(s->out, "budget   none before compress\n");
        return;
    }
    double own = array_number(&app, (size_t)s->layer), sum = 0;
    for (size_t l = 0; l < app.dim[0]; l++) sum += array_number(&app, l);
    int cells = (int)lround(own / (double)n * BAR);
    for (int i = 0; i < BAR; i++) bar[i] = i < cells ? '#' : ' ';
    bar[BAR] = '\0';
    fprintf(s->out, "budget   L%-5d |%s|  %.0f of %zu tokens (%.1f %%), all layers %.1f %%%s\n", s->layer, bar, own,
        n, 100 * own / (double)n, 100 * sum / (double)n / (double)app.dim[0], session_mark(s));
}

static void tokens_pane(struct session *s)
{
    char quoted[64];
    int n = 0;
    const int32_t *ids = tokens_prompt(s, &n);
    if (!ids || s->token >= n) return;
    fprintf(s->out, "tokens   around @%d %s\n", s->token, tokens_quote(s, ids[s->token], quoted, sizeof quoted));
    list_around(s, s->token);
}

static void show(struct session *s, unsigned panes)
{
    static void (*const pane[PANES])(struct session * s) = { entropy_pane, budget_pane, tokens_pane };
    for (int i = 0; i < PANES; i++)
        if (panes & 1u << i) pane[i](s);
    s->err = (struct kv_error){ 0 };
}

void context_show(struct session *s) { show(s, s->pref.context); }

/* "entropy,tokens" or "entropy tokens", or off. */
static enum kv_status read_panes(struct session *s, const char *text, unsigned *panes)
{
    *panes = 0;
    if (!strcmp(text, "off")) return KV_OK;
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, ", \t");
        int found = -1;
        for (int i = 0; n && i < PANES; i++)
            if (strlen(names[i]) == n && !strncmp(names[i], p, n)) found = i;
        if (n && found < 0)
            return kv_fail(&s->err, KV_BAD_ARG, "No pane \"%.*s\"; there are entropy, budget and tokens.",
                (int)kv_min(n, 40), p);
        if (n) *panes |= 1u << found;
        p += n + strspn(p + n, ", \t");
    }
    return KV_OK;
}

struct reaction cmd_context(struct session *s, const char *args)
{
    unsigned panes = s->pref.context ? s->pref.context : (1u << PANES) - 1;
    if (*args && read_panes(s, args, &panes)) return failed(s);
    show(s, panes);
    return DONE;
}

struct reaction cmd_set_kv_context(struct session *s, const char *args)
{
    unsigned panes;
    if (!*args) return refuse(s, KV_BAD_ARG, "Argument required (panes: entropy, budget, tokens; or off).");
    if (read_panes(s, args, &panes)) return failed(s);
    s->pref.context = panes;
    return DONE;
}

struct reaction cmd_show_kv_context(struct session *s, const char *args)
{
    (void)args;
    fprintf(s->out, "Panes that are shown at every stop: %s", s->pref.context ? "" : "none");
    for (int i = 0, shown = 0; i < PANES; i++)
        if (s->pref.context & 1u << i) fprintf(s->out, "%s%s", shown++ ? ", " : "", names[i]);
    fputs(".\n", s->out);
    return DONE;
}
