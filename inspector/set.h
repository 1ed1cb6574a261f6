/* Changing and showing settings, prompt, model and focus. */
#ifndef KV_SET_H
#define KV_SET_H

#include "inspector/session.h"

struct reaction cmd_set(struct session *s, const char *args);
struct reaction cmd_set_policy(struct session *s, const char *args);
struct reaction cmd_set_confirm(struct session *s, const char *args);
struct reaction cmd_set_paging(struct session *s, const char *args);
struct reaction cmd_set_trace(struct session *s, const char *args);
struct reaction cmd_show_trace(struct session *s, const char *args);
struct reaction cmd_show(struct session *s, const char *args);
struct reaction cmd_show_confirm(struct session *s, const char *args);
struct reaction cmd_show_version(struct session *s, const char *args);
struct reaction cmd_info_settings(struct session *s, const char *args);
struct reaction cmd_prompt(struct session *s, const char *args);
struct reaction cmd_question(struct session *s, const char *args);
struct reaction cmd_file(struct session *s, const char *args);
struct reaction cmd_kv(struct session *s, const char *args);

/* Reads "on" or "off". */
enum kv_status set_switch(struct session *s, const char *args, bool *to);

/* The setting that a word names, exactly or by a unique prefix. KV_NOT_FOUND, KV_BAD_ARG. */
enum kv_status set_find(struct session *s, const char *word, const char **name);

#define KVDBG_VERSION "0.1"

#endif
