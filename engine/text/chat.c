/* Chat prompts: the template is rendered with every byte marked by where it came from, and encoded with control tokens
 * taken from the template's bytes alone. */
#include "engine/text/chat.h"

#include "engine/text/jinja.h"

#include <stdlib.h>
#include <string.h>

enum { OF_CONTEXT = 1, OF_QUESTION = 2, OF_SYSTEM = 3 };

struct marked {
    char *text;
    unsigned char *mark;
    size_t n, room;
};

static bool add(struct marked *to, struct kv_string s, unsigned char mark)
{
    if (s.length > to->room - to->n) return false;
    if (s.length) memcpy(to->text + to->n, s.text, s.length);
    memset(to->mark + to->n, mark, s.length);
    to->n += s.length;
    return true;
}

static void drop(struct marked *m)
{
    free(m->text);
    free(m->mark);
    *m = (struct marked){ 0 };
}

/* System message and user's message, one behind the other; *n_system bytes are the first. */
static enum kv_status collect(
    const struct chat_prompt *prompt, struct marked *all, size_t *n_system, struct kv_error *err)
{
    static const struct kv_string line = { "\n\n", 2 };
    size_t bytes = prompt->system.length + prompt->context.length + prompt->question.length + line.length;
    bool fits = prompt->system.length < SIZE_MAX / 4 && prompt->context.length < SIZE_MAX / 4 &&
                prompt->question.length < SIZE_MAX / 4;
    *all = (struct marked){ fits ? kv_alloc(bytes, 1) : NULL, fits ? kv_alloc(bytes, 1) : NULL, 0, bytes };
    *n_system = prompt->system.length;
    bool good =
        all->text && all->mark && add(all, prompt->system, OF_SYSTEM) && add(all, prompt->context, OF_CONTEXT);
    if (good && prompt->question.text)
        good = add(all, line, OF_QUESTION) && add(all, prompt->question, OF_QUESTION);
    return good ? KV_OK
                : kv_fail(err, KV_NO_MEMORY, "No memory for a message of %zu bytes.", prompt->context.length);
}

static struct kv_string token_text(const struct kv_vocabulary *v, int id)
{
    return id >= 0 && id < v->n_token ? v->token[id] : (struct kv_string){ "", 0 };
}

static enum kv_status render(
    const struct kv_vocabulary *v, const struct chat_prompt *prompt, struct marked *out, struct kv_error *err)
{
    struct marked all;
    size_t n_system;
    enum kv_status status = collect(prompt, &all, &n_system, err);
    const struct jinja_message message[] = {
        { "system", { all.text, all.mark, n_system } },
        { "user", { all.text + n_system, all.mark + n_system, all.n - n_system } },
    };
    int skip = !prompt->system.text;
    const struct jinja_request request = { .template = v->chat_template,
        .message = message + skip,
        .n_message = 2 - skip,
        .bos = token_text(v, v->bos),
        .eos = token_text(v, v->eos),
        .unknown = token_text(v, v->unknown),
        .add_generation_prompt = true,
        .now = time(NULL) };
    if (!status) status = jinja_render(&request, &out->text, &out->mark, &out->n, err);
    drop(&all);
    return status;
}

/* Where the context ends: before the first byte of the question, or behind its own last one. */
static size_t context_end(const struct marked *out)
{
    size_t end = 0;
    for (size_t i = 0; i < out->n; i++) {
        if (out->mark[i] == OF_QUESTION) return i;
        if (out->mark[i] == OF_CONTEXT) end = i + 1;
    }
    return end;
}

static enum kv_status encode(
    const struct kv_tokenizer *t, const struct marked *text, size_t cut, struct chat_ids *out, struct kv_error *err)
{
    const struct tok_part first = { .special = true, .mark = text->mark };
    const struct tok_part rest = { .special = true, .mark = text->mark + cut, .continues = true };
    int32_t *tail = NULL, *all = NULL;
    size_t n_tail = 0;
    enum kv_status status = tok_encode_part(t, text->text, cut, &first, &out->ids, &out->n_context, err);
    if (!status && cut < text->n)
        status = tok_encode_part(t, text->text + cut, text->n - cut, &rest, &tail, &n_tail, err);
    out->n = out->n_context + n_tail;
    if (!status && n_tail) {
        all = realloc(out->ids, (out->n + 1) * sizeof *all);
        if (all) memcpy(all + out->n_context, tail, n_tail * sizeof *all);
        if (all)
            out->ids = all;
        else
            status = kv_fail(err, KV_NO_MEMORY, "No memory for the %zu tokens of the prompt.", out->n);
    }
    free(tail);
    return status;
}

enum kv_status chat_encode(const struct kv_tokenizer *t, const struct kv_vocabulary *v,
    const struct chat_prompt *prompt, struct chat_ids *out, struct kv_error *err)
{
    struct marked text = { 0 };
    *out = (struct chat_ids){ 0 };
    if (!v->chat_template.length) {
        return kv_fail(
            err, KV_NOT_FOUND, "The model has no chat template: use --chat off and write the prompt in full.");
    }
    enum kv_status status = render(v, prompt, &text, err);
    if (!status && prompt->context.length && !memchr(text.mark, OF_CONTEXT, text.n) &&
        !memchr(text.mark, OF_QUESTION, text.n)) {
        status = kv_fail(err, KV_UNSUPPORTED,
            "The model's chat template leaves the message out: use --chat off and write the prompt in full.");
    }
    if (!status) {
        size_t cut = prompt->question.text ? context_end(&text) : text.n;
        for (size_t i = 0; i < text.n; i++) text.mark[i] = text.mark[i] != 0;
        status = encode(t, &text, cut, out, err);
    }
    if (status) {
        free(out->ids);
        *out = (struct chat_ids){ 0 };
    }
    drop(&text);
    return status;
}
