/* Opening model and prompt, and putting others in their place. */
#include "inspector/session_load.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inspector/core.h"
#include "inspector/policy/edits.h"
#include "inspector/picture/hash.h"
#include "inspector/json/jsonl.h"
#include "inspector/lab/runs.h"
#include "inspector/time/marks.h"
#include "inspector/progress.h"
#include "inspector/stop/reads.h"

#define DEFAULT_MODEL "models/smollm2-135m-instruct-q4_1.gguf"
#define PROMPT_LIMIT  ((size_t)64 << 20)

/* --- model --------------------------------------------------------------------------------------------------------- */

void session_take(struct session *s, struct kv_model *model, struct kv_engine *engine)
{
    session_interrupts(engine);
    marks_forget(s);
    edits_forget(s);
    runs_forget_notes(s);
    kv_engine_close(s->engine);
    kv_model_close(s->model);
    s->model = model;
    s->engine = engine;
    kv_model_facts(model, &s->facts);
    kv_on_progress(engine, progress_show, s);
    s->layer = s->head = s->token = 0;
    s->streamed = 0;
    s->list_next = -1;
    s->kl_mean = s->noise_mean = NAN;
    s->model_sha[0] = s->stop_reason[0] = s->policy_title[0] = '\0';
    free(s->policy);
    s->policy = NULL;
}

/* Takes the model over, the failed one too where the session has none. */
static enum kv_status use_model(struct session *s, struct kv_model *model)
{
    struct kv_engine *engine;
    enum kv_status st = kv_engine_open(model, &engine, &s->err);
    if (st) {
        if (s->model)
            kv_model_close(model);
        else
            s->model = model;
        return st;
    }
    session_take(s, model, engine);
    return KV_OK;
}

enum kv_status session_model(struct session *s, const char *path)
{
    struct kv_model *model;
    enum kv_status st = kv_model_open(path, &model, &s->err);
    if (st) return st;
    s->other_model = s->model != NULL;
    return use_model(s, model);
}

/* Relative to the current folder, else beside the program as `make` lays it: build/kvdbg, models/. */
static enum kv_status default_model(struct session *s, char *path, size_t size)
{
    snprintf(path, size, "%s", DEFAULT_MODEL);
    if (!access(path, F_OK)) return KV_OK;
    char program[3000];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n > 0) {
        program[n] = '\0';
        char *slash = strrchr(program, '/');
        snprintf(path, size, "%.*s/../%s", (int)(slash ? slash - program : 0), program, DEFAULT_MODEL);
        if (!access(path, F_OK)) return KV_OK;
    }
    return kv_fail(&s->err, KV_IO, "There is no %s; fetch it with `make model', or name a model.", DEFAULT_MODEL);
}

/* --- prompt -------------------------------------------------------------------------------------------------------- */

static enum kv_status apply_text(struct session *s, const char *text, size_t bytes, const char *question)
{
    int want = s->options->chat;
    enum kv_status st = kv_prompt_text(s->engine, text, bytes, question, want != 0, &s->err);
    s->chat = want != 0;
    if (st == KV_NOT_FOUND && want < 0) {
        st = kv_prompt_text(s->engine, text, bytes, question, false, &s->err);
        s->chat = false;
    }
    return st;
}

/* The ids of a list, between blanks, commas and brackets; the caller frees them. */
static enum kv_status read_ids(const char *name, const char *text, int32_t **ids, int *n, struct kv_error *err)
{
    static const char between[] = " \t\r\n,[]";
    size_t most = strlen(text) / 2 + 1;
    *n = 0;
    *ids = kv_alloc(most, sizeof **ids);
    if (!*ids) return kv_fail(err, KV_NO_MEMORY, "No memory for the token ids of %.200s.", name);
    for (const char *at = text + strspn(text, between); *at; at += strspn(at, between)) {
        char *end;
        errno = 0;
        long id = strtol(at, &end, 10);
        if (!isdigit((unsigned char)*at) || (*end && !strchr(between, *end)))
            return kv_fail(err, KV_BAD_FILE, "%.200s: number %d is no token id: \"%.*s\".", name, *n + 1,
                (int)kv_min(strcspn(at, between), 40), at);
        if (errno || id > INT32_MAX)
            return kv_fail(err, KV_BAD_FILE, "%.200s: number %d is too large for a token id: %.*s.", name, *n + 1,
                (int)kv_min(strcspn(at, between), 40), at);
        (*ids)[(*n)++] = (int32_t)id;
        at = end;
    }
    return *n ? KV_OK : kv_fail(err, KV_BAD_ARG, "%.200s holds no token ids; a prompt needs at least one.", name);
}

