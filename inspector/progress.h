/* A line on the terminal that says how far a long call is; nothing at all where stderr is no terminal. */
#ifndef KV_PROGRESS_H
#define KV_PROGRESS_H

/* A kv_progress_fn. */
void progress_show(void *ctx, const char *what, double done, double total);

/* Takes the line away before anything else is printed. */
void progress_clear(void);

#endif
