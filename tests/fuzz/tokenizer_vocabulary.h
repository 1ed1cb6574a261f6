/* A vocabulary for tests that need no model: the 256 bytes, a few merges, special tokens, a ChatML template. */
#ifndef TOKENIZER_VOCABULARY_H
#define TOKENIZER_VOCABULARY_H

#include "engine/model/model.h"

#include <string.h>

static const char *const small_merges[] = { "h e", "l l", "he ll", "hell o", "\u0120 w", "\u0120 \u0120",
    "\u010A \u010A", "a a", "aa aa", "aaaa aaaa", "o r", "\u0120w or", "l d", "\u0120wor ld", "\u00C3 \u00A9",
    "e l", "l o", "el lo", "\u00F0 \u0141", "o w", "1 2" };

/* Longest first is not their order here; <|im_end|> also begins a longer one. */
static const struct {
    const char *text;
    int type;
} small_specials[] = { { "<|im_start|>", 3 }, { "<|im_end|>", 3 }, { "<|endoftext|>", 3 }, { "<|im_end|>!", 3 },
    { "<think>", 4 }, { "<unused>", 5 } };

#define SMALL_MERGES   (sizeof small_merges / sizeof *small_merges)
#define SMALL_SPECIALS (sizeof small_specials / sizeof *small_specials)
#define SMALL_TOKENS   (256 + SMALL_MERGES + SMALL_SPECIALS)

struct small_vocabulary {
    struct kv_vocabulary v;
    struct kv_string token[SMALL_TOKENS], merge[SMALL_MERGES];
    int32_t type[SMALL_TOKENS];
    char text[256 + SMALL_MERGES][24];
};

static inline struct kv_string small_string(const char *s) { return (struct kv_string){ s, strlen(s) }; }

/* Token b is byte b; then the merges' results in their order; then the specials. The struct points into
 * itself: do not copy it. */
static inline void small_vocabulary_make(struct small_vocabulary *s)
{
    static const char template[] =
        "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nBe brief.<|im_end|>\\n' }}{% endif %}"
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + "
        "'<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif "
        "%}";
    unsigned hidden = 256;
    size_t n = 256;
    memset(s, 0, sizeof *s);
    for (unsigned b = 0; b < 256; b++) {
        unsigned point = (b > 0x20 && b < 0x7F) || (b > 0xA0 && b != 0xAD) ? b : hidden++;
        char *text = s->text[b];
        if (point < 0x80) *text++ = (char)point;
        if (point >= 0x80) {
            *text++ = (char)(0xC0 | point >> 6);
            *text++ = (char)(0x80 | (point & 0x3F));
        }
    }
    for (size_t i = 0; i < SMALL_MERGES; i++) {
        const char *space = strchr(small_merges[i], ' ');
        s->merge[i] = small_string(small_merges[i]);
        strncat(s->text[256 + i], small_merges[i], (size_t)(space - small_merges[i]));
        strcat(s->text[256 + i], space + 1);
    }
    for (size_t i = 0; i < 256 + SMALL_MERGES; i++) {
        s->token[i] = small_string(s->text[i]);
        s->type[i] = 1;
    }
    for (n = 256 + SMALL_MERGES; n < SMALL_TOKENS; n++) {
        s->token[n] = small_string(small_specials[n - 256 - SMALL_MERGES].text);
        s->type[n] = small_specials[n - 256 - SMALL_MERGES].type;
    }
    s->v = (struct kv_vocabulary){ .kind = small_string("gpt2"),
        .pre = small_string("smollm"),
        .token = s->token,
        .token_type = s->type,
        .merge = s->merge,
        .n_token = (int)SMALL_TOKENS,
        .n_merge = (int)SMALL_MERGES,
        .bos = -1,
        .eos = -1,
        .unknown = -1,
        .chat_template = small_string(template) };
}

#endif
