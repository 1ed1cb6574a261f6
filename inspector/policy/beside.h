/* A second engine beside the session's, on the same model: the same tokens over the full cache, or compressed by another
 * policy. It holds its own keys and values, as many bytes as the session's again. */
#ifndef KV_BESIDE_H
#define KV_BESIDE_H

#include "inspector/session.h"

/* One without a prompt, with the session's engine.* settings; engine.snapshot is on. */
enum kv_status beside_open(struct session *s, struct kv_engine **out);
/* The session's settings of one room ("policy.") to another engine. */
enum kv_status beside_settings(struct session *s, struct kv_engine *to, const char *room);

/* The prompt, the question and the reply so far, all read by a prefill that keeps everything. The caller closes it. */
enum kv_status beside_full(struct session *s, struct kv_engine **out);

/* The prompt, compressed by a preset with the session's total; full keeps everything. */
enum kv_status beside_policy(struct session *s, const char *preset, struct kv_engine **out);

#endif
