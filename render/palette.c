/* Nearest palette entry, remembered. */
#include "render/palette.h"

#include <string.h>

void palette_fill(struct palette *p, const struct color_map *map)
{
    memset(p, 0, sizeof *p);
    for (size_t i = 0; i < COLOR_ROLES; i++) p->color[p->colors++] = color_roles[i].rgb;
    for (uint32_t i = 0; i < PALETTE_GREYS; i++) p->color[p->colors++] = 0x010101 * (i * 255 / (PALETTE_GREYS - 1));
    for (size_t i = 0; map && i < PALETTE_MAP; i++) p->color[p->colors++] = map->rgb[i * 255 / (PALETTE_MAP - 1)];
}

static int distance(uint32_t a, uint32_t b)
{
    int r = (int)(a >> 16) - (int)(b >> 16), g = (int)(a >> 8 & 255) - (int)(b >> 8 & 255);
    int blue = (int)(a & 255) - (int)(b & 255);
    return 3 * r * r + 6 * g * g + blue * blue; /* roughly what the eye weighs */
}

uint8_t palette_index(struct palette *p, uint32_t rgb)
{
    size_t at = (rgb * UINT32_C(2654435761)) >> 20;
    if (p->slot[at].index && p->slot[at].rgb == rgb) return (uint8_t)(p->slot[at].index - 1);
    size_t best = 0;
    for (size_t i = 1; i < p->colors; i++) {
        if (distance(rgb, p->color[i]) < distance(rgb, p->color[best])) best = i;
    }
    p->slot[at].rgb = rgb;
    p->slot[at].index = (int)best + 1;
    return (uint8_t)best;
}
