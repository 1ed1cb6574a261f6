/* Init files, and which of them may be read unasked. */
#ifndef KV_INIT_H
#define KV_INIT_H

#include "inspector/session.h"

/* Runs ~/.config/kvdbg/kvdbginit, else ~/.kvdbginit. What fails has been printed. */
struct reaction init_home(struct session *s);
/* Runs ./.kvdbginit where its folder is safe; else says that it did not. */
struct reaction init_folder(struct session *s);

struct reaction cmd_add_safe_path(struct session *s, const char *args);
struct reaction cmd_set_safe_path(struct session *s, const char *args);
struct reaction cmd_show_safe_path(struct session *s, const char *args);

#endif
