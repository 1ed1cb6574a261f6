/* info inferiors, inferior, clone-inferior, remove-inferiors. */
#include "inspector/lab/runs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/language/line.h"
#include "inspector/stop/location.h"
#include "inspector/picture/recipe.h"
#include "inspector/json/rows.h"
#include "inspector/run.h"
#include "inspector/time/time.h"

#define RUNS_MOST 256

/* What the session knows of a run that is not selected. */
struct run_note {
    int number;
    char *policy; /* as session->policy */
    char title[sizeof((struct session *)0)->policy_title];
    double kl_mean;
    struct run_note *next;
};

static struct run_note **find_note(struct session *s, int number)
{
    struct run_note **at = &s->runs;
    while (*at && (*at)->number != number) at = &(*at)->next;
    return at;
}

static void drop_note(struct session *s, int number)
{
    struct run_note **at = find_note(s, number), *note = *at;
    if (!note) return;
    *at = note->next;
    free(note->policy);
    free(note);
}

void runs_forget_notes(struct session *s)
{
    while (s->runs) drop_note(s, s->runs->number);
}

/* A note of the selected run, not in the list yet. */
static struct run_note *take_note(struct session *s)
{
    struct run_note *note = kv_alloc(1, sizeof *note);
    if (!note) {
        kv_fail(&s->err, KV_NO_MEMORY, "No memory for another run.");
        return NULL;
    }
    *note = (struct run_note){
        .number = kv_run_selected(s->engine), .policy = kv_strdup(s->policy), .kl_mean = s->kl_mean
    };
    memcpy(note->title, s->policy_title, sizeof note->title);
    return note;
}

static void put_by(struct session *s, struct run_note *note)
{
    drop_note(s, note->number);
    note->next = s->runs;
    s->runs = note;
}

enum kv_status runs_fork(struct session *s, int *number)
{
    struct run_note *note = take_note(s);
    if (!note) return s->err.code;
    enum kv_status st = kv_run_fork(s->engine, number, &s->err);
    if (st) {
        free(note->policy);
        free(note);
        return st;
    }
    put_by(s, note);
    drop_note(s, *number); /* of a run that had the number before */
    s->kl_mean = NAN;
    time_arrived(s);
    return KV_OK;
}

enum kv_status runs_select(struct session *s, int number)
{
    if (number == kv_run_selected(s->engine)) return KV_OK;
    struct run_note *note = take_note(s);
    if (!note) return s->err.code;
    enum kv_status st = kv_run_select(s->engine, number, &s->err);
    if (st) {
        free(note->policy);
        free(note);
        return st;
    }
    put_by(s, note);
    struct run_note *back = *find_note(s, number);
    free(s->policy);
    s->policy = back ? back->policy : NULL;
    s->policy_title[0] = '\0';
    if (back) memcpy(s->policy_title, back->title, sizeof s->policy_title);
    time_arrived(s);
    s->kl_mean = back ? back->kl_mean : NAN;
    if (back) back->policy = NULL;
    drop_note(s, number);
    return KV_OK;
}

enum kv_status runs_drop(struct session *s, int number)
{
    enum kv_status st = kv_run_drop(s->engine, number, &s->err);
    if (!st) drop_note(s, number);
    return st;
}

enum kv_status runs_read(struct session *s, const char *word, int *number)
{
    long long n;
    int have[RUNS_MOST], count = kv_runs(s->engine, have, RUNS_MOST);
    if (!strcmp(word, "full")) return *number = KV_RUN_FULL, KV_OK;
    enum kv_status st = line_integer(word, 1, 1000000, "a run", &n, &s->err);
    *number = (int)n;
    if (st || n == KV_RUN_FULL) return st;
    for (int i = 0; i < count && i < RUNS_MOST; i++)
        if (have[i] == n) return KV_OK;
    return kv_fail(&s->err, KV_NOT_FOUND, "No run number %lld.", n);
}

char *runs_name(int number, char *text, size_t size)
{
    if (number == KV_RUN_FULL)
        snprintf(text, size, "the full cache");
    else
        snprintf(text, size, "run %d", number);
    return text;
}

/* --- commands ---------------------------------------------------------------------------------------------------- */

