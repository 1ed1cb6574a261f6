/* Objects on standard output, and the commands that they answer. */
#include "inspector/json/jsonl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inspector/json/jsonl_read.h"
#include "inspector/run.h"
#include "inspector/language/script.h"
#include "inspector/set.h"

#define INPUT_LINE  ((size_t)64 << 10)
#define PROGRESS_US 2.5e5

struct jsonl {
    FILE *out;
    uint64_t seq;
    long row; /* of --for-each, -1 = none */
    cJSON *token;
    cJSON *reasons; /* of the next stop, NULL = none yet */
    struct jsonl_frame *frame;
    unsigned stops;                                /* so many were said */
    char told[sizeof((struct kv_error *)0)->text]; /* the last failure that a command was answered with */
    bool complained;                               /* ... and nobody has asked to print it again since */
    double spoke_us;                               /* when the last object went out */
};

/* --- objects --------------------------------------------------------------------------------------------------------- */

static void put(cJSON *object, const char *key, cJSON *item)
{
    if (!cJSON_AddItemToObject(object, key, item)) cJSON_Delete(item);
}

static void put_text(cJSON *object, const char *key, const char *text)
{
    put(object, key, jsonl_text(text, strlen(text)));
}

static void put_number(cJSON *object, const char *key, double number) { put(object, key, jsonl_number(number)); }

/* What every object begins with. */
static cJSON *begin(struct session *s, const char *type)
{
    struct jsonl *j = s->json;
    struct kv_where w = { 0 };
    cJSON *object = cJSON_CreateObject();
    int depth = 0;
    if (s->engine) kv_where(s->engine, &w);
    put_text(object, "type", type);
    put_number(object, "seq", (double)++j->seq);
    if (j->row >= 0) put_number(object, "row", (double)j->row);
    if (j->token) put(object, "token", cJSON_Duplicate(j->token, false));
    if (j->frame) put_text(object, "cmd", j->frame->cmd);
    for (const struct jsonl_frame *f = j->frame; f && f->outer; f = f->outer) depth++;
    if (depth) put_number(object, "depth", depth);
    put_number(object, "tick", (double)w.tick);
    put_number(object, "branch", w.branch);
    cJSON *focus = cJSON_AddObjectToObject(object, "focus");
    put_number(focus, "layer", s->layer);
    put_number(focus, "head", s->head);
    put_number(focus, "token", s->token);
    return object;
}

/* Writes the object and deletes it. A reader that is gone ends the session: nobody will ask for more. */
static void say(struct session *s, cJSON *object)
{
    struct jsonl *j = s->json;
    char *line = cJSON_PrintUnformatted(object);
    cJSON_Delete(object);
    fputs(line ? line : "{\"type\":\"error\",\"message\":\"No memory for an object.\",\"status\":5}", j->out);
    fputc('\n', j->out);
    cJSON_free(line);
    j->spoke_us = kv_now_us();
    if (!fflush(j->out) && !ferror(j->out)) return;
    if (!s->leaving) fprintf(stderr, "Cannot write the output: %s.\n", strerror(errno));
    s->leaving = true;
    s->exit_code = 1;
}

static cJSON *begin_event(struct session *s, const char *event)
{
    cJSON *object = begin(s, "event");
    put_text(object, "event", event);
    return object;
}

void jsonl_ready(struct session *s)
{
    if (!s->json) return;
    cJSON *object = begin_event(s, "ready"), *model = cJSON_AddObjectToObject(object, "model");
    put_text(object, "version", KVDBG_VERSION);
    put_number(object, "protocol", JSONL_PROTOCOL);
    put_text(model, "name", s->facts.name ? s->facts.name : "");
    put_number(model, "layers", s->facts.n_layer);
    put_number(model, "heads", s->facts.n_head);
    put_number(model, "kv_heads", s->facts.n_kv_head);
    put_number(model, "context", s->facts.n_context);
    put(model, "synthetic", cJSON_CreateBool(s->facts.synthetic));
    say(s, object);
}

void jsonl_exit(struct session *s, int status)
{
    if (!s->json) return;
    cJSON *object = begin_event(s, "exit");
    put_number(object, "status", status);
    say(s, object);
}

void jsonl_progress(struct session *s, const char *what, double done, double total)
{
    /* Rows say nothing that depends on the clock, so that shards can be compared with the whole. */
    if (!s->json || s->json->row >= 0 || kv_now_us() - s->json->spoke_us < PROGRESS_US) return;
    cJSON *object = begin(s, "progress");
    put_text(object, "what", what);
    put_number(object, "done", done);
    put_number(object, "total", total);
    say(s, object);
}

