/* Memory that can still be had; see bytes.h. */
#include "engine/bytes.h"

#include <stdio.h>
#include <string.h>

/* The number behind a key in a file; 0 = none there, as where it says "max". */
static size_t number_in(const char *path, const char *key)
{
    char line[256];
    unsigned long long value = 0;
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, key, strlen(key)) && sscanf(line + strlen(key), "%llu", &value) == 1) break;
    if (f) fclose(f);
    return (size_t)value;
}

/* What the control group may still take; pages of files that it can give back are not counted as taken. */
static size_t group_room(size_t limit)
{
    size_t used = number_in("/sys/fs/cgroup/memory.current", "");
    size_t cached = number_in("/sys/fs/cgroup/memory.stat", "inactive_file ");
    used -= cached < used ? cached : used;
    return limit > used ? limit - used : 0;
}

size_t kv_memory_free(void)
{
    size_t left = number_in("/proc/meminfo", "MemAvailable:") * 1024;
    size_t limit = number_in("/sys/fs/cgroup/memory.max", "");
    size_t room = limit ? group_room(limit) : left;
    return left && left < room ? left : room;
}