static enum kv_status apply_ids(struct session *s, const char *name, const char *text, const char *question)
{
    int32_t *ids = NULL;
    int n;
    if (question)
        return kv_fail(
            &s->err, KV_BAD_ARG, "A prompt of token ids takes no question; \"question -none\" takes one away.");
    enum kv_status st = read_ids(name, text, &ids, &n, &s->err);
    if (!st) st = kv_prompt_ids(s->engine, ids, n, NULL, 0, &s->err);
    if (!st) s->chat = false;
    free(ids);
    return st;
}

/* ids: the text is a list of them. */
static enum kv_status replace(
    struct session *s, const char *name, const char *text, size_t bytes, const char *question, bool ids)
{
    if (question && !*question) question = NULL;
    char *copy = kv_alloc(bytes + 1, 1), *title = kv_strdup(name), *ask = kv_strdup(question);
    enum kv_status st = KV_OK;
    if (!copy || !title || (question && !ask))
        st = kv_fail(&s->err, KV_NO_MEMORY, "No memory for a prompt of %zu bytes.", bytes);
    else
        memcpy(copy, text, bytes);
    if (!st) st = ids ? apply_ids(s, title, copy, ask) : apply_text(s, copy, bytes, ask);
    if (st) {
        free(copy);
        free(title);
        free(ask);
        return st;
    }
    edits_forget(s);
    free(s->prompt);
    free(s->prompt_name);
    free(s->question);
    s->prompt = copy;
    s->prompt_bytes = bytes;
    s->prompt_name = title;
    s->prompt_ids = ids;
    s->question = ask;
    s->prompt_sha[0] = '\0';
    s->streamed = 0;
    s->token = 0;
    s->list_next = -1;
    return KV_OK;
}

enum kv_status session_prompt(
    struct session *s, const char *name, const char *text, size_t bytes, const char *question)
{
    return replace(s, name, text, bytes, question, false);
}

enum kv_status session_ask_again(struct session *s, const char *question)
{
    /* What is there goes where another prompt comes, so both are copied; a file's hash is not that of its text. */
    char sha[sizeof s->prompt_sha], *name = kv_strdup(s->prompt_name), *text = kv_alloc(s->prompt_bytes + 1, 1);
    memcpy(sha, s->prompt_sha, sizeof sha);
    enum kv_status st = name && text ? KV_OK : kv_fail(&s->err, KV_NO_MEMORY, "No memory for the prompt.");
    if (!st) memcpy(text, s->prompt, s->prompt_bytes);
    if (!st) st = replace(s, name, text, s->prompt_bytes, question, s->prompt_ids);
    if (!st) memcpy(s->prompt_sha, sha, sizeof sha);
    free(text);
    free(name);
    return st;
}

enum kv_status session_read_text(struct session *s, const char *path, char **out, size_t *bytes)
{
    struct stat info;
    FILE *f = fopen(path, "rb");
    *out = NULL;
    if (!f) return kv_fail(&s->err, KV_IO, "%.300s: %s.", path, strerror(errno));
    enum kv_status st = KV_OK;
    if (!fstat(fileno(f), &info) && S_ISDIR(info.st_mode))
        st = kv_fail(&s->err, KV_IO, "%.300s: Is a directory.", path);
    size_t cap = 1 << 16, n = 0;
    while (!st) {
        char *grown = realloc(*out, cap + 1);
        if (!grown) {
            st = kv_fail(&s->err, KV_NO_MEMORY, "No memory to read %.300s.", path);
            break;
        }
        *out = grown;
        size_t got = fread(*out + n, 1, cap - n, f);
        n += got;
        if (n < cap) {
            if (ferror(f)) st = kv_fail(&s->err, KV_IO, "%.300s: %s.", path, strerror(errno));
            break;
        }
        if (n >= PROMPT_LIMIT)
            st = kv_fail(&s->err, KV_BAD_ARG, "%.300s is longer than %zu MiB, too long for a prompt.", path,
                PROMPT_LIMIT >> 20);
        cap *= 2;
    }
    fclose(f);
    const char *zero = !st ? memchr(*out, 0, n) : NULL;
    if (zero) st = kv_fail(&s->err, KV_BAD_FILE, "%.300s is no text: byte %zu is 0.", path, (size_t)(zero - *out));
    *bytes = n;
    return st;
}

