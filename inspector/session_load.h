/* How a session gets its model and its prompt. */
#ifndef KV_SESSION_LOAD_H
#define KV_SESSION_LOAD_H

#include "inspector/session.h"

/* Opens model, engine and prompt as the options say; *exit gets the status to leave with on failure. */
enum kv_status session_open(struct session *s, const struct options *options, int *exit);
/* Everything as session_open left it, but for the model, which is not read again. */
enum kv_status session_again(struct session *s, int *exit);

/* Opens a model in place of the one there, which stays on failure. */
enum kv_status session_model(struct session *s, const char *path);
/* Puts a model and its engine in place of those there, without prompt and focus; they are the session's now. */
void session_take(struct session *s, struct kv_model *model, struct kv_engine *engine);
/* Replaces the prompt (text is copied; name is shown) and the question (NULL = none); the old request stays on failure. */
enum kv_status session_prompt(
    struct session *s, const char *name, const char *text, size_t bytes, const char *question);
/* The same as token ids, without the chat template: "1, 2, 3" (brackets may stand around it), or the name of a file that
 * holds such a list. They take no question. */
enum kv_status session_prompt_ids(struct session *s, const char *list);
/* How the prompt was read: "ids"; "on" or "off": a text, with the chat template or without. */
const char *session_read_as(const struct session *s);
/* Another question about the prompt that is there; NULL = none. */
enum kv_status session_ask_again(struct session *s, const char *question);
/* The same from a file; KV_IO, KV_BAD_FILE for what is no text. */
enum kv_status session_prompt_file(struct session *s, const char *path);
/* The file's bytes (the caller frees them), with the same errors. */
enum kv_status session_read_text(struct session *s, const char *path, char **out, size_t *bytes);

#endif
