## What perplexity refuses
$ kvdbg -q -batch -ex perplexity synthetic:tiny
> kvdbg -q -batch -ex 'perplexity tests/dialogue/fox.txt' synthetic:tiny
> kvdbg -q -batch -ex 'perplexity tests/dialogue/fox.txt 2' synthetic:tiny
> kvdbg -q -batch -ex 'perplexity tests/dialogue/fox.txt 1000' synthetic:tiny
> kvdbg -q -batch -ex 'perplexity tests/dialogue/fox.txt 16 0' synthetic:tiny
> kvdbg -q -batch -ex 'perplexity no-such-file' synthetic:tiny
> kvdbg -q -batch -ex 'perplexity tests' synthetic:tiny
> kvdbg -q -batch -ex 'perplexity a b c d' synthetic:tiny
perplexity takes a FILE, tokens of a window, and a number of windows.
The text has 78 tokens, less than a window of 512.
2 is out of range for tokens of a window (4 to 1073741824).
A window of 1000 tokens; the model takes 4 to 512.
0 is out of range for a number of windows (1 to 1073741824).
no-such-file: No such file or directory.
tests: Is a directory.
perplexity takes a FILE, tokens of a window, and a number of windows.
[1]

