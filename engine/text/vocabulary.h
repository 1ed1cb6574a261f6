/* Vocabularies from the tokenizer files of a Hugging Face folder: tokenizer.json, or where there is none SentencePiece's
 * tokenizer.model; tokenizer_config.json, chat_template.jinja, and generation_config.json for an eos where that names
 * none.
 *
 * A vocabulary owns all that it points to and borrows nothing from the files, which are closed again. */
#ifndef KV_TEXT_VOCABULARY_H
#define KV_TEXT_VOCABULARY_H

#include "engine/model/model.h"

/* Fills *out from a folder. n_vocab = rows of the embedding: ids at or above it are refused, and ids below it that
 * no token has get empty tokens, so that out->n_token == n_vocab. A folder without either gives no tokens
 * (prompts are then token ids). Released by kv_vocabulary_close; on failure *out is empty. KV_IO, KV_BAD_FILE
 * (malformed, inconsistent), KV_UNSUPPORTED (a kind of model, normalizer or pre-tokenizer that is not read here,
 * by its name; a build without cJSON), KV_NO_MEMORY. */
enum kv_status kv_vocabulary_from_folder(
    const char *folder, int n_vocab, struct kv_vocabulary *out, struct kv_error *err);

/* The same from the bytes of tokenizer.json and tokenizer_config.json (length 0 = there is none). */
enum kv_status kv_vocabulary_from_memory(struct kv_string tokenizer, struct kv_string config, int n_vocab,
    struct kv_vocabulary *out, struct kv_error *err);

/* Releases what a vocabulary of any origin owns, and empties it. */
void kv_vocabulary_close(struct kv_vocabulary *v);

#endif
