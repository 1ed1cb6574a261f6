/* What belongs to the selected frame: args, locals, registers; and where it is in the request. */
#ifndef KV_INFO_FRAME_H
#define KV_INFO_FRAME_H

#include "inspector/session.h"

struct reaction cmd_info_args(struct session *s, const char *args);
struct reaction cmd_info_locals(struct session *s, const char *args);
struct reaction cmd_info_registers(struct session *s, const char *args);
struct reaction cmd_info_line(struct session *s, const char *args);
struct reaction cmd_info_source(struct session *s, const char *args);

/* What a frame has of its own, each line behind `indent`. */
void info_frame_locals(struct session *s, int frame, const char *indent);

#endif
