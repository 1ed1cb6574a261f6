/* sensitivity: measures what every layer's tokens are worth, into a profile. */
#ifndef KV_LAB_SENSITIVITY_H
#define KV_LAB_SENSITIVITY_H

#include "engine/profile.h"
#include "inspector/session.h"

struct reaction cmd_sensitivity(struct session *s, const char *args);

/* Layers x shares of one kind and selector as a table, and which layers it comes from. */
enum kv_status sensitivity_table(struct session *s, const struct kv_profile *p, int kind, int selector);

#endif
