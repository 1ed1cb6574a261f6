/* Everything that is said about commands comes from their rows. */
#include "inspector/language/help.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "inspector/language/define.h"
#include "inspector/language/lookup.h"
#include "inspector/options.h"

/* "step, s -- Step ..." as GDB lists it. */
static void print_line(struct session *s, const char *parent, const struct command *row)
{
    fprintf(s->out, "%s%s%s", parent, *parent ? " " : "", row->name);
    for (const char *p = row->aliases; p && *p;) {
        size_t n = strcspn(p, " ");
        fprintf(s->out, ", %s%s%.*s", parent, *parent ? " " : "", (int)n, p);
        p += n + strspn(p + n, " ");
    }
    fprintf(s->out, " -- %s.\n", row->help);
}

static void print_rows(struct session *s, const char *parent, const struct command *rows)
{
    for (const struct command *row = rows; row->name; row++)
        if (row->group != GROUP_HIDDEN) print_line(s, parent, row);
}

static void list_classes(struct session *s)
{
    fprintf(s->out, "List of classes of commands:\n\n");
    for (int g = 0; g < GROUP_HIDDEN; g++)
        fprintf(s->out, "%s -- %s.\n", command_group_name[g], command_group_title[g]);
    fprintf(s->out, "\nType \"help\" followed by a class name for a list of commands in that class.\n"
                    "Type \"help all\" for the list of all commands.\n"
                    "Type \"help\" followed by command name for full documentation.\n"
                    "Type \"apropos word\" to search for commands related to \"word\".\n"
                    "Command name abbreviations are allowed if unambiguous.\n");
}

static bool has_rows(const struct session *s, int g)
{
    const struct command *row = session_table(s);
    while (row->name && (int)row->group != g) row++;
    return row->name != NULL;
}

static void list_group(struct session *s, int g)
{
    fprintf(s->out, "%s.\n\nList of commands:\n\n", command_group_title[g]);
    for (const struct command *row = session_table(s); row->name; row++)
        if ((int)row->group == g) print_line(s, "", row);
}

static void full_help(struct session *s, const char *path, const struct command *row)
{
    const char *space = strrchr(path, ' ');
    char parent[64];
    snprintf(parent, sizeof parent, "%.*s", space ? (int)(space - path) : 0, path);
    print_line(s, parent, row);
    if (*row->args) fprintf(s->out, "Usage: %s %s\n", path, row->args);
    if (row->more) fprintf(s->out, "%s\n", row->more);
    if (row->needs) fprintf(s->out, "It needs %s.\n", command_needs_text(row->needs));
    if (!row->sub) return;
    fprintf(s->out, "\nList of %s subcommands:\n\n", path);
    print_rows(s, path, row->sub);
}

struct reaction cmd_help(struct session *s, const char *args)
{
    const struct command *row;
    const char *rest;
    char path[96];
    if (!*args) {
        list_classes(s);
        return DONE;
    }
    for (int g = 0; g < GROUP_HIDDEN; g++)
        if (!strcmp(args, command_group_name[g])) {
            list_group(s, g);
            return DONE;
        }
    if (!strcmp(args, "all")) {
        for (int g = 0; g < GROUP_HIDDEN; g++) {
            if (!has_rows(s, g)) continue;
            fprintf(s->out, "%s%s.\n\n", g ? "\n" : "", command_group_title[g]);
            for (const struct command *c = session_table(s); c->name; c++) {
                if ((int)c->group != g) continue;
                print_line(s, "", c);
                if (c->sub) print_rows(s, c->name, c->sub);
            }
        }
        return DONE;
    }
    if (lookup_line(session_table(s), command_pins, args, &row, &rest, path, sizeof path, &s->err))
        return failed(s);
    if (row->sub && *rest) {
        const struct command *sub;
        return lookup_row(row->sub, path, NULL, rest, strcspn(rest, " \t"), &sub, &s->err) ? failed(s) : DONE;
    }
    full_help(s, path, row);
    return DONE;
}

static bool says(const struct command *row, const char *word)
{
    return strcasestr(row->name, word) || strcasestr(row->help, word) || (row->more && strcasestr(row->more, word));
}

