/* What made a picture, as notes for its file: enough to make the same bytes again. */
#ifndef KV_RECIPE_H
#define KV_RECIPE_H

#include "inspector/picture/picture.h"
#include "render/png_writer.h"

#define RECIPE_NOTES 24

struct recipe {
    struct png_note note[RECIPE_NOTES];
    size_t count;
    char *text[RECIPE_NOTES]; /* owned; what note[].text points at */
    size_t n_text;
};

/* Called before the engine allocates: remembers the policy that the cache is compressed with, whatever is set later. */
void recipe_note_policy(struct session *s);
/* Whether stepping on repeats a compress that is on record, with the policy remembered, not with the one set now. */
bool recipe_replays(struct session *s);

/* s->model_sha, worked out on the first call. */
enum kv_status recipe_model_hash(struct session *s);
/* s->model_sha and s->prompt_sha, worked out on the first call. */
enum kv_status recipe_hashes(struct session *s);

/* Computes the hashes on the first call. Nothing in it depends on the date, the folder or the file's name. */
enum kv_status recipe_make(struct session *s, const struct picture *p, struct recipe *out);
void recipe_free(struct recipe *r);

#endif
