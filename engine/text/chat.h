/* Chat prompts: one user message, and the beginning of the assistant's reply, as token ids.
 *
 * Only ChatML is spoken ("<|im_start|>role\n ... <|im_end|>\n"), recognized by "<|im_start|>" in the file's
 * template. Control tokens come from here alone: "<|im_end|>" in a user's text is plain text, so no text can
 * leave its message. Apart from that the ids are those of the rendered template. */
#ifndef KV_CHAT_H
#define KV_CHAT_H

#include "engine/text/tokenizer.h"

struct chat_prompt {
    struct kv_string system;   /* text NULL: the template's own default, if it has one */
    struct kv_string context;  /* the user's message, or what the question is about */
    struct kv_string question; /* text NULL: none; else the message is context, an empty line, question */
};

/* The prompt in two parts, so that a cache can be compressed before the question is known. */
struct chat_ids {
    int32_t *ids;     /* [n] released by the caller with free() */
    size_t n;         /* tokens of the whole prompt */
    size_t n_context; /* tokens up to the end of the context; the question and the reply's header follow */
};

/* Whether chat_encode can serve this vocabulary's template. */
bool chat_is_known(const struct kv_vocabulary *v);

/* The system message that the template gives when none is asked for, with a NUL behind it and released by the
 * caller; *text is NULL when the template has none. */
enum kv_status chat_default_system(const struct kv_vocabulary *v, char **text, struct kv_error *err);

/* Encodes a prompt; t was opened on v. The two parts are encoded apart, the empty line with the question. The
 * ids are those of the whole message wherever a token ends at the end of the context; with the pre-tokenizers
 * known here that is always so unless the context is empty or ends in white space. KV_UNSUPPORTED: no ChatML
 * template, or no tokens for it. Otherwise the errors of tok_encode. */
enum kv_status chat_encode(const struct kv_tokenizer *t, const struct kv_vocabulary *v,
    const struct chat_prompt *prompt, struct chat_ids *out, struct kv_error *err);

#endif
