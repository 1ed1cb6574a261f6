/* libFuzzer target: tokenizer.json, behind the first empty line tokenizer_config.json, and behind the next a text that
 * is encoded, decoded and put into the chat template. Seeds: fuzz_vocabulary.seeds. */
#include "engine/text/chat.h"
#include "engine/text/vocabulary.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DEMAND(condition)                                                                                          \
    do {                                                                                                           \
        if (!(condition)) abort();                                                                                 \
    } while (0)

static struct kv_error error;

/* Takes what stands before the first empty line. */
static struct kv_string take_part(const char **text, size_t *bytes)
{
    const char *end = memmem(*text, *bytes, "\n\n", 2);
    struct kv_string part = { *text, end ? (size_t)(end - *text) : *bytes };
    size_t used = kv_min(*bytes, part.length + 2);
    *text += used;
    *bytes -= used;
    return part;
}

static void use(const struct kv_tokenizer *t, const struct kv_vocabulary *v, const char *text, size_t bytes)
{
    int32_t *ids;
    size_t n, length;
    char *back;
    struct chat_prompt prompt = { { text, bytes / 2 }, { text, bytes }, { text, bytes / 3 } };
    struct chat_ids chat;
    for (int special = 0; special < 2; special++) {
        enum kv_status status = tok_encode(t, text, bytes, special, &ids, &n, &error);
        DEMAND(!status || *error.text);
        if (status) continue;
        for (size_t i = 0; i < n; i++)
            DEMAND(ids[i] >= 0 && ids[i] < v->n_token &&
                   (special || ids[i] == v->unknown || !tok_is_control(t, ids[i])));
        DEMAND(tok_decode(t, ids, n, &back, &length, &error) == KV_OK);
        free(back);
        free(ids);
    }
    if (chat_encode(t, v, &prompt, &chat, &error)) return;
    DEMAND(chat.n_context <= chat.n);
    free(chat.ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    size_t bytes = size;
    struct kv_vocabulary v;
    struct kv_tokenizer *t;
    struct kv_string tokenizer = take_part(&text, &bytes), config = take_part(&text, &bytes);
    error.text[0] = 0;
    if (kv_vocabulary_from_memory(tokenizer, config, size % 3 ? 0 : 64, &v, &error)) {
        DEMAND(*error.text && !v.token);
        return 0;
    }
    error.text[0] = 0;
    if (tok_open(&v, &t, &error)) {
        DEMAND(!t && *error.text);
    } else {
        use(t, &v, text, bytes);
        tok_close(t);
    }
    kv_vocabulary_close(&v);
    return 0;
}
