/* JSON Lines from outside. cJSON is kind to what is no JSON (bytes that are no UTF-8, a NUL that ends a text early),
 * so that is looked at first. */
#include "inspector/json/jsonl_read.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/language/line.h"

#define WHOLE 9007199254740992.0 /* 2^53: above it a double skips whole numbers */

/* A signal is not the end of the file. */
static int next_byte(FILE *f)
{
    int c;
    while ((c = getc_unlocked(f)) == EOF && ferror(f) && errno == EINTR) clearerr(f);
    return c;
}

bool jsonl_line(FILE *f, size_t limit, struct jsonl_line *line)
{
    int c;
    line->bytes = 0;
    line->too_long = false;
    while ((c = next_byte(f)) != EOF && c != '\n') {
        if (line->bytes == limit) {
            line->too_long = true;
            continue;
        }
        if (line->bytes + 1 >= line->cap) {
            size_t cap = line->cap ? 2 * line->cap : 256;
            char *grown = realloc(line->text, cap);
            if (!grown) {
                line->too_long = true;
                continue;
            }
            line->text = grown;
            line->cap = cap;
        }
        line->text[line->bytes++] = (char)c;
    }
    if (c == EOF && !line->bytes) return false;
    if (!line->text && !(line->text = calloc(line->cap = 1, 1))) return false;
    line->text[line->bytes] = '\0';
    return true;
}

/* The place of the first byte that is no UTF-8, or bytes. */
static size_t broken_at(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes;) {
        int n = line_utf8(text + i, bytes - i);
        if (n <= 0) return i;
        i += (size_t)n;
    }
    return bytes;
}

static bool null_escape(const char *text)
{
    for (const char *p = text; (p = strchr(p, '\\')) && p[1]; p += 2)
        if (!strncmp(p, "\\u0000", 6)) return true;
    return false;
}

enum kv_status jsonl_object(const char *text, size_t bytes, cJSON **out, struct kv_error *err)
{
    const char *zero = memchr(text, 0, bytes), *end = NULL;
    size_t broken = broken_at(text, bytes);
    *out = NULL;
    if (zero) return kv_fail(err, KV_BAD_ARG, "Byte %zu of the line is 0; no text here holds a NUL.", zero - text);
    if (broken < bytes) return kv_fail(err, KV_BAD_ARG, "Byte %zu of the line is no UTF-8.", broken);
    if (null_escape(text)) return kv_fail(err, KV_BAD_ARG, "The line holds \\u0000; no text here holds a NUL.");
    cJSON *object = cJSON_ParseWithLengthOpts(text, bytes + 1, &end, true);
    if (!object)
        return kv_fail(err, KV_BAD_ARG, "The line is no JSON object: it cannot be read from byte %zu on.",
            end ? kv_min((size_t)(end - text), bytes) : 0);
    if (!cJSON_IsObject(object)) {
        cJSON_Delete(object);
        return kv_fail(err, KV_BAD_ARG, "The line is JSON, but no object.");
    }
    *out = object;
    return KV_OK;
}

static bool legal_token(const cJSON *token)
{
    if (cJSON_IsString(token)) return true;
    return cJSON_IsNumber(token) && fabs(token->valuedouble) <= WHOLE &&
           floor(token->valuedouble) == token->valuedouble;
}

