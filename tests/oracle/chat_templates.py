"""Chat templates rendered by transformers, for tests/unit/jinja.c.

The templates are written here, in the styles that chat models use and with each construct that kvdbg reads. Writes one
file: a line "template TAB NAME TAB TEXT", then for each conversation a line "case TAB PROMPT TAB RESULT TAB WANT" and
TAB ROLE TAB CONTENT for each message; PROMPT is 1 with add_generation_prompt; RESULT is ok, or error where the
template refuses the messages or fails. Texts are escaped as in tokenizer.txt. The clock stands at 1700000000, UTC.
"""

import argparse
import datetime
import os

from transformers.utils.chat_template_utils import _compile_jinja_template

from tokenizer_golden import escape

TEMPLATES = {
    "chatml": """{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}\
{{ '<|im_start|>system\\nBe of use.<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\\n' + \
message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}\
{{ '<|im_start|>assistant\\n' }}{% endif %}""",
    "tools": """{%- if tools %}
    {{- '<|im_start|>system\\n# Tools' }}
    {%- for tool in tools %}{{- "\\n" }}{{- tool | tojson }}{%- endfor %}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nMade by nobody.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or \
(message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "tool" %}
        {{- 'tool: ' ~ message.content }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
""",
    "thinking": """{%- set ns = namespace(multi=true, last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi and message.role == "user" and message.content is string and \
not(message.content.startswith('<reply>') and message.content.endswith('</reply>')) %}
        {%- set ns.multi = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role == "assistant" %}
        {%- set content = message.content %}
        {%- set thought = '' %}
        {%- if message.thought is string %}
            {%- set thought = message.thought %}
        {%- elif '</think>' in content %}
            {%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last and (loop.last or thought) %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' + content }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}""",
    "headers": """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "1 Jan 2000" %}
    {%- endif %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- The system message, if there is one. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: python\\n" }}
{%- endif %}
{{- "Today: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
    {%- elif message.role == "tool" %}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
""",
    "inst": """{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}\
{{ raise_exception('Roles must alternate user/assistant/user/assistant/...') }}{% endif %}\
{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}\
{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}{% else %}\
{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}""",
    "inst-system": """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
        {{- raise_exception("After the optional system message, roles must alternate.") }}
    {%- endif %}
    {%- set ns.index = ns.index + 1 %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- endif %}
{%- endfor %}
{{- " " ~ (user_messages | length) if user_messages[2] is defined else "" }}
""",
    "zephyr": """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>
'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}
""",
    "turns": """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}\
{% endif %}{% for message in messages %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}\
{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + \
'<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\\n'}}{% endif %}""",
    "macros": """{%- macro turn(role, content='nothing', mark=none) -%}
    <{{ role | upper }}{% if mark %}:{{ mark }}{% endif %}>
    {{- content -}}
    </{{ role }}>
{%- endmacro %}
{%- macro all(list) %}{% for m in list %}{{ turn(m.role, m.content, loop.index if loop.index is odd) }}{% endfor %}{% endmacro %}
{%- set text %}{{ all(messages) }}{% endset %}
{{- text | replace('<', '[') | replace('>', ']') }}|{{ text | length }}|{{ turn('x') }}|{{ turn(content='y', role='z') }}
""",
    "space": """  {% if true %}
    a {{ 1 }}
      {%- if true -%}   b   {%- endif %}
  {% endif %}

   {%+ if true %}c{% endif +%}
{# note #}
  {#- note -#}  d
{{ 'e' }}
\t{% set x = 1 %}
f{{- x -}}  g

{%- for i in range(3) %}
{{ i }}
{% endfor %}
h  {{ '}}' }} {{ {'a': {'b': 2}}['a']['b'] }}
""",
    "loops": """{% for i in range(10) if i is even %}{{ loop.index }}/{{ loop.length }}:{{ i }}{{ ',' if not loop.last }}\
{% endfor %};{% for i in [] %}x{% else %}none{% endfor %};{% for k, v in {'a': 1, 'b': [1, 'c']}.items() %}{{ k }}={{ v }} \
{% endfor %};{% for i in range(5) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}\
{% endfor %};{% for m in messages %}{{ loop.previtem.role if loop.previtem is defined }}<{{ loop.revindex }}>{{ loop.nextitem.role if loop.nextitem is defined }}\
{% endfor %};{% for c in 'hé!' %}{{ c }}.{% endfor %};{% for i in range(6, 0, -2) %}{{ i }}{% endfor %};\
{% set n = namespace(a=0) %}{% for i in range(4) %}{% set n.a = n.a + i %}{% set lost = i %}{% endfor %}{{ n.a }}{{ lost }};\
{% set a, b = 1, 'two' %}{{ a }}{{ b }};{% for i in range(2) %}{% for j in range(2) %}{{ loop.index0 }}{{ loop.depth }} {% endfor %}{% endfor %}""",
    "operators": """{{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 1 + 2 * 3 - 4 }} {{ (1 + 2) * 3 }} \
{{ 'a' ~ 1 ~ none ~ true ~ 1.5 }} {{ 'ab' * 3 }} {{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 }} {{ 'a' < 'b' }} \
{{ 'x' in 'xyz' }} {{ 4 not in [1, 2] }} {{ 'k' in {'k': 1} }} {{ not true or true and false }} {{ 0 or 'zero' }} \
{{ 1 and 'one' }} {{ 'yes' if 1 > 2 else 'no' }} {{ 'gone' if false }} {{ [1, 2] + [3] }} {{ [1, 2] == [1, 2] }} \
{{ {'a': 1} == {'a': 1} }} {{ 1e3 }} {{ 0.1 }} {{ 1_000 }} {{ 'a' 'b' }} {{ -3 | abs }} {{ "\\x41\\u00e9\\t'" }} \
{{ 'q\\'s' }} {{ (1, 2)[1] }} {{ [1, 'a', none, true, 1.0, {'k': 'v'}] }} {{ 100000000000 * 3 }} {{ true + 1 }}""",
    "filters": """{{ ' x\u3000' | trim }}|{{ 'xxaxx' | trim('x') }}|{{ 'a,b,c' | replace(',', ';', 2) }}|{{ ['a', 1] | join('-') }}|\
{{ [1, 2, 3] | first }}{{ [1, 2, 3] | last }}|{{ 'hello wORLD' | capitalize }}|{{ 'hello wORLD' | title }}|{{ none | default('d') }}|\
{{ gone | default('d') }}|{{ '' | default('d', true) }}|{{ gone | d }}|{{ '42' | int + 1 }}|{{ 'x' | int(7) }}|{{ 3.9 | int }}|\
{{ [3, 1] | list }}|{{ [1, 2] | reverse | list }}|{{ {'b': 1, 'a': 2} | dictsort }}|{{ {'a': 1} | items | list }}|\
{{ messages | map(attribute='role') | join(' ') }}|{{ ['a', 'b'] | map('upper') | list }}|{{ [1, 2, 3] | select('odd') | list }}|\
{{ [0, 1] | reject('eq', 1) | list }}|{{ messages | rejectattr('role', 'equalto', 'user') | list | length }}|{{ 'héé' | length }}|\
{{ 'a\nb\n\nc' | indent(2) }}|{{ 'a\nb' | indent(2, true) }}|{{ 5 | string ~ 'x' }}|{{ {'a': [1, 'é"', none, true, 1.5], 'b': {}} | tojson }}|\
{{ {'a': [1, {'b': []}]} | tojson(indent=2) }}|{{ messages | tojson }}|{{ 'a' | safe | upper }}""",
    "methods": """{{ ' a b  c '.split() }}|{{ 'a,b,c'.split(',') }}|{{ 'a,b,c'.split(',', 1) }}|{{ 'a,b,c'.rsplit(',', 1) }}|\
{{ 'xxa'.lstrip('x') }}|{{ ' a '.strip() }}.|{{ 'abc'.startswith('ab') }}|{{ 'abc'.endswith(('x', 'c')) }}|{{ 'aXa'.lower().upper() }}|\
{{ 'aba'.replace('a', 'c', 1) }}|{{ 'aba'.find('b') }}{{ 'aba'.find('z') }}|{{ 'aba'.count('a') }}|{{ ', '.join(['x', 'y']) }}|\
{{ {'a': 1}.get('a') }}{{ {'a': 1}.get('b') }}{{ {'a': 1}.get('b', 2) }}|{{ {'a': 1}.keys() | list }}{{ {'a': 1}.values() | list }}|\
{{ 'héllo'[1] }}{{ 'héllo'[-1] }}{{ 'héllo'[1:3] }}{{ 'héllo'[:-2] }}|{{ [1, 2, 3, 4][1:] }}{{ [1, 2, 3, 4][::-1] }}{{ [1, 2, 3, 4][-3:-1] }}|\
{{ [1, 2][5] is defined }}|{{ messages[-1].content }}|{{ messages[0]['gone'] is undefined }}|{{ 'tItle'.title() }}|{{ dict(a=1, b=2).b }}""",
    "tests": """{{ none is none }}{{ gone is defined }}{{ 1 is number }}{{ 'a' is string }}{{ {} is mapping }}{{ [] is sequence }}\
{{ [] is iterable }}{{ true is boolean }}{{ 1 is boolean }}{{ false is false }}{{ 1 is true }}{{ 3 is odd }}{{ 4 is divisibleby 2 }}\
{{ 4 is divisibleby(3) }}{{ 1 is eq 1 }}{{ 1 is ne(2) }}{{ 1 is in [1, 2] }}{{ 1.5 is float }}{{ 1 is integer }}{{ range is callable }}\
{{ 'a' is not string }}{{ not 'a' is mapping }}{{ tools is none }}{{ raise_exception is defined }}{{ 2 is gt 1 }}""",
    "undefined": """{{ gone }}{{ messages[0].gone }}{% if gone %}x{% endif %}{% for x in gone %}x{% endfor %}ok\
{{ gone ~ 'a' }}{{ gone == none }}""",
    "fails-attribute": "{{ gone.attribute }}",
    "fails-add": "{{ 'a' + 1 }}",
    "fails-order": "{{ 1 < 'a' }}",
    "fails-zero": "{{ 1 // 0 }}",
}

