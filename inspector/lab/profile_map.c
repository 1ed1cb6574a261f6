/* Curves as a picture: layers x shares, a panel a kind and selector. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/profile.h"
#include "inspector/picture/hash.h"
#include "inspector/lab/tune.h"
#include "inspector/set.h"
#include "render/figure.h"
#include "render/png_writer.h"

#define NAME 96

struct panels {
    const struct kv_profile *profile;
    float *data; /* [n_layer][n_share] of the panel in hand */
};

static enum kv_status panel(void *ctx, size_t k, struct matrix *out, const uint8_t **gone, struct kv_error *err)
{
    struct panels *p = ctx;
    const struct kv_profile *from = p->profile;
    size_t n = (size_t)from->n_share, layers = (size_t)from->n_layer;
    double kl[KV_PROFILE_SHARES];
    (void)gone;
    for (size_t l = 0; l < layers; l++) {
        enum kv_status st =
            kv_profile_mean(from, (int)k / from->n_selector, (int)k % from->n_selector, (int)l, kl, err);
        if (st) return st;
        for (size_t b = 0; b < n; b++) p->data[l * n + b] = (float)kl[b];
    }
    *out = (struct matrix){ .rows = layers, .cols = n, .data = p->data };
    return KV_OK;
}

/* Largest KL of all curves, and the least that is drawn apart: three decades below. */
static enum kv_status ends(struct panels *p, size_t panels, struct scale_view *scale, struct kv_error *err)
{
    double most = 0;
    struct matrix m;
    for (size_t k = 0; k < panels; k++) {
        enum kv_status st = panel(p, k, &m, NULL, err);
        if (st) return st;
        for (size_t i = 0; i < m.rows * m.cols; i++) most = fmax(most, (double)p->data[i]);
    }
    *scale = (struct scale_view){
        .kind = SCALE_LOG, .fixed_min = most > 0, .fixed_max = most > 0, .min = most / 1000, .max = most
    };
    return KV_OK;
}

static enum kv_status draw(struct session *s, const struct kv_profile *profile, const char *source,
    const char *path, char (*text)[NAME], const char **names, struct panels *p)
{
    size_t panels = (size_t)kv_profile_kind(profile, NULL) * (size_t)profile->n_selector;
    char sha[65], subtitle[192];
    const char **shares = names + panels;
    for (size_t k = 0; k < panels; k++) {
        snprintf(text[k], NAME, "%.60s, %.30s", kv_profile_kind_name(profile, (int)k / profile->n_selector),
            profile->selector[k % (size_t)profile->n_selector]);
        names[k] = text[k];
    }
    for (size_t b = 0; b < (size_t)profile->n_share; b++) {
        snprintf(text[panels + b], NAME, "%g %%", 100 * profile->share[b]);
        shares[b] = text[panels + b];
    }
    struct figure_view view = { .title = "What each layer's tokens are worth",
        .subtitle = subtitle,
        .x = { "kept share of one layer", shares, 0 },
        .y = { "layer", NULL, 0 },
        .unit = "KL(full || one layer compressed) (nats a token)",
        .pool = POOL_MAX };
    snprintf(subtitle, sizeof subtitle, "%.80s, %d prompts", profile->model, profile->n_prompt);
    enum kv_status st = hash_file(source, sha, &s->err);
    const struct png_note notes[] = { { "Software", "kvdbg " KVDBG_VERSION }, { "kvdbg:quantity", "sensitivity" },
        { "kvdbg:model-sha256", profile->model_sha }, { "kvdbg:profile-sha256", sha } };
    view.notes = notes;
    view.note_count = KV_COUNT(notes);
    struct figure_grid grid = { .panels = panels, .names = names, .panel = panel, .ctx = p };
    struct matrix m;
    if (!st) st = ends(p, panels, &view.scale, &s->err);
    if (!st && panels == 1) st = panel(p, 0, &m, NULL, &s->err);
    if (!st) st = panels == 1 ? figure_map(path, &m, &view, &s->err) : figure_grid(path, &grid, &view, &s->err);
    return st;
}

enum kv_status profile_map(
    struct session *s, const struct kv_profile *profile, const char *source, const char *path)
{
    size_t texts = (size_t)kv_profile_kind(profile, NULL) * (size_t)profile->n_selector + (size_t)profile->n_share;
    struct panels p = { profile, kv_alloc((size_t)profile->n_layer * (size_t)profile->n_share, sizeof(float)) };
    char(*text)[NAME] = kv_alloc(texts, sizeof *text);
    const char **names = kv_alloc(texts, sizeof *names);
    enum kv_status st = p.data && text && names ? draw(s, profile, source, path, text, names, &p)
                                                : kv_fail(&s->err, KV_NO_MEMORY, "No memory for a picture.");
    free(p.data);
    free(text);
    free(names);
    return st;
}
