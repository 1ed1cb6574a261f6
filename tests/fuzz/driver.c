/* Runs a libFuzzer target without libFuzzer: the seeds first, then mutations of them in an order that a number decides, so
 * that a finding is found again.
 *
 * usage: fuzz_NAME SECONDS SEED [FILE|FOLDER]...    *.lines holds one a line, *.seeds several
 * between lines that are %% alone.
 * FUZZ_INPUT names a file that always holds the input being tried. An input that takes 20 s of the processor is a hang. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define LIMIT 4096 /* bytes of an input that mutations make */
#define SHOWN (1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seed {
    uint8_t *data;
    size_t size;
};

static struct seed *seeds;
static size_t n_seed;
static uint64_t state;
static uint8_t *shown; /* FUZZ_INPUT, mapped: what a crash leaves behind */

static size_t below(size_t n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return n ? (size_t)(state % n) : 0;
}

static void die(const char *what)
{
    perror(what);
    exit(2);
}

/* --- seeds ------------------------------------------------------------------------------------------------------------ */

static void add_seed(const uint8_t *data, size_t size)
{
    seeds = realloc(seeds, (n_seed + 1) * sizeof *seeds);
    uint8_t *copy = malloc(size + 1);
    if (!seeds || !copy) die("memory");
    memcpy(copy, data, size);
    seeds[n_seed++] = (struct seed){ copy, size };
}

static void add_parts(const uint8_t *data, size_t size, const char *mark)
{
    size_t skip = strlen(mark);
    for (const uint8_t *end; (end = memmem(data, size, mark, skip));) {
        size_t n = (size_t)(end - data);
        add_seed(data, n);
        data += n + skip;
        size -= n + skip;
    }
    if (size) add_seed(data, size);
}

static bool ends(const char *path, const char *tail)
{
    size_t n = strlen(path), k = strlen(tail);
    return n > k && !strcmp(path + n - k, tail);
}

static void add_file(const char *path)
{
    static uint8_t data[SHOWN];
    FILE *f = fopen(path, "rb");
    if (!f) die(path);
    size_t size = fread(data, 1, sizeof data, f);
    fclose(f);
    if (ends(path, ".lines"))
        add_parts(data, size, "\n");
    else if (ends(path, ".seeds"))
        add_parts(data, size, "\n%%\n");
    else
        add_seed(data, size);
}

static void add_path(const char *path)
{
    struct dirent **entry;
    int n = scandir(path, &entry, NULL, alphasort);
    if (n < 0) {
        add_file(path);
        return;
    }
    for (int i = 0; i < n; i++) {
        char name[4096];
        snprintf(name, sizeof name, "%s/%s", path, entry[i]->d_name);
        if (entry[i]->d_name[0] != '.') add_file(name);
        free(entry[i]);
    }
    free(entry);
}

/* --- inputs ------------------------------------------------------------------------------------------------------------ */

static size_t insert(uint8_t *data, size_t size, size_t at, const uint8_t *what, size_t n)
{
    if (size + n > LIMIT) return size;
    memmove(data + at + n, data + at, size - at);
    memcpy(data + at, what, n);
    return size + n;
}

static size_t mutate(uint8_t *data, size_t size)
{
    static const char *const odd[] = { "-1", "0", "99999999999999999999", "1e400", "nan", "\"", "(", "[", "]", "*",
        "..", "\n", "\0", "\xff", "\xc3", "%s%n", "$", "{", "\\", "," };
    size_t at = below(size + 1), n = below(4) ? 1 + below(8) : 1 + below(64);
    uint8_t byte = (uint8_t)below(256);
    switch (below(6)) {
    case 0:
        if (at < size) data[at] = below(2) ? byte : (uint8_t)(data[at] ^ (1u << below(8)));
        return size;
    case 1: return insert(data, size, at, &byte, 1);
    case 2: {
        size_t k = below(sizeof odd / sizeof *odd);
        return insert(data, size, at, (const uint8_t *)odd[k], odd[k][0] ? strlen(odd[k]) : 1);
    }
    case 3:
        if (n > size - at) n = size - at;
        memmove(data + at, data + at + n, size - at - n);
        return size - n;
    default: { /* a piece of another seed */
        const struct seed *from = &seeds[below(n_seed)];
        size_t first = below(from->size);
        return insert(data, size, at, from->data + first, n < from->size - first ? n : from->size - first);
    }
    }
}

static void try(const uint8_t *data, size_t size)
{
    const struct itimerval patience = { { 0, 0 }, { 20, 0 } }; /* SIGVTALRM ends the process */
    uint8_t *exact = malloc(size ? size : 1);                  /* so that a byte too far is seen */
    if (!exact) die("memory");
    memcpy(exact, data, size);
    if (shown) {
        uint32_t n = (uint32_t)size;
        memcpy(shown, &n, sizeof n);
        memcpy(shown + sizeof n, data, size);
    }
    setitimer(ITIMER_VIRTUAL, &patience, NULL);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void show_inputs(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0 || ftruncate(fd, SHOWN + 4)) die(path);
    shown = mmap(NULL, SHOWN + 4, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (shown == MAP_FAILED) die(path);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: %s SECONDS SEED [FILE|FOLDER]...\n", argv[0]);
        return 2;
    }
    unsigned long tried = 0;
    for (int i = 3; i < argc; i++) add_path(argv[i]);
    if (!n_seed) add_seed((const uint8_t *)"", 0);
    if (getenv("FUZZ_INPUT")) show_inputs(getenv("FUZZ_INPUT"));
    for (size_t i = 0; i < n_seed; i++, tried++) try(seeds[i].data, seeds[i].size);
    state = strtoull(argv[2], NULL, 10) * 0x9e3779b97f4a7c15u + 1;
    for (double until = now() + strtod(argv[1], NULL); now() < until; tried++) {
        static uint8_t data[LIMIT];
        const struct seed *from = &seeds[below(n_seed)];
        size_t size = from->size < LIMIT ? from->size : LIMIT;
        memcpy(data, from->data, size);
        for (size_t n = 1 + below(5); n; n--) size = mutate(data, size);
        try(data, size);
    }
    printf("%lu inputs, %zu seeds\n", tried, n_seed);
    for (size_t i = 0; i < n_seed; i++) free(seeds[i].data);
    free(seeds);
    return 0;
}
