/* Hugging Face folders with one thing changed, for the tests of what is refused.
 *
 * A case is a golden folder, seen through links as Hugging Face's cache has them, with one file changed. */
#ifndef TEST_FOLDER_H
#define TEST_FOLDER_H

#include "engine/model/model.h"
#include "kernels/blocks.h"
#include "tests/tap.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define GOLDEN            "tests/golden/hf/"
#define CONFIG            "config.json"
#define INDEX             "model.safetensors.index.json"
#define ONE               "model.safetensors"
#define FIRST             "model-00001-of-00002.safetensors"
#define SECOND            "model-00002-of-00002.safetensors"
#define MAPPED(tensor, n) "\"" tensor "\": \"model-0000" n "-of-00002.safetensors\""

enum base { LLAMA, MISTRAL, QWEN2, QWEN3 };
static const char *const bases[] = { "llama-f32", "mistral-bf16", "qwen2-f16", "qwen3-bf16" };
static const char *const files[] = { CONFIG, "generation_config.json", ONE, INDEX, FIRST, SECOND };

enum op {
    EDIT, /* find becomes put, in the file's text; in a safetensors file in its header, whose length is kept right */
    TEXT, /* the file is put alone; put NULL: there is none */
    CUT,  /* after number bytes */
    WORD, /* a safetensors file's length word is number */
    MORE, /* put stands behind the end */
    FILL, /* number times put, between find and its mirror image: deep or long JSON */
    LINK, /* the file is a link to put */
    KIND  /* put: "folder", "fifo" */
};

struct change {
    const char *name;
    enum base base;
    const char *file;
    enum op op;
    const char *find, *put;
    unsigned long long number;
    const char *says; /* NULL: the folder opens */
};

/* --- changing a folder ---------------------------------------------------------------------------------------- */

static char folder[] = "/tmp/kvdbg-folder-XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[300];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static inline void clear(void)
{
    for (size_t i = 0; i < KV_COUNT(files); i++)
        if (unlink(in_folder(files[i]))) rmdir(in_folder(files[i]));
}

/* The golden's bytes with a NUL behind them, for the caller to free; NULL: it has no such file. */
static inline char *read_golden(enum base base, const char *name, size_t *size)
{
    char path[300];
    snprintf(path, sizeof path, GOLDEN "%s/%s", bases[base], name);
    FILE *f = fopen(path, "rb");
    struct stat info;
    if (!f || fstat(fileno(f), &info)) return NULL;
    char *text = calloc(1, (size_t)info.st_size + 1);
    *size = text ? fread(text, 1, (size_t)info.st_size, f) : 0;
    fclose(f);
    return text;
}

static inline void link_golden(enum base base)
{
    char path[300], *real;
    clear();
    for (size_t i = 0; i < KV_COUNT(files); i++) {
        snprintf(path, sizeof path, GOLDEN "%s/%s", bases[base], files[i]);
        if (!(real = realpath(path, NULL))) continue;
        CHECK(!symlink(real, in_folder(files[i])), "%s cannot be linked", path);
        free(real);
    }
}

static inline void write_file(const char *name, const char *data, size_t size)
{
    unlink(in_folder(name));
    FILE *f = fopen(in_folder(name), "wb");
    REQUIRE(f, "%s cannot be written", name);
    CHECK(fwrite(data, 1, size, f) == size, "%s", name);
    fclose(f);
}

/* find becomes put in data; a safetensors file's length word follows. */
static inline void edit(const struct change *c, char *data, size_t size)
{
    bool binary = !strstr(c->file, "json");
    uint64_t length = size;
    size_t begin = binary ? 8 : 0;
    if (binary) memcpy(&length, data, 8);
    if (binary) length += 8;
    char *at = memmem(data + begin, length - begin, c->find, strlen(c->find));
    REQUIRE(at, "%s: the golden has no %s", c->name, c->find);
    size_t before = (size_t)(at - data), after = before + strlen(c->find), put = strlen(c->put);
    char *out = malloc(size + put);
    memcpy(out, data, before);
    memcpy(out + before, c->put, put);
    memcpy(out + before + put, data + after, size - after);
    length = length - begin - strlen(c->find) + put;
    if (binary) memcpy(out, &length, 8);
    write_file(c->file, out, size - strlen(c->find) + put);
    free(out);
}

