/* Tasks from rows. */
#include "inspector/lab/task.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/json/data.h"
#include "inspector/picture/hash.h"

static void texts_free(struct task_texts *texts)
{
    for (int i = 0; i < texts->n; i++) free(texts->text[i]);
    free(texts->text);
}

static void task_free(struct task *task)
{
    free(task->context);
    free(task->question);
    texts_free(&task->reference);
    texts_free(&task->answer);
}

void tasks_free(struct tasks *tasks)
{
    for (size_t i = 0; i < tasks->count; i++) task_free(&tasks->task[i]);
    free(tasks->task);
    *tasks = (struct tasks){ 0 };
}

/* A text, or a list of texts; none is no error. */
static enum kv_status take_texts(
    const cJSON *object, const char *name, struct task_texts *out, struct kv_error *err)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name), *one;
    if (!item || cJSON_IsNull(item)) return KV_OK;
    bool list = cJSON_IsArray(item);
    int count = list ? cJSON_GetArraySize(item) : 1;
    out->text = kv_alloc((size_t)count + 1, sizeof *out->text);
    if (!out->text) return kv_fail(err, KV_NO_MEMORY, "No memory for %d texts.", count);
    for (one = list ? item->child : item; one; one = list ? one->next : NULL) {
        if (!cJSON_IsString(one))
            return kv_fail(err, KV_BAD_ARG, "\"%s\" must be a text or a list of texts.", name);
        if (!(out->text[out->n] = kv_strdup(one->valuestring)))
            return kv_fail(err, KV_NO_MEMORY, "No memory for a text.");
        out->n++;
    }
    return KV_OK;
}

/* The last paragraph becomes the question. */
static void split_prompt(struct task *task)
{
    char *cut = NULL;
    for (char *p = task->context; (p = strstr(p, "\n\n")); p += 2) cut = p;
    if (!cut || cut == task->context || !cut[2 + strspn(cut + 2, " \n")]) return;
    task->question = kv_strdup(cut + 2 + strspn(cut + 2, "\n"));
    if (task->question) *cut = '\0';
}

static enum kv_status take_prompt(
    struct task *task, const cJSON *object, const struct task_how *how, struct kv_error *err)
{
    const char *prompt, *document, *context, *question;
    enum kv_status st = data_text(object, "prompt", &prompt, err);
    if (!st) st = data_text(object, "document", &document, err);
    if (!st) st = data_text(object, "context", &context, err);
    if (!st) st = data_text(object, "question", &question, err);
    if (st) return st;
    if (!document) document = context;
    if (!prompt && !document) return kv_fail(err, KV_BAD_ARG, "The row has neither \"prompt\" nor \"document\".");
    if (!prompt && !question) question = how->question ? how->question : TASK_SUMMARIZE;
    task->context = kv_strdup(prompt ? prompt : document);
    task->question = kv_strdup(question);
    if (!task->context || (question && !task->question))
        return kv_fail(err, KV_NO_MEMORY, "No memory for a prompt.");
    if (!*task->context) return kv_fail(err, KV_BAD_ARG, "The row's prompt is empty.");
    if (!question && how->apart) split_prompt(task);
    return KV_OK;
}

static enum kv_status hash_task(struct task *task, struct kv_error *err)
{
    size_t n = strlen(task->context), m = task->question ? strlen(task->question) : 0;
    char *both = kv_alloc(n + m + 2, 1);
    if (!both) return kv_fail(err, KV_NO_MEMORY, "No memory for a prompt.");
    memcpy(both, task->context, n);
    if (m) memcpy(both + n + 1, task->question, m);
    enum kv_status st = hash_bytes(both, n + 1 + m, task->sha, err);
    free(both);
    return st;
}

/* "multi_news" of "data/multi_news.jsonl" */
static void name_of_file(const char *path, char *out, size_t size)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t n = strcspn(name, ".");
    snprintf(out, size, "%.*s", (int)(n ? n : strlen(name)), name);
}

static enum kv_status take_task(struct task *task, const struct data_row *row, const char *path,
    const struct task_how *how, struct kv_error *err)
{
    const char *id, *kind;
    cJSON *object = NULL;
    enum kv_status st = data_object(row, &object, err);
    if (!st) st = data_text(object, "id", &id, err);
    if (!st) st = data_text(object, "kind", &kind, err);
    if (!st) {
        name_of_file(path, task->kind, sizeof task->kind);
        snprintf(task->id, sizeof task->id, "%.60s:%d", task->kind, row->line);
        if (kind) snprintf(task->kind, sizeof task->kind, "%s", kind);
        if (id) snprintf(task->id, sizeof task->id, "%s", id);
        task->line = row->line;
        st = take_prompt(task, object, how, err);
    }
    if (!st) st = take_texts(object, "reference", &task->reference, err);
    if (!st) st = take_texts(object, "answers", &task->answer, err);
    if (!st) st = hash_task(task, err);
    cJSON_Delete(object);
    return st;
}

enum kv_status tasks_read(struct tasks *tasks, const char *path, const struct task_how *how, struct kv_error *err)
{
    struct data data;
    enum kv_status st = data_open(path, &data, err);
    struct task *grown = st ? NULL : realloc(tasks->task, (tasks->count + data.count + 1) * sizeof *grown);
    if (!st && !grown) st = kv_fail(err, KV_NO_MEMORY, "No memory for the rows of %.300s.", path);
    if (grown) tasks->task = grown;
    for (size_t i = 0; i < data.count && !st; i++) {
        struct task task = { 0 };
        struct kv_error why = { 0 };
        st = take_task(&task, &data.row[i], path, how, &why);
        if (st) {
            task_free(&task);
            st = kv_fail(
                err, st == KV_BAD_ARG ? KV_BAD_FILE : st, "%.200s:%d: %.300s", path, data.row[i].line, why.text);
        } else
            tasks->task[tasks->count++] = task;
    }
    data_close(&data);
    return st;
}

enum kv_status task_prompt(
    struct session *s, struct kv_engine *e, const struct task *task, const struct task_how *how)
{
    size_t bytes = strlen(task->context);
    int want = s->options->chat;
    enum kv_status st = kv_prompt_text(e, task->context, bytes, task->question, want != 0, &s->err);
    if (st == KV_NOT_FOUND && want < 0)
        st = kv_prompt_text(e, task->context, bytes, task->question, false, &s->err);
    if (st || !task->question || how->apart) return st;
    const char *name = "policy.query-aware", *on = "on";
    return kv_set(e, &name, &on, 1, &s->err);
}

/* --- judging a reply --------------------------------------------------------------------------------------------- */

double task_found(const struct task *task, const char *reply)
{
    int found = 0;
    for (int i = 0; i < task->answer.n; i++) found += strcasestr(reply, task->answer.text[i]) != NULL;
    return task->answer.n ? (double)found / task->answer.n : NAN;
}

/* Without what may stand around an answer. */
static const char *bare(const char *text, size_t *n)
{
    *n = strlen(text);
    while (*n && (isspace((unsigned char)*text) || ispunct((unsigned char)*text))) text++, --*n;
    while (*n && (isspace((unsigned char)text[*n - 1]) || ispunct((unsigned char)text[*n - 1]))) --*n;
    return text;
}

bool task_exact(const struct task *task, const char *reply)
{
    size_t n, m;
    const char *said = bare(reply, &n);
    for (int i = 0; i < task->answer.n; i++) {
        const char *answer = bare(task->answer.text[i], &m);
        if (n == m && !strncasecmp(said, answer, n)) return true;
    }
    return false;
}
