/* Reading them. */
#include "inspector/lab/options.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/profile.h"
#include "inspector/picture/hash.h"

#define FILE_BYTES ((size_t)4 << 20)

static enum kv_status bad(struct kv_error *err, const char *option, const char *what, const char *value)
{
    return kv_fail(err, KV_BAD_ARG, "%s takes %s, not \"%.40s\".", option, what, value);
}

/* Numbers between commas, in (0, most]. */
static enum kv_status numbers(
    const char *option, const char *value, bool whole, double *out, int *n, struct kv_error *err)
{
    const char *p = value, *what = whole ? "shares in (0, 1]" : "ascending shares in (0, 1)";
    for (*n = 0; *p; *n += 1) {
        char *end;
        double x = strtod(p, &end);
        bool good = end != p && x > 0 && (whole ? x <= 1 : x < 1 && (!*n || x > out[*n - 1]));
        if (!good || (*end && *end != ',') || *n == LAB_LIST || (*end == ',' && !end[1]))
            return bad(err, option, what, value);
        out[*n] = x;
        p = *end ? end + 1 : end;
    }
    return *n ? KV_OK : bad(err, option, what, value);
}

static enum kv_status bound(const char *option, const char *value, double most, double *out, struct kv_error *err)
{
    char *end;
    *out = strtod(value, &end);
    if (end != value && !*end && *out > 0 && *out <= most) return KV_OK;
    return bad(err, option, most > 1 ? "a number of nats above 0" : "a share in (0, 1]", value);
}

static enum kv_status rows(const char *value, struct lab_words *w, struct kv_error *err)
{
    char *end;
    long first = strtol(value, &end, 10), last = -1;
    bool good = end != value && first >= 0 && *end == ':';
    const char *to = good ? end + 1 : value;
    if (good) last = strtol(to, &end, 10);
    if (!good || end == to || *end || last <= first || last > 1 << 30)
        return bad(err, "-rows", "A:B with 0 <= A < B", value);
    w->first = (int)first;
    w->last = (int)last - 1;
    return KV_OK;
}

static enum kv_status take(const char *option, const char *value, struct lab_words *w, struct kv_error *err)
{
    long long n;
    enum kv_status st = KV_OK;
    if (!strcmp(option, "-o")) w->out = value;
    if (!strcmp(option, "-selectors")) w->list = value;
    if (!strcmp(option, "-with")) w->with = value;
    if (!strcmp(option, "-png")) w->png = value;
    if (!strcmp(option, "-question")) w->how.question = value;
    if (!strcmp(option, "-shares")) st = numbers(option, value, false, w->share, &w->n_share, err);
    if (!strcmp(option, "-ratio")) st = numbers(option, value, true, w->ratio, &w->n_ratio, err);
    if (!strcmp(option, "-rows")) st = rows(value, w, err);
    if (!strcmp(option, "-kl")) st = bound(option, value, 1e6, &w->kl, err);
    if (!strcmp(option, "-top1")) st = bound(option, value, 1, &w->top1, err);
    if (!strcmp(option, "-rouge")) st = bound(option, value, 1, &w->rouge, err);
    if (!strcmp(option, "-refine")) {
        st = line_integer(value, 1, 1000, "a number of rounds", &n, err);
        if (!st) w->refine = (int)n;
    }
    if (!strcmp(option, "-tokens")) {
        st = line_integer(value, 2, 4096, "a number of tokens", &n, err);
        if (!st) w->tokens = (int)n;
    }
    return st;
}

/* Whether a blank-separated list has the word. */
static bool listed(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = list; (p = strstr(p, word)); p += n)
        if ((p == list || p[-1] == ' ') && (!p[n] || p[n] == ' ')) return true;
    return false;
}

