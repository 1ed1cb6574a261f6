/* The screen: windows in a layout, keys, the command line, and the loop around them. */
#ifndef KV_TUI_H
#define KV_TUI_H

#include "inspector/session.h"

/* Runs the screen on this terminal until quit; the exit status. KV_UNSUPPORTED (nothing was drawn) where the terminal
 * cannot: the caller then goes on with the plain prompt. */
enum kv_status tui_main(struct session *s, int *exit_status);

/* Runs a script of keys on a screen that is nowhere, and prints what it shows where the script says so:
 *   size 80x24 | key NAME... | type TEXT | line TEXT | click ROW COL | wheel ROW COL up|down | dump [roles]
 *   shot FILE.png (the screen as a picture)
 *   time FRAMES (says how long one took) | fuzz SEED KEYS (by chance)
 * Lines that begin with # are comments. */
enum kv_status tui_script(struct session *s, const char *path, int *exit_status);

struct reaction cmd_layout(struct session *s, const char *args);
struct reaction cmd_focus(struct session *s, const char *args);
struct reaction cmd_refresh(struct session *s, const char *args);
struct reaction cmd_winheight(struct session *s, const char *args);
struct reaction cmd_tui_new_layout(struct session *s, const char *args);
struct reaction cmd_tui_enable(struct session *s, const char *args);
struct reaction cmd_tui_disable(struct session *s, const char *args);
struct reaction cmd_set_tui_color(struct session *s, const char *args);
struct reaction cmd_show_tui_color(struct session *s, const char *args);
struct reaction cmd_info_win(struct session *s, const char *args);

#endif
