/* Words of a laboratory command: options that take a value, and what stands between them. */
#ifndef KV_LAB_OPTIONS_H
#define KV_LAB_OPTIONS_H

#include "inspector/language/line.h"
#include "inspector/lab/task.h"

#define LAB_LIST 32

struct lab_words {
    struct line_words words; /* what everything below points into */
    char *file[LINE_WORDS];
    int n_file;
    const char *out;        /* -o */
    const char *list;       /* -selectors: names between commas */
    const char *with;       /* -with: a selector */
    double share[LAB_LIST]; /* -shares: ascending, in (0, 1) */
    int n_share;
    int tokens;             /* -tokens; 0 = not said */
    int first, last;        /* -rows A:B of every file, B left out; last is in, -1 = all */
    double ratio[LAB_LIST]; /* -ratio */
    int n_ratio;
    double kl, top1, rouge; /* -kl, -top1, -rouge: bounds; NaN = none */
    int refine;             /* -refine: rounds; 0 = none */
    const char *png;        /* -png: a picture */
    bool force;             /* -f: overwrite */
    struct task_how how;    /* -question, -apart */
};

/* Options that a command does not take are refused: `takes` names those it does, blank-separated. */
enum kv_status lab_words(const char *args, const char *takes, struct lab_words *out, struct kv_error *err);
/* The i-th name of a list between commas; false behind the last. KV_PROFILE_WORD bytes. */
bool lab_name(const char *list, int i, char *out);
/* Tasks of all files: rows first..last of those that end in .jsonl, any other file as one prompt. */
enum kv_status lab_tasks(const struct lab_words *w, struct tasks *out, struct kv_error *err);

#endif
