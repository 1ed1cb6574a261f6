/* export png | npy | csv, and info png. */
#ifndef KV_EXPORT_H
#define KV_EXPORT_H

#include "inspector/session.h"

struct reaction cmd_export_png(struct session *s, const char *args);
struct reaction cmd_export_npy(struct session *s, const char *args);
struct reaction cmd_export_csv(struct session *s, const char *args);
struct reaction cmd_info_png(struct session *s, const char *args);

#endif
