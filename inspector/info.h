/* The tables of `info`. */
#ifndef KV_INFO_H
#define KV_INFO_H

#include "inspector/session.h"

struct reaction cmd_info_model(struct session *s, const char *args);
struct reaction cmd_info_backend(struct session *s, const char *args);
struct reaction cmd_maint_time(struct session *s, const char *args);
struct reaction cmd_info_engine(struct session *s, const char *args);
struct reaction cmd_info_mem(struct session *s, const char *args);
struct reaction cmd_info_kv(struct session *s, const char *args);
struct reaction cmd_info_layers(struct session *s, const char *args);
struct reaction cmd_info_heads(struct session *s, const char *args);
struct reaction cmd_info_budget(struct session *s, const char *args);
struct reaction cmd_info_kept(struct session *s, const char *args);
struct reaction cmd_info_tokens(struct session *s, const char *args);
struct reaction cmd_info_reply(struct session *s, const char *args);
struct reaction cmd_info_program(struct session *s, const char *args);

/* Bytes that K and V of `tokens` tokens of one layer take by the formula 2 * kv heads * head dim * bytes of an element;
 * `element` (size bytes) gets the element's name. */
double info_kv_bytes(struct session *s, double tokens, char *element, size_t size);

/* A copy of a value as doubles, [count]; NULL with the sentence in s->err. The caller frees it; *a keeps the shape. */
double *info_copy(struct session *s, const char *name, struct kv_array *a);

/* "[layer N]" at the beginning of args: the layer, or -1 for none. */
enum kv_status info_layer(struct session *s, const char *args, int *layer);

#endif
