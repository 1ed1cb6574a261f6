/* Results as JSON Lines, a line each as it is measured: what is in the file need not be measured again. */
#include "inspector/lab/evaluate.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/json/data.h"
#include "inspector/set.h"
#include "inspector/json/jsonl_read.h"

struct results {
    struct session *s;
    const struct evaluation *v;
    FILE *file;
};

static void take_line(const cJSON *object, struct measures *known)
{
    struct measured m = { 0 };
    struct kv_error ignored;
    const char *key;
    if (data_text(object, "key", &key, &ignored) || !key || strlen(key) != sizeof m.key - 1) return;
    memcpy(m.key, key, sizeof m.key);
    for (int k = 0; k < METRIC_COUNT; k++) {
        const cJSON *number = cJSON_GetObjectItemCaseSensitive(object, metrics[k].name);
        m.value[k] = cJSON_IsNumber(number) ? number->valuedouble : NAN;
    }
    measures_add(known, &m, &ignored);
}

/* Whether the file's last line lacks its end. */
static bool open_end(const char *path)
{
    FILE *f = fopen(path, "rb");
    bool open = f && !fseek(f, -1, SEEK_END) && fgetc(f) != '\n';
    if (f) fclose(f);
    return open;
}

enum kv_status results_open(
    struct session *s, const struct evaluation *v, struct measures *known, struct results **out)
{
    struct data data = { 0 };
    struct kv_error ignored;
    struct results *r = *out = kv_alloc(1, sizeof *r);
    if (!r) return kv_fail(&s->err, KV_NO_MEMORY, "No memory for results.");
    *r = (struct results){ s, v, NULL };
    if (!data_open(v->results, &data, &ignored))
        for (size_t i = 0; i < data.count; i++) {
            cJSON *object = NULL;
            if (!data_object(&data.row[i], &object, &ignored)) take_line(object, known);
            cJSON_Delete(object);
        }
    data_close(&data);
    bool cut = open_end(v->results);
    r->file = fopen(v->results, "a");
    if (!r->file) return kv_fail(&s->err, KV_IO, "Cannot write %.300s: %s.", v->results, strerror(errno));
    if (cut) fputc('\n', r->file);
    return KV_OK;
}

static void add_settings(cJSON *line, const struct evaluate_policy *p)
{
    cJSON *settings = cJSON_AddObjectToObject(line, "settings");
    for (int i = 0; i < p->count; i++) cJSON_AddStringToObject(settings, p->name[i], p->value[i]);
}

enum kv_status results_add(void *ctx, const struct measured *m, const char *reply)
{
    struct results *r = ctx;
    const struct evaluate_policy *p = &r->v->policy[m->policy];
    const struct task *task = &r->v->tasks.task[m->task];
    cJSON *line = cJSON_CreateObject();
    cJSON_AddStringToObject(line, "id", task->id);
    cJSON_AddStringToObject(line, "kind", task->kind);
    cJSON_AddStringToObject(line, "policy", p->label);
    if (r->v->ratio[m->ratio] > 0 && !p->full) cJSON_AddNumberToObject(line, "ratio", r->v->ratio[m->ratio]);
    add_settings(line, p);
    for (int k = 0; k < METRIC_COUNT; k++)
        if (metrics[k].by & METRIC_BY_EVALUATE)
            cJSON_AddItemToObject(line, metrics[k].name, jsonl_number(m->value[k]));
    cJSON_AddItemToObject(line, "text", jsonl_text(reply, strlen(reply)));
    cJSON_AddStringToObject(line, "how", session_mode(r->s));
    cJSON_AddStringToObject(line, "model", r->s->model_sha);
    cJSON_AddStringToObject(line, "kvdbg", KVDBG_VERSION);
    cJSON_AddStringToObject(line, "key", m->key);
    char *text = cJSON_PrintUnformatted(line);
    cJSON_Delete(line);
    if (!text) return kv_fail(&r->s->err, KV_NO_MEMORY, "No memory for a result.");
    bool ok = fprintf(r->file, "%s\n", text) > 0 && !fflush(r->file);
    free(text);
    return ok ? KV_OK : kv_fail(&r->s->err, KV_IO, "Cannot write %.300s: %s.", r->v->results, strerror(errno));
}

void results_close(struct results *r)
{
    if (!r) return;
    if (r->file) fclose(r->file); /* every line was flushed, and checked then */
    free(r);
}
