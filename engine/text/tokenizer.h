/* Text to token ids and back: byte-level and SentencePiece byte-pair encoding from the vocabulary of the model's file.
 *
 * A tokenizer is immutable once open, borrows nothing from the vocabulary, and may be shared by threads; each
 * stream belongs to one.
 * - Added tokens are taken out first, leftmost first and the longest of those that start there, with the white space
 *   that their rules say. User-defined ones always; control tokens and the unknown one only where special tokens are
 *   parsed: elsewhere no text can produce one. Control tokens are looked for in the text as it is, whatever their
 *   rule says about normalized text.
 * - What lies between goes through the vocabulary's steps and falls into words, and words into tokens by merges; the
 *   ids are those of the `tokenizers` library, and for SentencePiece GGUF files those of llama.cpp.
 * - Decoding gives back every byte that was encoded where no step changes text: normal forms, prepended spaces and
 *   white space taken by added tokens show. No expression drops text: what it does not match is a word.
 * - A byte that starts no well-formed character is a token by itself and ends the word before it; so are the
 *   bytes of surrogates and overlong forms. NUL is a character like any other.
 * - A byte without a token is the unknown token in SentencePiece vocabularies that have one; elsewhere it is refused
 *   with its place, where the library drops it without a word (SmolLM2 lacks 21 of the 256: 04 06 13 14 16 1D, F1
 *   and F2, and those that no UTF-8 has).
 * Which characters are letters and digits is decided by the Unicode version of the PCRE2 library in use, and normal
 * forms by that of utf8proc; texts of characters that they do not have yet may fall into other, equally valid
 * tokens. */
#ifndef KV_TOKENIZER_H
#define KV_TOKENIZER_H

#include "engine/model/model.h"

struct kv_tokenizer;

/* KV_UNSUPPORTED: another kind of vocabulary, an unknown pre-tokenizer, or a build without PCRE2 where words are
 * split. KV_BAD_FILE: no tokens, or a merge that is not two tokens of the vocabulary whose union is one. KV_NO_MEMORY. */
enum kv_status tok_open(const struct kv_vocabulary *v, struct kv_tokenizer **out, struct kv_error *err);
void tok_close(struct kv_tokenizer *t); /* NULL is fine */

/* A tokenizer that can only be asked for the pieces of n ids, ascending and below n_token: piece i is
 * bytes[start[i] .. start[i + 1]), start[0] = 0. All is copied. KV_NO_MEMORY. */
enum kv_status tok_from_pieces(int n_token, const int32_t *id, const int32_t *start, int n, const char *bytes,
    struct kv_tokenizer **out, struct kv_error *err);

/* How a text is encoded. */
struct tok_part {
    bool special;              /* special tokens are parsed */
    bool continues;            /* another part stands in front of it: nothing is prepended to its beginning */
    const unsigned char *mark; /* [bytes] 1 = no part of a control token; NULL = none is marked */
};

/* Encodes `bytes` bytes of text, at most 1 GiB. *ids [*n] i32 is released by the caller with free(). No begin
 * or end token is added: vocabulary.add_bos is for the caller to honor. KV_BAD_ARG: too long. KV_UNSUPPORTED: a
 * byte for which the vocabulary has no token, or text that an expression of the file cannot be run on. */
enum kv_status tok_encode_part(const struct kv_tokenizer *t, const char *text, size_t bytes,
    const struct tok_part *part, int32_t **ids, size_t *n, struct kv_error *err);
enum kv_status tok_encode(const struct kv_tokenizer *t, const char *text, size_t bytes, bool parse_special,
    int32_t **ids, size_t *n, struct kv_error *err);

/* The raw bytes of a token, which may be a part of a character; borrowed, valid until tok_close. NULL and 0 for
 * an id that the vocabulary does not have. Control tokens have their name ("<|im_end|>"). */
const char *tok_piece(const struct kv_tokenizer *t, int32_t id, size_t *length);

/* The bytes of n tokens, with a NUL behind them; *text is released by the caller with free(). KV_BAD_ARG: an id
 * outside the vocabulary. */
enum kv_status tok_decode(
    const struct kv_tokenizer *t, const int32_t *ids, size_t n, char **text, size_t *bytes, struct kv_error *err);

bool tok_is_control(const struct kv_tokenizer *t, int32_t id);

/* Whether a reply ends here: at the vocabulary's eos, and at special tokens of well-known names (<|im_end|>, <|eot_id|>). */
bool tok_is_end(const struct kv_tokenizer *t, int32_t id);

/* Decodes token by token. What it has given out is always well-formed UTF-8: the beginning of a character waits
 * until its rest has come, and each ill-formed part becomes one U+FFFD, as `bytes.decode(errors="replace")` does
 * in Python. Zero-initialized; released by tok_stream_close. */
struct tok_stream {
    char *text; /* [capacity] what the last call gave out */
    size_t capacity;
    char held[4]; /* the beginning of a character */
    size_t n_held;
};

/* Adds a token. *text [*bytes], with a NUL behind it, is what can be shown now (often nothing); borrowed, valid
 * until the next call on this stream. KV_BAD_ARG: an id outside the vocabulary. */
enum kv_status tok_stream_put(struct tok_stream *s, const struct kv_tokenizer *t, int32_t id, const char **text,
    size_t *bytes, struct kv_error *err);

/* Ends the text: a character that was still waiting is given out as U+FFFD. The stream can then start anew. */
enum kv_status tok_stream_flush(struct tok_stream *s, const char **text, size_t *bytes, struct kv_error *err);

void tok_stream_close(struct tok_stream *s);

#endif
