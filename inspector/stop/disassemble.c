/* disassemble: the plan of the pass under the cursor. */
#include "inspector/stop/disassemble.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/look.h"
#include "inspector/info.h"
#include "inspector/language/line.h"
#include "inspector/json/rows.h"
#include "inspector/run.h"

static void stage_row(struct session *s, const struct kv_cost *c, int i, bool now)
{
    char name[48], bytes[32], us[32] = "";
    if (c->layer >= 0)
        snprintf(name, sizeof name, "L%d.%s", c->layer, kv_stage_name[c->stage]);
    else
        snprintf(name, sizeof name, "%s", kv_stage_name[c->stage]);
    if (!isnan(c->us)) snprintf(us, sizeof us, "%.1f us", c->us);
    fprintf(s->out, "%s %6llu <+%d>:\t%-12s %10s %10.3f MFLOP%s%s\n", now ? "=>" : "  ",
        (unsigned long long)c->tick, i, name, line_bytes(c->bytes, bytes), c->flops / 1e6, *us ? "  " : "", us);
    rows_new(s);
    rows_number(s, "tick", (double)c->tick);
    rows_text(s, "stage", name);
    rows_number(s, "bytes", c->bytes);
    rows_number(s, "flops", c->flops);
    rows_number(s, "us", c->us);
    rows_flag(s, "next", now);
}

struct reaction cmd_disassemble(struct session *s, const char *args)
{
    struct kv_where w;
    char rows[160], total[32];
    int now, only, n = kv_pass_costs(s->engine, NULL, 0, &now);
    if (*args == '/') return refuse(s, KV_BAD_ARG, "Invalid disassembly modifier.");
    if (info_layer(s, args, &only)) return failed(s);
    if (!n) return refuse(s, KV_NOT_NOW, "No pass is under way.");
    struct kv_cost *cost = kv_alloc((size_t)n, sizeof *cost);
    if (!cost) return refuse(s, KV_NO_MEMORY, "No memory for %d stages.", n);
    n = kv_pass_costs(s->engine, cost, n, &now);
    kv_where(s->engine, &w);
    run_pass_text(s, &w, rows, sizeof rows);
    fprintf(s->out, "Dump of stages of %s:%d%s%s (bytes and FLOPs by formula, us measured; %s):\n",
        kv_phase_name[w.phase], w.pass, *rows ? ", " : "", rows, session_mode(s));
    double bytes = 0, flops = 0, us = 0;
    int shown = 0;
    for (int i = 0; i < n; i++) {
        if (only >= 0 && cost[i].layer != only) continue;
        stage_row(s, &cost[i], i, i == now);
        bytes += cost[i].bytes;
        flops += cost[i].flops;
        if (!isnan(cost[i].us)) us += cost[i].us;
        shown++;
    }
    fprintf(s->out, "End of dump: %d stages, %s, %.3f MFLOP", shown, line_bytes(bytes, total), flops / 1e6);
    if (us > 0) fprintf(s->out, ", %.1f us so far", us);
    fputs(".\n", s->out);
    free(cost);
    return DONE;
}
