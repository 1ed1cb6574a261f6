/* Opening a Hugging Face folder; see hf.h. */
#include "engine/model/hf.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/model/hf_weights.h"
#include "engine/text/vocabulary.h"

#define CONFIG_LIMIT ((size_t)1 << 20)

bool hf_is_folder(const char *path)
{
    struct stat info;
    return !stat(path, &info) && S_ISDIR(info.st_mode);
}

#ifndef KV_HAVE_CJSON

enum kv_status hf_open(const char *path, struct kv_model **out, struct kv_error *err)
{
    (void)path;
    *out = NULL;
    return kv_fail(err, KV_UNSUPPORTED, "This build reads no Hugging Face folders: cJSON is missing.");
}

#else

/* --- a folder that is no model -------------------------------------------------------------------------------- */

/* The first file of the folder with this ending, for a sentence; empty = none. */
static struct gguf_quoted first_with(const char *folder, const char *tail)
{
    struct gguf_quoted found = { "" };
    struct dirent **entry = NULL;
    int n = scandir(folder, &entry, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        size_t length = strlen(entry[i]->d_name), end = strlen(tail);
        if (!*found.text && length > end && !strcmp(entry[i]->d_name + length - end, tail))
            found = gguf_quote((struct kv_string){ entry[i]->d_name, length });
        free(entry[i]);
    }
    free(entry);
    return found;
}

static enum kv_status no_config(const char *folder, struct kv_error *err)
{
    const struct gguf_quoted quoted = gguf_quote((struct kv_string){ folder, strlen(folder) });
    const struct gguf_quoted gguf = first_with(folder, ".gguf"),
                             adapter = first_with(folder, "adapter_config.json");
    if (*gguf.text)
        return kv_fail(err, KV_BAD_FILE, "Folder %s has no config.json, but a GGUF file %s: open that.",
            quoted.text, gguf.text);
    return kv_fail(err, KV_BAD_FILE, "Folder %s has no config.json, so it is no model%s.", quoted.text,
        *adapter.text ? "; it holds an adapter, to be merged into its base model first" : "");
}

/* --- the name ------------------------------------------------------------------------------------------------- */

/* The folder's own name; of a snapshot in Hugging Face's cache (models--ORG--NAME/snapshots/COMMIT) ORG/NAME. */
static void name_model(const char *path, struct kv_shape *s)
{
    static const char cached[] = "models--";
    char *real = realpath(path, NULL);
    const char *name = real ? real : path, *slash;
    const char *cache = strstr(name, "/snapshots/") ? strstr(name, cached) : NULL;
    size_t n = 0;
    if (cache) {
        for (const char *c = cache + strlen(cached); *c && *c != '/' && n + 1 < sizeof s->name; c++) {
            bool gap = c[0] == '-' && c[1] == '-';
            s->name[n++] = gap ? '/' : *c;
            c += gap;
        }
    } else {
        while ((slash = strchr(name, '/')) && slash[1]) name = slash + 1;
        for (; *name && *name != '/' && n + 1 < sizeof s->name; name++) s->name[n++] = *name;
    }
    s->name[n] = '\0';
    for (char *c = s->name; *c; c++)
        if (*c < ' ' || *c > '~') *c = '?';
    free(real);
}

/* --- opening -------------------------------------------------------------------------------------------------- */

struct folder {
    const char *path;
    struct hf_json config, generation;
    struct hf_config read;
};

static void close_weights(struct kv_model *model) { hf_weights_close(model->owner); }

static enum kv_status read_configs(struct folder *f, struct kv_error *err)
{
    enum kv_status status = hf_json_read(f->path, "config.json", CONFIG_LIMIT, &f->config, err);
    if (status == KV_NOT_FOUND) return no_config(f->path, err);
    if (!status) status = hf_config_read(&f->config, &f->read, err);
    if (!status) status = hf_json_read(f->path, "generation_config.json", CONFIG_LIMIT, &f->generation, err);
    return status == KV_NOT_FOUND ? KV_OK : status;
}

/* The files that the model was read from, as paths. */
static enum kv_status list_files(const struct folder *f, struct kv_model *model, struct kv_error *err)
{
    const struct hf_weights *w = model->owner;
    const char *name;
    enum kv_status status = model_add_file(model, f->path, "config.json", err);
    if (!status && f->generation.root) status = model_add_file(model, f->path, "generation_config.json", err);
    for (int i = 0; !status && (name = hf_weights_file(w, i)); i++)
        status = model_add_file(model, f->path, name, err);
    return status;
}

/* A tokenizer of a kind that is not read leaves the model to token ids, with the reason; a damaged one is refused. */
static enum kv_status read_vocabulary(const struct folder *f, struct kv_model *model, struct kv_error *err)
{
    static const char *const files[] = { "tokenizer.json", "tokenizer.model", "tokenizer_config.json",
        "chat_template.jinja" };
    struct kv_vocabulary *v = &model->vocabulary;
    enum kv_status status = kv_vocabulary_from_folder(f->path, model->shape.n_vocab, v, err);
    if (status == KV_UNSUPPORTED) {
        model->no_text = *err;
        status = KV_OK;
    } else if (!status && !v->n_token) {
        kv_fail(&model->no_text, KV_UNSUPPORTED, "The folder has no tokenizer, so prompts can only be token ids.");
    }
    for (size_t i = 0; i < KV_COUNT(files) && !status; i++) {
        char *path = hf_path(f->path, files[i]);
        bool there = path && !access(path, F_OK);
        if (there) status = model_add_file(model, NULL, path, err);
        free(path);
    }
    return status;
}

static enum kv_status fill(struct folder *f, struct kv_model *model, struct kv_error *err)
{
    struct hf_weights *weights = NULL;
    enum kv_status status = hf_weights_open(f->path, &weights, err);
    if (status) return status;
    model->owner = weights;
    model->close = close_weights;
    model->shape = f->read.shape;
    name_model(f->path, &model->shape);
    model->layer = kv_alloc((size_t)model->shape.n_layer, sizeof *model->layer);
    if (!model->layer)
        return kv_fail(err, KV_NO_MEMORY, "No memory for the table of %d layers.", model->shape.n_layer);
    status = hf_weights_bind(weights, &f->read, model, err);
    if (!status) status = list_files(f, model, err);
    if (!status) status = read_vocabulary(f, model, err);
    if (!status)
        status = hf_config_ends(&f->config, &f->generation, model->shape.n_vocab, &model->end, &model->n_end, err);
    return status;
}

enum kv_status hf_open(const char *path, struct kv_model **out, struct kv_error *err)
{
    struct folder f = { .path = path };
    struct kv_model *model = NULL;
    *out = NULL;
    enum kv_status status = read_configs(&f, err);
    if (!status && !(model = kv_alloc(1, sizeof *model)))
        status = kv_fail(err, KV_NO_MEMORY, "No memory to open the model.");
    if (!status && !(model->path = kv_strdup(path)))
        status = kv_fail(err, KV_NO_MEMORY, "No memory to open the model.");
    if (!status) status = fill(&f, model, err);
    hf_json_close(&f.config);
    hf_json_close(&f.generation);
    if (status) {
        kv_model_close(model);
        return status;
    }
    if (err) *err = (struct kv_error){ 0 };
    *out = model;
    return KV_OK;
}

#endif
