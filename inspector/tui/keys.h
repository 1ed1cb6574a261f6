/* Keys by number and name. Characters are their code points; the others have numbers above all of those. */
#ifndef KV_TUI_KEYS_H
#define KV_TUI_KEYS_H

#include "kernels/base.h"

#define KEY_CTRL(c) ((c)&31)

/* number, name */
#define KEY_LIST(X)                                                                                                \
    X(UP, "Up")                                                                                                    \
    X(DOWN, "Down")                                                                                                \
    X(LEFT, "Left")                                                                                                \
    X(RIGHT, "Right")                                                                                              \
    X(PAGE_UP, "PageUp")                                                                                           \
    X(PAGE_DOWN, "PageDown")                                                                                       \
    X(HOME, "Home")                                                                                                \
    X(END, "End")                                                                                                  \
    X(DELETE, "Delete")                                                                                            \
    X(BACKTAB, "S-Tab")                                                                                            \
    X(F1, "F1")                                                                                                    \
    X(F2, "F2")                                                                                                    \
    X(F3, "F3")                                                                                                    \
    X(F4, "F4")                                                                                                    \
    X(F5, "F5")                                                                                                    \
    X(F6, "F6")                                                                                                    \
    X(F7, "F7")                                                                                                    \
    X(F8, "F8")                                                                                                    \
    X(F9, "F9")                                                                                                    \
    X(F10, "F10")                                                                                                  \
    X(MOUSE, "Mouse")                                                                                              \
    X(WHEEL_UP, "WheelUp")                                                                                         \
    X(WHEEL_DOWN, "WheelDown")                                                                                     \
    X(RESIZE, "Resize")

enum tui_key {
    TUI_KEY_FIRST = 0x200000,
#define X(id, name) TUI_##id,
    KEY_LIST(X)
#undef X
        TUI_KEY_END
};
#define TUI_ENTER     '\r'
#define TUI_TAB       '\t'
#define TUI_ESCAPE    27
#define TUI_BACKSPACE 127

/* A key by its name ("Down", "C-x", "Enter", "a"); -1 = no such key. */
int key_by_name(const char *name);

#endif
