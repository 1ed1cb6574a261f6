/* The stages of a pass, with what they cost. */
#ifndef KV_DISASSEMBLE_H
#define KV_DISASSEMBLE_H

#include "inspector/session.h"

struct reaction cmd_disassemble(struct session *s, const char *args);

#endif
