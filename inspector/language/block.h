/* Lines of commands, and the blocks among them: what stands between if, while, define, document or commands and its
 * `end`. A block is read as a whole before any of it runs. */
#ifndef KV_BLOCK_H
#define KV_BLOCK_H

#include "kernels/base.h"

struct session;

/* Where lines come from: a file, a text, the prompt. */
struct line_source {
    const char *name; /* for error messages; NULL = nothing to name */
    int line;         /* number of the last one read, from 1 */
    /* Puts one line without its newline into *line (malloc'd, grown as needed); false at the end. */
    bool (*read)(struct line_source *src, char **line, size_t *cap);
    void *ctx;
};

struct block_line {
    char *text;
    int number;                      /* in its source */
    struct block_line *body, *other; /* of a line that opens a block: what follows, and what follows `else` */
    struct block_line *next;
};

/* A body that may be replaced while it runs. */
struct block {
    int users;
    struct block_line *first;
};

enum block_kind {
    BLOCK_NONE,
    BLOCK_IF,
    BLOCK_WHILE,
    BLOCK_LINES, /* define, commands */
    BLOCK_TEXT   /* document */
};

/* What kind of block a line opens; *word = the length of its first word. */
enum block_kind block_opens(struct session *s, const char *line);
bool block_is(const char *line, const char *word); /* whether a line is this word alone */

/* Reads the body of opener->text up to its `end`. KV_BAD_FILE where the source ends inside it or it is no block. */
enum kv_status block_read(struct session *s, struct line_source *src, enum block_kind kind,
    struct block_line *opener, struct kv_error *err);
/* Lines of a source up to its end. */
enum kv_status block_read_all(
    struct session *s, struct line_source *src, struct block_line **out, struct kv_error *err);
enum kv_status block_lines_copy(const struct block_line *first, struct block_line **out, struct kv_error *err);
void block_lines_free(struct block_line *first);

struct block *block_new(struct block_line *first); /* takes the lines, even where it returns NULL: no memory */
void block_drop(struct block *b);                  /* frees it with its last user; NULL is fine */

/* Prints lines as `show user` does. */
void block_print(struct session *s, const struct block_line *first, int indent);

/* A source over a text of lines; *at must outlive it. */
void block_text_source(struct line_source *src, const char **at);

#endif
