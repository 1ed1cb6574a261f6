/* Running commands beside the screen. */
#include "inspector/tui/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG_LIMIT ((size_t)4 << 20) /* of output that nobody has taken yet; older bytes go */

static void wake(struct worker *w)
{
    if (w->threaded && write(w->wake[1], "!", 1) < 0 && errno != EAGAIN) return;
}

void worker_log(struct worker *w, const char *text, size_t n)
{
    pthread_mutex_lock(&w->lock);
    if (w->log_bytes + n > LOG_LIMIT) w->log_bytes = 0;
    if (n > LOG_LIMIT) text += n - LOG_LIMIT, n = LOG_LIMIT;
    if (w->log_bytes + n + 1 > w->log_cap) {
        size_t cap = (w->log_bytes + n + 1) * 2;
        char *grown = realloc(w->log, cap);
        if (grown) w->log = grown, w->log_cap = cap;
    }
    if (w->log_bytes + n + 1 <= w->log_cap) {
        memcpy(w->log + w->log_bytes, text, n);
        w->log_bytes += n;
    }
    pthread_mutex_unlock(&w->lock);
    wake(w);
}

char *worker_take_log(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    char *text = w->log_bytes ? w->log : NULL;
    if (text) {
        text[w->log_bytes] = '\0';
        w->log = NULL;
        w->log_bytes = w->log_cap = 0;
    }
    pthread_mutex_unlock(&w->lock);
    return text;
}

void worker_take_errors(struct worker *w)
{
    char bytes[4096];
    for (ssize_t n; (n = read(w->errors[0], bytes, sizeof bytes)) > 0;) worker_log(w, bytes, (size_t)n);
}

static ssize_t write_out(void *cookie, const char *bytes, size_t n)
{
    worker_log(cookie, bytes, n);
    return (ssize_t)n;
}

static void on_progress(void *ctx, const char *what, double done, double total)
{
    struct worker *w = ctx;
    pthread_mutex_lock(&w->lock);
    snprintf(w->progress, sizeof w->progress, "%s", what);
    w->progress_done = done;
    w->progress_total = total;
    pthread_mutex_unlock(&w->lock);
    wake(w);
}

bool worker_progress(struct worker *w, char *what, size_t size, double *done, double *total)
{
    pthread_mutex_lock(&w->lock);
    bool is = w->busy && w->progress[0];
    snprintf(what, size, "%s", w->progress);
    *done = w->progress_done;
    *total = w->progress_total;
    pthread_mutex_unlock(&w->lock);
    return is;
}

/* --- questions --------------------------------------------------------------------------------------------------- */

static bool ask(void *ctx, const char *text)
{
    struct worker *w = ctx;
    if (!w->threaded) return true;
    pthread_mutex_lock(&w->lock);
    free(w->question);
    w->question = kv_strdup(text);
    w->answer = w->question && !w->quit ? -1 : 1;
    pthread_mutex_unlock(&w->lock);
    wake(w);
    pthread_mutex_lock(&w->lock);
    while (w->answer < 0) pthread_cond_wait(&w->more, &w->lock);
    bool yes = w->answer == 1;
    free(w->question);
    w->question = NULL;
    pthread_mutex_unlock(&w->lock);
    return yes;
}

bool worker_question(struct worker *w, char *text, size_t size)
{
    pthread_mutex_lock(&w->lock);
    bool is = w->question && w->answer < 0;
    if (is) snprintf(text, size, "%s", w->question);
    pthread_mutex_unlock(&w->lock);
    return is;
}

void worker_answer(struct worker *w, bool yes)
{
    pthread_mutex_lock(&w->lock);
    w->answer = yes;
    pthread_cond_broadcast(&w->more);
    pthread_mutex_unlock(&w->lock);
}

/* --- running ----------------------------------------------------------------------------------------------------- */

static void run_one(struct worker *w, const char *line)
{
    struct session *s = w->s;
    char text[sizeof s->repeat];
    snprintf(text, sizeof text, "%s", line);
    if (!line[strspn(line, " \t")]) memcpy(text, s->repeat, sizeof text);
    if (*text) session_do(s, text);
    fflush(s->out);
    fflush(stderr);
    if (!w->threaded) worker_take_errors(w);
}

/* Work was done without the lock, which is taken again. */
static void finished(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    w->busy = w->queued > 0 || w->call;
    w->progress[0] = '\0';
    w->done++;
    pthread_mutex_unlock(&w->lock);
    wake(w);
    pthread_mutex_lock(&w->lock);
}

/* The lock is held around it, not in it. */
static void run_call(struct worker *w)
{
    void (*fn)(void *ctx, struct session *s) = w->call;
    void *ctx = w->call_ctx;
    w->call = NULL;
    pthread_mutex_unlock(&w->lock);
    fn(ctx, w->s);
    finished(w);
}

