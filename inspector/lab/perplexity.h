/* perplexity FILE: how well the model predicts a text. */
#ifndef KV_LAB_PERPLEXITY_H
#define KV_LAB_PERPLEXITY_H

#include "inspector/session.h"

struct reaction cmd_perplexity(struct session *s, const char *args);

#endif
