/* libFuzzer target: any bytes are read as lines, each as a command of JSON Lines and as an object; as a JSON text; and
 * the first eight as a number. A first byte below 100 is the longest line that is read whole.
 *
 * Built by clang -fsanitize=fuzzer,address,undefined from this file, inspector/json/jsonl_read.c, line.c and
 * kernels/base.c. */
#include "inspector/json/jsonl_read.h"
#include "inspector/language/line.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DEMAND(condition)                                                                                          \
    do {                                                                                                           \
        if (!(condition)) abort();                                                                                 \
    } while (0)

static void as_request(const struct jsonl_line *line)
{
    struct jsonl_request request;
    struct kv_error err = { 0 };
    enum kv_status st = jsonl_request(line->text, line->bytes, &request, &err);
    DEMAND(st ? !request.command && *err.text : request.command != NULL);
    if (request.token) {
        char *text = cJSON_PrintUnformatted(request.token);
        cJSON *again = text ? cJSON_Parse(text) : NULL;
        DEMAND(again && (cJSON_IsString(again) || cJSON_IsNumber(again)));
        cJSON_Delete(again);
        cJSON_free(text);
    }
    for (const char *p = request.command; p && *p;) {
        int n = line_utf8(p, strlen(p));
        DEMAND(n > 0);
        p += n;
    }
    jsonl_request_free(&request);
}

static void as_object(const struct jsonl_line *line)
{
    cJSON *object;
    struct kv_error err = { 0 };
    enum kv_status st = jsonl_object(line->text, line->bytes, &object, &err);
    DEMAND(st ? !object && *err.text : cJSON_IsObject(object));
    cJSON_Delete(object);
}

/* The text is UTF-8 of the same length in characters and broken bytes, and JSON. */
static void as_text(const char *bytes, size_t n)
{
    cJSON *text = jsonl_text(bytes, n);
    char *line = cJSON_PrintUnformatted(text);
    cJSON *again = cJSON_Parse(line);
    DEMAND(again && cJSON_IsString(again) && !strchr(line, '\n') && !strcmp(again->valuestring, text->valuestring));
    cJSON_Delete(again);
    cJSON_free(line);
    cJSON_Delete(text);
}

static void as_number(double x)
{
    char text[32];
    jsonl_digits(x, text);
    cJSON *item = cJSON_Parse(text);
    DEMAND(isfinite(x) ? cJSON_IsNumber(item) && (float)item->valuedouble == (float)x : cJSON_IsNull(item));
    cJSON_Delete(item);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jsonl_line line = { 0 };
    double x;
    if (size < 2) return 0;
    FILE *f = fmemopen((void *)(uintptr_t)(data + 1), size - 1, "r");
    if (!f) return 0;
    while (jsonl_line(f, data[0] < 100 ? data[0] : 60000, &line)) {
        DEMAND(strlen(line.text) <= line.bytes && !memchr(line.text, '\n', line.bytes));
        as_request(&line);
        as_object(&line);
    }
    fclose(f);
    free(line.text);
    as_text((const char *)data, size);
    if (size >= sizeof x) {
        memcpy(&x, data, sizeof x);
        as_number(x);
    }
    return 0;
}
