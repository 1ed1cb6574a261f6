/* Safetensors files of a folder as one list of tensors; see hf_weights.h. */
#include "engine/model/hf_weights.h"

#ifdef KV_HAVE_CJSON

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/safetensors.h"
#include "engine/setting.h"
#include "kernels/blocks.h"

#define INDEX_NAME  "model.safetensors.index.json"
#define SINGLE_NAME "model.safetensors"

struct weight_file {
    char *name;
    struct st_file st; /* until bind is done */
    void *map;
    size_t bytes;
};

struct weight {
    const struct st_tensor *t;
    int file;
    bool used;
};

struct hf_weights {
    struct weight_file *file; /* [n_file] by name */
    int n_file;
    bool indexed;
    struct weight *weight; /* [n_weight] by name, until bind is done */
    size_t n_weight;
    void **copy; /* [n_copy] what could not stay in its map */
    size_t n_copy;
};

/* --- which files ---------------------------------------------------------------------------------------------- */

/* A name that leads nowhere but into the folder, and that a sentence can show. */
static bool plain_name(const char *name)
{
    size_t n = strlen(name), tail = strlen(".safetensors");
    if (n <= tail || n > 200 || strcmp(name + n - tail, ".safetensors") || *name == '.') return false;
    for (const char *c = name; *c; c++)
        if (*c == '/' || *c <= ' ' || *c > '~') return false;
    return true;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The distinct names of the index's map into w->file. */
static enum kv_status take_names(struct hf_weights *w, const cJSON *map, struct kv_error *err)
{
    size_t n = 0, kept = 0;
    char quoted[80];
    for (const cJSON *item = map->child; item; item = item->next) n++;
    if (!n) return kv_fail(err, KV_BAD_FILE, "%s lists no tensors.", INDEX_NAME);
    const char **name = kv_alloc(n, sizeof *name);
    if (!name) return kv_fail(err, KV_NO_MEMORY, "No memory for the %zu tensors of %s.", n, INDEX_NAME);
    enum kv_status status = KV_OK;
    n = 0;
    for (const cJSON *item = map->child; item && !status; item = item->next) {
        const char *file = cJSON_GetStringValue(item);
        if (!file || !plain_name(file))
            status =
                kv_fail(err, KV_BAD_FILE, "%s names the file '%s', expected NAME.safetensors in the folder itself.",
                    INDEX_NAME, setting_quote(file ? file : "(no text)", quoted, sizeof quoted));
        else
            name[n++] = file;
    }
    qsort(name, n, sizeof *name, by_text);
    for (size_t i = 0; i < n; i++)
        if (!i || strcmp(name[i], name[kept - 1])) name[kept++] = name[i];
    if (!status && kept > HF_FILES_LIMIT)
        status =
            kv_fail(err, KV_BAD_FILE, "%s names %zu files, expected at most %d.", INDEX_NAME, kept, HF_FILES_LIMIT);
    if (!status && !(w->file = kv_alloc(kept, sizeof *w->file)))
        status = kv_fail(err, KV_NO_MEMORY, "No memory for %zu files.", kept);
    for (; !status && w->n_file < (int)kept; w->n_file++)
        if (!(w->file[w->n_file].name = kv_strdup(name[w->n_file])))
            status = kv_fail(err, KV_NO_MEMORY, "No memory for %zu files.", kept);
    free(name);
    return status;
}

/* Weights that only other programs read, so that the refusal can name them. */
static enum kv_status no_weights(const char *folder, struct kv_error *err)
{
    static const char *const others[] = { "pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5",
        "flax_model.msgpack", "consolidated.safetensors", "consolidated.00.pth", "adapter_model.safetensors" };
    for (size_t i = 0; i < KV_COUNT(others); i++) {
        char *path = hf_path(folder, others[i]);
        bool there = path && !access(path, F_OK);
        free(path);
        if (there)
            return kv_fail(err, KV_UNSUPPORTED, "The folder holds %s, which kvdbg does not read; it reads %s.",
                others[i], SINGLE_NAME);
    }
    return kv_fail(err, KV_BAD_FILE, "The folder has neither %s nor %s.", SINGLE_NAME, INDEX_NAME);
}

static enum kv_status open_one(
    struct hf_weights *w, const char *folder, struct weight_file *f, struct kv_error *err)
{
    char *path = hf_path(folder, f->name);
    if (!path) return kv_fail(err, KV_NO_MEMORY, "No memory to open %s.", f->name);
    enum kv_status status = st_open(path, "safetensors file", &f->st, err);
    free(path);
    if (status) return status;
    f->bytes = (size_t)f->st.size;
    f->map = mmap(NULL, f->bytes, PROT_READ, MAP_SHARED, f->st.fd, 0);
    if (f->map == MAP_FAILED) {
        f->map = NULL;
        return kv_fail(err, KV_IO, "%s cannot be mapped: %s.", f->name, strerror(errno));
    }
    /* The kernel reads ahead while the user types; nothing here waits for it. */
    posix_madvise(f->map, f->bytes, POSIX_MADV_WILLNEED);
    w->n_weight += (size_t)f->st.n_tensor;
    return KV_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct weight *)a)->t->name, ((const struct weight *)b)->t->name);
}

