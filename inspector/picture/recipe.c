/* The recipe: command, model and prompt by hash, policy, how it was computed. */
#include "inspector/picture/recipe.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "engine/history.h"
#include "engine/look.h"
#include "inspector/picture/hash.h"
#include "inspector/policy/policy.h"
#include "inspector/progress.h"
#include "inspector/session_load.h"
#include "inspector/set.h"

static enum kv_status add(struct session *s, struct recipe *r, const char *key, const char *text)
{
    char *copy = kv_strdup(text);
    if (!copy || r->count == RECIPE_NOTES) {
        free(copy);
        return kv_fail(&s->err, KV_NO_MEMORY, "No memory for the picture's recipe.");
    }
    r->text[r->n_text++] = copy;
    r->note[r->count++] = (struct png_note){ key, copy };
    return KV_OK;
}

static enum kv_status add_number(struct session *s, struct recipe *r, const char *key, long long n)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", n);
    return add(s, r, key, text);
}

/* All settings of a room ("policy.") as one JSON object, values as the text that `set` takes; NULL = no memory. */
static char *settings_json(struct session *s, const char *room)
{
    const struct kv_setting *row;
    cJSON *object = cJSON_CreateObject();
    bool whole = object != NULL;
    for (int i = 0; whole && (row = kv_setting_at(i)); i++) {
        const char *name = row->name;
        char value[200];
        if (strncmp(name, room, strlen(room)) || kv_get(s->engine, name, value, sizeof value, &s->err)) continue;
        if (!strcmp(name, "engine.segment"))
            snprintf(value, sizeof value, "%d", kv_pass_rows(s->engine)); /* no "auto" */
        whole = cJSON_AddStringToObject(object, name + strlen(room), value) != NULL;
    }
    char *text = whole ? cJSON_PrintUnformatted(object) : NULL;
    cJSON_Delete(object);
    return text;
}

static enum kv_status add_settings(struct session *s, struct recipe *r, const char *key, const char *room)
{
    char *text = settings_json(s, room);
    enum kv_status st =
        text ? add(s, r, key, text) : kv_fail(&s->err, KV_NO_MEMORY, "No memory for the picture's recipe.");
    free(text);
    return st;
}

/* Whether compress has its budgets there. */
static bool allocated(const struct kv_where *w)
{
    return w->phase > KV_PHASE_compress || (w->phase == KV_PHASE_compress && w->stage != KV_STAGE_allocate);
}

/* Edits as commands, if there are any. */
static enum kv_status add_edits(struct session *s, struct recipe *r, enum kv_policy_of of)
{
    char *text = policy_edits_text(s, of);
    if (!text) return kv_fail(&s->err, KV_NO_MEMORY, "No memory for the picture's recipe.");
    size_t n = strlen(text), at = 0;
    char *line = kv_alloc(2 * n + 1, 1); /* lines joined by "; " */
    for (size_t i = 0; line && i + 1 < n; i++) {
        line[at++] = text[i] == '\n' ? ';' : text[i];
        if (text[i] == '\n') line[at++] = ' ';
    }
    enum kv_status st = !line ? kv_fail(&s->err, KV_NO_MEMORY, "No memory for the picture's recipe.")
                        : n   ? add(s, r, "kvdbg:edits", line)
                              : KV_OK;
    free(line);
    free(text);
    return st;
}

bool recipe_replays(struct session *s)
{
    struct kv_error ignored;
    struct kv_history h;
    struct kv_where far;
    return s->policy && !kv_history(s->engine, &h, &ignored) && h.replays &&
           !kv_where_at(s->engine, h.highest, &far, &ignored) && allocated(&far);
}

void recipe_note_policy(struct session *s)
{
    char title[48], ratio[24] = "";
    struct kv_error ignored;
    if (recipe_replays(s)) return;
    free(s->policy);
    s->policy = settings_json(s, "policy.");
    kv_get(s->engine, "policy.ratio", ratio, sizeof ratio, &ignored);
    kv_policy_title(s->engine, KV_POLICY_NOW, title, sizeof title);
    snprintf(s->policy_title, sizeof s->policy_title, "policy %.50s, ratio %.30s", title, ratio);
}

