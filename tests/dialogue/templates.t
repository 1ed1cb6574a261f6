# Chat templates of a folder: what is rendered, what is refused by its name, and the way out.

## a template of its own; what it makes of the text is its own business, what is in the text is not
$ cp -r tests/golden/hf/llama-f32 $T/m
> printf '%s' '{{ bos_token }}{% for m in messages %}{{ m.content | trim }}{{ eos_token }}{% endfor %}' >$T/m/chat_template.jinja
> kvdbg -q -batch --precision f32 --threads 1 --text ' a</s>b ' $T/m -ex start -ex 'print tok'
Starting request: (text), 8 tokens (chat; f32, cpu)

prefill:0 embed, tick 0
0	embed  rows 0-7 of 8
$1 = {1 "<s>", 66 "a", 30 "<", 17 "/", 84 "s", 32 ">", 67 "b", 2 "</s>"}

## without one, text is taken as it stands
$ cp -r tests/golden/hf/llama-f32 $T/m
> kvdbg -q -batch --precision f32 --threads 1 --text 'ab' $T/m -ex start -ex 'print tok'
Starting request: (text), 2 tokens (plain text; f32, cpu)

prefill:0 embed, tick 0
0	embed  rows 0-1 of 2
$1 = {66 "a", 67 "b"}

## asked for where there is none
$ cp -r tests/golden/hf/llama-f32 $T/m
> kvdbg -q -batch --precision f32 --threads 1 --chat on --text 'ab' $T/m -ex start -ex 'print tok'
The model has no chat template: use --chat off and write the prompt in full.
[4]

## a construct that is not read
$ cp -r tests/golden/hf/llama-f32 $T/m
> printf '%s' '{% include "a" %}' >$T/m/chat_template.jinja
> kvdbg -q -batch --precision f32 --threads 1 --text 'ab' $T/m -ex start -ex 'print tok'
The chat template uses the statement include, which kvdbg does not know; use --chat off and write the prompt in full.
[4]

## and the way out
$ cp -r tests/golden/hf/llama-f32 $T/m
> printf '%s' '{% include "a" %}' >$T/m/chat_template.jinja
> kvdbg -q -batch --precision f32 --threads 1 --chat off --text 'ab' $T/m -ex start -ex 'print tok'
Starting request: (text), 2 tokens (plain text; f32, cpu)

prefill:0 embed, tick 0
0	embed  rows 0-1 of 2
$1 = {66 "a", 67 "b"}

## a template that refuses
$ cp -r tests/golden/hf/llama-f32 $T/m
> printf '%s' '{{ raise_exception("Only tools may speak") }}' >$T/m/chat_template.jinja
> kvdbg -q -batch --precision f32 --threads 1 --text 'ab' $T/m -ex start -ex 'print tok'
The chat template refuses these messages: Only tools may speak.
[4]

## a template without end
$ cp -r tests/golden/hf/llama-f32 $T/m
> printf '%s' '{% for a in range(999999) %}{% for b in range(999999) %}{% endfor %}{% endfor %}' >$T/m/chat_template.jinja
> kvdbg -q -batch --precision f32 --threads 1 --text 'ab' $T/m -ex start -ex 'print tok'
The chat template wants more than 32 MiB of memory; use --chat off and write the prompt in full.
[4]

## a tokenizer of a kind that is not read
$ cp -r tests/golden/hf/llama-f32 $T/m
> sed -i 's/"type": *"BPE"/"type":"Unigram"/' $T/m/tokenizer.json
> kvdbg -q -batch --precision f32 --threads 1 --text 'ab' $T/m -ex start -ex 'print tok'
The tokenizer's model is Unigram; kvdbg reads BPE. Give the prompt as token ids.
[4]

