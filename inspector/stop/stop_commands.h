/* Lines that run when a stop has stopped the request: commands ... end. */
#ifndef KV_STOP_COMMANDS_H
#define KV_STOP_COMMANDS_H

#include "inspector/session.h"

/* Whether every stop that is a reason here begins its lines with `silent`: then nothing is printed. */
bool stop_commands_silent(const struct session *s);
/* Notes the lines of the stops that are a reason here, before temporary ones go. */
void stop_commands_note(struct session *s);
/* Runs what was noted; lines that move the request on end their list, and those of the stop that it comes to follow. */
struct reaction stop_commands_run(struct session *s);

struct reaction cmd_commands(struct session *s, const char *args);

#endif