/* One file is known by its own hash, more by that of their names and hashes. */
static enum kv_status hash_model(struct session *s)
{
    const char *path[1024];
    int n = 0;
    while (n < (int)KV_COUNT(path) && (path[n] = kv_model_file(s->model, n))) n++;
    return n == 1 ? hash_file(path[0], s->model_sha, &s->err) : hash_files(path, n, s->model_sha, &s->err);
}

enum kv_status recipe_model_hash(struct session *s)
{
    if (s->model_sha[0]) return KV_OK;
    if (s->facts.synthetic) {
        snprintf(s->model_sha, sizeof s->model_sha, "%.64s", s->facts.path);
        return KV_OK;
    }
    progress_show(s, "sha256 of the model", 0, 1);
    enum kv_status st = hash_model(s);
    if (st) s->model_sha[0] = '\0';
    progress_clear();
    return st;
}

enum kv_status recipe_hashes(struct session *s)
{
    enum kv_status st = KV_OK;
    if (!s->prompt_sha[0]) st = hash_bytes(s->prompt, s->prompt_bytes, s->prompt_sha, &s->err);
    return st ? st : recipe_model_hash(s);
}

enum kv_status recipe_make(struct session *s, const struct picture *p, struct recipe *r)
{
    struct kv_where w;
    struct kv_array tok;
    char command[200], described[400], where[64];
    *r = (struct recipe){ 0 };
    enum kv_status st = recipe_hashes(s);
    if (st) return st;
    int at = snprintf(command, sizeof command, "export png %sFILE ", p->raw16 ? "-raw16 " : "");
    picture_text(p, command + at, sizeof command - (size_t)at);
    kv_where(s->engine, &w);
    location_where(&w, where, sizeof where);
    kv_describe(s->engine, described, sizeof described);
    if (!st) st = add(s, r, "Software", "kvdbg " KVDBG_VERSION);
    if (!st) st = add(s, r, "kvdbg:command", command);
    if (!st) st = add(s, r, "kvdbg:quantity", picture_name[p->what]);
    bool attention = p->what == PICTURE_ATTN, one = !p->mean && p->panels != PANELS_HEADS;
    if (!st && ((attention && p->panels != PANELS_LAYERS) || p->what == PICTURE_CURVE))
        st = add_number(s, r, "kvdbg:layer", p->layer);
    if (!st && (attention || PICTURE_BY_HEAD(p)) && one) st = add_number(s, r, "kvdbg:head", p->head);
    if (!st) st = add(s, r, "kvdbg:model", s->facts.name);
    if (!st) st = add(s, r, "kvdbg:model-sha256", s->model_sha);
    if (!st) st = add(s, r, "kvdbg:prompt-sha256", s->prompt_sha);
    if (!st && s->question) st = add(s, r, "kvdbg:question", s->question);
    if (!st) st = add(s, r, "kvdbg:chat", session_read_as(s));
    if (!st && !kv_value(s->engine, "tok", &tok, &s->err))
        st = add_number(s, r, "kvdbg:prompt-tokens", (long long)tok.dim[0]);
    bool made = s->policy && allocated(&w);
    if (!st) st = made ? add(s, r, "kvdbg:policy", s->policy) : add_settings(s, r, "kvdbg:policy", "policy.");
    if (!st) st = add_edits(s, r, made ? KV_POLICY_COMPRESSED : KV_POLICY_NOW);
    if (!st) st = add_settings(s, r, "kvdbg:engine", "engine.");
    if (!st) st = add_settings(s, r, "kvdbg:decode", "decode.");
    if (!st && p->what == PICTURE_KL && !kv_value(s->engine, "kl", &tok, &s->err)) {
        st = add_number(s, r, "kvdbg:diff-steps", (long long)tok.dim[0]);
        if (!st) st = add_settings(s, r, "kvdbg:judge", "judge.");
    }
    if (!st) st = add(s, r, "kvdbg:backend", described);
    if (!st) st = add(s, r, "kvdbg:where", where);
    if (!st) st = add_number(s, r, "kvdbg:tick", (long long)w.tick);
    if (!st && s->facts.synthetic) st = add(s, r, "kvdbg:warning", "synthetic weights: timing only");
    return st;
}

void recipe_free(struct recipe *r)
{
    for (size_t i = 0; i < r->n_text; i++) free(r->text[i]);
    *r = (struct recipe){ 0 };
}
