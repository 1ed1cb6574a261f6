/* Lists of layers with a sliding window; see window.h. */
#include "engine/model/window.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int run_end(const struct kv_shape *s, int first)
{
    int last = first;
    while (last + 1 < s->n_layer && kv_shape_window(s, last + 1)) last++;
    return last;
}

void window_layers(const struct kv_shape *s, char *text, size_t size)
{
    static const char cut[] = "...";
    size_t n = 0;
    snprintf(text, size, "%s", s->sliding_window ? "none" : "");
    for (int l = 0; s->sliding_window && l < s->n_layer; l++) {
        if (!kv_shape_window(s, l)) continue;
        int last = run_end(s, l);
        char part[32];
        if (!l && last == s->n_layer - 1)
            snprintf(part, sizeof part, "all");
        else if (l == last)
            snprintf(part, sizeof part, "%s%d", n ? "," : "", l);
        else
            snprintf(part, sizeof part, "%s%d-%d", n ? "," : "", l, last);
        if (n + strlen(part) + sizeof cut > size) {
            snprintf(text + n, size - n, "%s", cut);
            return;
        }
        n += (size_t)snprintf(text + n, size - n, "%s", part);
        l = last;
    }
}

bool window_parse(const char *text, struct kv_shape *s)
{
    size_t bytes = sizeof s->sees_all;
    memset(s->sees_all, 0, bytes);
    if (!*text || !strcmp(text, "all")) return true;
    memset(s->sees_all, 0xff, bytes);
    if (!strcmp(text, "none")) return true;
    for (char *end; *text; text = end) {
        long first = strtol(text, &end, 10), last = first;
        if (end == text) return false;
        if (*end == '-') {
            text = end + 1;
            last = strtol(text, &end, 10);
            if (end == text) return false;
        }
        if (first < 0 || last < first || last >= s->n_layer || last >= KV_MAX_LAYERS) return false;
        for (long l = first; l <= last; l++) s->sees_all[l / 8] &= (unsigned char)~(1 << l % 8);
        if (*end == ',' && end[1])
            end++;
        else if (*end)
            return false;
    }
    return true;
}
