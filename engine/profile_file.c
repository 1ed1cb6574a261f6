/* Profiles as JSON: written by hand, so that a layer is a line; read with every number checked. */
#include "engine/core/output.h"
#include "engine/profile.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT    "kvdbg-profile"
#define VERSION   1
#define KL_FORMAT "%.5g"
#define LAYERS    4096
#define BYTES     ((size_t)64 << 20) /* no profile is longer */

/* --- writing ------------------------------------------------------------------------------------------------------ */

static void put_text(FILE *f, const char *text)
{
    fputc('"', f);
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if (*p < 0x20 || *p == '"' || *p == '\\' || *p == 0x7f)
            fprintf(f, "\\u%04x", *p);
        else
            fputc(*p, f);
    fputc('"', f);
}

static void put_member(FILE *f, const char *indent, const char *name, const char *text)
{
    fprintf(f, "%s\"%s\": ", indent, name);
    put_text(f, text);
    fputs(",\n", f);
}

double kv_profile_rounded(double kl)
{
    char text[32];
    snprintf(text, sizeof text, KL_FORMAT, kl);
    return strtod(text, NULL);
}

static void put_curve(FILE *f, const double *kl, int n)
{
    fputc('[', f);
    for (int b = 0; b < n; b++)
        if (isnan(kl[b]))
            fprintf(f, "%snull", b ? ", " : "");
        else
            fprintf(f, "%s" KL_FORMAT, b ? ", " : "", kl[b]);
    fputc(']', f);
}

/* {"sum": [[...], ...], ...}: the curves of a prompt, or of a kind (prompt -1). */
static enum kv_status put_curves(FILE *f, const struct kv_profile *p, int prompt, int kind, struct kv_error *err)
{
    double mean[KV_PROFILE_SHARES];
    for (int s = 0; s < p->n_selector; s++) {
        fprintf(f, "%s\n      ", s ? "," : "{");
        put_text(f, p->selector[s]);
        fputs(": [", f);
        for (int l = 0; l < p->n_layer; l++) {
            enum kv_status status = prompt < 0 ? kv_profile_mean(p, kind, s, l, mean, err) : KV_OK;
            if (status) return status;
            fprintf(f, "%s\n        ", l ? "," : "");
            put_curve(f, prompt < 0 ? mean : kv_profile_curve(p, prompt, s, l), p->n_share);
        }
        fputs("]", f);
    }
    fputs("}", f);
    return KV_OK;
}

static enum kv_status put_kinds(FILE *f, const struct kv_profile *p, struct kv_error *err)
{
    int written = 0;
    fputs("  \"kinds\": {", f);
    for (int k = 0; k < kv_profile_kind(p, NULL); k++) {
        const char *name = kv_profile_kind_name(p, k);
        int measured = 0;
        for (int i = 0; i < p->n_prompt; i++)
            measured += !strcmp(p->prompt[i].kind, name) && kv_profile_measured(p, i);
        if (!measured) continue;
        fprintf(f, "%s\n    ", written++ ? "," : "");
        put_text(f, name);
        fprintf(f, ": {\"prompts\": %d, \"kl\": ", measured);
        enum kv_status status = put_curves(f, p, -1, k, err);
        if (status) return status;
        fputs("}", f);
    }
    fputs("},\n", f);
    return KV_OK;
}

static enum kv_status put_prompts(FILE *f, const struct kv_profile *p, struct kv_error *err)
{
    fputs("  \"prompts\": [", f);
    for (int i = 0; i < p->n_prompt; i++) {
        const struct kv_profile_prompt *x = &p->prompt[i];
        fprintf(f, "%s\n    {\n", i ? "," : "");
        put_member(f, "      ", "kind", x->kind);
        put_member(f, "      ", "name", x->name);
        put_member(f, "      ", "sha256", x->sha);
        fprintf(f,
            "      \"tokens\": %d,\n      \"question\": %d,\n      \"reply\": %d,\n      \"kl\": ", x->tokens,
            x->asked, x->reply);
        enum kv_status status = put_curves(f, p, i, 0, err);
        if (status) return status;
        fputs("}", f);
    }
    fputs("]\n}\n", f);
    return KV_OK;
}

static void put_refined(FILE *f, const struct kv_profile *p)
{
    if (!p->n_refined) return;
    fputs("  \"refined\": [", f);
    for (int i = 0; i < p->n_refined; i++) {
        fprintf(f, "%s\n    {\"total\": %.10g, \"shares\": ", i ? "," : "", p->refined[i].total);
        put_curve(f, p->refined[i].share, p->n_layer);
        fputc('}', f);
    }
    fputs("\n  ],\n", f);
}

