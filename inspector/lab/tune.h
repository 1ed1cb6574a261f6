/* tune, and the commands about profiles. */
#ifndef KV_LAB_TUNE_H
#define KV_LAB_TUNE_H

#include "inspector/session.h"

struct reaction cmd_tune(struct session *s, const char *args);
struct reaction cmd_profile(struct session *s, const char *args);
struct reaction cmd_profile_diff(struct session *s, const char *args);
struct reaction cmd_profile_average(struct session *s, const char *args);

struct kv_profile;
/* Layers x shares as a PNG, a panel a kind and selector, on one log scale; source: the profile's own file. */
enum kv_status profile_map(
    struct session *s, const struct kv_profile *profile, const char *source, const char *path);

/* Whether policy.profile may be this file: one of another model is refused by its hash, KV_BAD_ARG. */
enum kv_status profile_admit(struct session *s, const char *path);

#endif