/* All tensors of all files, by name. */
static enum kv_status list_weights(struct hf_weights *w, struct kv_error *err)
{
    size_t n = 0;
    char quoted[80];
    w->weight = kv_alloc(w->n_weight, sizeof *w->weight);
    if (!w->weight) return kv_fail(err, KV_NO_MEMORY, "No memory for the list of %zu tensors.", w->n_weight);
    for (int f = 0; f < w->n_file; f++)
        for (int i = 0; i < w->file[f].st.n_tensor; i++)
            w->weight[n++] = (struct weight){ &w->file[f].st.tensor[i], f, false };
    qsort(w->weight, n, sizeof *w->weight, by_name);
    for (size_t i = 1; i < n; i++)
        if (!by_name(&w->weight[i - 1], &w->weight[i]))
            return kv_fail(err, KV_BAD_FILE, "Tensor '%s' is in %s and in %s.",
                setting_quote(w->weight[i].t->name, quoted, sizeof quoted), w->file[w->weight[i - 1].file].name,
                w->file[w->weight[i].file].name);
    return KV_OK;
}

static struct weight *find(const struct hf_weights *w, const char *name)
{
    const struct st_tensor t = { .name = name };
    const struct weight wanted = { .t = &t };
    return bsearch(&wanted, w->weight, w->n_weight, sizeof wanted, by_name);
}

/* Every tensor of the index must be where it says. */
static enum kv_status check_index(const struct hf_weights *w, const cJSON *map, struct kv_error *err)
{
    char quoted[80];
    for (const cJSON *item = map->child; item; item = item->next) {
        const struct weight *found = find(w, item->string);
        if (!found || strcmp(w->file[found->file].name, item->valuestring))
            return kv_fail(err, KV_BAD_FILE, "%s says that tensor '%s' is in %s, but it is not.", INDEX_NAME,
                setting_quote(item->string, quoted, sizeof quoted), item->valuestring);
    }
    return KV_OK;
}

/* One file, where it is there; else those of the index. */
static enum kv_status open_files(
    struct hf_weights *w, const char *folder, struct hf_json *index, struct kv_error *err)
{
    char *path = hf_path(folder, SINGLE_NAME);
    struct stat info;
    bool single = path && !lstat(path, &info); /* a link to nothing is said, not passed over */
    const cJSON *map = NULL;
    enum kv_status status = KV_OK;
    free(path);
    if (single) {
        w->file = kv_alloc(1, sizeof *w->file);
        w->n_file = w->file ? 1 : 0;
        if (!w->file || !(w->file->name = kv_strdup(SINGLE_NAME)))
            return kv_fail(err, KV_NO_MEMORY, "No memory to open the model.");
    } else {
        status = hf_json_read(folder, INDEX_NAME, HF_INDEX_LIMIT, index, err);
        if (status == KV_NOT_FOUND) return no_weights(folder, err);
        if (!status) status = hf_json_object(index, index->root, "weight_map", &map, err);
        if (status == KV_NOT_FOUND) status = err->code = KV_BAD_FILE;
        if (!status) status = take_names(w, map, err);
        w->indexed = true;
    }
    for (int i = 0; i < w->n_file && !status; i++) status = open_one(w, folder, &w->file[i], err);
    if (!status) status = list_weights(w, err);
    return status || !map ? status : check_index(w, map, err);
}

