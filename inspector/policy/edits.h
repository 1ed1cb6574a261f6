/* The user's word against the policy's: set budget, kv pin, evict and unpin; and the log of every change of policy,
 * with undo and redo. */
#ifndef KV_EDITS_H
#define KV_EDITS_H

#include "engine/edit.h"
#include "inspector/session.h"

struct reaction cmd_set_budget(struct session *s, const char *args);
struct reaction cmd_kv_pin(struct session *s, const char *args);
struct reaction cmd_kv_evict(struct session *s, const char *args);
struct reaction cmd_kv_unpin(struct session *s, const char *args);
struct reaction cmd_policy_undo(struct session *s, const char *args);
struct reaction cmd_policy_redo(struct session *s, const char *args);
struct reaction cmd_info_edits(struct session *s, const char *args);

/* The policy before a command, so that what it changes is logged after it: settings, budgets, tokens, by whatever way.
 * Lines within (of a script, a user's command) log their own changes; what `with` has put back counts as undone. */
struct edits_watch {
    struct kv_policy_copy *before; /* NULL = not watched */
    unsigned prompts;
    int last; /* number of the latest edit */
    int run;  /* whose policy it is: another run's is no change of it */
};
struct edits_watch edits_before(struct session *s);
void edits_after(struct session *s, struct edits_watch *watch, const char *path, const char *args);

/* With another prompt or model, and at the session's end: the log belongs to the old one. */
void edits_forget(struct session *s);

/* The log as text, for a core file: a line an edit. NULL = none, or no memory. The caller frees it. */
char *edits_write(const struct session *s);
/* Takes such a text for the log; its edits can be looked at, not undone. */
void edits_read(struct session *s, const char *text);

#endif
