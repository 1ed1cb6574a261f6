# Hugging Face folders and GGUF files in parts: what opens, what is refused with status 4, and what a model's hash is.

## a folder
$ kvdbg -q -batch tests/golden/hf/qwen3-bf16 -ex 'info model'
Model:          tests/golden/hf/qwen3-bf16
Name:           qwen3-bf16 (qwen3)
Layers:         2
Hidden:         32, FFN 64
Heads:          4 query, 2 KV (groups of 2), head dim 16
Vocabulary:     96 tokens
Context:        128 tokens
RoPE scaling:   yarn 4 x 32
Weights:        55,744 bytes (54.4 KiB), as stored in the file

## files of an index, a sliding window
$ kvdbg -q -batch tests/golden/hf/mistral-bf16/ -ex 'info model'
Model:          tests/golden/hf/mistral-bf16/
Name:           mistral-bf16 (mistral)
Layers:         2
Hidden:         32, FFN 64
Heads:          4 query, 2 KV (groups of 2), head dim 8
Vocabulary:     96 tokens
Context:        128 tokens, sliding window 16
Weights:        49,472 bytes (48.3 KiB), as stored in the file

## a file in parts, by any of them
$ kvdbg -q -batch tests/golden/hf/qwen2-f16-00002-of-00003.gguf -ex 'info model'
Model:          tests/golden/hf/qwen2-f16-00002-of-00003.gguf
Name:           Qwen2 F16 (qwen2)
Layers:         2
Hidden:         32, FFN 64
Heads:          4 query, 2 KV (groups of 2), head dim 8
Vocabulary:     96 tokens
Context:        128 tokens
Weights:        44,160 bytes (43.1 KiB), as stored in the file

## another model on the way
$ kvdbg -q -batch synthetic:tiny -ex 'file tests/golden/hf/llama-f32' -ex 'show engine.sliding' -ex 'file tests/golden'
Model: tests/golden/hf/llama-f32; settings are at their defaults, and it has no prompt yet.
engine.sliding       model
Folder 'tests/golden' has no config.json, so it is no model.
[4]

## no model
$ kvdbg -batch tests/golden
Folder 'tests/golden' has no config.json, so it is no model.
[4]

## a folder of GGUF files
$ kvdbg -batch tests/golden/hf
Folder 'tests/golden/hf' has no config.json, but a GGUF file 'llama-f32.gguf': open that.
[4]

## weights without their folder
$ kvdbg -batch tests/golden/hf/llama-f32/model.safetensors
A .safetensors file alone is no model; name the folder that it is in with its config.json.
[4]

## an architecture that is not read
$ cp -r tests/golden/hf/llama-f32 $T/m; sed -i 's/"llama"/"gemma2"/' $T/m/config.json; kvdbg -batch $T/m
Architecture 'gemma2' is not supported; kvdbg reads llama, mistral, qwen2 and qwen3.
[4]

## a quantized folder
$ cp -r tests/golden/hf/llama-f32 $T/m; sed -i '1a "quantization_config": {"quant_method": "gptq", "bits": 4},' $T/m/config.json; kvdbg -batch $T/m
The folder's weights are quantized by 'gptq'; kvdbg reads folders of F32, F16 and BF16, and quantized models as GGUF files.
[4]

## weights of another program
$ cp -r tests/golden/hf/llama-f32 $T/m; mv $T/m/model.safetensors $T/m/pytorch_model.bin; kvdbg -batch $T/m
The folder holds pytorch_model.bin, which kvdbg does not read; it reads model.safetensors.
[4]

## a file that is missing
$ cp -r tests/golden/hf/mistral-bf16 $T/m; rm $T/m/model-00002*; kvdbg -batch $T/m 2>&1 | sed "s,$T,T,"
T/m/model-00002-of-00002.safetensors: No such file or directory.

## a folder that may not be read
$ cp -r tests/golden/hf/llama-f32 $T/m; rm $T/m/config.json; ln -s config.json $T/m/config.json; kvdbg -batch $T/m
config.json cannot be opened: Too many levels of symbolic links.
[4]

## a part that is missing
$ cp tests/golden/hf/qwen2-f16-0000[13]* $T; cd $T; kvdbg -batch qwen2-f16-00001-of-00003.gguf
Part 2 of 3: Model file 'qwen2-f16-00002-of-00003.gguf' cannot be opened: No such file or directory.
[4]

## text in and out, its end from generation_config.json
$ kvdbg -q -batch --precision f32 --threads 1 --text 'Hello, wide world.' -ex run -ex 'info tokens' tests/golden/hf/llama-f32
Starting request: (text), 18 tokens (plain text; f32, cpu)
]Q]kJHk78Ya1Wps^!svkUk_t7]4R6xMPZh
[Request finished: 34 reply tokens, ended by the model; f32, cpu]
position      id kept in layers  text
       0      42     2 of 2      "H"
       1      70     2 of 2      "e"
       2      77     2 of 2      "l"
       3      77     2 of 2      "l"
       4      80     2 of 2      "o"
       5      14     2 of 2      ","
       6      95     2 of 2      " "
       7      88     2 of 2      "w"
       8      74     2 of 2      "i"
       9      69     2 of 2      "d"
      10      70     2 of 2      "e"
      11      95     2 of 2      " "
      12      88     2 of 2      "w"
      13      80     2 of 2      "o"
      14      83     2 of 2      "r"
      15      77     2 of 2      "l"
      16      69     2 of 2      "d"
      17      16     2 of 2      "."

## its hash is sha256sum's of its files' hashes
$ kvdbg -q -batch --text 'Hello.' -ex run -ex "gcore $T/x" tests/golden/hf/llama-f32 >/dev/null; cd tests/golden/hf/llama-f32; grep -aoE 'model.sha256":"[0-9a-f]+' $T/x | cut -d'"' -f3 >$T/said; LC_ALL=C sha256sum * | sha256sum | cut -d' ' -f1 | diff - $T/said && echo same
same

## a tokenizer that is damaged
$ cp -r tests/golden/hf/llama-f32 $T/m; echo '{' >$T/m/tokenizer.json; kvdbg -batch $T/m
tokenizer.json is no JSON file that can be read.
[4]

## a tokenizer of a kind that is not read leaves the numbers
$ cp -r tests/golden/hf/llama-f32 $T/m; sed -i 's/"BPE"/"WordPiece"/' $T/m/tokenizer.json; kvdbg -q -batch $T/m -ex 'info model' --text abc 2>&1 | tail -3
The tokenizer's model is WordPiece; kvdbg reads BPE. Give the prompt as token ids.

## no tokenizer
$ kvdbg -q -batch tests/golden/hf/qwen3-bf16 --text abc
The folder has no tokenizer, so prompts can only be token ids.
[4]

## no chat template
$ kvdbg -q -batch --chat on --text 'Hello.' tests/golden/hf/llama-f32
The model has no chat template: use --chat off and write the prompt in full.
[4]

