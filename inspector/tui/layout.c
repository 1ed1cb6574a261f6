/* Reading layouts and dividing the screen. */
#include "inspector/tui/layout.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- reading ------------------------------------------------------------------------------------------------------ */

struct reader {
    struct layout *l;
    const char *p;
    bool (*known)(const char *view);
    struct kv_error *err;
    int depth;
};

static int new_node(struct reader *r)
{
    if (r->l->count == LAYOUT_NODES) {
        kv_fail(r->err, KV_BAD_ARG, "A layout has at most %d windows and splits.", LAYOUT_NODES);
        return -1;
    }
    r->l->node[r->l->count] = (struct layout_node){ .weight = 1, .first = -1, .next = -1 };
    return r->l->count++;
}

static size_t word(struct reader *r)
{
    r->p += strspn(r->p, " \t");
    return strcspn(r->p, " \t{}") ? strcspn(r->p, " \t{}") : *r->p != '\0';
}

static int read_weight(struct reader *r)
{
    char *end;
    size_t n = word(r);
    long weight = strtol(r->p, &end, 10);
    if (end == r->p || (size_t)(end - r->p) != n || weight < 1 || weight > 1000) {
        kv_fail(r->err, KV_BAD_ARG, "A window's weight (1 to 1000) is missing before \"%.30s\".", r->p);
        return -1;
    }
    r->p = end;
    return (int)weight;
}

/* WINDOW WEIGHT or {[-horizontal] ...} WEIGHT, repeated; children of `parent`. */
static enum kv_status read_children(struct reader *r, int parent)
{
    int *link = &r->l->node[parent].first;
    if (++r->depth > 8) return kv_fail(r->err, KV_BAD_ARG, "A layout is nested at most 8 deep.");
    for (size_t n; (n = word(r)) && *r->p != '}';) {
        int at = new_node(r);
        if (at < 0) return KV_BAD_ARG;
        struct layout_node *node = &r->l->node[at];
        if (*r->p == '{') {
            r->p++;
            n = word(r);
            node->horizontal = n == 11 && !memcmp(r->p, "-horizontal", n);
            if (node->horizontal) r->p += n;
            if (read_children(r, at)) return KV_BAD_ARG;
            if (!word(r) || *r->p != '}') return kv_fail(r->err, KV_BAD_ARG, "A } is missing in the layout.");
            r->p++;
        } else {
            snprintf(node->view, sizeof node->view, "%.*s", (int)n, r->p);
            if (n >= sizeof node->view || !r->known(node->view))
                return kv_fail(r->err, KV_NOT_FOUND, "Unknown window \"%.*s\".", (int)kv_min(n, 30), r->p);
            r->p += n;
        }
        if ((node->weight = read_weight(r)) < 0) return KV_BAD_ARG;
        *link = at;
        link = &node->next;
    }
    r->depth--;
    return r->l->node[parent].first >= 0 ? KV_OK : kv_fail(r->err, KV_BAD_ARG, "A split without windows.");
}

enum kv_status layout_parse(
    struct layout *l, const char *name, const char *text, bool (*known)(const char *view), struct kv_error *err)
{
    struct reader r = { .l = l, .p = text, .known = known, .err = err };
    *l = (struct layout){ 0 };
    snprintf(l->name, sizeof l->name, "%s", name);
    int root = new_node(&r);
    if (!strncmp(r.p + strspn(r.p, " "), "-horizontal", 11)) {
        r.p += strspn(r.p, " ") + 11;
        l->node[root].horizontal = true;
    }
    enum kv_status st = read_children(&r, root);
    if (!st && *r.p == '}') st = kv_fail(err, KV_BAD_ARG, "A } too many in the layout.");
    for (int i = 0; !st && i < l->count; i++)
        for (int k = i + 1; k < l->count; k++)
            if (*l->node[i].view && !strcmp(l->node[i].view, l->node[k].view))
                st = kv_fail(err, KV_BAD_ARG, "The window \"%s\" stands twice in the layout.", l->node[i].view);
    return st;
}

/* --- placing ------------------------------------------------------------------------------------------------------ */

/* Whether anything of a node is to be shown. */
static bool wanted(const struct layout *l, int i)
{
    const struct layout_node *n = &l->node[i];
    if (*n->view) return n->shown;
    for (int c = n->first; c >= 0; c = l->node[c].next)
        if (wanted(l, c)) return true;
    return false;
}

typedef void least_fn(const char *view, int *rows, int *cols);

/* The least size of a node and all in it. */
static void needs(const struct layout *l, int i, least_fn *least, int *rows, int *cols)
{
    const struct layout_node *n = &l->node[i];
    *rows = *cols = 0;
    if (*n->view) {
        least(n->view, rows, cols);
        return;
    }
    for (int c = n->first, r, w; c >= 0; c = l->node[c].next) {
        if (!wanted(l, c)) continue;
        needs(l, c, least, &r, &w);
        *rows = n->horizontal ? (r > *rows ? r : *rows) : *rows + r;
        *cols = n->horizontal ? *cols + w : (w > *cols ? w : *cols);
    }
}