bool worker_call(struct worker *w, void (*fn)(void *ctx, struct session *s), void *ctx)
{
    if (!w->threaded) {
        fn(ctx, w->s);
        w->done++;
        return true;
    }
    pthread_mutex_lock(&w->lock);
    bool taken = !w->call;
    if (taken) {
        w->call = fn;
        w->call_ctx = ctx;
        w->busy = true;
        pthread_cond_broadcast(&w->more);
    }
    pthread_mutex_unlock(&w->lock);
    return taken;
}

/* The same. */
static void run_queued(struct worker *w)
{
    char *line = w->queue[0];
    memmove(w->queue, w->queue + 1, (size_t)--w->queued * sizeof *w->queue);
    pthread_mutex_unlock(&w->lock);
    run_one(w, line);
    free(line);
    finished(w);
}

static void *thread_main(void *ctx)
{
    struct worker *w = ctx;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (!w->queued && !w->call && !w->quit) pthread_cond_wait(&w->more, &w->lock);
        if (w->quit) break;
        if (w->queued)
            run_queued(w);
        else
            run_call(w);
    }
    w->busy = false;
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

bool worker_submit(struct worker *w, const char *line)
{
    if (!w->threaded) {
        run_one(w, line);
        w->done++;
        return true;
    }
    pthread_mutex_lock(&w->lock);
    char *copy = w->queued < WORKER_QUEUE ? kv_strdup(line) : NULL;
    if (copy) {
        w->queue[w->queued++] = copy;
        w->busy = true;
        pthread_cond_broadcast(&w->more);
    }
    pthread_mutex_unlock(&w->lock);
    return copy != NULL;
}

bool worker_idle(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    bool idle = !w->busy;
    pthread_mutex_unlock(&w->lock);
    return idle;
}

uint64_t worker_done(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    uint64_t done = w->done;
    pthread_mutex_unlock(&w->lock);
    return done;
}

static void drop_queue(struct worker *w)
{
    while (w->queued) free(w->queue[--w->queued]);
}

void worker_interrupt(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    drop_queue(w);
    if (w->question && w->answer < 0) w->answer = 0;
    pthread_cond_broadcast(&w->more);
    bool busy = w->busy;
    pthread_mutex_unlock(&w->lock);
    if (busy) session_interrupt();
}

/* --- opening ----------------------------------------------------------------------------------------------------- */

/* Programs that commands start would write over the screen and read its keys. */
static void take_files(struct worker *w)
{
    fflush(stdout);
    fflush(stderr);
    for (int fd = w->threaded ? 0 : 2; fd < 3; fd++) {
        int to = fd ? w->errors[1] : open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (to < 0) continue;
        w->saved[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        dup2(to, fd);
        if (!fd) close(to);
    }
    /* Whoever writes may wait where there is a thread that reads. */
    if (w->threaded) fcntl(w->errors[1], F_SETFL, fcntl(w->errors[1], F_GETFL) & ~O_NONBLOCK);
}

/* Signals are for the thread that has the terminal, but for a crash, which comes where it happens. */
static bool start_thread(struct worker *w)
{
    static const int crashes[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
    sigset_t blocked, before;
    sigfillset(&blocked);
    for (size_t i = 0; i < KV_COUNT(crashes); i++) sigdelset(&blocked, crashes[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    bool started = !pthread_create(&w->thread, NULL, thread_main, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

enum kv_status worker_open(struct worker *w, struct session *s, bool threaded, struct kv_error *err)
{
    *w = (struct worker){ .s = s, .threaded = threaded, .answer = -1, .saved = { -1, -1, -1 } };
    if (pipe2(w->wake, O_CLOEXEC | O_NONBLOCK) || pipe2(w->errors, O_CLOEXEC | O_NONBLOCK))
        return kv_fail(err, KV_IO, "No pipe: %s.", strerror(errno));
    take_files(w);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->more, NULL);
    FILE *out = fopencookie(w, "w", (cookie_io_functions_t){ .write = write_out });
    if (!out) return kv_fail(err, KV_NO_MEMORY, "No memory for the output.");
    setvbuf(out, NULL, _IOLBF, 0);
    fflush(s->out);
    s->out = out;
    s->ask = ask;
    s->ask_ctx = w;
    s->progress = on_progress;
    if (threaded && !start_thread(w))
        w->threaded = false; /* commands run in between; nothing is lost but smoothness */
    return KV_OK;
}

void worker_close(struct worker *w)
{
    if (w->threaded) {
        worker_interrupt(w);
        pthread_mutex_lock(&w->lock);
        w->quit = true;
        pthread_cond_broadcast(&w->more);
        pthread_mutex_unlock(&w->lock);
        pthread_join(w->thread, NULL);
    }
    drop_queue(w);
    w->s->ask = NULL;
    w->s->progress = NULL;
    if (w->s->out != stdout) fclose(w->s->out);
    w->s->out = stdout;
    fflush(stderr);
    fflush(stdout);
    for (int fd = 0; fd < 3; fd++) {
        if (w->saved[fd] < 0) continue;
        dup2(w->saved[fd], fd);
        close(w->saved[fd]);
    }
    close(w->errors[0]);
    close(w->errors[1]);
    free(w->log);
    free(w->question);
    close(w->wake[0]);
    close(w->wake[1]);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->more);
}
