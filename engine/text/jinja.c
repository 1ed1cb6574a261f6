/* Rendering: what the interpreter is started with, its bounds, and its sentences. */
#include "engine/text/jinja_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bounds beside the size of the messages: templates that are in use take some thousand steps and some KiB. */
#define STEPS_BASE   ((int64_t)2000000)
#define MEMORY_BASE  ((size_t)32 << 20)
#define MEMORY_EACH  64
#define TEMPLATE_MAX ((size_t)1 << 20)

static const char way_out[] = "use --chat off and write the prompt in full";

void jinja_fail(struct jinja *j, enum kv_status status, const char *fmt, ...)
{
    char text[sizeof j->err->text];
    va_list args;
    if (j->status) return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < ' ') *p = ' ';
    j->status = kv_fail(j->err, status, "%s", text);
}

void jinja_unsupported(struct jinja *j, const char *what, const char *name)
{
    jinja_fail(
        j, KV_UNSUPPORTED, "The chat template uses %s %.60s, which kvdbg does not know; %s.", what, name, way_out);
}

void jinja_wrong(struct jinja *j, const char *fmt, ...)
{
    char text[200];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    jinja_fail(j, KV_BAD_FILE, "The chat template fails in line %d: %s; %s.", j->line, text, way_out);
}

void *jinja_take(struct jinja *j, size_t count, size_t size)
{
    void *at = j->status ? NULL : arena_take(&j->arena, count, size);
    if (!at)
        jinja_fail(j, KV_UNSUPPORTED, "The chat template wants more than %zu MiB of memory; %s.",
            j->arena.limit >> 20, way_out);
    return at;
}

bool jinja_step(struct jinja *j, size_t bytes)
{
    j->steps -= 1 + (int64_t)(bytes >> 5);
    if (j->steps < 0) jinja_fail(j, KV_UNSUPPORTED, "The chat template takes too many steps; %s.", way_out);
    return !j->status;
}

bool jinja_enter(struct jinja *j)
{
    if (j->depth >= JINJA_DEPTH)
        jinja_fail(
            j, KV_UNSUPPORTED, "The chat template is nested more than %d levels deep; %s.", JINJA_DEPTH, way_out);
    if (j->status) return false;
    j->depth++;
    return true;
}

void jinja_leave(struct jinja *j) { j->depth--; }

/* What transformers gives to a template. */
static void set_globals(struct jinja *j)
{
    const struct jinja_request *r = j->request;
    const struct {
        const char *name;
        struct kv_string text;
    } tokens[] = { { "bos_token", r->bos }, { "eos_token", r->eos }, { "unk_token", r->unknown } };
    struct jv messages = jv_list(j);
    for (int i = 0; i < r->n_message && !j->status; i++) {
        struct jv message = jv_dict(j);
        jv_put(j, message, jt_of("role"), jv_string(jt_of(r->message[i].role)));
        jv_put(j, message, jt_of("content"), jv_string(r->message[i].content));
        jv_append(j, messages, message);
    }
    jinja_set(j, "messages", messages);
    jinja_set(j, "add_generation_prompt", jv_bool(r->add_generation_prompt));
    jinja_set(j, "tools", (struct jv){ .kind = JV_NONE });
    jinja_set(j, "documents", (struct jv){ .kind = JV_NONE });
    for (size_t i = 0; i < KV_COUNT(tokens); i++) {
        struct jinja_text s = { tokens[i].text.text, NULL, tokens[i].text.length };
        if (s.n) jinja_set(j, tokens[i].name, jv_string(s));
    }
}

static enum kv_status copy_out(
    struct jinja *j, const struct jout *out, char **text, unsigned char **mark, size_t *n)
{
    *text = kv_alloc(out->n + 1, 1);
    *mark = kv_alloc(out->n + 1, 1);
    if (!*text || !*mark) {
        free(*text);
        free(*mark);
        *text = NULL;
        *mark = NULL;
        return kv_fail(j->err, KV_NO_MEMORY, "No memory for a prompt of %zu bytes.", out->n);
    }
    if (out->n) memcpy(*text, out->text, out->n);
    if (out->mark) memcpy(*mark, out->mark, out->n);
    *n = out->n;
    return KV_OK;
}

enum kv_status jinja_render(
    const struct jinja_request *request, char **text, unsigned char **mark, size_t *n, struct kv_error *err)
{
    struct jscope globals = { 0 };
    struct jout out = { 0 };
    size_t bytes = 0;
    *text = NULL;
    *mark = NULL;
    *n = 0;
    if (request->template.length > TEMPLATE_MAX)
        return kv_fail(err, KV_UNSUPPORTED, "The chat template has more than 1 MiB; %s.", way_out);
    for (int i = 0; i < request->n_message; i++) bytes += request->message[i].content.n;
    struct jinja j = { .request = request,
        .arena = { .limit = MEMORY_BASE + MEMORY_EACH * bytes },
        .err = err,
        .steps = STEPS_BASE + (int64_t)(4 * bytes),
        .scope = &globals,
        .top = &globals,
        .out = &out,
        .line = 1,
        .leaving = JN_CONST };
    set_globals(&j);
    const struct jnode *program = jinja_parse(&j, jinja_lex(&j, request->template));
    if (!j.status) jinja_run(&j, program);
    enum kv_status status = j.status ? j.status : copy_out(&j, &out, text, mark, n);
    arena_close(&j.arena);
    return status;
}
