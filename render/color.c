/* Look-up in the color tables; the maps themselves are in color_tables.c. */
#include "render/color.h"

#include <math.h>
#include <string.h>

enum kv_status color_map(const char *name, const struct color_map **out, struct kv_error *err)
{
    *out = &color_maps[0];
    if (!name || !*name) return KV_OK;
    for (size_t i = 0; i < COLOR_MAPS; i++) {
        *out = &color_maps[i];
        if (!strcmp(name, color_maps[i].name)) return KV_OK;
    }
    return kv_fail(err, KV_BAD_ARG, "There is no color map \"%.40s\"; take %s, %s, %s, %s or %s.", name,
        color_maps[0].name, color_maps[1].name, color_maps[2].name, color_maps[3].name, color_maps[4].name);
}

size_t color_step(double t, size_t n) { return t <= 0 ? 0 : kv_min((size_t)(fmin(t, 1) * (double)n), n - 1); }

uint32_t color_at(const struct color_map *map, double t)
{
    return isnan(t) ? color_roles[COLOR_NODATA].rgb : map->rgb[color_step(t, 256)];
}

double color_lightness(uint32_t rgb)
{
    static const double weight[] = { 0.0721750, 0.7151522, 0.2126729 };
    double y = 0;
    for (int i = 0; i < 3; i++) {
        double c = (rgb >> 8 * i & 255) / 255.0;
        y += weight[i] * (c <= 0.04045 ? c / 12.92 : pow((c + 0.055) / 1.055, 2.4));
    }
    return y > 216.0 / 24389 ? 116 * cbrt(y) - 16 : y * 24389 / 27;
}

uint32_t color_xterm(int index)
{
    static const uint8_t level[] = { 0, 95, 135, 175, 215, 255 };
    int cube = index - 16, grey = 8 + 10 * (index - 232);
    if (index >= 232) return (uint32_t)(grey << 16 | grey << 8 | grey);
    return (uint32_t)(level[cube / 36] << 16 | level[cube / 6 % 6] << 8 | level[cube % 6]);
}

bool color_is_light(uint32_t rgb) { return color_lightness(rgb) > 55; }

const struct color_look color_roles[COLOR_ROLES] = {
#define X(id, name, rgb, xterm, ansi, ascii, utf8) { name, rgb, xterm, ansi, ascii, utf8 },
    COLOR_ROLE_LIST(X)
#undef X
};
