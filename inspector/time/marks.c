/* checkpoint, restart, back, forward, and what the record takes. */
#include "inspector/time/marks.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/history.h"
#include "inspector/language/line.h"
#include "inspector/json/rows.h"
#include "inspector/run.h"
#include "inspector/time/time.h"

#define RECORD_BYTES ((size_t)256 << 20) /* the engine's own default */
#define PAGES        64                  /* stops that back can walk */
#define PAGE_BYTES   ((size_t)8 << 20)   /* that they may take; then the oldest go */
#define NAME_BYTES   40

/* A boundary with what the session knew of it. */
struct place {
    struct kv_mark *mark;
    struct kv_where where; /* its branch is the latest in which the request stood there */
    unsigned prompts;      /* as session->prompts: which prompt's it is */
    char *policy;          /* as session->policy */
    char title[sizeof((struct session *)0)->policy_title];
};

struct checkpoint {
    int number;
    char name[NAME_BYTES + 1]; /* "" = none */
    struct place place;
};

struct marks {
    struct checkpoint *list;
    int count, last_number;
    struct place page[PAGES];
    int n_page, at;  /* the request last stopped at page[at] */
    bool turning;    /* back or forward is moving it */
    size_t limit;    /* of column sums and checkpoints together */
    size_t sums_cap; /* what the engine was last told of it */
};

static struct marks *marks_of(struct session *s)
{
    if (s->marks) return s->marks;
    s->marks = kv_alloc(1, sizeof *s->marks);
    if (s->marks) s->marks->limit = RECORD_BYTES;
    return s->marks;
}

/* --- places ------------------------------------------------------------------------------------------------------------ */

static void place_free(struct place *p)
{
    kv_mark_free(p->mark);
    free(p->policy);
    *p = (struct place){ 0 };
}

static size_t place_bytes(const struct place *p)
{
    return p->mark ? kv_mark_bytes(p->mark) + (p->policy ? strlen(p->policy) + 1 : 0) : 0;
}

static enum kv_status place_take(struct session *s, struct place *out)
{
    struct place p = { .prompts = s->prompts, .policy = kv_strdup(s->policy) };
    enum kv_status st = kv_mark_take(s->engine, &p.mark, &s->err);
    if (!st && s->policy && !p.policy) st = kv_fail(&s->err, KV_NO_MEMORY, "No memory for a checkpoint.");
    if (st) {
        place_free(&p);
        return st;
    }
    kv_where(s->engine, &p.where);
    memcpy(p.title, s->policy_title, sizeof p.title);
    *out = p;
    return KV_OK;
}

/* The policy that the place's cache was compressed with is the session's again. */
static void recall_policy(struct session *s, const struct place *p)
{
    char *copy = kv_strdup(p->policy);
    free(s->policy);
    s->policy = copy;
    memcpy(s->policy_title, p->title, sizeof s->policy_title);
}

/* Goes there and shows the stop behind `why`; the reason is for expect-stop. */
static struct reaction place_go(struct session *s, struct place *p, const char *reason, const char *why)
{
    struct kv_where before, now;
    enum kv_status st;
    run_end_line(s);
    kv_where(s->engine, &before);
    do st = kv_mark_go(s->engine, p->mark, &s->err);
    while (st == KV_STOPPED && !session_interrupted());
    kv_where(s->engine, &now);
    if (!st || now.branch != before.branch) {
        recall_policy(s, p);
        s->kl_mean = NAN;
    }
    if (st && st != KV_STOPPED) return failed(s);
    time_arrived(s);
    stops_moved(s);
    if (st) return run_interrupted(s);
    p->where = now;
    p->prompts = s->prompts; /* it may have been set again since */
    snprintf(s->stop_reason, sizeof s->stop_reason, "%s", reason);
    run_show_stop(s, why, &now);
    return STEPPED;
}

static bool stands_at(struct session *s, const struct place *p)
{
    struct kv_where now;
    kv_where(s->engine, &now);
    return kv_started(s->engine) && p->prompts == s->prompts && now.tick == p->where.tick &&
           now.branch == p->where.branch;
}

/* --- checkpoints --------------------------------------------------------------------------------------------------------- */

