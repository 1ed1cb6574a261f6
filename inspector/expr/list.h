/* The prompt as text, with marks for what survived. */
#ifndef KV_LIST_H
#define KV_LIST_H

#include "inspector/session.h"

struct reaction cmd_list(struct session *s, const char *args);

/* Prints the line around one token, and its marks once there are any; nothing without a prompt. */
void list_around(struct session *s, int token);

#endif
