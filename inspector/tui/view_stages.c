/* The stages window: where the request stands in its pass, and what each stage costs. */
#include <math.h>
#include <string.h>

#include "engine/look.h"
#include "inspector/language/line.h"
#include "inspector/tui/keys.h"
#include "inspector/tui/view.h"

#define STAGES 4096

struct stages_view {
    struct kv_cost cost[STAGES];
    int n, now;
    int top, moved; /* first shown; moved = the user has scrolled */
    char where[64];
    struct kv_time time[KV_PHASE_COUNT];
    bool done;
};

static void update(void *self, struct session *s)
{
    struct stages_view *v = self;
    struct kv_where w;
    v->n = v->now = 0;
    v->done = false;
    snprintf(v->where, sizeof v->where, "no request runs");
    if (!kv_started(s->engine)) return;
    kv_where(s->engine, &w);
    location_where(&w, v->where, sizeof v->where);
    v->done = w.phase == KV_PHASE_done;
    for (int p = 0; p < KV_PHASE_COUNT; p++) kv_time(s->engine, (enum kv_phase)p, &v->time[p]);
    v->n = kv_pass_costs(s->engine, v->cost, STAGES, &v->now);
    v->moved = 0;
}

static void title(const void *self, char *text, size_t size)
{
    const struct stages_view *v = self;
    snprintf(text, size, "%s", v->where);
}

/* Of a request that is done: what it took. */
static void draw_phases(const struct stages_view *v, const struct pane *p, const struct view_look *look)
{
    int row = 0;
    pane_text(p, row++, 0, COLOR_AXIS, 0, "   phase       tokens            ms");
    for (int k = KV_PHASE_prefill; k < KV_PHASE_done; k++) {
        char ms[24] = "";
        if (!v->time[k].us) continue;
        if (!look->steady) snprintf(ms, sizeof ms, "%.1f", v->time[k].us / 1e3);
        pane_printf(p, row++, 0, COLOR_TEXT, 0, "   %-9s %8d  %12s", kv_phase_name[k], v->time[k].tokens, ms);
    }
}

static void draw(void *self, const struct pane *p, const struct view_look *look)
{
    struct stages_view *v = self;
    int rows = p->rows - 1;
    if (v->done) {
        draw_phases(v, p, look);
        return;
    }
    v->top = v->now - rows / 2 + v->moved;
    if (v->top > v->n - rows) v->top = v->n - rows;
    if (v->top < 0) v->top = 0;
    pane_text(p, 0, 0, COLOR_AXIS, 0, "   tick  stage            us       bytes");
    for (int i = 0; i < rows && v->top + i < v->n; i++) {
        const struct kv_cost *c = &v->cost[v->top + i];
        bool here = v->top + i == v->now;
        char stage[32], us[24] = "", bytes[32];
        if (c->layer >= 0)
            snprintf(stage, sizeof stage, "L%d.%s", c->layer, kv_stage_name[c->stage]);
        else
            snprintf(stage, sizeof stage, "%s", kv_stage_name[c->stage]);
        if (!isnan(c->us) && !look->steady) snprintf(us, sizeof us, "%.0f", c->us);
        pane_printf(p, 1 + i, 0, here ? COLOR_TEXT : COLOR_MUTED, here ? SCREEN_BOLD : 0,
            "%s%5llu  %-12s %8s  %10s", here ? "=>" : "  ", (unsigned long long)c->tick, stage, us,
            line_bytes(c->bytes, bytes));
    }
}

static bool key(void *self, struct tui *t, int k)
{
    struct stages_view *v = self;
    int page = tui_pane(t, v).rows - 2;
    int by = k == TUI_UP ? -1 : k == TUI_DOWN ? 1 : k == TUI_PAGE_UP ? -page : k == TUI_PAGE_DOWN ? page : 0;
    if (!by) return false;
    v->moved += by;
    if (v->now + v->moved < 0) v->moved = -v->now;
    if (v->now + v->moved > v->n) v->moved = v->n - v->now;
    return true;
}

static void close_view(void *self) { (void)self; }

static const struct view_key keys[] = {
    { "Up Down PageUp PageDown", "Scroll" },
    { NULL, NULL },
};

const struct view_ops view_stages = { "stages", "Stages of the pass: the next to run, time and bytes of each",
    sizeof(struct stages_view), 3, 30, keys, update, title, draw, key, NULL, NULL, close_view };
