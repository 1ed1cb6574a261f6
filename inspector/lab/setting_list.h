/* Settings as a command line gives them to be tried: NAME=VALUE words. */
#ifndef KV_LAB_SETTING_LIST_H
#define KV_LAB_SETTING_LIST_H

#include "kernels/base.h"

#define SETTING_LIST_MOST 32

/* Zeroed = empty. */
struct setting_list {
    int count;
    char *name[SETTING_LIST_MOST], *value[SETTING_LIST_MOST];
};

/* "policy.ratio=0.5"; "policy=uniform" is short for policy.preset. KV_BAD_ARG, KV_NO_MEMORY. */
enum kv_status setting_list_add(struct setting_list *list, const char *word, struct kv_error *err);
/* The same for a name and a value of their own. */
enum kv_status setting_list_put(
    struct setting_list *list, const char *name, const char *value, struct kv_error *err);
/* As kv_set takes them: arrays of SETTING_LIST_MOST. */
void setting_list_pairs(const struct setting_list *list, const char **name, const char **value);
void setting_list_free(struct setting_list *list);

#endif
