/* source -png: what the recipe inside a picture says, done again. */
#ifndef KV_RERUN_H
#define KV_RERUN_H

#include "inspector/session.h"

/* Reads the recipe of the picture at path, starts the request as it says, goes to its tick and draws the picture
 * again: to `to`, or, with to NULL, only to compare it. Fails, with what differs, where the bytes are not the same. */
struct reaction rerun_picture(struct session *s, const char *path, const char *to);

#endif