static size_t checkpoint_bytes(const struct marks *m)
{
    size_t bytes = 0;
    for (int i = 0; m && i < m->count; i++) bytes += place_bytes(&m->list[i].place);
    return bytes;
}

/* What the checkpoints leave is for the engine's column sums. */
static void share(struct session *s)
{
    struct marks *m = s->marks;
    size_t cap = m->limit - kv_min(m->limit, checkpoint_bytes(m));
    if (cap != m->sums_cap) kv_history_limit(s->engine, cap);
    m->sums_cap = cap;
}

static bool good_name(struct session *s, const char *name)
{
    size_t n = strlen(name), ok = 0;
    while (isalnum((unsigned char)name[ok]) || (name[ok] && strchr("-_.", name[ok]))) ok++;
    if (ok == n && n <= NAME_BYTES && !isdigit((unsigned char)*name) && *name != '-') return true;
    kv_fail(&s->err, KV_BAD_ARG,
        "\"%.60s\" is no name for a checkpoint: a letter, then letters, digits, - _ ., at most %d.", name,
        NAME_BYTES);
    return false;
}

static struct checkpoint *named(struct session *s, const char *word)
{
    struct marks *m = s->marks;
    char *end;
    long n = strtol(word, &end, 10);
    for (int i = 0; m && i < m->count; i++)
        if (*end ? !strcmp(m->list[i].name, word) : m->list[i].number == n) return &m->list[i];
    return NULL;
}

struct reaction cmd_checkpoint(struct session *s, const char *args)
{
    struct marks *m = marks_of(s);
    char where[64], size[32], taken[32], limit[32];
    if (!m) return refuse(s, KV_NO_MEMORY, "No memory for a checkpoint.");
    if (*args && !good_name(s, args)) return failed(s);
    if (*args && named(s, args)) return refuse(s, KV_BAD_ARG, "There is a checkpoint \"%s\" already.", args);
    size_t bytes = kv_mark_size(s->engine) + (s->policy ? strlen(s->policy) + 1 : 0), have = checkpoint_bytes(m);
    line_thousands(bytes, size);
    line_thousands(have + bytes, taken);
    line_thousands(m->limit, limit);
    if (bytes > m->limit - kv_min(m->limit, have))
        return refuse(s, KV_NOT_NOW,
            "The checkpoint would take %s bytes, and all of them %s; %s are allowed (set record max-bytes).", size,
            taken, limit);
    struct checkpoint *list = realloc(m->list, ((size_t)m->count + 1) * sizeof *list);
    if (!list) return refuse(s, KV_NO_MEMORY, "No memory for a checkpoint.");
    m->list = list;
    struct checkpoint *c = &list[m->count];
    *c = (struct checkpoint){ .number = m->last_number + 1 };
    fprintf(s->out, "Checkpoint %d takes %s bytes.\n", c->number, size);
    if (place_take(s, &c->place)) return failed(s);
    snprintf(c->name, sizeof c->name, "%s", args);
    m->last_number = c->number;
    m->count++;
    share(s);
    location_where(&c->place.where, where, sizeof where);
    fprintf(s->out, "Checkpoint %d%s%s at %s, tick %llu, branch %d\n", c->number, *args ? " " : "", args, where,
        (unsigned long long)c->place.where.tick, c->place.where.branch);
    return CHANGED;
}

struct reaction cmd_info_checkpoints(struct session *s, const char *args)
{
    struct marks *m = s->marks;
    char where[64], bytes[32];
    (void)args;
    if (!m || !m->count) {
        fprintf(s->out, "No checkpoints.\n");
        return DONE;
    }
    fprintf(s->out, "  %3s %10s %6s %12s  %-24s %s\n", "Num", "Tick", "Branch", "Bytes", "What", "Name");
    for (int i = 0; i < m->count; i++) {
        const struct checkpoint *c = &m->list[i];
        struct kv_where w;
        kv_mark_where(c->place.mark, &w);
        location_where(&w, where, sizeof where);
        rows_new(s);
        rows_number(s, "Num", c->number);
        rows_number(s, "Tick", (double)w.tick);
        rows_number(s, "Branch", w.branch);
        rows_number(s, "Bytes", (double)place_bytes(&c->place));
        rows_text(s, "What", where);
        rows_text(s, "Name", c->name);
        rows_flag(s, "here", stands_at(s, &c->place));
        fprintf(s->out, "%c %3d %10llu %6d %12s  %-24s%s%s\n", stands_at(s, &c->place) ? '*' : ' ', c->number,
            (unsigned long long)w.tick, w.branch, line_thousands(place_bytes(&c->place), bytes), where,
            *c->name ? " " : "", c->name);
    }
    return DONE;
}

