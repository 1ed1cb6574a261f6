/* Rows of data: read, shared out, each one run, all of them summed up. */
#include "inspector/json/for_each.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inspector/json/data.h"
#include "inspector/stop/events.h"
#include "inspector/json/jsonl.h"
#include "inspector/json/jsonl_read.h"
#include "inspector/expr/names.h"
#include "inspector/progress.h"
#include "inspector/session_load.h"

#define ROW_FIELDS 1000 /* variables that one row may make */
#define NAME_LIMIT 64
#define NAMED_ROWS 8 /* failed rows that the summary lists */

struct rows {
    struct data data;
    size_t from, to; /* this shard's: from..to-1 */
};

struct tally {
    size_t passed, failed, listed[NAMED_ROWS];
    int status; /* the first failure's */
    char sentence[sizeof((struct kv_error *)0)->text];
};

static enum kv_status rows_open(struct rows *rows, const struct options *o, struct kv_error *err)
{
    enum kv_status st = data_open(o->for_each, &rows->data, err);
    rows->from = 0;
    rows->to = rows->data.count;
    if (o->shards) data_shard(&rows->data, o->shard, o->shards, &rows->from, &rows->to);
    return st;
}

/* --- a row's fields as variables -------------------------------------------------------------------------------------- */

static enum kv_status assign(struct session *s, const char *name, struct value *v)
{
    char other[NAME_LIMIT + 4];
    enum kv_status st = names_assign(s, name, v, &s->err);
    if (st == KV_BAD_ARG) { /* kvdbg sets one of that name itself: $layer, $token, ... */
        snprintf(other, sizeof other, "row_%s", name);
        st = names_assign(s, other, v, &s->err);
    }
    value_free(v);
    return st;
}

/* "PREFIX_KEY" of characters that a variable's name may have. */
static enum kv_status field_name(const char *prefix, const char *key, char name[NAME_LIMIT], struct kv_error *err)
{
    bool digit = !*prefix && key[0] >= '0' && key[0] <= '9';
    int n = snprintf(name, NAME_LIMIT, "%s%s%s", prefix, *prefix || digit || !*key ? "_" : "", key);
    if (n >= NAME_LIMIT)
        return kv_fail(err, KV_BAD_ARG, "The field \"%.40s...\" has too long a name; %d bytes are the limit.", name,
            NAME_LIMIT - 1);
    for (char *p = name; *p; p++)
        if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_", *p)) *p = '_';
    return KV_OK;
}

static bool all_numbers(const cJSON *array)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, array) if (!cJSON_IsNumber(item)) return false;
    return true;
}

static bool whole(double x) { return floor(x) == x && fabs(x) < 9e15; }

static enum kv_status numbers(const cJSON *array, struct value *v, struct kv_error *err)
{
    size_t n = (size_t)cJSON_GetArraySize(array), i = 0;
    const cJSON *item;
    enum kv_status st = value_array(v, 1, &n, err);
    if (st) return st;
    v->integral = true;
    cJSON_ArrayForEach(item, array)
    {
        v->number[i++] = item->valuedouble;
        v->integral = v->integral && whole(item->valuedouble);
    }
    return KV_OK;
}

static enum kv_status fields(struct session *s, const cJSON *parent, const char *prefix, int *left);

/* Numbers, texts, 0 or 1, void, arrays of numbers; what is inside other arrays and objects gets names of its own. */
static enum kv_status field(struct session *s, const cJSON *item, const char *name, int *left)
{
    struct value v = { 0 };
    enum kv_status st = KV_OK;
    if (cJSON_IsObject(item) || (cJSON_IsArray(item) && item->child && !all_numbers(item)))
        return fields(s, item, name, left);
    if (--*left < 0) return kv_fail(&s->err, KV_BAD_ARG, "The row has more than %d fields.", ROW_FIELDS);
    if (cJSON_IsString(item))
        st = value_text(&v, item->valuestring, &s->err);
    else if (cJSON_IsNumber(item))
        st = value_scalar(&v, item->valuedouble, whole(item->valuedouble), "", &s->err);
    else if (cJSON_IsBool(item))
        st = value_scalar(&v, cJSON_IsTrue(item), true, "", &s->err);
    else if (cJSON_IsArray(item))
        st = numbers(item, &v, &s->err);
    return st ? st : assign(s, name, &v);
}

static enum kv_status fields(struct session *s, const cJSON *parent, const char *prefix, int *left)
{
    const cJSON *item;
    enum kv_status st = KV_OK;
    int index = 0;
    for (item = parent->child; item && !st; item = item->next, index++) {
        char name[NAME_LIMIT], number[16];
        snprintf(number, sizeof number, "%d", index);
        st = field_name(prefix, item->string ? item->string : number, name, &s->err);
        if (!st) st = field(s, item, name, left);
    }
    return st;
}

static enum kv_status take_prompt(struct session *s, const cJSON *object, const char *file, int line)
{
    const char *prompt, *question;
    char name[320];
    enum kv_status st = data_text(object, "prompt", &prompt, &s->err);
    if (!st) st = data_text(object, "question", &question, &s->err);
    if (st) return st;
    if (!question) question = s->options->question;
    snprintf(name, sizeof name, "%.300s:%d", file, line);
    if (prompt) return session_prompt(s, name, prompt, strlen(prompt), question);
    if (!question) return KV_OK;
    /* The command line's prompt, or the one that the commands will name. */
    if (s->prompt_name) return session_ask_again(s, question);
    free(s->question);
    s->question = kv_strdup(*question ? question : NULL);
    return KV_OK;
}