static inline void fill_json(const struct change *c)
{
    size_t head = strlen(c->find), n = strlen(c->put);
    char *out = malloc(2 * head + n * c->number);
    memcpy(out, c->find, head);
    for (size_t i = 0; i < c->number; i++) memcpy(out + head + i * n, c->put, n);
    for (size_t i = 0; i < head; i++)
        out[head + n * c->number + i] = c->find[head - 1 - i] == '{'   ? '}'
                                        : c->find[head - 1 - i] == '[' ? ']'
                                                                       : ' ';
    write_file(c->file, out, 2 * head + n * c->number);
    free(out);
}

static inline void apply(const struct change *c)
{
    size_t size = 0;
    char *data = read_golden(c->base, c->file, &size);
    link_golden(c->base);
    switch (c->op) {
    case EDIT: edit(c, data, size); break;
    case TEXT:
        if (c->put)
            write_file(c->file, c->put, strlen(c->put));
        else
            unlink(in_folder(c->file));
        break;
    case CUT: write_file(c->file, data, c->number); break;
    case WORD:
        memcpy(data, &c->number, 8);
        write_file(c->file, data, size);
        break;
    case MORE:
        data = realloc(data, size + strlen(c->put) + 1);
        strcpy(data + size, c->put);
        write_file(c->file, data, size + strlen(c->put));
        break;
    case FILL: fill_json(c); break;
    case LINK:
        unlink(in_folder(c->file));
        CHECK(!symlink(c->put, in_folder(c->file)), "no link");
        break;
    case KIND:
        unlink(in_folder(c->file));
        CHECK(!(strcmp(c->put, "fifo") ? mkdir(in_folder(c->file), 0777) : mkfifo(in_folder(c->file), 0666)),
            "no %s", c->put);
        break;
    }
    free(data);
}

/* --- looking at what came of it ------------------------------------------------------------------------------- */

static inline uint64_t touch_tensor(const struct kv_tensor *t)
{
    size_t bytes = t->data ? kv_type_bytes(t->type, (size_t)t->rows * (size_t)t->cols) : 0;
    uint64_t sum = 0;
    for (size_t i = 0; i < bytes; i++) sum += ((const uint8_t *)t->data)[i];
    return sum;
}

static inline uint64_t touch(const struct kv_model *m)
{
    uint64_t sum = touch_tensor(&m->token_embd) + touch_tensor(&m->output_norm) + touch_tensor(&m->output);
    for (int l = 0; l < m->shape.n_layer; l++)
        for (size_t i = 0; i < sizeof m->layer[l] / sizeof(struct kv_tensor); i++)
            sum += touch_tensor((const struct kv_tensor *)&m->layer[l] + i);
    return sum;
}

static inline bool is_one_sentence(const char *text)
{
    size_t n = strlen(text);
    if (!n || text[n - 1] != '.' || n > sizeof((struct kv_error *)0)->text - 2) return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < ' ' || (unsigned char)text[i] > '~') return false;
    return true;
}

static inline void check(const struct change *c)
{
    struct kv_model *m = NULL;
    struct kv_error err = { 0 };
    enum kv_status status = kv_model_open(folder, &m, &err);
    if (!c->says) {
        CHECK(!status, "%s: %s", c->name, err.text);
        CHECK(status || touch(m) != 0, "%s: nothing was read", c->name);
    } else {
        bool named = status == KV_IO || status == KV_BAD_FILE || status == KV_UNSUPPORTED;
        CHECK(named && !m, "%s: %s (%s)", c->name, kv_status_text(status), err.text);
        CHECK(is_one_sentence(err.text) && strstr(err.text, c->says), "%s: expected %s, got: %s", c->name, c->says,
            err.text);
    }
    kv_model_close(m);
}

static inline void run(const struct change *c, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        apply(&c[i]);
        check(&c[i]);
    }
    printf("# %zu folders\n", n);
}

static inline int folder_main(int argc, char **argv, const struct tap_case *cases, size_t count)
{
    if (!mkdtemp(folder)) return 2;
    int status = tap_main(argc, argv, cases, count);
    clear();
    rmdir(folder);
    return status;
}

#endif
