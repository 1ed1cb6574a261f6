/* What is to be drawn: read once from words, drawn in the terminal by heat and into a file by export.
 *
 *   WHAT := entropy | entropy_q [head H|mean] | score | kept [-vs PRESET] | budget | curve [layer L] | kl
 *         | regret [head H|mean]
 *         | attn [layer L] [head H|mean] [rows A..B] [cols A..B] [-vs full] | attn layer L heads | attn head H layers
 *   then, in any order: -log | -rank | -clip P, pool mean|max, map NAME, side CELLS */
#ifndef KV_PICTURE_H
#define KV_PICTURE_H

#include "inspector/language/line.h"
#include "inspector/session.h"
#include "render/matrix.h"

enum picture_what {
    PICTURE_ENTROPY,
    PICTURE_ENTROPY_Q,
    PICTURE_SCORE,
    PICTURE_KEPT,
    PICTURE_BUDGET,
    PICTURE_ATTN,
    PICTURE_CURVE,
    PICTURE_KL,
    PICTURE_REGRET,
    PICTURE_COUNT
};
extern const char *const picture_name[PICTURE_COUNT];

enum picture_panels { PANELS_NONE, PANELS_HEADS, PANELS_LAYERS };

/* Numbers by layer and position, of a head or the mean of all. */
#define PICTURE_BY_HEAD(p) ((p)->what == PICTURE_ENTROPY_Q || (p)->what == PICTURE_REGRET)

struct picture {
    enum picture_what what;
    int layer, head;            /* attn, entropy_q, regret, curve */
    bool mean;                  /* attn, entropy_q, regret: over the heads of the layer */
    enum picture_panels panels; /* attn: all heads of the layer, all layers of the head */
    int64_t first, last;        /* attn: rows, both included */
    int64_t left, right;        /* attn: columns, both included */
    char vs[32];                /* "" or the other side: full (attn), a preset (kept) */
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

/* A matrix over it: from an array that the picture_source owns, or (attn) rows asked of the engine in blocks, where
 * evicted keys are no data. Curves are one row: scores from the best on, nats a step. Zeroed = closed. */
struct picture_source {
    struct matrix matrix;
    const char *unit, *quantity; /* "nats", "attention entropy" */
    float *data;                 /* owned */
    struct session *session;
    struct picture picture;
    int64_t block, block_first, block_rows; /* attention: rows that data holds; those in it now */
    size_t stride;
    float *other;            /* owned; a block more, for means and differences */
    uint8_t *gone;           /* owned; [last + 1] keys that this layer evicted, NULL = none */
    int64_t gone_from;       /* in rows from here on */
    struct kv_engine *there; /* owned; the other side of a difference */
};
enum kv_status picture_open(struct session *s, const struct picture *p, struct picture_source *out);
void picture_close(struct picture_source *src);

/* Turns an open source of several panels to number k: the matrix is that one's. */
enum kv_status picture_turn(struct picture_source *src, size_t k, struct kv_error *err);
/* How many there are; 1 without panels. */
size_t picture_panels(const struct session *s, const struct picture *p);

struct reaction cmd_heat(struct session *s, const char *args);

#endif
