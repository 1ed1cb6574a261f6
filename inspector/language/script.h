/* Running lines: files of commands, blocks, and the commands that only make sense in them. */
#ifndef KV_SCRIPT_H
#define KV_SCRIPT_H

#include "inspector/language/block.h"
#include "inspector/session.h"

#define SCRIPT_DEPTH 16 /* files that source each other */

/* Runs a file until a command fails or quits; with keep_going, past failures. The failure has been printed. A file that
 * cannot be read gives KV_IO with .exit 2. */
struct reaction script_file(struct session *s, const char *path);

/* Runs the lines of a text, blocks and all; the first failure ends it and is left in s->err. */
struct reaction script_text(struct session *s, const char *text);

/* Runs lines in order until one fails, quits, or (stepped) moves the request. */
struct reaction script_lines(struct session *s, const struct block_line *first, bool stepped);

/* The block that the running command opens: read now, or with the block around it. KV_BAD_ARG where no lines can
 * follow. */
struct body {
    const struct block_line *body, *other;
    struct block_line *owned; /* what was read now; NULL = borrowed */
};
enum kv_status script_body(struct session *s, enum block_kind kind, struct body *out);
/* Makes body the caller's own. */
enum kv_status script_body_take(struct body *b, struct block_line **out, struct kv_error *err);
void script_body_free(struct body *b);

struct reaction cmd_source(struct session *s, const char *args);
struct reaction cmd_if(struct session *s, const char *args);
struct reaction cmd_while(struct session *s, const char *args);
struct reaction cmd_end(struct session *s, const char *args);
struct reaction cmd_echo(struct session *s, const char *args);
struct reaction cmd_assert(struct session *s, const char *args);
struct reaction cmd_expect_stop(struct session *s, const char *args);
struct reaction cmd_quit(struct session *s, const char *args);

#endif