struct reaction cmd_apropos(struct session *s, const char *args)
{
    if (!*args) return refuse(s, KV_BAD_ARG, "Argument required (word to look for).");
    for (const struct command *row = session_table(s); row->name; row++) {
        if (row->group == GROUP_HIDDEN) continue;
        if (says(row, args)) print_line(s, "", row);
        for (const struct command *sub = row->sub; sub && sub->name; sub++)
            if (sub->group != GROUP_HIDDEN && says(sub, args)) print_line(s, row->name, sub);
    }
    return DONE;
}

/* --- generated pages ------------------------------------------------------------------------------------------------------ */

static void markdown_row(struct session *s, const char *parent, const struct command *row)
{
    fprintf(s->out, "| `%s%s%s%s", parent, *parent ? " " : "", row->name, *row->args ? " " : "");
    for (const char *p = row->args; *p; p++) fprintf(s->out, "%s%c", *p == '|' ? "\\" : "", *p);
    fprintf(s->out, "` | %s | %s |\n", row->aliases ? row->aliases : "", row->help);
}

struct reaction cmd_help_markdown(struct session *s, const char *args)
{
    (void)args;
    fprintf(s->out, "| command | short | what it does |\n|---|---|---|\n");
    for (int g = 0; g < GROUP_HIDDEN; g++) {
        if (!has_rows(s, g)) continue;
        fprintf(s->out, "| **%s** | | |\n", command_group_title[g]);
        for (const struct command *row = session_table(s); row->name; row++) {
            if ((int)row->group != g) continue;
            if (!row->sub || row->run) markdown_row(s, "", row);
            for (const struct command *sub = row->sub; sub && sub->name; sub++)
                if (sub->group != GROUP_HIDDEN) markdown_row(s, row->name, sub);
        }
    }
    return DONE;
}

/* Text with roff's own characters made harmless. */
static void roff(struct session *s, const char *text)
{
    if (*text == '.' || *text == '\'') fputs("\\&", s->out);
    for (; *text; text++) {
        if (*text == '-')
            fputs("\\-", s->out);
        else if (*text == '\\')
            fputs("\\e", s->out);
        else
            fputc(*text, s->out);
        if (*text == '\n' && (text[1] == '.' || text[1] == '\'')) fputs("\\&", s->out);
    }
}

static void man_row(struct session *s, const char *parent, const struct command *row)
{
    fprintf(s->out, ".TP\n.B ");
    roff(s, parent);
    if (*parent) fputc(' ', s->out);
    roff(s, row->name);
    if (*row->args) {
        fputs(" \\fR", s->out);
        roff(s, row->args);
    }
    fputc('\n', s->out);
    roff(s, row->help);
    fputs(".\n", s->out);
    if (row->more) {
        roff(s, row->more);
        fputc('\n', s->out);
    }
}

struct reaction cmd_man(struct session *s, const char *args)
{
    (void)args;
    fprintf(s->out, ".TH KVDBG 1\n.SH NAME\nkvdbg \\- GDB for the KV cache\n.SH SYNOPSIS\n.B kvdbg\n[options] "
                    "[MODEL]\n.SH OPTIONS\n");
    for (const struct option_row *row = option_rows; row->spelling; row++) {
        fprintf(s->out, ".TP\n.B ");
        roff(s, row->spelling);
        fputc('\n', s->out);
        roff(s, row->help);
        fputc('\n', s->out);
    }
    for (int g = 0; g < GROUP_HIDDEN; g++) {
        if (!has_rows(s, g)) continue;
        fprintf(s->out, ".SH \"%s\"\n", command_group_title[g]);
        for (const struct command *row = session_table(s); row->name; row++) {
            if ((int)row->group != g) continue;
            if (!row->sub || row->run) man_row(s, "", row);
            for (const struct command *sub = row->sub; sub && sub->name; sub++)
                if (sub->group != GROUP_HIDDEN) man_row(s, row->name, sub);
        }
    }
    return DONE;
}

struct reaction cmd_which(struct session *s, const char *args)
{
    const struct command *row;
    const char *rest;
    char path[96];
    if (lookup_line(session_table(s), command_pins, args, &row, &rest, path, sizeof path, &s->err))
        return failed(s);
    fprintf(s->out, "%s\n", path);
    return DONE;
}
