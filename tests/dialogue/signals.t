## A batch run that ends stopped by an event leaves with 6
$ kvdbg -q -nx -batch synthetic:tiny --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex 'handle EOS stop' -ex run -ex 'print $phase'
Signal        Stop	Print	Description
EOS           Yes	Yes	End of the reply by the model
Starting request: tests/dialogue/fox.txt, 93 tokens (chat; f32, cpu, synthetic weights: timing only)
e�^

Program received signal EOS, End of the reply by the model.
done, tick 115
115	done
$1 = "done"
[6]

## One that goes on does not
$ kvdbg -q -nx -batch synthetic:tiny --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex 'handle CLAMP stop' -ex 'set policy.floor 34 policy.recent 30' -ex run -ex continue
Signal        Stop	Print	Description
CLAMP         Yes	Yes	Budget at its bound
Starting request: tests/dialogue/fox.txt, 93 tokens (chat; f32, cpu, synthetic weights: timing only)
e

Program received signal CLAMP, Budget at its bound.
Budgets are clamped: L1 (req 29 / app 34, floor)
decode:0 embed, tick 34
34	embed  token "e"  (synthetic weights)
Continuing.
�A`�<|im_start|>�*Շ�5�ˆ|our� fHɜ!���\e for andin�or� a��Led and�es�he2 for�8�heV-�reF��B	�in��vx��it to!� andou���!�!$,`����8#��bers����| that-j�V�at�ou���and6�Ϲ$�
[Request finished: 128 reply tokens, cut by decode.tokens or by the context; f32, cpu, synthetic weights: timing only]

## A failure of a command goes first
$ kvdbg -q -nx -batch synthetic:tiny --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex 'handle EOS stop' -ex run -ex 'print nosuch'
Signal        Stop	Print	Description
EOS           Yes	Yes	End of the reply by the model
Starting request: tests/dialogue/fox.txt, 93 tokens (chat; f32, cpu, synthetic weights: timing only)
e�^

Program received signal EOS, End of the reply by the model.
done, tick 115
115	done
No value "nosuch" here.
[1]

## quit with a status has the last word
$ kvdbg -q -nx -batch synthetic:tiny --precision f32 --threads 1 -p tests/dialogue/fox.txt -ex 'handle EOS stop' -ex run -ex 'quit 0'
Signal        Stop	Print	Description
EOS           Yes	Yes	End of the reply by the model
Starting request: tests/dialogue/fox.txt, 93 tokens (chat; f32, cpu, synthetic weights: timing only)
e�^

Program received signal EOS, End of the reply by the model.
done, tick 115
115	done