enum kv_status hf_weights_open(const char *folder, struct hf_weights **out, struct kv_error *err)
{
    struct hf_json index = { 0 };
    struct hf_weights *w = kv_alloc(1, sizeof *w);
    *out = NULL;
    if (!w) return kv_fail(err, KV_NO_MEMORY, "No memory to open the model.");
    enum kv_status status = open_files(w, folder, &index, err);
    hf_json_close(&index);
    if (status)
        hf_weights_close(w);
    else
        *out = w;
    return status;
}

const char *hf_weights_file(const struct hf_weights *w, int index)
{
    if (index < w->n_file) return w->file[index].name;
    return index == w->n_file && w->indexed ? INDEX_NAME : NULL;
}

/* --- binding -------------------------------------------------------------------------------------------------- */

struct binding {
    struct hf_weights *w;
    const struct hf_config *config;
    size_t bytes;
};

/* Memory of the model's own, released with it. */
static void *own(struct hf_weights *w, size_t count, size_t size)
{
    void **grown = realloc(w->copy, (w->n_copy + 1) * sizeof *grown);
    if (!grown) return NULL;
    w->copy = grown;
    void *p = kv_alloc(count, size);
    if (p) w->copy[w->n_copy++] = p;
    return p;
}

static int type_of(const struct st_tensor *t)
{
    return t->type == ST_F32    ? KV_TYPE_F32
           : t->type == ST_F16  ? KV_TYPE_F16
           : t->type == ST_BF16 ? KV_TYPE_BF16
                                : KV_TYPE_NONE;
}

static void widen(const uint8_t *from, int type, size_t n, float *to)
{
    for (size_t i = 0; i < n && type == KV_TYPE_F16; i++) to[i] = kv_half(from + 2 * i);
    for (size_t i = 0; i < n && type == KV_TYPE_BF16; i++) to[i] = kv_bf16_to_f32(kv_u16(from + 2 * i));
    if (type == KV_TYPE_F32) memcpy(to, from, n * sizeof *to);
}

/* Whether a part that not every model has must be there. */
static bool wanted(const struct binding *b, const struct arch_tensor *what, const struct kv_model *model,
    const struct kv_tensor *slot)
{
    const struct kv_layer_weights *l = what->layer < 0 ? NULL : &model->layer[what->layer];
    if (slot == &model->output) return !b->config->tied;
    if (l && (slot == &l->q_bias || slot == &l->k_bias || slot == &l->v_bias)) return b->config->qkv_bias;
    if (l && slot == &l->o_bias) return b->config->o_bias;
    if (l && (slot == &l->gate_bias || slot == &l->up_bias || slot == &l->down_bias)) return b->config->ffn_bias;
    return true;
}

static enum kv_status check_tensor(const struct arch_tensor *what, const struct st_tensor *t, struct kv_error *err)
{
    bool vector = what->role == ARCH_NORM || what->role == ARCH_BIAS;
    char shape[100] = "";
    size_t n = 0;
    for (int d = 0; d < t->n_dim && n < sizeof shape; d++)
        n += (size_t)snprintf(shape + n, sizeof shape - n, "%s%llu", d ? " x " : "", (unsigned long long)t->dim[d]);
    if (type_of(t) == KV_TYPE_NONE)
        return kv_fail(err, KV_UNSUPPORTED, "Tensor '%s' is %s; kvdbg reads F32, F16 and BF16 in folders.",
            what->hf, st_type_name[t->type]);
    if (vector && (t->n_dim != 1 || t->dim[0] != (uint64_t)what->cols))
        return kv_fail(err, KV_BAD_FILE, "Tensor '%s' has the shape [%s]; config.json asks for [%d].", what->hf,
            shape, what->cols);
    if (!vector && (t->n_dim != 2 || t->dim[0] != (uint64_t)what->rows || t->dim[1] != (uint64_t)what->cols))
        return kv_fail(err, KV_BAD_FILE, "Tensor '%s' has the shape [%s]; config.json asks for [%d x %d].",
            what->hf, shape, what->rows, what->cols);
    return KV_OK;
}

