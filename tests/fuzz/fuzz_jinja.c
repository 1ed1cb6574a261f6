/* libFuzzer target: a chat template, and behind the first NUL the message that it is rendered with; a system message
 * stands in front where the input's size is odd. What is rendered has marks that are those of the messages, and a
 * message of one character cannot make bytes of another. Seeds: jinja_seeds.c. */
#include "engine/text/jinja.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DEMAND(condition)                                                                                          \
    do {                                                                                                           \
        if (!(condition)) abort();                                                                                 \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kv_error error = { 0 };
    const uint8_t *end = memchr(data, 0, size);
    size_t template = end ? (size_t)(end - data) : size, n = end ? size - template - 1 : 0, bytes;
    unsigned char *mark = malloc(n + 1), *marks;
    char *content = malloc(n + 1), *text;
    memset(mark, 1, n);
    if (n) memcpy(content, end + 1, n);
    const struct jinja_message message[] = { { "system", { "Be brief.", NULL, 9 } },
        { "user", { content, mark, n } } };
    const struct jinja_request request = { .template = { (const char *)data, template },
        .message = message + !(size & 1),
        .n_message = 1 + (size & 1),
        .bos = { "<s>", 3 },
        .eos = { "</s>", 4 },
        .add_generation_prompt = size & 2,
        .now = 1700000000 };
    enum kv_status status = jinja_render(&request, &text, &marks, &bytes, &error);
    DEMAND(status ? !text && !marks && *error.text : text && marks && !text[bytes]);
    for (size_t i = 0; i < bytes; i++) DEMAND(marks[i] <= 1 && (n || !marks[i]));
    free(text);
    free(marks);
    free(content);
    free(mark);
    return 0;
}
