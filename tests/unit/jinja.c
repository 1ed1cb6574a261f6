/* Chat templates: what transformers renders, where each byte comes from, what is refused, and hostile templates. */
#include "tests/tap.h"
#include "tests/unit/escapes.h"

#include "engine/text/jinja.h"

#include <stdlib.h>

static struct kv_error error;
static char *rendered;
static unsigned char *marks;
static size_t n_rendered;

static struct kv_string string(const char *s) { return (struct kv_string){ s, strlen(s) }; }

static enum kv_status render(struct kv_string template, const struct jinja_message *message, int n, bool prompt)
{
    const struct jinja_request request = { .template = template,
        .message = message,
        .n_message = n,
        .bos = string("<s>"),
        .eos = string("</s>"),
        .add_generation_prompt = prompt,
        .now = 1700000000 };
    free(rendered);
    free(marks);
    error.text[0] = 0;
    return jinja_render(&request, &rendered, &marks, &n_rendered, &error);
}

/* With one message of the user, every byte of it marked. */
static enum kv_status render_user(const char *template, const char *content)
{
    size_t n = strlen(content);
    unsigned char *mark = malloc(n + 1);
    memset(mark, 1, n);
    const struct jinja_message message = { "user", { content, mark, n } };
    enum kv_status status = render(string(template), &message, 1, true);
    free(mark);
    return status;
}

/* ---- golden file ---- */

static void check_case(const char *name, struct kv_string template, char *rest, int number)
{
    struct jinja_message message[8];
    bool prompt = *strsep(&rest, "\t") == '1', fails = *strsep(&rest, "\t") == 'e';
    struct kv_string want = unescape(strsep(&rest, "\t"));
    int n = 0;
    for (; rest && n < 8; n++) {
        message[n].role = strsep(&rest, "\t");
        struct kv_string content = unescape(rest ? strsep(&rest, "\t") : (char[]){ "" });
        message[n].content = (struct jinja_text){ content.text, NULL, content.length };
    }
    enum kv_status status = render(template, message, n, prompt);
    CHECK(
        fails ? status != KV_OK : status == KV_OK, "%s, line %d: status %d: %s", name, number, status, error.text);
    CHECK(fails || (n_rendered == want.length && !memcmp(rendered, want.text, want.length)),
        "%s, line %d: \"%.200s\"", name, number, rendered);
}

static void golden(void)
{
    char *line = NULL, name[64] = "";
    size_t room = 0;
    struct kv_string template = { 0 };
    int cases = 0, number = 0;
    FILE *file = fopen("tests/golden/chat_templates.txt", "r");
    REQUIRE(file, "no golden file");
    setenv("TZ", "UTC", 1);
    while (getline(&line, &room, file) > 0) {
        char *rest = line;
        line[strcspn(line, "\n")] = 0;
        number++;
        const char *kind = strsep(&rest, "\t");
        if (!strcmp(kind, "template")) {
            snprintf(name, sizeof name, "%s", strsep(&rest, "\t"));
            free((char *)template.text);
            template = unescape(strdup(rest));
        } else if (!strcmp(kind, "case")) {
            check_case(name, template, rest, number);
            cases++;
        }
    }
    free((char *)template.text);
    free(line);
    fclose(file);
    CHECK(cases >= 80, "only %d cases", cases);
}

/* ---- where bytes come from ---- */

