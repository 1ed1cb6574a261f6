/* The engine's thread: commands are run one after the other while the screen goes on drawing.
 *
 * Whoever draws may read the session only while worker_idle(). Output of commands, questions and progress come through
 * here; a byte on worker->wake says that something is new. A worker without a thread (tests) runs a command within
 * worker_submit. */
#ifndef KV_TUI_WORKER_H
#define KV_TUI_WORKER_H

#include <pthread.h>

#include "inspector/session.h"

#define WORKER_QUEUE 16

struct worker {
    struct session *s;
    bool threaded;
    int wake[2];   /* pipe: [0] is read by the screen's loop */
    int errors[2]; /* what anybody writes to stderr, and to stdout beside a terminal's screen, comes out of [0] */
    int saved[3];  /* stdin, stdout and stderr as they were; -1 = not touched */

    pthread_t thread;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t more;
    char *queue[WORKER_QUEUE];
    int queued;
    void (*call)(void *ctx, struct session *s); /* to be run; NULL = none */
    void *call_ctx;
    bool busy, quit;
    uint64_t done; /* commands finished */

    char *log; /* output since the last worker_take_log */
    size_t log_bytes, log_cap;

    char progress[96];
    double progress_done, progress_total;

    char *question; /* a question waits for worker_answer */
    int answer;     /* -1 = none yet */
};

enum kv_status worker_open(struct worker *w, struct session *s, bool threaded, struct kv_error *err);
/* Interrupts what runs, waits for it and gives the session its output back. */
void worker_close(struct worker *w);

/* Queues a line; "" repeats the last command. False when the queue is full. */
bool worker_submit(struct worker *w, const char *line);
/* Runs a function where commands run, when they are done; one at a time, false when something runs already. */
bool worker_call(struct worker *w, void (*fn)(void *ctx, struct session *s), void *ctx);
bool worker_idle(struct worker *w);
uint64_t worker_done(struct worker *w); /* commands finished so far */
/* Ctrl-C: the running command stops at the next stage boundary; queued ones are dropped. */
void worker_interrupt(struct worker *w);

/* What was printed since the last call, to be freed; NULL = nothing. */
char *worker_take_log(struct worker *w);
/* Adds to the log from outside a command. */
void worker_log(struct worker *w, const char *text, size_t n);
/* Takes what was written to stderr into the log, so that nothing tears the screen. */
void worker_take_errors(struct worker *w);

/* Copies what is being done; false when nothing is. */
bool worker_progress(struct worker *w, char *what, size_t size, double *done, double *total);

/* The question that a command asks, copied; false = none. */
bool worker_question(struct worker *w, char *text, size_t size);
void worker_answer(struct worker *w, bool yes);

#endif
