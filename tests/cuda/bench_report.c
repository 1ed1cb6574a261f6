/* What the benchmark says: rows go from a part's process through a pipe to the one that prints TAP and writes JSON, so
 * that a part that faults or hangs takes nothing with it but itself. */
#include "tests/cuda/bench.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REACHED 46.6 /* percent of a decode step: what the seed paper reports */

enum message_kind { ROW, SAVING, OP, SKIP, NOTE, FAILURE, RATES };

/* One write of less than PIPE_BUF bytes: it arrives whole. */
struct message {
    enum message_kind kind;
    char name[BENCH_NAME], text[200], unit[16];
    double median, least, most;
    int samples;
    struct bench_want want;
    struct bench_saving saving;
    double copy, matmul;
    size_t cache, memory;
    char device[96];
};

_Static_assert(sizeof(struct message) <= 4096, "a write to a pipe is whole up to here");

static int to = -1; /* the pipe, in a part */
static FILE *json;
static int number, missed, broken;

/* ---- a part's side ---- */

void report_part(int fd) { to = fd; }

static void send(const struct message *m)
{
    if (write(to, m, sizeof *m) != (ssize_t)sizeof *m) _exit(2);
}

void bench_must(enum kv_status status)
{
    struct message m = { .kind = FAILURE };
    if (!status) return;
    if (bench.serve) {
        printf("error %s\n", bench.err.text);
        exit(1);
    }
    snprintf(m.text, sizeof m.text, "%.190s", bench.err.text);
    send(&m);
    _exit(1);
}

#define FORMAT(to, from)                                                                                           \
    do {                                                                                                           \
        va_list args;                                                                                              \
        va_start(args, from);                                                                                      \
        vsnprintf(to, sizeof to, from, args);                                                                      \
        va_end(args);                                                                                              \
    } while (0)

void bench_row(const char *unit, const struct samples *s, struct bench_want want, const char *name, ...)
{
    struct message m = { .kind = ROW, .want = want, .samples = s->n };
    if (!s->n) return;
    FORMAT(m.name, name);
    snprintf(m.unit, sizeof m.unit, "%s", unit);
    m.median = bench_median(s), m.least = m.most = s->at[0];
    for (int i = 1; i < s->n; i++) m.least = fmin(m.least, s->at[i]), m.most = fmax(m.most, s->at[i]);
    send(&m);
}

void bench_skip(const char *why, const char *name, ...)
{
    struct message m = { .kind = SKIP };
    FORMAT(m.name, name);
    snprintf(m.text, sizeof m.text, "%s", why);
    send(&m);
}

void bench_note(const char *text, ...)
{
    struct message m = { .kind = NOTE };
    FORMAT(m.text, text);
    send(&m);
}

void bench_keep_rates(void)
{
    struct message m = {
        .kind = RATES, .copy = bench.copy, .matmul = bench.matmul, .cache = bench.cache, .memory = bench.memory
    };
    memcpy(m.device, bench.device, sizeof m.device);
    send(&m);
}

void bench_op_time(const char *of, const char *op, double us, double calls, double share)
{
    struct message m = { .kind = OP, .median = us, .least = calls, .most = share };
    snprintf(m.name, sizeof m.name, "%s", of);
    snprintf(m.text, sizeof m.text, "%s", op);
    send(&m);
}

void bench_save(const struct bench_saving *s)
{
    struct message m = { .kind = SAVING, .saving = *s };
    send(&m);
}

/* ---- the other side ---- */

static void json_number(const char *key, double x)
{
    if (json && isfinite(x)) fprintf(json, ", \"%s\": %.6g", key, x);
}

static void json_end(void)
{
    if (!json) return;
    fprintf(json, ", \"device\": \"%s\"}\n", bench.device);
    fflush(json);
}

static bool verdict(double x, enum bench_gate kind, double gate)
{
    return kind == BENCH_FREE || (kind == BENCH_AT_LEAST ? x >= gate : x <= gate);
}

static const char *outcome(bool good)
{
    missed += !good;
    return good || bench.smoke ? "" : "not ";
}

