/* Names of keys. */
#include "inspector/tui/keys.h"

#include <string.h>

#include "render/utf8.h"

static const struct {
    const char *name;
    int key;
} names[] = {
#define X(id, name) { name, TUI_##id },
    KEY_LIST(X)
#undef X
        { "Enter", TUI_ENTER },
    { "Tab", TUI_TAB },
    { "Escape", TUI_ESCAPE },
    { "Backspace", TUI_BACKSPACE },
    { "Space", ' ' },
};

int key_by_name(const char *name)
{
    for (size_t i = 0; i < KV_COUNT(names); i++)
        if (!strcmp(names[i].name, name)) return names[i].key;
    if (!strncmp(name, "C-", 2) && name[2] && !name[3]) return KEY_CTRL(name[2]);
    const char *p = name;
    uint32_t code = utf8_next(&p);
    return code && !*p ? (int)code : -1;
}
