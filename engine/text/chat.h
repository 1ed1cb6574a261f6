/* Chat prompts: one user message, and the beginning of the assistant's reply, as token ids.
 *
 * The vocabulary's own Jinja template is rendered (jinja.h says which part of Jinja). Control tokens come from the
 * template alone: "<|im_end|>" in a user's text is plain text, so no text can leave its message. Apart from that the
 * ids are those of the rendered template. Begin tokens are the template's own business. */
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
    size_t n_context; /* tokens up to the end of the context, behind which the question begins; without one all */
};

/* Encodes a prompt; t was opened on v. With a question, the two parts are encoded apart, the empty line with the
 * question. The ids are those of the whole message wherever a token ends at the end of the context; with byte-level
 * pre-tokenizers that is always so unless the context is empty or ends in white space. KV_NOT_FOUND: no template.
 * KV_UNSUPPORTED: one that leaves the message out, or that uses what is not read here. KV_BAD_ARG: it refuses the
 * messages. Otherwise the errors of jinja_render and tok_encode. */
enum kv_status chat_encode(const struct kv_tokenizer *t, const struct kv_vocabulary *v,
    const struct chat_prompt *prompt, struct chat_ids *out, struct kv_error *err);

#endif
