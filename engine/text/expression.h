/* Regular expressions as tokenizer files write them (Oniguruma's syntax), put into PCRE2's words. */
#ifndef KV_EXPRESSION_H
#define KV_EXPRESSION_H

#include "kernels/base.h"

/* White_Space of Unicode as the inside of a character class: PCRE2's \s also takes U+180E, which is none. */
#define EXPRESSION_SPACE                                                                                           \
    "\\t-\\r \\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}"

/* *out, with a NUL behind it, is released by the caller. KV_UNSUPPORTED with the construct that PCRE2 would take in
 * another way; whether the rest compiles is for PCRE2 to say. */
enum kv_status expression_translate(const char *text, size_t bytes, char **out, struct kv_error *err);

#endif