/* The checkpoint that args name; NULL with GDB's sentence. */
static struct checkpoint *wanted(struct session *s, const char *args, const char *to)
{
    struct checkpoint *c = *args ? named(s, args) : NULL;
    if (!*args)
        kv_fail(&s->err, KV_BAD_ARG, "Argument required (number or name of the checkpoint to %s).", to);
    else if (!c)
        kv_fail(
            &s->err, KV_NOT_FOUND, "No checkpoint %s%.60s.", isdigit((unsigned char)*args) ? "number " : "", args);
    return c;
}

struct reaction cmd_restart(struct session *s, const char *args)
{
    struct checkpoint *c = wanted(s, args, "restart");
    if (!c) return failed(s);
    char why[NAME_BYTES + 48];
    snprintf(why, sizeof why, "Switching to checkpoint %d%s%s\n", c->number, *c->name ? " " : "", c->name);
    return place_go(s, &c->place, "restart", why);
}

struct reaction cmd_delete_checkpoint(struct session *s, const char *args)
{
    struct marks *m = s->marks;
    struct checkpoint *c = wanted(s, args, "delete");
    if (!c) return failed(s);
    place_free(&c->place);
    memmove(c, c + 1, (size_t)(m->list + m->count - c - 1) * sizeof *c);
    m->count--;
    share(s);
    return CHANGED;
}

/* --- stops visited --------------------------------------------------------------------------------------------------- */

static void drop_pages(struct marks *m, int from, int to)
{
    for (int i = from; i < to; i++) place_free(&m->page[i]);
    memmove(m->page + from, m->page + to, (size_t)(m->n_page - to) * sizeof *m->page);
    m->n_page -= to - from;
    memset(m->page + m->n_page, 0, (size_t)(PAGES - m->n_page) * sizeof *m->page);
}

/* What short memory takes here is a page that back does not know. */
void marks_visit(struct session *s)
{
    struct marks *m = marks_of(s);
    if (!m || !kv_started(s->engine) || m->turning) return;
    if (m->n_page && m->page[m->at].prompts != s->prompts) drop_pages(m, 0, m->n_page);
    if (m->n_page && stands_at(s, &m->page[m->at])) return;
    struct kv_error sentence = s->err;
    if (m->n_page) drop_pages(m, m->at + 1, m->n_page);
    size_t bytes = kv_mark_size(s->engine);
    for (int i = 0; i < m->n_page; i++) bytes += place_bytes(&m->page[i]);
    while (m->n_page && (m->n_page == PAGES || bytes > PAGE_BYTES)) {
        bytes -= place_bytes(&m->page[0]);
        drop_pages(m, 0, 1);
    }
    if (bytes <= PAGE_BYTES && !place_take(s, &m->page[m->n_page])) m->n_page++;
    m->at = m->n_page ? m->n_page - 1 : 0;
    s->err = sentence;
}

static struct reaction turn(struct session *s, const char *args, int sign)
{
    struct marks *m = s->marks;
    long count;
    if (!run_count(s, args, &count)) return failed(s);
    long room = !m || !m->n_page ? 0 : sign < 0 ? m->at : m->n_page - 1 - m->at;
    if (!room) return refuse(s, KV_NOT_NOW, "There is no %s stop to go to.", sign < 0 ? "earlier" : "later");
    int to = m->at + sign * (int)kv_min(room, count);
    m->turning = true;
    struct reaction r = place_go(s, &m->page[to], sign < 0 ? "back" : "forward", "");
    bool same = s->marks == m && m->turning; /* a hook-stop may have opened another model */
    if (same) m->turning = false;
    if (same && !r.status) m->at = to;
    return r;
}

