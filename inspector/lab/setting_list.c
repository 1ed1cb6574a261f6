/* Settings to be tried. */
#include "inspector/lab/setting_list.h"

#include <stdlib.h>
#include <string.h>

enum kv_status setting_list_put(
    struct setting_list *list, const char *name, const char *value, struct kv_error *err)
{
    if (list->count == SETTING_LIST_MOST)
        return kv_fail(err, KV_BAD_ARG, "At most %d settings can be tried at once.", SETTING_LIST_MOST);
    char *n = kv_strdup(strcmp(name, "policy") ? name : "policy.preset"), *v = kv_strdup(value);
    if (!n || !v) {
        free(n);
        free(v);
        return kv_fail(err, KV_NO_MEMORY, "No memory for a setting.");
    }
    list->name[list->count] = n;
    list->value[list->count++] = v;
    return KV_OK;
}

enum kv_status setting_list_add(struct setting_list *list, const char *word, struct kv_error *err)
{
    const char *equals = strchr(word, '=');
    char name[128];
    if (!equals || equals == word || (size_t)(equals - word) >= sizeof name)
        return kv_fail(err, KV_BAD_ARG, "\"%.60s\" is not NAME=VALUE.", word);
    memcpy(name, word, (size_t)(equals - word));
    name[equals - word] = '\0';
    return setting_list_put(list, name, equals + 1, err);
}

void setting_list_pairs(const struct setting_list *list, const char **name, const char **value)
{
    for (int i = 0; i < list->count; i++) {
        name[i] = list->name[i];
        value[i] = list->value[i];
    }
}

void setting_list_free(struct setting_list *list)
{
    for (int i = 0; i < list->count; i++) {
        free(list->name[i]);
        free(list->value[i]);
    }
    list->count = 0;
}
