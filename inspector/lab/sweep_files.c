/* A sweep as a table, as JSON Lines, as a picture. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/json/jsonl_read.h"
#include "inspector/lab/sweep.h"
#include "inspector/picture/target.h"
#include "render/color.h"
#include "render/csv.h"
#include "render/figure.h"

static double figure_of(const struct sweep *w, int prompt, int config, int metric)
{
    return w->value[((size_t)prompt * (size_t)w->n_config + (size_t)config) * METRIC_COUNT + (size_t)metric];
}

static const char *prompt_name(const struct session *s, const struct sweep *w, int prompt)
{
    return w->prompts ? w->tasks.task[prompt].id : s->prompt_name;
}

static enum kv_status done(struct session *s, struct target *t, const char *what)
{
    enum kv_status st = target_close(s, t);
    if (!st) fprintf(s->out, "%s: %s%s\n", t->path, what, session_mark(s));
    return st;
}

enum kv_status sweep_csv(struct session *s, const struct sweep *w, const char *path)
{
    const char *names[1 + SWEEP_AXES + METRIC_COUNT];
    size_t n = 0;
    struct target t;
    struct csv csv;
    char what[40];
    names[n++] = "prompt";
    for (int a = 0; a < w->n_axis; a++) names[n++] = w->axis[a].name;
    for (int m = 0; m < METRIC_COUNT; m++)
        if (w->want[m]) names[n++] = metrics[m].name;
    enum kv_status st = target_open(s, path, false, &t);
    if (!st) st = csv_open(&csv, t.fresh, names, n, &s->err);
    if (st) return st;
    for (int p = 0; p < w->done; p++)
        for (int c = 0; c < w->n_config; c++) {
            csv_text(&csv, prompt_name(s, w, p));
            for (int a = 0; a < w->n_axis; a++) csv_text(&csv, w->axis[a].value[sweep_at(w, c, a)]);
            for (int m = 0; m < METRIC_COUNT; m++)
                if (w->want[m]) csv_number(&csv, figure_of(w, p, c, m));
            csv_end_row(&csv);
        }
    st = csv_commit(&csv, &s->err);
    snprintf(what, sizeof what, "%d rows", w->done * w->n_config);
    return st ? st : done(s, &t, what);
}

/* One row as an object on a line of its own. */
static bool write_row(const struct session *s, const struct sweep *w, int p, int c, FILE *f)
{
    cJSON *row = cJSON_CreateObject();
    const char *name = prompt_name(s, w, p);
    bool whole = row && cJSON_AddItemToObject(row, "prompt", jsonl_text(name, strlen(name)));
    for (int a = 0; a < w->n_axis && whole; a++)
        whole = cJSON_AddStringToObject(row, w->axis[a].name, w->axis[a].value[sweep_at(w, c, a)]) != NULL;
    for (int m = 0; m < METRIC_COUNT && whole; m++)
        if (w->want[m]) whole = cJSON_AddItemToObject(row, metrics[m].name, jsonl_number(figure_of(w, p, c, m)));
    char *text = whole ? cJSON_PrintUnformatted(row) : NULL;
    if (text) fprintf(f, "%s\n", text);
    free(text);
    cJSON_Delete(row);
    return text != NULL;
}

enum kv_status sweep_jsonl(struct session *s, const struct sweep *w, const char *path)
{
    struct target t;
    char what[40];
    enum kv_status st = target_open(s, path, false, &t);
    FILE *f = st ? NULL : fopen(t.fresh, "w");
    if (!st && !f) st = kv_fail(&s->err, KV_IO, "%.300s cannot be written.", path);
    for (int p = 0; p < w->done && !st; p++)
        for (int c = 0; c < w->n_config && !st; c++)
            if (!write_row(s, w, p, c, f)) st = kv_fail(&s->err, KV_NO_MEMORY, "No memory for a row.");
    if (f && (ferror(f) | fclose(f)) && !st) st = kv_fail(&s->err, KV_IO, "%.300s cannot be written.", path);
    snprintf(what, sizeof what, "%d lines", w->done * w->n_config);
    return st ? st : done(s, &t, what);
}

/* --- the picture --------------------------------------------------------------------------------------------------- */

static enum kv_status draw(struct session *s, const struct sweep *w, int metric, const char *path)
{
    char title[256], subtitle[400], unit[128];
    const struct png_note notes[] = { { "kvdbg:sweep", s->command }, { "kvdbg:model", s->facts.name } };
    snprintf(title, sizeof title, "%s over %s%s%s", metrics[metric].heading, w->axis[0].name,
        w->n_axis > 1 ? " and " : "", w->n_axis > 1 ? w->axis[1].name : "");
    snprintf(subtitle, sizeof subtitle, "%s; %d prompt%s, %d steps; %s", s->facts.name, w->done,
        w->done == 1 ? "" : "s", w->tokens, session_mode(s));
    snprintf(unit, sizeof unit, "%s (%s)", metrics[metric].heading, metrics[metric].unit);
    struct figure_view view = {
        .title = title, .subtitle = subtitle, .unit = unit, .notes = notes, .note_count = 2
    };
    double y[SWEEP_CONFIGS];
    float cell[SWEEP_CONFIGS];
    uint8_t role[SWEEP_CONFIGS];
    for (int c = 0; c < w->n_config; c++) {
        y[c] = metrics[metric].scale * sweep_mean(w, c, (enum metric)metric);
        cell[c] = (float)y[c];
        role[c] = COLOR_KEPT;
    }
    const struct sweep_axis *last = &w->axis[w->n_axis - 1];
    view.x = (struct figure_axis){ last->name, (const char *const *)last->value, 0 };
    if (w->n_axis == 1) {
        const char *names[COLOR_ROLES] = { [COLOR_KEPT] = metrics[metric].heading };
        const struct figure_plot plot = { .n = (size_t)w->n_config, .y = y, .role = role, .names = names };
        return figure_plot(path, &plot, &view, &s->err);
    }
    view.y = (struct figure_axis){ w->axis[0].name, (const char *const *)w->axis[0].value, 0 };
    const struct matrix matrix = { .rows = (size_t)w->axis[0].n, .cols = (size_t)w->axis[1].n, .data = cell };
    return figure_map(path, &matrix, &view, &s->err);
}

enum kv_status sweep_png(struct session *s, const struct sweep *w, const char *path)
{
    struct target t;
    int metric = 0;
    char what[80];
    while (metric < METRIC_COUNT - 1 && !w->want[metric]) metric++;
    enum kv_status st = target_open(s, path, false, &t);
    if (!st) st = draw(s, w, metric, t.fresh);
    snprintf(what, sizeof what, "%s of %d combinations", metrics[metric].name, w->n_config);
    return st ? st : done(s, &t, what);
}