enum kv_status lab_words(const char *args, const char *takes, struct lab_words *w, struct kv_error *err)
{
    *w = (struct lab_words){ .last = -1, .kl = NAN, .top1 = NAN, .rouge = NAN };
    enum kv_status st = line_split(args, &w->words, err);
    for (int i = 0; i < w->words.count && !st; i++) {
        char *word = w->words.word[i];
        if (*word != '-') {
            w->file[w->n_file++] = word;
            continue;
        }
        if (!listed(takes, word))
            return kv_fail(err, KV_BAD_ARG, "\"%.40s\" is none of the options %s.", word, takes);
        if (!strcmp(word, "-apart"))
            w->how.apart = true;
        else if (!strcmp(word, "-f"))
            w->force = true;
        else if (++i == w->words.count)
            st = kv_fail(err, KV_BAD_ARG, "Argument required (value of %s).", word);
        else
            st = take(word, w->words.word[i], w, err);
    }
    return st;
}

bool lab_name(const char *list, int i, char *out)
{
    for (; list && i > 0; i--) {
        list = strchr(list, ',');
        if (list) list++;
    }
    if (!list) return false;
    snprintf(out, KV_PROFILE_WORD, "%.*s", (int)strcspn(list, ","), list);
    return true;
}

/* --- prompts ------------------------------------------------------------------------------------------------------ */

/* A file that is no rows: all of it is one prompt, and its name the kind. */
static enum kv_status one_text(
    const char *path, const struct task_how *how, struct task *task, struct kv_error *err)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    FILE *f = fopen(path, "rb");
    if (!f) return kv_fail(err, KV_IO, "%.300s: %s.", path, strerror(errno));
    snprintf(task->id, sizeof task->id, "%s", name);
    snprintf(task->kind, sizeof task->kind, "%.*s", (int)strcspn(name, "."), name);
    task->context = kv_alloc(FILE_BYTES + 1, 1);
    task->question = kv_strdup(how->question);
    size_t n = task->context ? fread(task->context, 1, FILE_BYTES, f) : 0;
    bool failed = ferror(f);
    int why = errno;
    fclose(f);
    if (failed) return kv_fail(err, KV_IO, "%.300s: %s.", path, strerror(why));
    if (!task->context) return kv_fail(err, KV_NO_MEMORY, "No memory for %.300s.", path);
    if (!n || memchr(task->context, 0, n)) return kv_fail(err, KV_BAD_FILE, "%.300s is no text.", path);
    return hash_bytes(task->context, n, task->sha, err);
}

static bool has_rows(const char *path)
{
    size_t n = strlen(path);
    return n > 6 && !strcmp(path + n - 6, ".jsonl");
}

/* Keeps rows first..last of those from `from` on. */
static enum kv_status cut(
    const struct lab_words *w, struct tasks *t, size_t from, const char *path, struct kv_error *err)
{
    if (w->last < 0) return KV_OK;
    size_t n = t->count - from, a = (size_t)w->first, b = (size_t)w->last;
    if (b >= n) return kv_fail(err, KV_BAD_ARG, "%.300s has no row %zu; its rows are 0 to %zu.", path, b, n - 1);
    struct tasks gone = { 0 };
    gone.task = kv_alloc(n + 1, sizeof *gone.task);
    if (!gone.task) return kv_fail(err, KV_NO_MEMORY, "No memory for %zu rows.", n);
    size_t to = from;
    for (size_t i = 0; i < n; i++)
        if (i < a || i > b)
            gone.task[gone.count++] = t->task[from + i];
        else
            t->task[to++] = t->task[from + i];
    t->count = to;
    tasks_free(&gone);
    return KV_OK;
}

enum kv_status lab_tasks(const struct lab_words *w, struct tasks *out, struct kv_error *err)
{
    enum kv_status st = KV_OK;
    for (int i = 0; i < w->n_file && !st; i++) {
        size_t from = out->count;
        if (has_rows(w->file[i])) {
            st = tasks_read(out, w->file[i], &w->how, err);
            if (!st && out->count == from) st = kv_fail(err, KV_BAD_FILE, "%.300s has no rows.", w->file[i]);
            if (!st) st = cut(w, out, from, w->file[i], err);
            continue;
        }
        struct task *grown = realloc(out->task, (out->count + 1) * sizeof *grown);
        if (!grown) return kv_fail(err, KV_NO_MEMORY, "No memory for %.300s.", w->file[i]);
        out->task = grown;
        grown[out->count] = (struct task){ .line = 1 };
        st = one_text(w->file[i], &w->how, &grown[out->count++], err);
    }
    return st;
}