/* Tokens that end inside a character have an empty text; the one that completes it has all of it. */
void jsonl_reply(struct session *s, const int32_t *ids, size_t n, size_t first)
{
    if (!s->json) return;
    for (size_t i = 0, from = 0; i < n; i++) {
        static const char broken[] = "\xEF\xBF\xBD";
        char *text = kv_tokens_text(s->engine, ids + from, (int)(i + 1 - from));
        size_t length = text ? strlen(text) : 0, tail = sizeof broken - 1;
        bool open = i + 1 < n && length >= tail && !memcmp(text + length - tail, broken, tail);
        cJSON *object = begin_event(s, "token");
        put_number(object, "step", (double)(first + i));
        put_number(object, "id", ids[i]);
        put_text(object, "text", open || !text ? "" : text);
        say(s, object);
        if (!open) from = i + 1;
        free(text);
    }
}

void jsonl_reason(struct session *s, int number, const char *type, const char *what, const char *said)
{
    struct jsonl *j = s->json;
    if (!j) return;
    if (!j->reasons) j->reasons = cJSON_CreateArray();
    cJSON *reason = cJSON_CreateObject();
    put_number(reason, "number", number);
    put_text(reason, "type", type);
    put_text(reason, "what", what);
    if (said) put_text(reason, "said", said);
    if (!cJSON_AddItemToArray(j->reasons, reason)) cJSON_Delete(reason);
}

void jsonl_stop(struct session *s)
{
    struct kv_where w;
    char next[256];
    if (!s->json || !kv_started(s->engine)) return; /* a hook may have ended it */
    kv_where(s->engine, &w);
    run_next_text(s, &w, next, sizeof next);
    s->json->stops++;
    cJSON *object = begin(s, "stop");
    size_t word = strcspn(s->stop_reason, "0123456789");
    bool numbered = word && s->stop_reason[word] && s->stop_reason[word - 1] == ' ';
    put(object, "reason", jsonl_text(s->stop_reason, numbered ? word - 1 : strlen(s->stop_reason)));
    if (numbered) put_number(object, "number", strtod(s->stop_reason + word, NULL));
    if (s->json->reasons) put(object, "stops", s->json->reasons);
    s->json->reasons = NULL;
    cJSON *where = cJSON_AddObjectToObject(object, "where");
    put_text(where, "phase", kv_phase_name[w.phase]);
    put_number(where, "pass", w.pass);
    put(where, "layer", w.layer < 0 ? cJSON_CreateNull() : jsonl_number(w.layer));
    put(where, "stage", w.phase == KV_PHASE_done ? cJSON_CreateNull() : cJSON_CreateString(kv_stage_name[w.stage]));
    put_text(object, "next", next);
    put_text(object, "mode", session_mode(s));
    say(s, object);
}

static void put_places(cJSON *list, const struct script_place *place)
{
    if (!place) return;
    put_places(list, place->outer);
    cJSON *item = cJSON_CreateObject();
    put_text(item, "file", place->file);
    put_number(item, "line", place->line);
    if (!cJSON_AddItemToArray(list, item)) cJSON_Delete(item);
}

static cJSON *begin_error(struct session *s, const char *message, enum kv_status code, int status)
{
    cJSON *object = begin(s, "error");
    put_text(object, "message", message);
    put_text(object, "code", status == 3 ? "assertion failed" : kv_status_text(code));
    put_number(object, "status", status);
    if (s->place) put_places(cJSON_AddArrayToObject(object, "places"), s->place);
    return object;
}

void jsonl_complain(struct session *s, int status)
{
    if (!s->json) return;
    bool again = !s->json->complained && !strcmp(s->json->told, s->err.text);
    s->json->complained = true;
    if (!again) say(s, begin_error(s, s->err.text, s->err.code, status));
}

/* --- one command ------------------------------------------------------------------------------------------------------ */

cJSON *jsonl_answer(struct session *s) { return s->json && s->json->frame ? s->json->frame->answer : NULL; }

bool jsonl_begin(struct session *s, struct jsonl_frame *frame, const char *line)
{
    struct jsonl *j = s->json;
    if (!j || s->out != (j->frame ? j->frame->capture : stderr)) return false;
    *frame = (struct jsonl_frame){ .outer = j->frame, .before = s->out, .stops = j->stops };
    size_t n = strlen(line);
    while (n && strchr(" \t\r", line[n - 1])) n--;
    frame->cmd = strndup(line, n);
    frame->answer = cJSON_CreateObject();
    frame->capture = open_memstream(&frame->text, &frame->bytes);
    if (!frame->cmd || !frame->answer || !frame->capture) {
        if (frame->capture) fclose(frame->capture);
        free(frame->text);
        free(frame->cmd);
        cJSON_Delete(frame->answer);
        return false;
    }
    j->frame = frame;
    s->out = frame->capture;
    return true;
}

/* The failure of an inner command is the outer one's too. */
static void remember(struct session *s)
{
    struct jsonl *j = s->json;
    if (!s->err.text[0]) return;
    memcpy(j->told, s->err.text, sizeof j->told);
    j->complained = false;
}

