#!/bin/sh
# A copy of the default model whose last norm begins with a NaN, in the folder $T; prints its path.
model=models/smollm2-135m-instruct-q4_1.gguf
cp "$model" "$T/nan.gguf" && printf '\377\377\377\177' | dd of="$T/nan.gguf" bs=1 seek=98360128 conv=notrunc 2>/dev/null
echo "$T/nan.gguf"
