/* usage: core_seeds DIR: writes core files of a small request there, in the two forms that fuzz_core starts from. */
#include "engine/core.h"
#include "engine/edit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct kv_error err;

static bool put(const char *folder, const char *name, char first, const char *data, size_t n)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s-%c", folder, name, first);
    FILE *f = fopen(path, "wb");
    uint64_t length;
    if (!f) return false;
    memcpy(&length, data, 8);
    bool ok = first == 'R' ? fputc('R', f) != EOF && fwrite(data, 1, n, f) == n
                           : fwrite(data + 8, 1, length, f) == length && fputc('\n', f) != EOF &&
                                 fwrite(data + 8 + length, 1, n - 8 - length, f) == n - 8 - length;
    return !fclose(f) && ok;
}

/* A core as it stands now, with all parts that there are. */
static bool seed(struct kv_engine *e, const char *folder, const char *name, bool whole)
{
    struct kv_core_want want = { .layer = { 1 }, .head = { 2 }, .n_map = whole ? 1 : 0 };
    char path[600], *data = malloc(1 << 20);
    for (int i = 0; i < KV_CORE_PARTS && whole; i++) want.part[i] = i != KV_CORE_KV;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    bool ok = data && !kv_core_write(e, path, &want, &err);
    FILE *f = ok ? fopen(path, "rb") : NULL;
    size_t n = f ? fread(data, 1, 1 << 20, f) : 0;
    if (f) fclose(f);
    ok = n > 8 && put(folder, name, 'R', data, n) && put(folder, name, 'H', data, n);
    remove(path);
    free(data);
    return ok;
}

int main(int argc, char **argv)
{
    struct kv_model *model = NULL;
    struct kv_engine *e = NULL;
    struct kv_verdict verdict;
    struct kv_where w = { 0 };
    const char *name[] = { "decode.tokens", "engine.precision" }, *value[] = { "2", "f32" };
    const int32_t pin[] = { 2 };
    if (argc != 2) {
        fprintf(stderr, "usage: core_seeds DIR\n");
        return 2;
    }
    bool ok = !kv_model_open("synthetic:tiny", &model, &err) && !kv_engine_open(model, &e, &err) &&
              !kv_set(e, name, value, 2, &err) && !kv_prompt_text(e, "fox", 3, NULL, false, &err) &&
              !kv_edit_tokens(e, KV_PIN, pin, 1, 1, 1, &err) && !kv_start(e, &err) &&
              seed(e, argv[1], "start", false);
    while (ok && w.phase != KV_PHASE_done) {
        ok = !kv_step(e, KV_UNIT_PHASE, &err);
        kv_where(e, &w);
    }
    ok = ok && !kv_twin(e, 2, &verdict, &err) && seed(e, argv[1], "done", true);
    if (!ok) fprintf(stderr, "%s\n", err.text);
    kv_engine_close(e);
    kv_model_close(model);
    return !ok;
}