static enum kv_status take_object(const cJSON *object, struct jsonl_request *out, struct kv_error *err)
{
    const cJSON *token = cJSON_GetObjectItemCaseSensitive(object, "token");
    const cJSON *command = cJSON_GetObjectItemCaseSensitive(object, "cmd");
    if (token && !cJSON_IsNull(token)) {
        if (!legal_token(token))
            return kv_fail(err, KV_BAD_ARG, "\"token\" must be a text or a whole number up to 2^53.");
        out->token = cJSON_IsNumber(token) ? jsonl_number(token->valuedouble) : cJSON_Duplicate(token, false);
        if (!out->token) return kv_fail(err, KV_NO_MEMORY, "No memory for a token.");
    }
    for (const cJSON *item = object->child; item; item = item->next)
        if (strcmp(item->string, "token") && strcmp(item->string, "cmd"))
            return kv_fail(
                err, KV_BAD_ARG, "Unknown key \"%.60s\"; a command has \"cmd\" and \"token\".", item->string);
    if (!command) return kv_fail(err, KV_BAD_ARG, "\"cmd\" is missing.");
    if (!cJSON_IsString(command)) return kv_fail(err, KV_BAD_ARG, "\"cmd\" must be a text.");
    out->object = true;
    out->command = kv_strdup(command->valuestring);
    return out->command ? KV_OK : kv_fail(err, KV_NO_MEMORY, "No memory for a command.");
}

/* Digits that a command follows are its token, as in GDB/MI. */
static enum kv_status take_plain(const char *text, size_t bytes, struct jsonl_request *out, struct kv_error *err)
{
    size_t digits = strspn(text, "0123456789"), broken = broken_at(text, bytes);
    if (digits == bytes) digits = 0;
    if (digits > 15) return kv_fail(err, KV_BAD_ARG, "The token has %zu digits; 15 are the limit.", digits);
    if (digits && !(out->token = jsonl_number((double)strtoll(text, NULL, 10))))
        return kv_fail(err, KV_NO_MEMORY, "No memory for a token.");
    if (strlen(text) < bytes)
        return kv_fail(err, KV_BAD_ARG, "Byte %zu of the line is 0; no text here holds a NUL.", strlen(text));
    if (broken < bytes) return kv_fail(err, KV_BAD_ARG, "Byte %zu of the line is no UTF-8.", broken);
    out->command = kv_strdup(text + digits);
    return out->command ? KV_OK : kv_fail(err, KV_NO_MEMORY, "No memory for a command.");
}

enum kv_status jsonl_request(const char *text, size_t bytes, struct jsonl_request *out, struct kv_error *err)
{
    *out = (struct jsonl_request){ 0 };
    if (text[strspn(text, " \t")] != '{') return take_plain(text, bytes, out, err);
    cJSON *object;
    enum kv_status st = jsonl_object(text, bytes, &object, err);
    if (!st) st = take_object(object, out, err);
    cJSON_Delete(object);
    return st;
}

void jsonl_request_free(struct jsonl_request *request)
{
    cJSON_Delete(request->token);
    free(request->command);
    *request = (struct jsonl_request){ 0 };
}

char *jsonl_digits(double x, char out[32])
{
    if (!isfinite(x)) return strcpy(out, "null");
    /* Most values are single precision: 9 digits tell those apart, though they are no double's. */
    for (int digits = 6; digits <= 17; digits += digits < 15 ? 3 : 1) {
        snprintf(out, 32, "%.*g", digits, x);
        double back = strtod(out, NULL);
        if (back == x || (digits == 9 && (double)(float)x == x && (float)back == (float)x)) break;
    }
    if (floor(x) == x && fabs(x) <= WHOLE) snprintf(out, 32, "%.0f", x);
    return out;
}

cJSON *jsonl_number(double x)
{
    char text[32];
    return cJSON_CreateRaw(jsonl_digits(x, text));
}

cJSON *jsonl_text(const char *bytes, size_t n)
{
    char *clean = malloc(3 * n + 1), *to = clean;
    if (!clean) return NULL;
    for (size_t i = 0; i < n;) {
        int length = bytes[i] ? line_utf8(bytes + i, n - i) : 0;
        if (length > 0)
            memcpy(to, bytes + i, (size_t)length), to += length;
        else
            memcpy(to, "\xEF\xBF\xBD", 3), to += 3;
        i += length > 0 ? (size_t)length : 1;
    }
    *to = '\0';
    cJSON *text = cJSON_CreateString(clean);
    free(clean);
    return text;
}
