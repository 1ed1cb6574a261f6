/* The order of what is printed at a stop, below its line. */
#include "inspector/at_stop.h"

#include "inspector/context.h"
#include "inspector/display.h"
#include "inspector/frames.h"
#include "inspector/marks.h"

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