static void take_row(const struct message *m)
{
    const struct bench_want *w = &m->want;
    bool good = verdict(m->median, w->kind, w->gate);
    printf("%sok %d - %s: %.4g %s (%.4g..%.4g)", outcome(good), ++number, m->name, m->median, m->unit, m->least,
        m->most);
    if (w->kind) printf(", wanted %s %.4g", w->kind == BENCH_AT_LEAST ? ">=" : "<=", w->gate);
    if (w->aim != 0) printf(", aim %.4g", w->aim);
    if (w->floor != 0) printf(", floor %.4g", w->floor);
    printf("\n");
    if (!json) return;
    fprintf(json, "{\"row\": \"%s\", \"unit\": \"%s\"", m->name, m->unit);
    json_number("median", m->median), json_number("min", m->least), json_number("max", m->most);
    if (w->kind) {
        fprintf(json, ", \"sense\": \"%s\"", w->kind == BENCH_AT_LEAST ? ">=" : "<=");
        json_number("gate", w->gate);
        fprintf(json, ", \"passed\": %s", good ? "true" : "false");
    }
    if (w->aim != 0) json_number("aim", w->aim);
    if (w->floor != 0) json_number("floor", w->floor);
    json_number("samples", m->samples);
    json_end();
}

/* A share that the floor does not allow is not asked for. */
static void take_saving(const struct bench_saving *s)
{
    double share = s->median / s->whole * 100, gate = 0.9 * s->predicted;
    bool good = s->median >= gate;
    const char *mark = s->allowance < REACHED ? "" : share >= REACHED ? " *" : " !";
    printf("%sok %d - a step saves, %s, %d x %d, %d %% kept: %.3f of %.3f ms (%.3f..%.3f), %.1f %%%s, by bytes "
           "%.3f of "
           "%.3f, %.1f %%, wanted >= %.3f\n",
        outcome(good), ++number, s->model, s->batch, s->context, s->keep, s->median, s->whole, s->least, s->most,
        share, mark, s->predicted, s->floor, s->allowance, gate);
    if (!json) return;
    fprintf(json, "{\"saved\": \"%s\", \"batch\": %d, \"context\": %d, \"keep\": %d", s->model, s->batch,
        s->context, s->keep);
    json_number("whole_ms", s->whole), json_number("whole_floor_ms", s->floor);
    json_number("saved_ms", s->median), json_number("min", s->least), json_number("max", s->most);
    json_number("predicted_ms", s->predicted), json_number("share", share);
    json_number("predicted_share", s->allowance), json_number("gate", gate);
    fprintf(json, ", \"passed\": %s", good ? "true" : "false");
    if (s->allowance >= REACHED) fprintf(json, ", \"reached\": %s", share >= REACHED ? "true" : "false");
    json_end();
}

static void take_op(const struct message *m)
{
    printf("# %s: %s %.1f us in %.4g calls, %.1f %%\n", m->name, m->text, m->median, m->least, m->most);
    if (!json) return;
    fprintf(json, "{\"op\": \"%s\", \"of\": \"%s\"", m->text, m->name);
    json_number("us", m->median), json_number("calls", m->least), json_number("share", m->most);
    json_end();
}

void report_failure(const char *name, const char *why)
{
    broken++;
    printf("not ok %d - %s\n# %s\n", ++number, name, why);
    fflush(stdout);
    if (!json) return;
    fprintf(json, "{\"failed\": \"%s\", \"why\": \"", name);
    for (; *why; why++) fputc(*why == '"' || *why == '\\' || *why < ' ' ? '\'' : *why, json);
    fputc('"', json);
    json_end();
}

void report_skip(const char *name, const char *why)
{
    printf("ok %d - %s # SKIP %s\n", ++number, name, why);
    if (json) fprintf(json, "{\"skipped\": \"%s\", \"why\": \"%s\"", name, why), json_end();
}

static void take(const struct message *m, const char *part)
{
    switch (m->kind) {
    case ROW: take_row(m); break;
    case SAVING: take_saving(&m->saving); break;
    case OP: take_op(m); break;
    case NOTE: printf("# %s\n", m->text); break;
    case FAILURE: report_failure(part, m->text); break;
    case SKIP: report_skip(m->name, m->text); break;
    case RATES:
        bench.copy = m->copy, bench.matmul = m->matmul, bench.cache = m->cache, bench.memory = m->memory;
        memcpy(bench.device, m->device, sizeof bench.device);
        break;
    }
    fflush(stdout);
}

bool report_take(int fd, const char *part, double seconds)
{
    double end = kv_now_us() + seconds * 1e6;
    struct message m;
    for (;;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        double left = (end - kv_now_us()) * 1e-3;
        int n = left > 0 ? poll(&p, 1, (int)left + 1) : 0;
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        if (read(fd, &m, sizeof m) != (ssize_t)sizeof m) return true;
        take(&m, part);
    }
}

bool report_open(const char *path) { return !path || (json = fopen(path, "w")); }

bool report_close(void)
{
    printf("1..%d\n# %s: %d gates missed, %d parts broken, %.0f s%s\n", number, bench.device, missed, broken,
        bench.seconds - bench_left(), bench.smoke ? "; made-up shapes, the figures mean nothing" : "");
    if (json) fclose(json);
    return !broken && (!missed || bench.smoke);
}
