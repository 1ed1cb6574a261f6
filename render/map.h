/* The heat map behind figure_map and figure_kept, inside render/ only. */
#ifndef RENDER_MAP_H
#define RENDER_MAP_H

#include "render/figure.h"

/* Writes a map page. classes: the values are enum color_role, drawn with a legend in place of the color bar; such a
 * source must fit the view's max_side, for classes have no mean. */
enum kv_status map_write(const char *path, const struct matrix *source, const struct figure_view *view,
    bool classes, struct kv_error *err);

#endif
