/* usage: gguf_seeds DIR: writes one small well-formed file of each architecture there, for fuzz_gguf to start from. */
#include "kernels/base.h"
#include "tests/lib/gguf_writer.h"

#include <stdio.h>
#include <stdlib.h>

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
        size_t size;
        gw_model(&w, archs[i]);
        w.version = i == 1 ? 2 : 3;
        uint8_t *data = gw_write(&w, &size, NULL);
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
