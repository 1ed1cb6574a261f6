/* The steps of a vocabulary that change text, one at a time. Ill-formed bytes pass through as they are. */
#ifndef KV_NORMALIZE_H
#define KV_NORMALIZE_H

#include "engine/model/model.h"

enum { NORMALIZE_MARKS = 8192 }; /* combining marks in a row; putting them in order takes quadratic time */

#define NORMALIZE_MAX ((size_t)1 << 30) /* bytes of text, so that positions and counts fit 32 bits */

/* Applies a step that is neither KV_STEP_ADDED nor KV_STEP_SPLIT. at_start: the whole text begins here. *out [*n],
 * with a NUL behind it, is released by the caller. KV_UNSUPPORTED: a form of Unicode that is not known, or text that
 * may need it in a build without utf8proc. KV_BAD_ARG: too many marks, or a result that is too long. */
enum kv_status normalize_step(const struct kv_text_step *step, const char *text, size_t bytes, bool at_start,
    char **out, size_t *n, struct kv_error *err);

/* Whether a form ("NFC") is known. */
bool normalize_knows(struct kv_string form);

#endif
