/* How windows share the screen: GDB's words, "{-horizontal heat 3 stages 2} 3 command 2". */
#ifndef KV_TUI_LAYOUT_H
#define KV_TUI_LAYOUT_H

#include "kernels/base.h"

#define LAYOUT_NODES 32
#define LAYOUT_NAME  16

struct layout_node {
    char view[LAYOUT_NAME]; /* "" = a split */
    int weight;
    int extra;       /* rows (or columns) that winheight has added */
    int first, next; /* node numbers, -1 = none */
    bool horizontal; /* children side by side */
    bool shown;      /* it has room */
    int top, left, rows, cols;
};

struct layout {
    char name[32];
    struct layout_node node[LAYOUT_NODES];
    int count; /* node 0 is the root */
};

/* Reads a description; known says which view names there are. KV_BAD_ARG with the word that is wrong. */
enum kv_status layout_parse(
    struct layout *l, const char *name, const char *text, bool (*known)(const char *view), struct kv_error *err);
/* Places every node in a rectangle. least gives a view's smallest size; what does not fit is left out, from the one with
 * the least weight on; the command window goes last. */
void layout_place(
    struct layout *l, int top, int left, int rows, int cols, void (*least)(const char *view, int *rows, int *cols));
/* The node of a view that is shown, or -1. */
int layout_find(const struct layout *l, const char *view);

/* Built-in layouts: name and description, up to a NULL. */
struct layout_row {
    const char *name, *text, *help;
};
extern const struct layout_row layout_rows[];

#endif