/* Each template writes some of the message "  ab<|x|>ab  "; its bytes are shown as 1, the template's own as 0. */
static void provenance(void)
{
    static const struct {
        const char *template, *text, *marks;
    } row[] = {
        { "<{{ messages[0].content | trim }}>", "<ab<|x|>ab>", "01111111110" },
        { "{{ '[' + messages[0]['content'].strip() ~ ']' }}", "[ab<|x|>ab]", "01111111110" },
        { "{{ messages[0].content.split('<|x|>')[0] }}<|x|>", "  ab<|x|>", "111100000" },
        { "{{ messages[0].content | trim | replace('ab', 'ab') }}", "ab<|x|>ab", "001111100" },
        { "{{ messages[0].content[2:4] | upper }}AB", "ABAB", "1100" },
        { "{% set x %}{{ messages[0].content[2:4] }}!{% endset %}{{ x }}{{ x }}", "ab!ab!", "110110" },
        { "{% macro m(c) %}({{ c }}){% endmacro %}{{ m(messages[0].content.strip()[:2]) }}", "(ab)", "0110" },
        { "{{ [messages[0].content | trim, '-'] | join('<|x|>') }}", "ab<|x|>ab<|x|>-", "111111111000000" },
        { "{{ messages[0].content[2] | tojson }}", "\"a\"", "010" },
        { "{{ {messages[0].content[2:4]: 1} }}", "{'ab': 1}", "001100000" },
        { "{{ bos_token }}{{ 'ab' }}{{ eos_token }}", "<s>ab</s>", "000000000" },
    };
    for (size_t i = 0; i < KV_COUNT(row); i++) {
        enum kv_status status = render_user(row[i].template, "  ab<|x|>ab  ");
        CHECK(status == KV_OK, "row %zu: %s", i, error.text);
        if (status) continue;
        CHECK(!strcmp(rendered, row[i].text), "row %zu: %s", i, rendered);
        for (size_t k = 0; k < n_rendered && k < strlen(row[i].marks); k++)
            CHECK(marks[k] == row[i].marks[k] - '0', "row %zu: byte %zu has the mark %d", i, k, marks[k]);
    }
}

/* A message is data: what looks like a template in it is text, and no bytes are special. */
static void messages_are_data(void)
{
    static const char content[] = "{{ 1 }}{% if %}\0\xFF\xC3 {#";
    const struct jinja_message message = { "user", { content, NULL, sizeof content - 1 } };
    REQUIRE(render(string("{{ messages[0].content }}"), &message, 1, true) == KV_OK, "%s", error.text);
    CHECK(n_rendered == sizeof content - 1 && !memcmp(rendered, content, n_rendered), "%zu bytes", n_rendered);
}

/* ---- what is refused ---- */

static void unsupported(void)
{
    static const struct {
        const char *template, *says;
    } row[] = {
        { "{% include 'x' %}", "the statement include" },
        { "{% import 'x' as y %}", "the statement import" },
        { "{% block a %}{% endblock %}", "the statement block" },
        { "{% call f() %}{% endcall %}", "the statement call" },
        { "{% raw %}{{ x }}{% endraw %}", "the statement raw" },
        { "{% for x in messages recursive %}{% endfor %}", "recursive" },
        { "{{ 1 | xmlattr }}", "the filter xmlattr" },
        { "{{ 1 is escaped }}", "the test escaped" },
        { "{{ cycler(1) }}", "the function cycler" },
        { "{{ 'a'.encode() }}", "the method of texts encode" },
        { "{{ messages[0].pop() }}", "the method of dictionaries pop" },
        { "{{ '%s' % 1 }}", "the operator %" },
        { "{{ dict(*messages) }}", "*arguments" },
        { "{% for x in messages %}{{ loop.cycle }}{% endfor %}", "the loop's attribute cycle" },
    };
    for (size_t i = 0; i < KV_COUNT(row); i++) {
        enum kv_status status = render_user(row[i].template, "x");
        CHECK(status == KV_UNSUPPORTED, "row %zu: status %d", i, status);
        CHECK(strstr(error.text, row[i].says) && strstr(error.text, "--chat off"), "row %zu: %s", i, error.text);
        CHECK(!rendered && !marks, "row %zu gives a text", i);
    }
    CHECK(render_user("{{ raise_exception('No.\nReally.') }}", "x") == KV_BAD_ARG, "an exception");
    CHECK(!strcmp(error.text, "The chat template refuses these messages: No. Really."), "%s", error.text);
}

static void malformed(void)
{
    static const char *const row[] = { "{{", "{{ }}", "{{ 'a }}", "{% if %}{% endif %}", "{% if 1 %}",
        "{% endif %}", "{% else %}", "{% for %}", "{% for x %}{% endfor %}", "{% for x in %}{% endfor %}",
        "{% set %}", "{% set x = %}", "{{ ) }}", "{{ (1 }}", "{{ [1 }}", "{{ {1} }}", "{{ {'a' 1} }}", "{{ a. }}",
        "{{ a[ }}", "{{ a[1:2:3:4] }}", "{{ a b }}", "{{ 1 + }}", "{{ not }}", "{{ 1 | }}", "{{ 1 is }}",
        "{{ f(a=) }}", "{# x", "{% x", "{% macro %}{% endmacro %}", "{% macro f( %}{% endmacro %}", "{% break %}",
        "{% set x.y = 1 %}", "{% for a, b in [1] %}{% endfor %}", "{{ $ }}", "{{ 'a' not 'b' }}",
        "{% if 1 %}{% elif %}{% endif %}", "{%%}", "{{ 1 if }}", "\xFF{{ \xFF }}", "{{ \"\\", "{{ a.\"b\" }}" };
    for (size_t i = 0; i < KV_COUNT(row); i++) {
        enum kv_status status = render_user(row[i], "x");
        CHECK(status == KV_BAD_FILE || status == KV_UNSUPPORTED, "%s: status %d", row[i], status);
        CHECK(strstr(error.text, "--chat off"), "%s: %s", row[i], error.text);
    }
}

