/* libFuzzer target: any bytes are encoded, decoded whole and by stream, and put into a chat prompt, on a small
 * vocabulary; bit 0 of the first byte says whether special tokens are parsed. Bits 1 and 2 make the vocabulary
 * itself hostile: the rest of the input, up to a line feed, replaces a token and a merge.
 *
 * Built by clang -fsanitize=fuzzer,address,undefined from this file, engine/text and kernels/base.c. */
#include "engine/text/chat.h"
#include "tests/fuzz/tokenizer_vocabulary.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DEMAND(condition)                                                                                          \
    do {                                                                                                           \
        if (!(condition)) abort();                                                                                 \
    } while (0)

static struct kv_error error;

/* Takes the first line of the input. */
static struct kv_string take_line(const char **text, size_t *bytes)
{
    const char *end = memchr(*text, '\n', *bytes);
    struct kv_string line = { *text, end ? (size_t)(end - *text) : *bytes };
    *text += line.length;
    *bytes -= line.length;
    return line;
}

static void stream(const struct kv_tokenizer *t, const int32_t *ids, size_t n, size_t bytes)
{
    struct tok_stream s = { 0 };
    const char *part;
    size_t length, total = 0;
    for (size_t i = 0; i < n; i++) {
        DEMAND(tok_stream_put(&s, t, ids[i], &part, &length, &error) == KV_OK && !part[length]);
        total += length;
    }
    DEMAND(tok_stream_flush(&s, &part, &length, &error) == KV_OK);
    DEMAND(total + length <= 3 * bytes);
    tok_stream_close(&s);
}

static void chat(
    const struct kv_tokenizer *t, const struct kv_vocabulary *v, const char *text, size_t bytes, bool own)
{
    struct chat_prompt prompt = { { text, bytes / 3 }, { text, bytes }, { text, bytes / 2 } };
    struct chat_ids ids;
    size_t controls = 0;
    if (chat_encode(t, v, &prompt, &ids, &error)) return;
    for (size_t i = 0; i < ids.n; i++) controls += tok_is_control(t, ids.ids[i]);
    DEMAND((!own || controls == 5) && ids.n_context <= ids.n);
    free(ids.ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct small_vocabulary small;
    struct kv_tokenizer *t;
    int32_t *ids;
    size_t n, decoded;
    char *back;
    if (!size) return 0;
    uint8_t mode = *data;
    const char *text = (const char *)data + 1;
    size_t bytes = size - 1;
    small_vocabulary_make(&small);
    if (mode & 2) small.token[mode] = take_line(&text, &bytes);
    if (mode & 4) small.merge[mode % SMALL_MERGES] = take_line(&text, &bytes);
    if (mode & 8) small.v.chat_template = (struct kv_string){ text, bytes };
    if (tok_open(&small.v, &t, &error)) {
        DEMAND(!t && (mode & 6) && *error.text);
        return 0;
    }
    if (tok_encode(t, text, bytes, mode & 1, &ids, &n, &error)) {
        DEMAND(!ids && (mode & 2));
    } else {
        DEMAND(tok_decode(t, ids, n, &back, &decoded, &error) == KV_OK);
        DEMAND(decoded == bytes && (!bytes || !memcmp(back, text, bytes)));
        for (size_t i = 0; i < n && !(mode & 1); i++) DEMAND(!tok_is_control(t, ids[i]));
        stream(t, ids, n, bytes);
        free(back);
        free(ids);
    }
    chat(t, &small.v, text, bytes, !(mode & 8));
    tok_close(t);
    return 0;
}
