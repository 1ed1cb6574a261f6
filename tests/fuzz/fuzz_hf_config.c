/* libFuzzer target: any bytes as the JSON files of a folder whose weights are right: config.json, behind a form feed
 * generation_config.json, behind another one model.safetensors.index.json, which may name model.safetensors or w.safetensors.
 * What is not there is no file. Seeds: fuzz_hf_config.seeds. */
#include "tests/fuzz/folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const name[] = { "config.json", "generation_config.json", "model.safetensors.index.json" };
    char header[4096], weights[512];
    size_t bytes, n = folder_header("F32", 4, header + 8, sizeof header - 8, &bytes);
    uint64_t length = n;
    bool indexed = false;
    memcpy(header, &length, sizeof length);
    memset(weights, 0, sizeof weights);
    for (int i = 0; i < 3; i++) {
        const uint8_t *end = data ? memchr(data, '\f', size) : NULL;
        size_t own = end ? (size_t)(end - data) : size;
        indexed = i == 2 && data;
        folder_put(i, name[i], data, own, NULL, 0);
        data = end ? end + 1 : NULL;
        size = end ? size - own - 1 : 0;
    }
    const char *file = indexed ? "w.safetensors" : "model.safetensors";
    folder_put(3, indexed ? "model.safetensors" : "w.safetensors", NULL, 0, NULL, 0);
    folder_put(3, file, header, 8 + n, weights, bytes);
    folder_open();
    return 0;
}