void jsonl_end(struct session *s, struct jsonl_frame *frame, const struct reaction *r)
{
    struct jsonl *j = s->json;
    bool stopped = r->flags & REACT_STEPPED || (r->status == KV_STOPPED && !strcmp(s->stop_reason, "interrupt"));
    if (stopped && j->stops == frame->stops) jsonl_stop(s);
    s->out = frame->before;
    s->mid_line = false;
    fclose(frame->capture);
    if (r->status) remember(s);
    cJSON *object = r->status ? begin_error(s, j->told, r->status, session_exit(r)) : begin(s, "result");
    put(object, "text", jsonl_text(frame->text ? frame->text : "", frame->bytes));
    while (frame->answer->child) {
        cJSON *item = cJSON_DetachItemViaPointer(frame->answer, frame->answer->child);
        put(object, item->string, item);
    }
    say(s, object);
    j->frame = frame->outer;
    free(frame->text);
    free(frame->cmd);
    cJSON_Delete(frame->answer);
}

/* --- the mode --------------------------------------------------------------------------------------------------------- */

enum kv_status jsonl_open(struct session *s, struct kv_error *err)
{
    struct jsonl *j = kv_alloc(1, sizeof *j);
    int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (!j || fd < 0 || !(j->out = fdopen(fd, "w"))) {
        free(j);
        if (fd >= 0) close(fd);
        return kv_fail(err, KV_IO, "Cannot write to the standard output: %s.", strerror(errno));
    }
    fflush(stdout);
    if (dup2(STDERR_FILENO, STDOUT_FILENO) < 0) close(STDOUT_FILENO);
    j->row = -1;
    s->json = j;
    s->out = stderr;
    return KV_OK;
}

void jsonl_close(struct session *s)
{
    if (!s->json) return;
    fclose(s->json->out);
    cJSON_Delete(s->json->token);
    cJSON_Delete(s->json->reasons);
    free(s->json);
    s->json = NULL;
}

bool jsonl_terminal(const struct session *s) { return s->json && isatty(fileno(s->json->out)); }

void jsonl_row(struct session *s, long row)
{
    if (!s->json) return;
    s->json->row = row;
    s->json->seq = 0;
}

/* Several lines are one command: a block, or a small script that its first failure ends. */
static void answer_lines(struct session *s, const char *lines)
{
    struct jsonl_frame frame;
    bool answered = jsonl_begin(s, &frame, lines);
    struct reaction r = script_text(s, lines);
    if (answered) jsonl_end(s, &frame, &r);
    if (r.status && s->err.text[0]) session_complain(s);
    if (r.status && !s->exit) s->exit = session_exit(&r);
}

/* The lines of a block that a plain line opens are the ones that follow it. */
static bool plain_line(struct line_source *src, char **text, size_t *cap)
{
    struct jsonl_line line = { .text = *text, .cap = *cap };
    bool got = jsonl_line(src->ctx, INPUT_LINE, &line);
    *text = line.text;
    *cap = line.cap;
    src->line += got;
    return got;
}

/* Whoever sends an object, or a token, gets an answer, even to a comment. */
static void answer_command(struct session *s, const struct jsonl_request *request)
{
    struct line_source src = { .read = plain_line, .ctx = stdin, .line = 1 };
    const char *command = request->command + strspn(request->command, " \t\r");
    session_interrupted(); /* meant for nothing: none ran */
    if (strchr(command, '\n')) {
        answer_lines(s, command);
    } else if (*command && *command != '#') {
        if (!request->object) s->source = &src;
        session_do(s, command);
        s->source = NULL;
    } else {
        cJSON *object = begin(s, "result");
        put_text(object, "text", "");
        say(s, object);
    }
}

static void answer_line(struct session *s, const struct jsonl_line *line)
{
    struct jsonl_request request = { 0 };
    s->err = (struct kv_error){ 0 };
    enum kv_status st = line->too_long
                            ? kv_fail(&s->err, KV_BAD_ARG, "The line is longer than %zu bytes.", INPUT_LINE)
                            : jsonl_request(line->text, line->bytes, &request, &s->err);
    s->json->token = request.token;
    if (st) {
        s->json->told[0] = '\0';
        jsonl_complain(s, 1);
        if (!s->exit) s->exit = 1;
    } else {
        answer_command(s, &request);
    }
    s->json->token = NULL;
    jsonl_request_free(&request);
}

void jsonl_loop(struct session *s)
{
    struct jsonl_line line = { 0 };
    while (!s->leaving && jsonl_line(stdin, INPUT_LINE, &line)) {
        const char *first = line.text + strspn(line.text, " \t\r");
        bool empty = !*first && first == line.text + line.bytes;
        if (!empty && *first != '#') answer_line(s, &line);
    }
    free(line.text);
}
