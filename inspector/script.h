/* Files of commands. */
#ifndef KV_SCRIPT_H
#define KV_SCRIPT_H

#include "inspector/session.h"

#define SCRIPT_DEPTH 16 /* files that source each other */

/* Runs a file until a command fails or quits; with keep_going, past failures. The failure has been printed. A file that
 * cannot be read gives KV_IO with .exit 2. */
struct reaction script_file(struct session *s, const char *path);

/* "if", "while", "define", ... that this kvdbg does not run: the word, or NULL. */
const char *script_block_word(const char *line);

struct reaction cmd_source(struct session *s, const char *args);
struct reaction cmd_echo(struct session *s, const char *args);
struct reaction cmd_assert(struct session *s, const char *args);
struct reaction cmd_expect_stop(struct session *s, const char *args);
struct reaction cmd_quit(struct session *s, const char *args);
struct reaction cmd_block(struct session *s, const char *args);

#endif