static void run_row(struct session *s, int number)
{
    struct kv_run_facts f;
    char where[64], bytes[32];
    if (kv_run_look(s->engine, number, &f, &s->err)) return;
    bool here = number == kv_run_selected(s->engine);
    location_where(&f.where, where, sizeof where);
    rows_new(s);
    rows_number(s, "Num", number);
    rows_text(s, "What", where);
    rows_number(s, "Tick", (double)f.where.tick);
    rows_number(s, "Branch", f.where.branch);
    rows_number(s, "Bytes", f.compressed ? (double)f.active : NAN);
    rows_number(s, "Reply", f.n_reply);
    rows_text(s, "Policy", f.policy);
    rows_flag(s, "here", here);
    fprintf(s->out, "%c %-4d %-24s %8llu %6d %12s %6d  %s\n", here ? '*' : ' ', number, where,
        (unsigned long long)f.where.tick, f.where.branch, f.compressed ? line_thousands(f.active, bytes) : "-",
        f.n_reply, f.policy);
}

struct reaction cmd_info_inferiors(struct session *s, const char *args)
{
    int have[RUNS_MOST], n = kv_runs(s->engine, have, RUNS_MOST);
    struct kv_memory memory;
    char bytes[32];
    (void)args;
    kv_memory(s->engine, &memory);
    fprintf(
        s->out, "  %-4s %-24s %8s %6s %12s %6s  %s\n", "Num", "What", "Tick", "Branch", "Bytes", "Reply", "Policy");
    for (int i = 0; i < n && i < RUNS_MOST; i++) {
        run_row(s, have[i]);
        if (have[i] != 1) continue;
        rows_new(s);
        rows_number(s, "Num", KV_RUN_FULL);
        rows_text(s, "What", "the full cache");
        rows_number(s, "Bytes", (double)memory.resident);
        rows_flag(s, "here", false);
        fprintf(s->out, "  %-4d %-24s %8s %6s %12s %6s  %s\n", KV_RUN_FULL, "its twin", "", "",
            line_thousands(memory.resident, bytes), "", "the full cache");
    }
    return DONE;
}

static struct reaction show_switch(struct session *s, const char *word, int number)
{
    struct kv_where w;
    char why[64];
    kv_where(s->engine, &w);
    stops_moved(s);
    snprintf(s->stop_reason, sizeof s->stop_reason, "inferior");
    snprintf(why, sizeof why, "[%s run %d]\n", word, number);
    run_show_stop(s, why, &w);
    return STEPPED;
}

struct reaction cmd_inferior(struct session *s, const char *args)
{
    int number, selected = kv_run_selected(s->engine);
    struct kv_run_facts f;
    char where[64];
    if (!*args) {
        if (kv_run_look(s->engine, selected, &f, &s->err)) return failed(s);
        location_where(&f.where, where, sizeof where);
        rows_fact(s, "run", selected);
        fprintf(s->out, "[Current run is %d: %s, policy %s]\n", selected, where, f.policy);
        return DONE;
    }
    if (runs_read(s, args, &number)) return failed(s);
    run_end_line(s);
    if (runs_select(s, number)) return failed(s);
    return show_switch(s, "Switching to", number);
}

struct reaction cmd_clone_inferior(struct session *s, const char *args)
{
    int number, base = kv_run_selected(s->engine);
    if (*args) return refuse(s, KV_BAD_ARG, "clone-inferior clones the selected run, and takes no argument.");
    struct run_note *note = take_note(s);
    if (!note) return failed(s);
    run_end_line(s);
    enum kv_status st = kv_run_clone(s->engine, &number, &s->err);
    if (kv_run_selected(s->engine) == base) {
        free(note->policy);
        free(note);
        return failed(s);
    }
    put_by(s, note);
    drop_note(s, number);
    time_arrived(s);
    if (st == KV_STOPPED) return run_interrupted(s);
    fprintf(s->out, "Run %d is a clone of run %d.\n", number, base);
    return show_switch(s, "Switching to", number);
}

struct reaction cmd_remove_inferiors(struct session *s, const char *args)
{
    struct line_words words;
    int number;
    if (line_split(args, &words, &s->err)) return failed(s);
    if (!words.count) return refuse(s, KV_BAD_ARG, "Argument required (numbers of runs).");
    for (int i = 0; i < words.count; i++)
        if (runs_read(s, words.word[i], &number) || runs_drop(s, number)) return failed(s);
    return CHANGED;
}
