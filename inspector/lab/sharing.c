/* info kv sharing: what it costs that the heads of a layer keep the same tokens. */
#include "inspector/lab/sharing.h"

#include <math.h>
#include <stdlib.h>

#include "inspector/info.h"
#include "inspector/json/rows.h"
#include "inspector/tokens.h"

enum { OVERLAP, SHARED, OWN, COLUMNS };

struct reaction info_sharing(struct session *s, const char *args)
{
    static const char *const name[COLUMNS] = { "sharing.overlap", "sharing.mass", "sharing.own" };
    double *column[COLUMNS] = { NULL }, sum[COLUMNS] = { 0 };
    size_t heads = (size_t)s->facts.n_kv_head, count = 0;
    struct tokens_scope scope;
    struct kv_array a;
    enum kv_status st = tokens_scope(s, args, &scope);
    if (!st && scope.head >= 0) st = kv_fail(&s->err, KV_BAD_ARG, "A layer's KV heads are shown together.");
    for (int i = 0; i < COLUMNS && !st; i++)
        if (!(column[i] = info_copy(s, name[i], &a))) st = s->err.code;
    if (!st)
        fprintf(s->out,
            "Sharing: a layer's set for all heads against each KV head's own best of the same number (%s)\n"
            "%5s %7s %8s %12s %9s %8s\n",
            session_mode(s), "layer", "KV head", "overlap", "mass, shared", "mass, own", "lost");
    for (int l = scope.first; !st && l <= scope.last; l++)
        for (size_t g = 0; g < heads; g++) {
            size_t at = (size_t)l * heads + g;
            double lost = column[OWN][at] - column[SHARED][at];
            for (int i = 0; i < COLUMNS; i++) sum[i] += column[i][at];
            count++;
            rows_new(s);
            rows_number(s, "layer", l);
            rows_number(s, "KV head", (double)g);
            rows_number(s, "overlap", column[OVERLAP][at]);
            rows_number(s, "mass, shared", column[SHARED][at]);
            rows_number(s, "mass, own", column[OWN][at]);
            rows_number(s, "lost", lost);
            fprintf(s->out, "%5d %7zu %8.3f %12.4f %9.4f %+8.4f\n", l, g, column[OVERLAP][at], column[SHARED][at],
                column[OWN][at], lost);
        }
    if (count) {
        double n = (double)count;
        fprintf(s->out, "%5s %7s %8.3f %12.4f %9.4f %+8.4f\n", "mean", "", sum[OVERLAP] / n, sum[SHARED] / n,
            sum[OWN] / n, (sum[OWN] - sum[SHARED]) / n);
        rows_fact(s, "overlap", sum[OVERLAP] / n);
        rows_fact(s, "lost", (sum[OWN] - sum[SHARED]) / n);
    }
    for (int i = 0; i < COLUMNS; i++) free(column[i]);
    return st ? failed(s) : DONE;
}