static enum kv_status put_profile(FILE *f, const struct kv_profile *p, struct kv_error *err)
{
    fprintf(f, "{\n  \"format\": \"%s\",\n  \"version\": %d,\n", FORMAT, VERSION);
    put_member(f, "  ", "program", p->program);
    fputs("  \"model\": {\n", f);
    put_member(f, "    ", "name", p->model);
    put_member(f, "    ", "arch", p->arch);
    put_member(f, "    ", "sha256", p->model_sha);
    fprintf(f, "    \"layers\": %d\n  },\n", p->n_layer);
    put_member(f, "  ", "engine", p->engine);
    fputs("  \"policy\": {", f);
    for (int i = 0; i < p->n_policy; i++) {
        fprintf(f, "%s\n    ", i ? "," : "");
        put_text(f, p->policy[i][0]);
        fputs(": ", f);
        put_text(f, p->policy[i][1]);
    }
    fprintf(f, "\n  },\n  \"reply\": %d,\n  \"shares\": [", p->reply);
    for (int b = 0; b < p->n_share; b++) fprintf(f, "%s%.10g", b ? ", " : "", p->share[b]);
    fputs("],\n  \"selectors\": [", f);
    for (int s = 0; s < p->n_selector; s++) {
        fputs(s ? ", " : "", f);
        put_text(f, p->selector[s]);
    }
    fputs("],\n", f);
    put_member(f, "  ", "choice", kv_profile_choice(p));
    put_refined(f, p);
    enum kv_status status = put_kinds(f, p, err);
    return status ? status : put_prompts(f, p, err);
}

enum kv_status kv_profile_write(const struct kv_profile *p, const char *path, struct kv_error *err)
{
    struct output o = { .path = path };
    enum kv_status status = output_open(&o, err);
    if (status) return status;
    status = put_profile(o.file, p, err);
    if (!status && ferror(o.file)) status = kv_fail(err, KV_IO, "Cannot write %.300s: %s.", path, strerror(errno));
    return output_close(&o, status, err);
}

#ifdef KV_HAVE_CJSON
#include <cjson/cJSON.h>

/* --- reading ------------------------------------------------------------------------------------------------------ */

struct reader {
    const char *path;
    struct kv_profile *p;
    struct kv_error *err;
};

static enum kv_status bad(const struct reader *r, const char *what)
{
    return kv_fail(r->err, KV_BAD_FILE, "%.300s is no profile that can be used: %s.", r->path, what);
}

static const cJSON *member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

/* A text that fits, without control characters, which a terminal would act on. */
static enum kv_status text_of(const struct reader *r, const cJSON *object, const char *name, char *out, size_t size)
{
    const cJSON *item = member(object, name);
    char what[96];
    bool good = cJSON_IsString(item) && strlen(item->valuestring) < size;
    for (const char *c = good ? item->valuestring : ""; *c; c++)
        good = good && (unsigned char)*c >= 0x20 && *c != 0x7f;
    if (good) {
        strcpy(out, item->valuestring);
        return KV_OK;
    }
    snprintf(what, sizeof what, "\"%s\" must be a text of less than %zu bytes", name, size);
    return bad(r, what);
}

static enum kv_status count_of(const struct reader *r, const cJSON *object, const char *name, int least, int *out)
{
    const cJSON *item = member(object, name);
    char what[96];
    double x = cJSON_IsNumber(item) ? item->valuedouble : NAN;
    if (x >= least && x <= 1 << 24 && x == floor(x)) {
        *out = (int)x;
        return KV_OK;
    }
    snprintf(what, sizeof what, "\"%s\" must be a whole number, %d or more", name, least);
    return bad(r, what);
}

static enum kv_status read_policy(const struct reader *r, const cJSON *root)
{
    struct kv_profile *p = r->p;
    const cJSON *policy = member(root, "policy"), *item;
    if (!cJSON_IsObject(policy) || cJSON_GetArraySize(policy) > KV_PROFILE_FACTS)
        return bad(r, "\"policy\" must be an object of a few settings");
    cJSON_ArrayForEach(item, policy)
    {
        if (strlen(item->string) >= KV_PROFILE_WORD) return bad(r, "a setting's name is too long");
        strcpy(p->policy[p->n_policy][0], item->string);
        enum kv_status status = text_of(r, policy, item->string, p->policy[p->n_policy][1], KV_PROFILE_WORD);
        if (status) return status;
        p->n_policy++;
    }
    return KV_OK;
}

