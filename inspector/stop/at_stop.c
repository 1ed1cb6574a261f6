/* The order of what is printed at a stop, below its line. */
#include "inspector/stop/at_stop.h"

#include "inspector/context.h"
#include "inspector/expr/display.h"
#include "inspector/stop/frames.h"
#include "inspector/time/marks.h"

void at_stop(struct session *s)
{
    s->n_stops++;
    marks_visit(s);
    frames_reset(s);
    if (!s->silent) {
        context_show(s);
        display_all(s);
    }
    s->silent = false;
}
