/* The layers that a model's sliding window is for, as text: "all", or "0-3,7". */
#ifndef KV_MODEL_WINDOW_H
#define KV_MODEL_WINDOW_H

#include "engine/model/model.h"

#define WINDOW_TEXT 4096 /* room for any list of KV_MAX_LAYERS */

/* "" without a window, "none" where no layer has it; a list that does not fit ends in "...". */
void window_layers(const struct kv_shape *shape, char *text, size_t size);

/* Takes such a text into sees_all; false = it is none, or names layers that the model has not. */
bool window_parse(const char *text, struct kv_shape *shape);

#endif
