/* Several runs of one prefill: listing them, switching between them, forgetting them. They are GDB's inferiors. */
#ifndef KV_LAB_RUNS_H
#define KV_LAB_RUNS_H

#include "engine/runs.h"
#include "inspector/session.h"

struct reaction cmd_info_inferiors(struct session *s, const char *args);
struct reaction cmd_inferior(struct session *s, const char *args);
struct reaction cmd_clone_inferior(struct session *s, const char *args);
struct reaction cmd_remove_inferiors(struct session *s, const char *args);

/* Forks the selected run, or selects another: what the session knows of the one that is left (its policy, its last diff,
 * how much of its reply is printed) is put by, and what it knew of the other comes back. */
enum kv_status runs_fork(struct session *s, int *number);
enum kv_status runs_select(struct session *s, int number);
/* Forgets a run that is not selected. */
enum kv_status runs_drop(struct session *s, int number);
/* All that was put by; at the session's end. */
void runs_forget_notes(struct session *s);

/* A run's number as commands take it: "3", "run 3" is the caller's to split; "full" is 2. */
enum kv_status runs_read(struct session *s, const char *word, int *number);
/* "run 3", or "the full cache". Returns text. */
char *runs_name(int number, char *text, size_t size);

#endif