/* Divides the room among the children by their weights, but gives each what it needs where the others can spare it. */
static void divide(struct layout *l, int i, int room, least_fn *least, int size[LAYOUT_NODES])
{
    struct layout_node *n = &l->node[i];
    int least_of[LAYOUT_NODES], weight = 0, given = 0, count = 0, seen = 0;
    for (int c = n->first; c >= 0; c = l->node[c].next) weight += wanted(l, c) ? l->node[c].weight : 0;
    for (int c = n->first; c >= 0; c = l->node[c].next) {
        int rows, cols;
        if (!wanted(l, c)) continue;
        needs(l, c, least, &rows, &cols);
        least_of[count] = n->horizontal ? cols : rows;
        seen += l->node[c].weight;
        int end = seen == weight ? room : room * seen / weight + l->node[c].extra;
        if (end < given) end = given;
        if (end > room) end = room;
        size[count++] = end - given;
        given = end;
    }
    for (int turn = 0; turn < count * room; turn++) { /* a row at a time, from the richest to who lacks one */
        int poor = -1, rich = -1;
        for (int k = 0; k < count; k++) {
            if (size[k] < least_of[k]) poor = k;
            if (size[k] > least_of[k] && (rich < 0 || size[k] - least_of[k] > size[rich] - least_of[rich]))
                rich = k;
        }
        if (poor < 0 || rich < 0) break;
        size[poor]++;
        size[rich]--;
    }
}

static void place(struct layout *l, int i, int top, int left, int rows, int cols, least_fn *least)
{
    struct layout_node *n = &l->node[i];
    int size[LAYOUT_NODES], at = 0, given = 0;
    n->top = top;
    n->left = left;
    n->rows = rows;
    n->cols = cols;
    divide(l, i, n->horizontal ? cols : rows, least, size);
    for (int c = n->first; c >= 0; c = l->node[c].next) {
        if (!wanted(l, c)) continue;
        if (n->horizontal)
            place(l, c, top, left + given, rows, size[at], least);
        else
            place(l, c, top + given, left, size[at], cols, least);
        given += size[at++];
    }
}

/* The least important window that is too small, or -1. */
static int too_small(const struct layout *l, least_fn *least)
{
    int worst = -1;
    for (int i = 0; i < l->count; i++) {
        const struct layout_node *n = &l->node[i];
        int rows, cols;
        if (!*n->view || !n->shown) continue;
        least(n->view, &rows, &cols);
        if (n->rows >= rows && n->cols >= cols) continue;
        bool command = !strcmp(n->view, "command");
        if (worst < 0 || (!command && n->weight <= l->node[worst].weight) ||
            !strcmp(l->node[worst].view, "command"))
            worst = i;
    }
    return worst;
}

/* A window beside one that is too small, to be left out for its sake: the least of all but the command window. */
static int least_of_all(const struct layout *l, int but)
{
    int worst = -1;
    for (int i = 0; i < l->count; i++) {
        const struct layout_node *n = &l->node[i];
        if (i == but || !*n->view || !n->shown || !strcmp(n->view, "command")) continue;
        if (worst < 0 || n->weight <= l->node[worst].weight) worst = i;
    }
    return worst;
}

void layout_place(
    struct layout *l, int top, int left, int rows, int cols, void (*least)(const char *view, int *rows, int *cols))
{
    for (int i = 0; i < l->count; i++) l->node[i].shown = true;
    for (int turn = 0; turn < l->count; turn++) {
        place(l, 0, top, left, rows, cols, least);
        int small = too_small(l, least);
        if (small < 0) return;
        int gone = strcmp(l->node[small].view, "command") ? small : least_of_all(l, small);
        l->node[gone < 0 ? small : gone].shown = false;
    }
}

int layout_find(const struct layout *l, const char *view)
{
    for (int i = 0; i < l->count; i++)
        if (l->node[i].shown && !strcmp(l->node[i].view, view)) return i;
    return -1;
}

const struct layout_row layout_rows[] = {
    { "heat", "{-horizontal heat 3 budget 2} 3 command 2", "Entropy of every layer and head, and budgets" },
    { "budget", "{-horizontal budget 3 heat 2} 3 command 2", "Budgets, to be changed with + and -" },
    { "tokens", "tokens 3 kept 2 command 2", "The prompt and what survived" },
    { "attn", "{-horizontal attn 3 heat 2} 4 command 1", "Attention of one head" },
    { "asm", "stages 3 command 2", "Stages of the pass" },
    { "split", "{-horizontal heat 1 budget 1} 2 {-horizontal tokens 1 attn 1} 2 command 1", "Everything at once" },
    { "diff", "diff 3 command 2", "The full cache's reply beside this run's" },
    { "sensitivity", "{-horizontal sensitivity 3 budget 2} 3 command 2", "What each layer's tokens are worth" },
    { NULL, NULL, NULL },
};
