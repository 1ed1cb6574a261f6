/* Chat templates: the part of Jinja that chat templates are written in, as transformers renders them (trim_blocks,
 * lstrip_blocks, loop controls).
 *
 * Statements: if/elif/else, for (with else, a filter, unpacking; not recursive), break, continue, set (names, namespace
 * attributes, several names, blocks), macro, generation. Expressions: literals, lists, dictionaries, attributes, items,
 * slices, calls, arithmetic, ~, comparisons, in, is, and/or/not, A if B else C, filters. Functions: range, namespace,
 * dict, raise_exception, strftime_now. Filters, tests and methods: the tables in jinja_filter.c, jinja_test.c and
 * jinja_call.c. Whatever else a template uses is refused with its name.
 *
 * Every byte of the text carries a mark: that of the message it came from, or 0 where the template wrote it. So
 * a caller can tell <|im_end|> of the template from the same characters in a user's text, whatever was trimmed, cut,
 * replaced or joined on the way.
 *
 * A template may be hostile: its steps, its memory, the depth of its nesting and the size of its output are bounded by
 * the size of the messages. */
#ifndef KV_JINJA_H
#define KV_JINJA_H

#include "engine/model/model.h"

#include <time.h>

struct jinja_text {
    const char *text;
    const unsigned char *mark; /* [n] NULL = all 0 */
    size_t n;
};

struct jinja_message {
    const char *role;
    struct jinja_text content;
};

struct jinja_request {
    struct kv_string template;
    const struct jinja_message *message; /* [n_message] */
    int n_message;
    struct kv_string bos, eos, unknown; /* bos_token and so on; length 0 = not defined */
    bool add_generation_prompt;
    time_t now; /* for strftime_now, local time */
};

/* Renders; *text [*n] with a NUL behind it and *mark [*n] are released by the caller. KV_UNSUPPORTED: a construct that
 * is not read here, by its name, or one of the bounds. KV_BAD_ARG: the template itself refuses the messages.
 * KV_BAD_FILE: it is malformed, or fails. KV_NO_MEMORY. */
enum kv_status jinja_render(
    const struct jinja_request *request, char **text, unsigned char **mark, size_t *n, struct kv_error *err);

#endif
