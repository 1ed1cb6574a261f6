/* Expressions that are shown at every stop. */
#ifndef KV_DISPLAY_H
#define KV_DISPLAY_H

#include "inspector/session.h"

struct reaction cmd_display(struct session *s, const char *args);
struct reaction cmd_undisplay(struct session *s, const char *args);
struct reaction cmd_enable_display(struct session *s, const char *args);
struct reaction cmd_disable_display(struct session *s, const char *args);
struct reaction cmd_info_display(struct session *s, const char *args);

/* Shows the enabled ones. */
void display_all(struct session *s);
void display_free(struct session *s);

#endif
