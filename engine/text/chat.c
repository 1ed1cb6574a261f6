/* ChatML prompts, encoded piece by piece: control tokens by id, the text between them as plain text. */
#include "engine/text/chat.h"

#include <stdlib.h>
#include <string.h>

#define START "<|im_start|>"
#define END   "<|im_end|>"

struct chat_writer {
    const struct kv_tokenizer *t;
    struct chat_ids *out;
    struct kv_error *err;
};

static const struct kv_string no_text = { NULL, 0 };

bool chat_is_known(const struct kv_vocabulary *v)
{
    const struct kv_string *s = &v->chat_template;
    return s->length && memmem(s->text, s->length, START, strlen(START));
}

/* A character of a Jinja string literal; *length: how many it takes there. */
static char literal_char(const char *p, const char *end, size_t *length)
{
    *length = *p == '\\' && p + 1 < end ? 2 : 1;
    if (*length == 1) return *p;
    return p[1] == 'n' ? '\n' : p[1] == 't' ? '\t' : p[1] == 'r' ? '\r' : p[1];
}

/* The literal that starts at p up to <|im_end|>, unescaped into `text`; false when the string ends before. */
static bool read_literal(const char *p, const char *end, char quote, char *text)
{
    size_t length;
    for (; p < end && *p != quote; p += length) {
        if ((size_t)(end - p) >= strlen(END) && !memcmp(p, END, strlen(END))) {
            *text = 0;
            return true;
        }
        *text++ = literal_char(p, end, &length);
    }
    return false;
}

/* Templates state their default as one literal, '<|im_start|>system\nYou are ...<|im_end|>\n'; where the system
 * message is an expression, the literal ends before <|im_end|>. */
enum kv_status chat_default_system(const struct kv_vocabulary *v, char **text, struct kv_error *err)
{
    static const char head[] = START "system";
    struct kv_string s = v->chat_template;
    *text = NULL;
    if (!s.length) return KV_OK;
    char *found = kv_alloc(s.length + 1, 1);
    if (!found) return kv_fail(err, KV_NO_MEMORY, "No memory for the chat template.");
    const char *p = s.text, *end = s.text + s.length;
    while ((p = memmem(p, (size_t)(end - p), head, strlen(head)))) {
        char quote = p > s.text ? p[-1] : 0;
        size_t length;
        p += strlen(head);
        if (p == end) break;
        if ((quote != '\'' && quote != '"') || literal_char(p, end, &length) != '\n') continue;
        if (read_literal(p + length, end, quote, found)) {
            *text = found;
            return KV_OK;
        }
    }
    free(found);
    return KV_OK;
}

static enum kv_status append(struct chat_writer *w, const int32_t *ids, size_t n)
{
    struct chat_ids *out = w->out;
    int32_t *grown = realloc(out->ids, (out->n + n) * sizeof *grown + 1);
    if (!grown) return kv_fail(w->err, KV_NO_MEMORY, "No memory for the %zu tokens of the prompt.", out->n + n);
    out->ids = grown;
    if (n) memcpy(grown + out->n, ids, n * sizeof *ids);
    out->n += n;
    return KV_OK;
}

static enum kv_status put_control(struct chat_writer *w, const char *name)
{
    int32_t *ids;
    size_t n;
    enum kv_status status = tok_encode(w->t, name, strlen(name), true, &ids, &n, w->err);
    if (status) return status;
    if (n == 1 && tok_is_control(w->t, ids[0])) {
        status = append(w, ids, n);
    } else {
        status = kv_fail(w->err, KV_UNSUPPORTED,
            "The chat template uses %s, which is no control token of this vocabulary; use --chat off.", name);
    }
    free(ids);
    return status;
}

/* Head and body are one text, as in the rendered template: their characters may share a token. */
static enum kv_status put_text(struct chat_writer *w, const char *head, struct kv_string body)
{
    size_t head_bytes = strlen(head), n = 0;
    int32_t *ids = NULL;
    char *text = body.length < SIZE_MAX / 2 ? kv_alloc(head_bytes + body.length, 1) : NULL;
    if (!text) return kv_fail(w->err, KV_NO_MEMORY, "No memory for a message of %zu bytes.", body.length);
    memcpy(text, head, head_bytes);
    if (body.length) memcpy(text + head_bytes, body.text, body.length);
    enum kv_status status = tok_encode(w->t, text, head_bytes + body.length, false, &ids, &n, w->err);
    if (!status) status = append(w, ids, n);
    free(ids);
    free(text);
    return status;
}

static enum kv_status put_system(struct chat_writer *w, struct kv_string system)
{
    enum kv_status status = put_control(w, START);
    if (!status) status = put_text(w, "system\n", system);
    if (!status) status = put_control(w, END);
    if (!status) status = put_text(w, "\n", no_text);
    return status;
}

static enum kv_status put_user(struct chat_writer *w, const struct chat_prompt *prompt)
{
    enum kv_status status = put_control(w, START);
    if (!status) status = put_text(w, "user\n", prompt->context);
    w->out->n_context = w->out->n;
    if (!status && prompt->question.text) status = put_text(w, "\n\n", prompt->question);
    if (!status) status = put_control(w, END);
    if (!status) status = put_text(w, "\n", no_text);
    if (!status) status = put_control(w, START);
    if (!status) status = put_text(w, "assistant\n", no_text);
    return status;
}

enum kv_status chat_encode(const struct kv_tokenizer *t, const struct kv_vocabulary *v,
    const struct chat_prompt *prompt, struct chat_ids *out, struct kv_error *err)
{
    struct chat_writer w = { t, out, err };
    struct kv_string system = prompt->system;
    enum kv_status status = KV_OK;
    char *standard = NULL;
    *out = (struct chat_ids){ 0 };
    if (!chat_is_known(v)) {
        return kv_fail(err, KV_UNSUPPORTED,
            "The model's chat template is %s; only ChatML is spoken: use --chat off and write the prompt in full.",
            v->chat_template.length ? "not ChatML" : "missing");
    }
    if (!system.text) {
        if ((status = chat_default_system(v, &standard, err))) return status;
        if (standard) system = (struct kv_string){ standard, strlen(standard) };
    }
    if (system.text) status = put_system(&w, system);
    if (!status) status = put_user(&w, prompt);
    if (status) {
        free(out->ids);
        *out = (struct chat_ids){ 0 };
    }
    free(standard);
    return status;
}
