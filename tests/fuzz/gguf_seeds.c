/* usage: gguf_seeds DIR: writes one small well-formed file of each architecture there, for fuzz_gguf to start from. */
#include "engine/model/gguf.h"
#include "tests/lib/gguf_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What some models of the architecture say of RoPE and windows. */
static void add_scaling(struct gw *w, const char *arch)
{
    char key[96];
    if (!strcmp(arch, "llama")) {
        gw_add(w, "rope_freqs.weight", KV_TYPE_F32, 8, 1);
        gw_number(w, "llama.attention.sliding_window", GGUF_U32, 4);
        gw_raw(w, "llama.attention.sliding_window_pattern", GGUF_ARRAY, "\x07\0\0\0\1\0\0\0\0\0\0\0\1", 13);
        return;
    }
    snprintf(key, sizeof key, "%s.rope.scaling.type", arch);
    gw_text(w, key, strcmp(arch, "qwen2") ? "linear" : "yarn");
    snprintf(key, sizeof key, "%s.rope.scaling.factor", arch);
    gw_float(w, key, 4);
    snprintf(key, sizeof key, "%s.rope.scaling.yarn_beta_fast", arch);
    gw_float(w, key, 16);
}

/* Bytes that are no numbers would be refused at once. */
static void set_divisors(struct gw *w, uint8_t *data)
{
    const struct gw_tensor *t = gw_tensor(w, "rope_freqs.weight");
    const float one = 1;
    for (uint64_t i = 0; t && i < t->bytes / sizeof one; i++)
        memcpy(data + t->offset + i * sizeof one, &one, sizeof one);
}

int main(int argc, char **argv)
{
    static const char *const archs[] = { "llama", "qwen2", "qwen3" };
    if (argc != 2) {
        fprintf(stderr, "usage: gguf_seeds DIR\n");
        return 2;
    }
    for (size_t i = 0; i < KV_COUNT(archs); i++) {
        struct gw w;
        char path[512];
        size_t size, header;
        gw_model(&w, archs[i]);
        add_scaling(&w, archs[i]);
        w.version = i == 1 ? 2 : 3;
        uint8_t *data = gw_write(&w, &size, &header);
        set_divisors(&w, data + (header + w.alignment - 1) / w.alignment * w.alignment);
        snprintf(path, sizeof path, "%s/%s.gguf", argv[1], archs[i]);
        FILE *f = fopen(path, "wb");
        if (!f || fwrite(data, 1, size, f) != size || fclose(f)) {
            fprintf(stderr, "%s cannot be written\n", path);
            return 1;
        }
        free(data);
    }
    return 0;
}
