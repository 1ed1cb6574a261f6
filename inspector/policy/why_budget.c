/* why budget [L]: entropy, weight, request, bounds, and what the solver made of them. */
#include "inspector/policy/why_budget.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/edit.h"
#include "inspector/info.h"
#include "inspector/json/rows.h"

enum { ENTROPY, WEIGHT, REQUEST, FLOOR, CAP, APPLIED, USED, RULE, COLUMNS };

struct budgets {
    double *column[COLUMNS];  /* [n_layer] */
    double asked, shared;     /* tokens over all layers */
    double applied;           /* sum */
    double rest, rest_weight; /* tokens and weights of the layers that share what the others left */
    int sharing, fixed;       /* layers */
};

static void close_budgets(struct budgets *b)
{
    for (int i = 0; i < COLUMNS; i++) free(b->column[i]);
}

static bool rule_is(const struct budgets *b, int l, const char *name)
{
    return !strcmp(kv_budget_rule_name[(int)b->column[RULE][l]], name);
}

static bool open_budgets(struct session *s, struct budgets *b)
{
    static const char *const name[COLUMNS] = { "E", "weight", "budget.req", "budget.floor", "budget.cap",
        "budget.app", "budget.used", "budget.rule" };
    struct kv_array total, a;
    *b = (struct budgets){ 0 };
    if (session_value(s, "budget.total", &total)) return false;
    b->asked = array_number(&total, 0);
    b->shared = array_number(&total, 1);
    for (int i = 0; i < COLUMNS; i++)
        if (!(b->column[i] = info_copy(s, name[i], &a))) return false;
    b->rest = b->shared;
    for (int l = 0; l < s->facts.n_layer; l++) {
        bool shares = rule_is(b, l, "share");
        b->applied += b->column[APPLIED][l];
        b->sharing += shares;
        b->fixed += rule_is(b, l, "fixed");
        if (shares)
            b->rest_weight += b->column[WEIGHT][l];
        else
            b->rest -= b->column[APPLIED][l];
    }
    return true;
}

/* "policy seed, ratio 0.25". */
static void title_text(struct session *s, char *out, size_t size)
{
    static const char *const totals[] = { "ratio", "tokens", "bytes" };
    char title[64], name[32], value[40];
    struct kv_error ignored;
    size_t at = (size_t)snprintf(
        out, size, "policy %s", kv_policy_title(s->engine, KV_POLICY_COMPRESSED, title, sizeof title));
    for (size_t i = 0; i < KV_COUNT(totals); i++) {
        snprintf(name, sizeof name, "policy.%s", totals[i]);
        if (kv_policy_get(s->engine, KV_POLICY_COMPRESSED, name, value, sizeof value, &ignored)) continue;
        if (strcmp(value, "unset")) at += (size_t)snprintf(out + at, size - at, ", %s %s", totals[i], value);
    }
}

/* Σ applied against what was shared out, and that against what was asked for. */
static void tell_sum(struct session *s, const struct budgets *b)
{
    fprintf(s->out, "Sum of applied: %.0f tokens %s %.0f shared out", b->applied,
        b->applied == b->shared ? "=" : "is not", b->shared);
    rows_fact(s, "asked", b->asked);
    rows_fact(s, "shared_out", b->shared);
    rows_fact(s, "applied", b->applied);
    const char *which = b->shared > b->asked ? "least" : "most";
    if (b->shared == b->asked)
        fprintf(s->out, ", as many as were asked for.\n");
    else if (b->fixed)
        fprintf(s->out, "; %.0f were asked for, and that is the %s that fixed budgets and bounds allow.\n",
            b->asked, which);
    else
        fprintf(s->out, "; %.0f were asked for, and that is the %s that the bounds allow.\n", b->asked, which);
}

static void tell_rule(struct session *s, const struct budgets *b, int l)
{
    double *const *c = b->column;
    double weight = b->rest_weight > 0 ? c[WEIGHT][l] / b->rest_weight : 1.0 / b->sharing;
    fprintf(s->out, "  decided   %s", kv_budget_rule_name[(int)c[RULE][l]]);
    if (rule_is(b, l, "fixed"))
        fprintf(s->out, ": by edit (set budget L%d auto gives it back)\n", l);
    else if (rule_is(b, l, "floor"))
        fprintf(s->out, ": its share by weight was below, so it was raised to the floor\n");
    else if (rule_is(b, l, "cap"))
        fprintf(s->out, ": its share by weight was above, so it was cut to the cap\n");
    else
        fprintf(s->out, ": %.2f %% by weight of the %.0f tokens for %d layers not at a bound: %.2f, rounded\n",
            100 * weight, b->rest, b->sharing, weight * b->rest);
}

