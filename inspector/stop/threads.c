/* thread, thread apply, info threads. A thread is left by its first query head as the focus. */
#include "inspector/stop/threads.h"

#include <stdlib.h>
#include <string.h>

#include "inspector/stop/location.h"
#include "inspector/json/rows.h"

#define LIST_MOST 64 /* numbers of one LIST */

static int group_size(const struct session *s) { return s->facts.n_head / s->facts.n_kv_head; }
static int current(const struct session *s) { return s->head / group_size(s); }

static void title(const struct session *s, int thread, char *text, size_t size)
{
    int first = thread * group_size(s), last = first + group_size(s) - 1;
    if (last > first)
        snprintf(text, size, "KV head %d of L%d, query heads %d-%d", thread, s->layer, first, last);
    else
        snprintf(text, size, "KV head %d of L%d", thread, s->layer);
}

/* Where the request stands, and the group's mean entropy where it is known. */
static void place(struct session *s, int thread, char *text, size_t size)
{
    struct kv_where w;
    struct kv_array a;
    struct kv_error ignored;
    kv_where(s->engine, &w);
    location_where(&w, text, size);
    if (kv_value(s->engine, "entropy", &a, &ignored)) return;
    double sum = 0;
    int n = group_size(s);
    for (int h = 0; h < n; h++) sum += array_number(&a, (size_t)s->layer * a.dim[1] + (size_t)(thread * n + h));
    size_t at = strlen(text);
    if (sum > 0) snprintf(text + at, size - at, "  H=%.2f nats", sum / n);
}

struct reaction cmd_info_threads(struct session *s, const char *args)
{
    char what[96], where[96];
    (void)args;
    fprintf(s->out, "  %-4s %-40s %s\n", "Id", "Target Id", "Frame");
    for (int t = 0; t < s->facts.n_kv_head; t++) {
        title(s, t, what, sizeof what);
        place(s, t, where, sizeof where);
        rows_new(s);
        rows_number(s, "Id", t);
        rows_text(s, "Target Id", what);
        rows_text(s, "Frame", where);
        rows_flag(s, "current", t == current(s));
        fprintf(s->out, "%c %-4d %-40s %s\n", t == current(s) ? '*' : ' ', t, what, where);
        rows_new(s);
        rows_number(s, "Id", t);
        rows_text(s, "Target Id", what);
        rows_text(s, "Frame", where);
        rows_flag(s, "current", t == current(s));
    }
    return DONE;
}

struct reaction cmd_thread(struct session *s, const char *args)
{
    char what[96], where[96], *end;
    if (!*args) {
        title(s, current(s), what, sizeof what);
        fprintf(s->out, "[Current thread is %d (%s)]\n", current(s), what);
        return DONE;
    }
    long thread = strtol(args, &end, 10);
    if (*end) return refuse(s, KV_BAD_ARG, "Invalid thread ID: %.60s", args);
    if (thread < 0 || thread >= s->facts.n_kv_head) return refuse(s, KV_NOT_FOUND, "Unknown thread %.20s.", args);
    s->head = (int)thread * group_size(s);
    title(s, (int)thread, what, sizeof what);
    place(s, (int)thread, where, sizeof where);
    fprintf(s->out, "[Switching to thread %ld (%s)]\n#0  %s\n", thread, what, where);
    return CHANGED;
}

/* --- apply ---------------------------------------------------------------------------------------------------------- */

struct apply {
    int list[LIST_MOST], n;
    bool ascending;            /* all goes down from the last, as in GDB */
    bool quiet, go_on, silent; /* -q, -c, -s */
    const char *command;
};

