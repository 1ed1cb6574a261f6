/* Finds a command by what was typed: exact name, then alias, then pinned GDB prefix, then unique prefix. */
#ifndef KV_LOOKUP_H
#define KV_LOOKUP_H

#include "inspector/language/command.h"

/* Looks `word` (length bytes) up among rows that end with a NULL name. `parent` is the group's full name ("info"),
 * or "" at top level. KV_NOT_FOUND or KV_BAD_ARG (ambiguous) leave GDB's sentence in *err. */
enum kv_status lookup_row(const struct command *rows, const char *parent, const struct command_pin *pins,
    const char *word, size_t length, const struct command **out, struct kv_error *err);

/* Resolves a whole line, descending into groups. *args points behind the last word taken, blanks skipped; `path`
 * (size bytes) gets the full name ("info breakpoints"). A group with a handler of its own also takes words that none
 * of its rows matches. */
enum kv_status lookup_line(const struct command *rows, const struct command_pin *pins, const char *line,
    const struct command **out, const char **args, char *path, size_t size, struct kv_error *err);

/* Whether a row answers to this word exactly, by name or alias. */
bool lookup_is(const struct command *row, const char *word, size_t length);

/* Number of single-character insertions, deletions, replacements and swaps between two words; stops counting at 2. */
int lookup_distance(const char *a, size_t na, const char *b);

/* Characters that a command word may have. */
bool lookup_word_char(char c);

#endif