struct visit {
    struct binding b;
    struct kv_model *model;
};

static enum kv_status bind(void *ctx, const struct arch_tensor *what, struct kv_tensor *slot, struct kv_error *err)
{
    struct visit *v = ctx;
    struct hf_weights *w = v->b.w;
    if (!wanted(&v->b, what, v->model, slot)) return KV_OK;
    struct weight *found = find(w, what->hf);
    if (!found)
        return kv_fail(
            err, KV_BAD_FILE, "Tensor '%s' is missing; this %s model needs it.", what->hf, v->b.config->arch->name);
    enum kv_status status = check_tensor(what, found->t, err);
    if (status) return status;
    const struct weight_file *f = &w->file[found->file];
    const uint8_t *data = (const uint8_t *)f->map + f->st.data + found->t->begin;
    int type = type_of(found->t);
    size_t count = (size_t)what->rows * (size_t)what->cols, bytes = (size_t)found->t->bytes;
    bool vector = what->role == ARCH_NORM || what->role == ARCH_BIAS;
    bool askew = (uintptr_t)data % (uintptr_t)kv_type_info(type)->bytes;
    found->used = true;
    v->b.bytes += bytes;
    *slot = (struct kv_tensor){ data, type, what->rows, what->cols };
    if (!askew && (!vector || type == KV_TYPE_F32)) return KV_OK;
    void *copy = own(w, vector ? count * sizeof(float) : bytes, 1);
    if (!copy) return kv_fail(err, KV_NO_MEMORY, "No memory for a copy of tensor '%s'.", what->hf);
    if (vector)
        widen(data, type, count, copy);
    else
        memcpy(copy, data, bytes);
    *slot = (struct kv_tensor){ copy, vector ? KV_TYPE_F32 : type, what->rows, what->cols };
    return KV_OK;
}

/* Tables that older programs stored though they follow from the config, and the head of a tied model, which is the
 * embedding whatever is stored. */
static bool ignorable(const struct hf_config *config, const char *name)
{
    static const char table[] = ".rotary_emb.inv_freq";
    size_t n = strlen(name), tail = strlen(table);
    return (config->tied && !strcmp(name, "lm_head.weight")) || (n > tail && !strcmp(name + n - tail, table));
}

enum kv_status hf_weights_bind(
    struct hf_weights *w, const struct hf_config *config, struct kv_model *model, struct kv_error *err)
{
    struct visit v = { { w, config, 0 }, model };
    enum kv_status status = arch_each_tensor(model, config->arch, bind, &v, err);
    char quoted[80];
    for (size_t i = 0; i < w->n_weight && !status; i++)
        if (!w->weight[i].used && !ignorable(config, w->weight[i].t->name))
            status =
                kv_fail(err, KV_UNSUPPORTED, "Tensor '%s' is not a part of the %s model that config.json states.",
                    setting_quote(w->weight[i].t->name, quoted, sizeof quoted), config->arch->name);
    if (!status && config->tied) model->output = model->token_embd;
    model->weight_bytes = v.b.bytes;
    free(w->weight);
    w->weight = NULL;
    w->n_weight = 0;
    for (int i = 0; i < w->n_file; i++) st_close(&w->file[i].st);
    return status;
}

void hf_weights_close(struct hf_weights *w)
{
    if (!w) return;
    for (int i = 0; i < w->n_file; i++) {
        if (w->file[i].map) munmap(w->file[i].map, w->file[i].bytes);
        st_close(&w->file[i].st);
        free(w->file[i].name);
    }
    for (size_t i = 0; i < w->n_copy; i++) free(w->copy[i]);
    free(w->copy);
    free(w->weight);
    free(w->file);
    free(w);
}

#endif
