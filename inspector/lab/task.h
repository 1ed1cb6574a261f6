/* Rows of data as tasks: a context, a question about it, and what a good reply says.
 *
 * A row is a JSON object. `document` (or `context`) is the context and `question` what is asked about it; a document
 * without a question is to be summarized. A row with `prompt` has it all in one text. `reference` (a text or a list)
 * is for ROUGE, `answers` for whether they are found in the reply; `id` and `kind` name the row and what it is like
 * ("news"), else the file and its line do. */
#ifndef KV_LAB_TASK_H
#define KV_LAB_TASK_H

#include "inspector/session.h"

struct task_texts {
    char **text; /* [n] */
    int n;
};

struct task {
    char id[80], kind[80];
    char *context, *question; /* question NULL: the context is the whole prompt */
    struct task_texts reference, answer;
    int line;     /* in the file, from 1 on */
    char sha[65]; /* SHA-256 of context, a NUL, and question, in hexadecimal */
};

struct tasks {
    struct task *task; /* [count] */
    size_t count;
};

struct task_how {
    const char *question; /* asked about documents that bring none; NULL = TASK_SUMMARIZE */
    bool apart; /* the last paragraph of a `prompt` is its question: a cache can be compressed before it is known */
};

#define TASK_SUMMARIZE "Write a summary of the text above in one paragraph."

/* Adds all rows of a file. KV_IO, KV_BAD_FILE with file and line for a row that is no task, KV_NO_MEMORY. */
enum kv_status tasks_read(struct tasks *tasks, const char *path, const struct task_how *how, struct kv_error *err);
void tasks_free(struct tasks *tasks);

/* Puts the task's prompt before an engine, in the model's chat template unless the command line says otherwise. With a
 * question, policy.query-aware is on unless `apart`. */
enum kv_status task_prompt(
    struct session *s, struct kv_engine *e, const struct task *task, const struct task_how *how);

/* Share of the answers that the reply has in it, letters' case aside (1 = all); whether the reply is one of them, but for
 * case, white space and punctuation around. NaN, false without answers. */
double task_found(const struct task *task, const char *reply);
bool task_exact(const struct task *task, const char *reply);

#endif
