/* An append-only list. */
#include "engine/policy/profiles.h"

#include <stdlib.h>
#include <string.h>
#include <threads.h>

#define MOST 256

static struct entry {
    char *name;
    struct kv_profile *profile; /* NULL: the name alone */
} list[MOST] = { { "none", NULL } };
static int n_list = 1;
static mtx_t lock;
static once_flag once = ONCE_FLAG_INIT;

static void open_lock(void) { mtx_init(&lock, mtx_plain); }

static void take_lock(void)
{
    call_once(&once, open_lock);
    mtx_lock(&lock);
}

static struct entry entry_at(int row)
{
    take_lock();
    struct entry e = row >= 0 && row < n_list ? list[row] : (struct entry){ 0 };
    mtx_unlock(&lock);
    return e;
}

const char *profiles_name(int row) { return entry_at(row).name; }

const struct kv_profile *profiles_at(int row) { return entry_at(row).profile; }

static bool same(const struct kv_profile *a, const struct kv_profile *b)
{
    size_t cells = (size_t)a->n_selector * (size_t)a->n_layer * (size_t)a->n_share * sizeof(double);
    bool equal = !memcmp(a, b, offsetof(struct kv_profile, prompt));
    for (int i = 0; equal && i < a->n_prompt; i++) {
        const struct kv_profile_prompt *x = &a->prompt[i], *y = &b->prompt[i];
        equal = !memcmp(x, y, offsetof(struct kv_profile_prompt, kl)) && !memcmp(x->kl, y->kl, cells);
    }
    return equal;
}

/* The latest of a name; -1 = there is none. */
static int latest(const char *name)
{
    int row = n_list - 1;
    while (row >= 0 && strcmp(list[row].name, name)) row--;
    return row;
}

static enum kv_status check_name(const char *name, struct kv_error *err)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f || name[i] == '"') n = 0;
    if (n && n < PROFILES_NAME) return KV_OK;
    return kv_fail(
        err, KV_BAD_ARG, "policy.profile must be a file's name of less than %d bytes, or none.", PROFILES_NAME);
}

/* The lock is held. */
static enum kv_status append(const char *name, struct kv_profile *p, int *row, struct kv_error *err)
{
    if (n_list == MOST) return kv_fail(err, KV_BAD_ARG, "There are too many profiles: %d were read.", MOST - 1);
    if (!(list[n_list].name = kv_strdup(name)))
        return kv_fail(err, KV_NO_MEMORY, "No memory for a profile's name.");
    list[n_list].profile = p;
    *row = n_list++;
    return KV_OK;
}

enum kv_status profiles_find(const char *name, int *row, struct kv_error *err)
{
    enum kv_status status = check_name(name, err);
    if (status) return status;
    take_lock();
    *row = latest(name);
    if (*row < 0) status = append(name, NULL, row, err);
    mtx_unlock(&lock);
    return status;
}

enum kv_status profiles_put(const char *name, struct kv_profile *p, struct kv_error *err)
{
    enum kv_status status = check_name(name, err);
    if (!status) {
        take_lock();
        int row = latest(name);
        const struct kv_profile *there = row > 0 ? list[row].profile : NULL;
        if (row == PROFILES_NONE)
            status = kv_fail(err, KV_BAD_ARG, "none is no file's name here: say ./none.");
        else if (!there || !same(there, p)) {
            status = append(name, p, &row, err);
            if (!status) p = NULL;
        }
        mtx_unlock(&lock);
    }
    kv_profile_free(p);
    return status;
}