static enum kv_status read_grid(const struct reader *r, const cJSON *root)
{
    struct kv_profile *p = r->p;
    const cJSON *shares = member(root, "shares"), *selectors = member(root, "selectors"), *item;
    if (!cJSON_IsArray(shares) || cJSON_GetArraySize(shares) < 1 || cJSON_GetArraySize(shares) > KV_PROFILE_SHARES)
        return bad(r, "\"shares\" must be 1 to 32 numbers");
    cJSON_ArrayForEach(item, shares)
    {
        double x = cJSON_IsNumber(item) ? item->valuedouble : NAN;
        if (!(x > (p->n_share ? p->share[p->n_share - 1] : 0) && x < 1))
            return bad(r, "\"shares\" must ascend between 0 and 1");
        p->share[p->n_share++] = x;
    }
    if (!cJSON_IsArray(selectors) || cJSON_GetArraySize(selectors) < 1 ||
        cJSON_GetArraySize(selectors) > KV_PROFILE_SELECTORS)
        return bad(r, "\"selectors\" must be 1 to 8 names");
    cJSON_ArrayForEach(item, selectors)
    {
        if (!cJSON_IsString(item) || strlen(item->valuestring) >= KV_PROFILE_WORD || !*item->valuestring)
            return bad(r, "\"selectors\" must be names");
        strcpy(p->selector[p->n_selector++], item->valuestring);
    }
    return text_of(r, root, "choice", p->choice, sizeof p->choice);
}

/* Curves of one prompt; null = not measured. */
static enum kv_status read_curves(const struct reader *r, const cJSON *kl, int prompt)
{
    struct kv_profile *p = r->p;
    for (int s = 0; s < p->n_selector; s++) {
        const cJSON *layers = cJSON_IsObject(kl) ? member(kl, p->selector[s]) : NULL, *row;
        int l = 0;
        if (!cJSON_IsArray(layers) || cJSON_GetArraySize(layers) != p->n_layer)
            return bad(r, "a prompt has no curve for every selector and layer");
        cJSON_ArrayForEach(row, layers)
        {
            double *to = kv_profile_curve(p, prompt, s, l++);
            const cJSON *item;
            int b = 0;
            if (!cJSON_IsArray(row) || cJSON_GetArraySize(row) != p->n_share)
                return bad(r, "a curve has not as many points as there are shares");
            cJSON_ArrayForEach(item, row)
            {
                double x = cJSON_IsNumber(item) ? item->valuedouble : NAN;
                if (!cJSON_IsNull(item) && !(x >= 0 && x < 1e6)) return bad(r, "a curve's point is no KL");
                to[b++] = x;
            }
        }
    }
    return KV_OK;
}

static enum kv_status read_prompts(const struct reader *r, const cJSON *root)
{
    const cJSON *prompts = member(root, "prompts"), *item;
    enum kv_status status = cJSON_IsArray(prompts) ? KV_OK : bad(r, "it has no prompts");
    for (item = status ? NULL : prompts->child; item && !status; item = item->next) {
        struct kv_profile_prompt x = { .kl = NULL };
        if (!cJSON_IsObject(item)) return bad(r, "a prompt is no object");
        status = text_of(r, item, "kind", x.kind, sizeof x.kind);
        if (!status) status = text_of(r, item, "name", x.name, sizeof x.name);
        if (!status) status = text_of(r, item, "sha256", x.sha, sizeof x.sha);
        if (!status) status = count_of(r, item, "tokens", 1, &x.tokens);
        if (!status) status = count_of(r, item, "question", 0, &x.asked);
        if (!status) status = count_of(r, item, "reply", 0, &x.reply);
        int at = status ? -1 : kv_profile_add(r->p, &x);
        if (!status && at < 0) status = kv_fail(r->err, KV_NO_MEMORY, "No memory for %.300s.", r->path);
        if (!status) status = read_curves(r, member(item, "kl"), at);
    }
    return status;
}

static enum kv_status read_shares(const struct reader *r, const cJSON *item, double *share)
{
    const cJSON *total = member(item, "total"), *shares = member(item, "shares"), *x;
    int l = 0;
    bool good = cJSON_IsNumber(total) && total->valuedouble > 0 && total->valuedouble <= 1 &&
                cJSON_IsArray(shares) && cJSON_GetArraySize(shares) == r->p->n_layer;
    if (!good) return bad(r, "refined shares need a total in (0, 1] and a share a layer");
    cJSON_ArrayForEach(x, shares)
    {
        share[l] = cJSON_IsNumber(x) ? x->valuedouble : NAN;
        if (!(share[l] >= 0 && share[l] <= 1)) return bad(r, "a refined share is not in [0, 1]");
        l++;
    }
    return kv_profile_refine(r->p, total->valuedouble, share, r->err);
}