static void layer_row(struct session *s, const struct budgets *b, int l)
{
    static const char *const name[] = { "E", "weight", "requested", "floor", "cap", "applied" };
    rows_new(s);
    rows_number(s, "layer", l);
    for (size_t i = 0; i < KV_COUNT(name); i++) rows_number(s, name[i], b->column[i][l]);
    rows_number(s, "change", b->column[APPLIED][l] - b->column[REQUEST][l]);
    rows_text(s, "decided", kv_budget_rule_name[(int)b->column[RULE][l]]);
    rows_unit(s, "E", "nats");
}

static void one_layer(struct session *s, const struct budgets *b, int l)
{
    double *const *c = b->column, weights = 0;
    char title[160], allocator[40] = "?", floor[40] = "?", cap[40] = "?";
    struct kv_error ignored;
    title_text(s, title, sizeof title);
    layer_row(s, b, l);
    rows_fact(s, "used", c[USED][l]);
    for (int k = 0; k < s->facts.n_layer; k++) weights += c[WEIGHT][k];
    kv_policy_get(s->engine, KV_POLICY_COMPRESSED, "policy.allocator", allocator, sizeof allocator, &ignored);
    kv_policy_get(s->engine, KV_POLICY_COMPRESSED, "policy.floor", floor, sizeof floor, &ignored);
    kv_policy_get(s->engine, KV_POLICY_COMPRESSED, "policy.cap", cap, sizeof cap, &ignored);
    fprintf(s->out, "Layer %d: %.0f tokens (%s; %s)\n", l, c[APPLIED][l], title, session_mode(s));
    fprintf(s->out, "  entropy   %.4f nats, mean over %d heads\n", c[ENTROPY][l], s->facts.n_head);
    fprintf(s->out, "  weight    %.4f by the allocator %s, %.2f %% of all layers\n", c[WEIGHT][l], allocator,
        weights > 0 ? 100 * c[WEIGHT][l] / weights : 100.0 / s->facts.n_layer);
    fprintf(s->out, "  requested %.2f tokens, by weight alone\n", c[REQUEST][l]);
    fprintf(
        s->out, "  bounds    %.0f (policy.floor %s) to %.0f (policy.cap %s)\n", c[FLOOR][l], floor, c[CAP][l], cap);
    tell_rule(s, b, l);
    fprintf(s->out, "  applied   %.0f tokens, %+.2f\n", c[APPLIED][l], c[APPLIED][l] - c[REQUEST][l]);
    fprintf(s->out, "  used      %.0f tokens with question and reply\n", c[USED][l]);
}

static void all_layers(struct session *s, const struct budgets *b)
{
    double *const *c = b->column;
    char title[160];
    title_text(s, title, sizeof title);
    fprintf(s->out, "Budgets in tokens, E in nats (%s; %s)\n", title, session_mode(s));
    fprintf(s->out, "%5s %8s %8s %10s %7s %7s %8s %8s  %s\n", "layer", "E", "weight", "requested", "floor", "cap",
        "applied", "change", "decided");
    for (int l = 0; l < s->facts.n_layer; l++) layer_row(s, b, l);
    for (int l = 0; l < s->facts.n_layer; l++)
        fprintf(s->out, "%5d %8.3f %8.4f %10.1f %7.0f %7.0f %8.0f %+8.1f  %s\n", l, c[ENTROPY][l], c[WEIGHT][l],
            c[REQUEST][l], c[FLOOR][l], c[CAP][l], c[APPLIED][l], c[APPLIED][l] - c[REQUEST][l],
            kv_budget_rule_name[(int)c[RULE][l]]);
}

struct reaction why_budget(struct session *s, const char *args)
{
    struct budgets b;
    int only;
    if (info_layer(s, args, &only)) return failed(s);
    bool open = open_budgets(s, &b);
    if (open && only >= 0) one_layer(s, &b, only);
    if (open && only < 0) all_layers(s, &b);
    if (open) tell_sum(s, &b);
    close_budgets(&b);
    return open ? DONE : failed(s);
}
