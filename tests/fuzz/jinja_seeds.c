/* usage: jinja_seeds DIR: writes the golden chat templates there, for fuzz_jinja to start from. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int hex_digit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

static void put(FILE *out, const char *field)
{
    for (const char *p = field; *p && *p != '\n'; p++) {
        if (*p == '\\' && p[1] == 'x') {
            fputc(hex_digit(p[2]) << 4 | hex_digit(p[3]), out);
            p += 3;
        } else {
            fputc(*p == '\\' ? *++p : *p, out);
        }
    }
    fwrite("\0Hi there", 1, 9, out);
}

int main(int argc, char **argv)
{
    FILE *in = fopen("tests/golden/chat_templates.txt", "r");
    char *line = NULL, path[512];
    size_t room = 0;
    if (argc != 2 || !in) {
        fprintf(stderr, "usage: jinja_seeds DIR, from the top of the checkout\n");
        return 2;
    }
    while (getline(&line, &room, in) > 0) {
        char *name = strchr(line, '\t'), *text = name ? strchr(name + 1, '\t') : NULL;
        if (strncmp(line, "template\t", 9) || !text) continue;
        *text++ = 0;
        snprintf(path, sizeof path, "%s/%s.jinja", argv[1], name + 1);
        FILE *out = fopen(path, "wb");
        if (!out) return 1;
        put(out, text);
        fclose(out);
    }
    free(line);
    fclose(in);
    return 0;
}
