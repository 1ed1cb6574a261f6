/* libFuzzer target: any bytes as model.safetensors of a folder whose config.json is right.
 *
 * An input that begins with 'R' is a file behind that byte; of any other the first line is the header, whose length word
 * is put before it, and the rest the data, so that mutations of the header reach what is behind it. Seeds:
 * tests/fuzz/safetensors_seeds.c writes them. */
#include "tests/fuzz/folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    if (!ready) folder_put(0, "config.json", FOLDER_CONFIG, strlen(FOLDER_CONFIG), NULL, 0);
    ready = true;
    if (size && *data == 'R') {
        folder_put(1, "model.safetensors", data + 1, size - 1, NULL, 0);
    } else {
        const uint8_t *line = size ? memchr(data, '\n', size) : NULL;
        uint64_t length = line ? (uint64_t)(line - data) : size;
        size_t rest = line ? size - length - 1 : 0;
        uint8_t *all = malloc(length + rest + 1);
        if (!all) abort();
        memcpy(all, data, length);
        if (rest) memcpy(all + length, line + 1, rest);
        folder_put(1, "model.safetensors", &length, sizeof length, all, length + rest);
        free(all);
    }
    folder_open();
    return 0;
}