/* From a file, whose hash is the prompt's, so that sha256sum says the same. */
static enum kv_status replace_by_file(struct session *s, const char *path, bool ids)
{
    char *text;
    size_t bytes = 0;
    enum kv_status st = session_read_text(s, path, &text, &bytes);
    size_t whole = bytes;
    /* A text file's last newline ends its last line; it is no part of the text. */
    if (!st && bytes && text[bytes - 1] == '\n') bytes--;
    if (!st && !bytes)
        st = kv_fail(&s->err, KV_BAD_ARG, "%.300s is empty; a prompt needs at least one token.", path);
    if (!st) st = replace(s, path, text, bytes, s->question, ids);
    if (!st) st = hash_bytes(text, whole, s->prompt_sha, &s->err);
    free(text);
    return st;
}

enum kv_status session_prompt_file(struct session *s, const char *path) { return replace_by_file(s, path, false); }

enum kv_status session_prompt_ids(struct session *s, const char *list)
{
    bool file = list[strspn(list, "0123456789 \t,[]")] != '\0';
    return file ? replace_by_file(s, list, true) : replace(s, "(ids)", list, strlen(list), s->question, true);
}

const char *session_read_as(const struct session *s) { return s->prompt_ids ? "ids" : s->chat ? "on" : "off"; }

/* --- the command line ------------------------------------------------------------------------------------------------ */

static void set_defaults(struct session *s, const struct options *o)
{
    s->options = o;
    s->out = s->json ? stderr : stdout;
    s->terminal = isatty(0) && isatty(1) && !o->batch && !s->json;
    s->pref.confirm = !o->batch;
    s->pref.color = o->color;
    s->pref.print_elements = 200;
    s->pref.print_repeats = 10;
    s->kl_mean = NAN;
    s->pref.read_floor = READ_FLOOR;
    s->list_next = -1;
}

static enum kv_status open_model(struct session *s, const struct options *o)
{
    char path[4096];
    if (o->core) return core_open(s, o->core);
    enum kv_status st = o->model ? KV_OK : default_model(s, path, sizeof path);
    return st ? st : session_model(s, o->model ? o->model : path);
}

/* Settings and prompt of the command line. */
static enum kv_status apply_options(struct session *s, const struct options *o, int *exit_status)
{
    const char *names[] = { "engine.backend", "engine.precision", "engine.kv", "engine.threads" };
    const char *values[] = { o->backend, o->precision, o->kv, o->threads };
    enum kv_status st = KV_OK;
    for (size_t i = 0; i < KV_COUNT(names) && !st; i++)
        if (values[i]) st = kv_set(s->engine, &names[i], &values[i], 1, &s->err);
    if (st) {
        *exit_status = 2;
        return st;
    }
    if (o->question && !o->text && !o->prompt && !o->for_each) {
        *exit_status = 2;
        return kv_fail(&s->err, KV_BAD_ARG, "--question needs a prompt to ask about: --prompt FILE or --text S.");
    }
    if (o->core) return KV_OK;
    s->question = kv_strdup(o->question);
    if (o->text)
        st = session_prompt(s, "(text)", o->text, strlen(o->text), o->question);
    else if (o->prompt)
        st = session_prompt_file(s, o->prompt);
    else if (o->prompt_ids)
        st = session_prompt_ids(s, o->prompt_ids);
    return st;
}

enum kv_status session_open(struct session *s, const struct options *o, int *exit_status)
{
    set_defaults(s, o);
    *exit_status = o->core ? 2 : 4;
    enum kv_status st = open_model(s, o);
    if (!st) return apply_options(s, o, exit_status);
    if (st == KV_NO_MEMORY) *exit_status = 5;
    return st;
}

enum kv_status session_again(struct session *s, int *exit_status)
{
    const struct options *o = s->options;
    struct jsonl *json = s->json;
    struct kv_model *model = s->other_model ? NULL : s->model;
    if (model) s->model = NULL;
    session_close(s);
    *s = (struct session){ .json = json };
    set_defaults(s, o);
    *exit_status = o->core ? 2 : 4;
    enum kv_status st = model ? use_model(s, model) : open_model(s, o);
    if (!st) return apply_options(s, o, exit_status);
    if (st == KV_NO_MEMORY) *exit_status = 5;
    return st;
}
