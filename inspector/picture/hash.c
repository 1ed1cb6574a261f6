/* SHA-256 by libcrypto. */
#include "inspector/picture/hash.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum kv_status finish(EVP_MD_CTX *ctx, char out[65], struct kv_error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (EVP_DigestFinal_ex(ctx, digest, &n) != 1 || n != 32) return kv_fail(err, KV_NO_MEMORY, "SHA-256 failed.");
    for (unsigned i = 0; i < n; i++) snprintf(out + 2 * i, 3, "%02x", digest[i]);
    return KV_OK;
}

static EVP_MD_CTX *begin(struct kv_error *err)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1) return ctx;
    EVP_MD_CTX_free(ctx);
    kv_fail(err, KV_NO_MEMORY, "SHA-256 is not to be had from libcrypto.");
    return NULL;
}

enum kv_status hash_bytes(const void *data, size_t n, char out[65], struct kv_error *err)
{
    EVP_MD_CTX *ctx = begin(err);
    if (!ctx) return err->code;
    enum kv_status st =
        EVP_DigestUpdate(ctx, data, n) == 1 ? finish(ctx, out, err) : kv_fail(err, KV_NO_MEMORY, "SHA-256 failed.");
    EVP_MD_CTX_free(ctx);
    return st;
}

enum kv_status hash_file(const char *path, char out[65], struct kv_error *err)
{
    enum { BLOCK = 1 << 20 };
    EVP_MD_CTX *ctx = begin(err);
    if (!ctx) return err->code;
    FILE *f = fopen(path, "rb");
    char *block = malloc(BLOCK);
    enum kv_status st = !f      ? kv_fail(err, KV_IO, "%.300s: %s.", path, strerror(errno))
                        : block ? KV_OK
                                : kv_fail(err, KV_NO_MEMORY, "No memory to read %.300s.", path);
    for (size_t n; !st && (n = fread(block, 1, BLOCK, f)) > 0;)
        if (EVP_DigestUpdate(ctx, block, n) != 1) st = kv_fail(err, KV_NO_MEMORY, "SHA-256 failed.");
    if (!st && ferror(f)) st = kv_fail(err, KV_IO, "%.300s: %s.", path, strerror(errno));
    if (!st) st = finish(ctx, out, err);
    free(block);
    if (f) fclose(f);
    EVP_MD_CTX_free(ctx);
    return st;
}

enum kv_status hash_files(const char *const *path, int n, char out[65], struct kv_error *err)
{
    char *lines = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&lines, &size);
    enum kv_status st = to ? KV_OK : kv_fail(err, KV_NO_MEMORY, "No memory for the hashes of %d files.", n);
    for (int i = 0; i < n && !st; i++) {
        const char *slash = strrchr(path[i], '/');
        st = hash_file(path[i], out, err);
        if (!st) fprintf(to, "%s  %s\n", out, slash ? slash + 1 : path[i]);
    }
    if (to && fclose(to) && !st) st = kv_fail(err, KV_NO_MEMORY, "No memory for the hashes of %d files.", n);
    if (!st) st = hash_bytes(lines, size, out, err);
    free(lines);
    return st;
}
