/* The profiles that policies name: a policy is copied around as plain fields, so it holds a number, and what stands
 * behind the number never changes. Whoever reads a file puts it here under the file's name; one read again takes the
 * name over, where it differs. Safe to call from several threads. */
#ifndef KV_POLICY_PROFILES_H
#define KV_POLICY_PROFILES_H

#include "engine/profile.h"

#define PROFILES_NONE 0
#define PROFILES_NAME 200 /* bytes that a name may have, its NUL among them */

/* "none", then the names; NULL behind the last. */
const char *profiles_name(int row);
/* What stands behind a number; NULL: none, or a name alone (a core file's, whose profile is elsewhere). */
const struct kv_profile *profiles_at(int row);
/* The number of a name, given out where it is new. KV_BAD_ARG for what is no file's name, or when there are too many. */
enum kv_status profiles_find(const char *name, int *row, struct kv_error *err);
/* Puts a profile (taken over) behind a name. */
enum kv_status profiles_put(const char *name, struct kv_profile *p, struct kv_error *err);

#endif
