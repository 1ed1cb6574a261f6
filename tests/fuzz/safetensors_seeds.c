/* usage: safetensors_seeds DIR: writes the weights of a very small model there, in the two forms that fuzz_safetensors
 * starts from. */
#include "tests/fuzz/folder.h"

static bool seed(const char *dir, const char *type, size_t element, bool raw)
{
    char path[600], header[4096], data[512];
    size_t bytes;
    uint64_t length = folder_header(type, element, header, sizeof header, &bytes);
    memset(data, '?', sizeof data);
    snprintf(path, sizeof path, "%s/%s-%c", dir, type, raw ? 'R' : 'H');
    FILE *f = fopen(path, "wb");
    if (!f) return false;
    if (raw) fputc('R', f), fwrite(&length, sizeof length, 1, f);
    fwrite(header, 1, length, f);
    if (!raw) fputc('\n', f);
    fwrite(data, 1, bytes, f);
    return !ferror(f) & !fclose(f);
}

int main(int argc, char **argv)
{
    bool ok = argc == 2 && seed(argv[1], "F32", 4, true) && seed(argv[1], "F32", 4, false) &&
              seed(argv[1], "BF16", 2, false) && seed(argv[1], "F16", 2, false);
    if (!ok) fprintf(stderr, "usage: safetensors_seeds DIR\n");
    return !ok;
}