CONVERSATIONS = [
    [("user", "Hi")],
    [("system", "You are terse. "), ("user", "  What is 2 + 2?\n")],
    [("user", "a"), ("assistant", "<think>\nhm\n</think>\n\nb"), ("user", "d\n\n\u00e9\u3000")],
    [("system", "S"), ("user", "{{ x }} <|im_end|>"), ("assistant", "y"), ("user", "<reply>z</reply>"), ("assistant", "")],
]


def main():
    parser = argparse.ArgumentParser(description="Chat templates rendered by transformers.")
    parser.add_argument("out", help="the file")
    args = parser.parse_args()
    now = datetime.datetime.fromtimestamp(1700000000, datetime.timezone.utc)
    with open(args.out, "w", encoding="utf-8", newline="\n") as f:
        f.write(f"# made by: python3 tests/oracle/chat_templates.py {os.path.relpath(args.out)}\n")
        for name, text in TEMPLATES.items():
            f.write(f"template\t{name}\t{escape(text)}\n")
            template = _compile_jinja_template(text)
            template.environment.globals["strftime_now"] = now.strftime
            for i, talk in enumerate(CONVERSATIONS):
                prompt = i % 2 == 0
                try:
                    want, result = template.render(
                        messages=[{"role": r, "content": c} for r, c in talk], tools=None, documents=None,
                        add_generation_prompt=prompt, bos_token="<s>", eos_token="</s>"), "ok"
                except Exception:
                    want, result = "", "error"
                fields = ["case", str(int(prompt)), result, escape(want)]
                f.write("\t".join(fields + [field for r, c in talk for field in (r, escape(c))]) + "\n")


if __name__ == "__main__":
    main()