static enum kv_status take_row(struct session *s, const struct rows *rows, size_t index)
{
    const struct data_row *row = &rows->data.row[index];
    cJSON *object = NULL;
    struct value number;
    int left = ROW_FIELDS;
    enum kv_status st = data_object(row, &object, &s->err);
    if (!st) st = fields(s, object, "", &left);
    if (!st) st = value_scalar(&number, (double)index, true, "", &s->err);
    if (!st) st = assign(s, "_row", &number);
    if (!st) st = take_prompt(s, object, rows->data.file, row->line);
    cJSON_Delete(object);
    return st;
}

/* --- running --------------------------------------------------------------------------------------------------------- */

/* A row that cannot begin. */
static void complain(struct session *s, struct script_place *row)
{
    s->place = row;
    if (s->json)
        session_complain(s);
    else
        fprintf(stderr, "%s:%d: %s\n", row->file, row->line, s->err.text);
    s->place = NULL;
    memcpy(s->failure, s->err.text, sizeof s->failure);
}

/* The row's exit status; what failed first is in s->failure. */
static int run_row(struct session *s, const struct rows *rows, size_t index, void (*run)(struct session *s))
{
    struct script_place place = { rows->data.file, rows->data.row[index].line, NULL };
    int status = 0;
    s->err = (struct kv_error){ 0 };
    enum kv_status st = session_again(s, &status);
    jsonl_row(s, (long)index);
    jsonl_ready(s);
    if (!st) st = take_row(s, rows, index), status = st ? st == KV_NO_MEMORY ? 5 : 1 : 0;
    if (st) {
        complain(s, &place);
    } else {
        run(s);
        status = s->leaving ? s->exit_code : s->exit ? s->exit : events_exit(s);
    }
    if (fflush(stdout)) status = 1;
    jsonl_exit(s, status);
    return status;
}

static void count_row(struct session *s, struct tally *t, const struct rows *rows, size_t index, int status)
{
    if (!status) {
        t->passed++;
        return;
    }
    if (t->failed < NAMED_ROWS) t->listed[t->failed] = index;
    if (!t->failed++) {
        t->status = status;
        if (*s->failure)
            snprintf(t->sentence, sizeof t->sentence, "%.*s", (int)strcspn(s->failure, "\n"), s->failure);
        else
            snprintf(t->sentence, sizeof t->sentence, "exit status %d", status);
    }
    progress_clear();
    if (!s->json) fprintf(stderr, "%s:%d: row %zu failed.\n", rows->data.file, rows->data.row[index].line, index);
}

/* "12 rows: 11 passed, 1 failed (row 7: No prompt.)" */
static void sum_up(const struct tally *t, const struct rows *rows, const struct options *o)
{
    size_t all = rows->to - rows->from, left = all - t->passed - t->failed;
    progress_clear();
    fprintf(stderr, "%zu row%s", all, all == 1 ? "" : "s");
    if (o->shards) fprintf(stderr, " (shard %ld/%ld)", o->shard, o->shards);
    fprintf(stderr, ": %zu passed, %zu failed", t->passed, t->failed);
    for (size_t i = 0; i < t->failed && i < NAMED_ROWS; i++)
        fprintf(stderr, "%s%zu", i ? ", " : t->failed > 1 ? " (rows " : " (row ", t->listed[i]);
    if (t->failed > NAMED_ROWS) fprintf(stderr, ", ...");
    if (t->failed == 1) fprintf(stderr, ": %s)", t->sentence);
    if (t->failed > 1) fprintf(stderr, "; row %zu: %s)", t->listed[0], t->sentence);
    if (left) fprintf(stderr, ", %zu not run", left);
    fputc('\n', stderr);
}

static void announce(struct session *s, const struct rows *rows, size_t index, double began_us)
{
    char text[96];
    size_t done = index - rows->from, all = rows->to - rows->from;
    double left = done ? (kv_now_us() - began_us) / (double)done * (double)(all - done) / 1e6 : 0;
    int n = snprintf(text, sizeof text, "row %zu of %zu", done + 1, all);
    if (done) snprintf(text + n, sizeof text - (size_t)n, ", %.0f s left", left);
    progress_title(text, s->json ? !jsonl_terminal(s) : !isatty(STDOUT_FILENO));
}

int for_each_row(struct session *s, void (*run)(struct session *s))
{
    const struct options *o = s->options;
    struct options quiet = *o; /* --keep-going speaks of rows: within one, the first failure is the end */
    struct rows rows;
    struct tally tally = { 0 };
    double began = kv_now_us();
    if (rows_open(&rows, o, &s->err)) {
        session_complain(s);
        data_close(&rows.data);
        return 2;
    }
    quiet.keep_going = false;
    s->options = &quiet;
    for (size_t i = rows.from; i < rows.to; i++) {
        announce(s, &rows, i, began);
        int status = run_row(s, &rows, i, run);
        count_row(s, &tally, &rows, i, status);
        if (status && (!o->keep_going || status == 130)) break;
    }
    s->options = o;
    progress_title("", false);
    sum_up(&tally, &rows, o);
    data_close(&rows.data);
    return tally.status;
}
