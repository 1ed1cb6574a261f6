/* What is to be drawn: read once from words, drawn in the terminal by heat and into a file by export.
 *
 *   WHAT := entropy | score | kept | budget | attn [layer L] [head H] [rows A..B] [cols A..B]
 *   then, in any order: -log | -rank | -clip P, pool mean|max, map NAME, side CELLS */
#ifndef KV_PICTURE_H
#define KV_PICTURE_H

#include "inspector/line.h"
#include "inspector/session.h"
#include "render/matrix.h"

enum picture_what { PICTURE_ENTROPY, PICTURE_SCORE, PICTURE_KEPT, PICTURE_BUDGET, PICTURE_ATTN, PICTURE_COUNT };
extern const char *const picture_name[PICTURE_COUNT];

struct picture {
    enum picture_what what;
    int layer, head;     /* attn */
    int64_t first, last; /* attn: rows, both included */
    int64_t left, right; /* attn: columns, both included */
    struct scale_view scale;
    enum pool_kind pool;
    char map[16]; /* "" = the default */
    size_t side;  /* cells a side at most; 0 = the figure's own */
    bool raw16;   /* export: the values themselves as 16-bit grey */
    bool force;   /* -f: overwrite (export) */
};

/* Reads words[at..]; defaults come from the focus. */
enum kv_status picture_read(struct session *s, const struct line_words *words, int at, struct picture *out);

/* Makes it one of values alone (-raw16); KV_BAD_ARG for what has none or bends them. */
enum kv_status picture_raw16(struct session *s, struct picture *p);

/* The words that give the same picture again, focus and defaults spelled out. */
void picture_text(const struct picture *p, char *text, size_t size);

/* A matrix over it. entropy, score, kept: from an array that the picture_source owns; attn: rows asked of the engine in
 * blocks. Zeroed = closed. */
struct picture_source {
    struct matrix matrix;
    const char *unit, *quantity; /* "nats", "attention entropy" */
    float *data;                 /* owned */
    struct session *session;
    struct picture picture;
    int64_t block_first, block_rows; /* attention rows now in data */
    size_t stride;
};
enum kv_status picture_open(struct session *s, const struct picture *p, struct picture_source *out);
void picture_close(struct picture_source *src);

struct reaction cmd_heat(struct session *s, const char *args);

#endif