/* "all" or numbers and ranges N-M at the beginning of *args. */
static enum kv_status read_list(struct session *s, const char **args, struct apply *a)
{
    const char *p = *args;
    int last = s->facts.n_kv_head - 1;
    if (!strncmp(p, "all", 3) && (!p[3] || p[3] == ' ')) {
        for (int t = last; t >= 0 && a->n < LIST_MOST; t--) a->list[a->n++] = t;
        *args = p + 3;
        return KV_OK;
    }
    while (*p >= '0' && *p <= '9') {
        char *end;
        long from = strtol(p, &end, 10), to = from;
        if (*end == '-' && end[1] >= '0' && end[1] <= '9') to = strtol(end + 1, &end, 10);
        if (*end && *end != ' ') return kv_fail(&s->err, KV_BAD_ARG, "Invalid thread ID: %.60s", p);
        if (to < from) return kv_fail(&s->err, KV_BAD_ARG, "inverted range");
        for (long t = from; t <= to && a->n < LIST_MOST; t++) {
            if (t > last) {
                fflush(s->out);
                fprintf(stderr, "warning: Unknown thread %ld\n", t);
                break;
            }
            a->list[a->n++] = (int)t;
        }
        p = end + strspn(end, " \t");
        if (!*p) break;
    }
    if (p == *args)
        return *p ? kv_fail(&s->err, KV_BAD_ARG, "Invalid thread ID: %.60s", p)
                  : kv_fail(&s->err, KV_BAD_ARG, "Please specify a thread ID list");
    *args = p;
    return KV_OK;
}

static void read_flags(const char **args, struct apply *a)
{
    for (const char *p = *args + strspn(*args, " \t");; p += strspn(p, " \t")) {
        size_t n = strcspn(p, " \t");
        *args = p;
        if (n == 2 && !strncmp(p, "-q", 2))
            a->quiet = true;
        else if (n == 2 && !strncmp(p, "-c", 2))
            a->go_on = true;
        else if (n == 2 && !strncmp(p, "-s", 2))
            a->silent = a->go_on = true;
        else if (n > 1 && !strncmp(p, "-ascending", n))
            a->ascending = true;
        else
            return;
        p += n;
    }
}

/* Runs the command with its output held back, so that -s can drop what failed. */
static struct reaction run_one(struct session *s, const struct apply *a, int thread)
{
    char what[96], *text = NULL;
    size_t size = 0;
    FILE *shown = s->out, *memory = open_memstream(&text, &size);
    if (!memory) return refuse(s, KV_NO_MEMORY, "No memory for the output of a command.");
    s->head = thread * group_size(s);
    title(s, thread, what, sizeof what);
    s->out = memory;
    struct reaction r = session_line(s, a->command);
    s->out = shown;
    fclose(memory);
    bool drop = a->silent && (r.status || !size);
    if (!drop && !a->quiet) fprintf(s->out, "\nThread %d (%s):\n", thread, what);
    if (!drop && text) fwrite(text, 1, size, s->out);
    if (r.status && a->go_on) {
        if (!a->silent) fprintf(s->out, "%s\n", s->err.text);
        s->err = (struct kv_error){ 0 };
        r = DONE;
    }
    free(text);
    return r;
}

struct reaction cmd_thread_apply(struct session *s, const char *args)
{
    struct apply a = { 0 };
    struct reaction r = DONE;
    int layer = s->layer, head = s->head;
    bool all = !strncmp(args, "all", 3);
    if (read_list(s, &args, &a)) return failed(s);
    read_flags(&args, &a);
    if (a.quiet && a.silent) return refuse(s, KV_BAD_ARG, "-q and -s are mutually exclusive");
    if (!*args)
        return refuse(s, KV_BAD_ARG,
            all ? "Please specify a command at the end of 'thread apply all'"
                : "Please specify a command following the thread ID list");
    char command[sizeof s->command];
    snprintf(command, sizeof command, "%s", args);
    a.command = command;
    for (int i = 0; i < a.n && !r.status && !s->leaving; i++) {
        s->layer = layer;
        r = run_one(s, &a, a.list[a.ascending && all ? a.n - 1 - i : i]);
    }
    s->layer = layer;
    s->head = head;
    s->repeat[0] = '\0';
    return r;
}
