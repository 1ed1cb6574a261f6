"""Writes tests/golden/rouge.txt: ROUGE of random texts by Google's rouge-score.

    python tests/oracle/rouge_golden.py > tests/golden/rouge.txt

The texts are drawn by splitmix64 in step with tests/unit/rouge.c, from the words of tests/golden/rouge-words.txt, so
only seeds and figures are kept. Lines: SEED STEM, then precision and recall of rouge1, rouge2, rougeL and rougeLsum.
F follows from them. Words are stemmed by NLTK: STEM lines give each word's stem.
"""
from nltk.stem.porter import PorterStemmer
from rouge_score import rouge_scorer

MASK = (1 << 64) - 1
KINDS = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
SEPARATORS = [" ", " ", " ", " ", ", ", ".\n", "-", "'", "\n\n", " \u212a", "\u0130 ", " \u00e9"]
WORDS = open("tests/golden/rouge-words.txt", encoding="utf-8").read().split()


class Rng:
    def __init__(self, seed):
        self.state = seed

    def draw(self, a, b):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
        z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
        return a + (z ^ z >> 31) % (b - a + 1)


def text(r, pool):
    out = ""
    for _ in range(r.draw(0, 120)):
        word = WORDS[r.draw(0, pool - 1)]
        if r.draw(0, 3) == 0:
            word = word.upper()
        out += word + SEPARATORS[r.draw(0, len(SEPARATORS) - 1)]
    return out


stemmer = PorterStemmer()
for word in WORDS:
    print("stem", word, stemmer.stem(word) if len(word) > 3 else word)
scorers = [rouge_scorer.RougeScorer(KINDS, use_stemmer=s) for s in (False, True)]
for seed in range(1, 1201):
    r = Rng(seed)
    stem = r.draw(0, 1)
    pool = r.draw(3, len(WORDS))
    target, prediction = text(r, pool), text(r, pool)
    score = scorers[stem].score(target, prediction)
    print(seed, stem, *(f"{x:.8g}" for k in KINDS for x in (score[k].precision, score[k].recall)))