/* Each would take for ever, or all memory, or the stack. */
static void hostile(void)
{
    static const char *const row[] = {
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
        "{{ range(1000000000000) | length }}",
        "{% set n = namespace(s='x') %}{% for i in range(60) %}{% set n.s = n.s + n.s %}{% endfor %}{{ n.s }}",
        "{{ 'abc' * 1000000000000 }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% set n = namespace() %}{% set n.n = n %}{{ [n] | tojson }}",
        "{% set n = namespace(l=[]) %}{% for i in range(2000) %}{% set n.l = [n.l] %}{% endfor %}{{ n.l }}",
        "{% set n = namespace(l=[1]) %}{% for i in range(60) %}{% set n.l = n.l + n.l %}{% endfor %}",
        "{{ 9223372036854775807 + 1 }}",
        "{{ (0 - 9223372036854775807 - 1) // -1 }}",
        "{{ 'x' | indent(1000000000000, true) }}",
        "{% for i in range(1000000) %}{{ messages[0].content | replace('a', 'aaaaaaaaaaaaaaaa') }}{% endfor %}",
        "{{ 2 ** 100 }}",
    };
    clock_t start = clock();
    for (size_t i = 0; i < KV_COUNT(row); i++) {
        enum kv_status status = render_user(row[i], "aaaaaaaaaaaaaaaa");
        CHECK(status == KV_BAD_FILE || status == KV_UNSUPPORTED, "row %zu: status %d", i, status);
    }
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    CHECK(seconds < 20, "they took %.1f s", seconds);
}

static void nested(void)
{
    static const char *const open[] = { "{{ (", "{{ [", "{{ -", "{{ not ", "{{ a[", "{% if 1 %}",
        "{{ {'a':", "{{ 1 if 1 else ", "{{ f(", "{{ a | f(", "{% for i in [1] %}", "{{ 1 is eq ", "{{ 1 + (" };
    char *text = malloc(400000);
    for (size_t i = 0; i < KV_COUNT(open); i++) {
        size_t n = 0, part = strlen(open[i]), skip = open[i][1] == '{' ? 3 : 0;
        for (int k = 0; k < 20000; k++) {
            size_t from = k ? skip : 0;
            memcpy(text + n, open[i] + from, part - from);
            n += part - from;
        }
        text[n] = 0;
        enum kv_status status = render_user(text, "x");
        CHECK(status == KV_BAD_FILE || status == KV_UNSUPPORTED, "%s: status %d", open[i], status);
    }
    free(text);
}

/* A long prompt takes no quadratic time. */
static void long_message(void)
{
    size_t n = 4 << 20;
    char *content = malloc(n + 1);
    memset(content, 'a', n);
    content[n] = 0;
    clock_t start = clock();
    enum kv_status status = render_user(
        "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content | trim + '<|end|>\\n' }}{% endfor %}", content);
    CHECK(status == KV_OK && n_rendered > n, "%s", error.text);
    double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    CHECK(seconds < 3, "%.1f s", seconds);
    free(content);
}

static const struct tap_case cases[] = {
    { "what transformers renders", golden },
    { "every byte is marked with where it comes from", provenance },
    { "messages are data", messages_are_data },
    { "what is not read is named", unsupported },
    { "malformed templates", malformed },
    { "hostile templates end soon", hostile },
    { "deep nesting is refused", nested },
    { "long messages take linear time", long_message },
};

int main(int argc, char **argv)
{
    int status = tap_main(argc, argv, cases, KV_COUNT(cases));
    free(rendered);
    free(marks);
    return status;
}