struct reaction cmd_back(struct session *s, const char *args) { return turn(s, args, -1); }
struct reaction cmd_forward(struct session *s, const char *args) { return turn(s, args, 1); }

/* --- what it takes ----------------------------------------------------------------------------------------------------- */

struct reaction cmd_info_record(struct session *s, const char *args)
{
    struct kv_history h;
    struct kv_where w;
    char where[64], sums[32], marks[32], limit[32];
    const struct marks *m = s->marks;
    (void)args;
    if (kv_history(s->engine, &h, &s->err)) {
        fprintf(s->out, "No recording is currently active.\n");
        return DONE;
    }
    kv_where(s->engine, &w);
    location_where(&w, where, sizeof where);
    rows_fact_text(s, "mode", h.current < h.highest ? "replay" : "record");
    rows_fact(s, "lowest", (double)h.lowest);
    rows_fact(s, "current", (double)h.current);
    rows_fact(s, "highest", (double)h.highest);
    rows_fact(s, "sums_bytes", (double)h.bytes);
    rows_fact(s, "checkpoint_bytes", (double)checkpoint_bytes(m));
    fprintf(s->out, "%s mode:\n", h.current < h.highest ? "Replay" : "Record");
    fprintf(s->out, "Lowest recorded tick is %llu.\n", (unsigned long long)h.lowest);
    fprintf(s->out, "Current tick is %llu (%s), in branch %d.\n", (unsigned long long)h.current, where, w.branch);
    fprintf(s->out, "Highest recorded tick is %llu.\n", (unsigned long long)h.highest);
    fprintf(s->out, "Kept: %s bytes of column sums and %s of checkpoints, of at most %s.\n",
        line_thousands(h.bytes, sums), line_thousands(checkpoint_bytes(m), marks),
        line_thousands(m ? m->limit : RECORD_BYTES, limit));
    if (m && m->n_page) fprintf(s->out, "Stops visited: %d; this is %d.\n", m->n_page, m->at + 1);
    return DONE;
}

/* 5000, 64K, 256M, 2G, unlimited. */
static bool read_bytes(const char *text, size_t *out)
{
    static const char units[] = "KMG";
    char *end;
    if (!strcmp(text, "unlimited")) return *out = SIZE_MAX, true;
    if (!isdigit((unsigned char)*text)) return false;
    unsigned long long n = strtoull(text, &end, 10);
    const char *unit = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
    int shift = unit ? 10 * (int)(unit - units + 1) : 0;
    if (end[unit != NULL] || n > (SIZE_MAX >> 1) >> shift) return false;
    *out = (size_t)n << shift;
    return true;
}

struct reaction cmd_set_record_bytes(struct session *s, const char *args)
{
    struct marks *m = marks_of(s);
    size_t limit, have = checkpoint_bytes(m);
    char text[32];
    if (!m) return refuse(s, KV_NO_MEMORY, "No memory for the record.");
    if (!*args) return refuse(s, KV_BAD_ARG, "Argument required (bytes: N, NK, NM, NG or unlimited).");
    if (!read_bytes(args, &limit))
        return refuse(s, KV_BAD_ARG, "\"%.40s\" is no number of bytes: N, NK, NM, NG or unlimited.", args);
    if (limit < have)
        return refuse(
            s, KV_NOT_NOW, "The checkpoints take %s bytes; delete some first.", line_thousands(have, text));
    m->limit = limit;
    share(s);
    return CHANGED;
}

struct reaction cmd_show_record_bytes(struct session *s, const char *args)
{
    char text[32];
    size_t limit = s->marks ? s->marks->limit : RECORD_BYTES;
    (void)args;
    fprintf(s->out, "The most bytes that column sums and checkpoints may take is %s.\n",
        limit == SIZE_MAX ? "unlimited" : line_thousands(limit, text));
    return DONE;
}

void marks_forget(struct session *s)
{
    struct marks *m = s->marks;
    if (!m) return;
    for (int i = 0; i < m->count; i++) place_free(&m->list[i].place);
    drop_pages(m, 0, m->n_page);
    free(m->list);
    free(m);
    s->marks = NULL;
}
