/* The frames of a stopped request, as GDB's are: a stage within a layer within a pass within a phase of the request. */
#ifndef KV_FRAMES_H
#define KV_FRAMES_H

#include "inspector/session.h"

enum frame { FRAME_STAGE, FRAME_LAYER, FRAME_PASS, FRAME_PHASE, FRAME_REQUEST, FRAME_COUNT };

/* Whether the request has this frame where it stands: a stage of no layer has no layer around it, and a finished
 * request has nothing but itself. */
bool frames_there(const struct kv_where *w, int frame);
/* The selected one, or the innermost where that is gone. */
int frames_selected(struct session *s);
/* Back to the innermost: the request has moved. */
void frames_reset(struct session *s);
/* "#2  prefill:0 (rows 0-92 of 93) at tick 5" */
void frames_text(struct session *s, int frame, char *text, size_t size);

struct reaction cmd_backtrace(struct session *s, const char *args);
struct reaction cmd_frame(struct session *s, const char *args);
struct reaction cmd_up(struct session *s, const char *args);
struct reaction cmd_down(struct session *s, const char *args);
struct reaction cmd_info_frame(struct session *s, const char *args);

#endif
