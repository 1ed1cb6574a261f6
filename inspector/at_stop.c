/* The order of what is printed at a stop, below its line. */
#include "inspector/at_stop.h"

#include "inspector/display.h"

void at_stop(struct session *s) { display_all(s); }
