/* One copy behind a lock; every reader takes its own. */
#include "inspector/lab/board.h"

#include <pthread.h>
#include <stdio.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct board shown;

void board_put(const struct kv_profile *p, const char *path, int prompt, int selector, int layer)
{
    struct kv_profile *copy = kv_profile_copy(p), *old = NULL;
    if (!copy) return;
    pthread_mutex_lock(&lock);
    old = shown.profile;
    shown = (struct board){
        .profile = copy, .prompt = prompt, .selector = selector, .layer = layer, .version = shown.version + 1
    };
    snprintf(shown.path, sizeof shown.path, "%s", path);
    pthread_mutex_unlock(&lock);
    kv_profile_free(old);
}

bool board_take(struct board *mine)
{
    struct board taken = { 0 };
    pthread_mutex_lock(&lock);
    if (shown.version != mine->version) {
        taken = shown;
        taken.profile = kv_profile_copy(shown.profile);
    }
    pthread_mutex_unlock(&lock);
    if (!taken.profile) return false;
    board_free(mine);
    *mine = taken;
    return true;
}

void board_free(struct board *mine)
{
    kv_profile_free(mine->profile);
    *mine = (struct board){ 0 };
}