/* May be missing. */
static enum kv_status read_refined(const struct reader *r, const cJSON *root)
{
    const cJSON *list = member(root, "refined"), *item;
    enum kv_status status = !list || cJSON_IsArray(list) ? KV_OK : bad(r, "\"refined\" must be a list");
    double *share = kv_alloc((size_t)r->p->n_layer, sizeof *share);
    if (!status && !share) status = kv_fail(r->err, KV_NO_MEMORY, "No memory for %.300s.", r->path);
    for (item = status || !list ? NULL : list->child; item && !status; item = item->next)
        status = read_shares(r, item, share);
    free(share);
    return status;
}

static enum kv_status read_profile(const struct reader *r, const cJSON *root)
{
    struct kv_profile *p = r->p;
    const cJSON *model = member(root, "model");
    char format[32];
    int version = 0;
    enum kv_status status = text_of(r, root, "format", format, sizeof format);
    if (!status && strcmp(format, FORMAT)) status = bad(r, "\"format\" is not " FORMAT);
    if (!status) status = count_of(r, root, "version", 1, &version);
    if (!status && version > VERSION)
        return kv_fail(r->err, KV_UNSUPPORTED, "%.300s is a profile of version %d; this program reads up to %d.",
            r->path, version, VERSION);
    if (!status) status = text_of(r, root, "program", p->program, sizeof p->program);
    if (!status && !cJSON_IsObject(model)) status = bad(r, "it does not say of which model it is");
    if (!status) status = text_of(r, model, "name", p->model, sizeof p->model);
    if (!status) status = text_of(r, model, "arch", p->arch, sizeof p->arch);
    if (!status) status = text_of(r, model, "sha256", p->model_sha, sizeof p->model_sha);
    if (!status) status = count_of(r, model, "layers", 1, &p->n_layer);
    if (!status && p->n_layer > LAYERS) status = bad(r, "it has too many layers");
    if (!status) status = text_of(r, root, "engine", p->engine, sizeof p->engine);
    if (!status) status = read_policy(r, root);
    if (!status) status = count_of(r, root, "reply", 1, &p->reply);
    if (!status) status = read_grid(r, root);
    if (!status) status = read_refined(r, root);
    return status ? status : read_prompts(r, root);
}

static enum kv_status read_file(const char *path, char **text, size_t *bytes, struct kv_error *err)
{
    FILE *f = fopen(path, "rb");
    size_t cap = 1 << 16, got;
    *bytes = 0;
    if (!f || !(*text = malloc(cap))) {
        enum kv_status status = f ? kv_fail(err, KV_NO_MEMORY, "No memory for %.300s.", path)
                                  : kv_fail(err, KV_IO, "%.300s: %s.", path, strerror(errno));
        if (f) fclose(f);
        return status;
    }
    while ((got = fread(*text + *bytes, 1, cap - *bytes, f)) > 0 && *bytes + got <= BYTES) {
        *bytes += got;
        char *grown = *bytes == cap ? realloc(*text, cap *= 2) : *text;
        if (!grown) break;
        *text = grown;
    }
    bool failed = ferror(f), whole = feof(f);
    int why = errno;
    fclose(f);
    if (failed) return kv_fail(err, KV_IO, "%.300s: %s.", path, strerror(why));
    if (!whole) return kv_fail(err, KV_BAD_FILE, "%.300s is too long for a profile.", path);
    return KV_OK;
}

enum kv_status kv_profile_read(const char *path, struct kv_profile **out, struct kv_error *err)
{
    char *text = NULL;
    size_t bytes;
    *out = NULL;
    enum kv_status status = read_file(path, &text, &bytes, err);
    cJSON *root = status ? NULL : cJSON_ParseWithLength(text, bytes);
    struct reader r = { path, kv_alloc(1, sizeof *r.p), err };
    if (!status && !r.p) status = kv_fail(err, KV_NO_MEMORY, "No memory for %.300s.", path);
    if (!status && !cJSON_IsObject(root)) status = bad(&r, "it is no JSON object");
    if (!status) status = read_profile(&r, root);
    cJSON_Delete(root);
    free(text);
    if (status)
        kv_profile_free(r.p);
    else
        *out = r.p;
    return status;
}
#else
enum kv_status kv_profile_read(const char *path, struct kv_profile **out, struct kv_error *err)
{
    *out = NULL;
    return kv_fail(
        err, KV_UNSUPPORTED, "This program was built without cJSON, so it cannot read the profile %.300s.", path);
}
#endif
