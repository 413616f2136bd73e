"""Which language a text is in, and which earlier text it nearly repeats."""

from __future__ import annotations

import re

from rensa import RMinHash, RMinHashLSH

from trainer.data.split.groups import normalised

_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_LETTER = re.compile(r"[^\W\d_]")
_KANA_OR_HANGUL = re.compile(r"[\u3040-\u30ff\uac00-\ud7af]")
SHORT = 4
"""Letters below which no language is named."""
SHINGLE = 5
"""Characters of a piece that two texts may share."""
HASHES, BANDS, SEED = 128, 16, 1
"""Of MinHash; 16 bands of 8 find 95 % of the pairs of similarity 0.8, and all above 0.9."""


def language(text: str) -> str:
    """`zh`, `en`, another code, or `unknown` for a text with hardly a letter.

    Script decides where it can; only Latin and other scripts are asked of `py3langid`, by the first
    1,000 characters.
    """
    sample = text[:1000]
    letters = len(_LETTER.findall(sample))
    if letters < SHORT:
        return "unknown"
    if len(_KANA_OR_HANGUL.findall(sample)) > 0.1 * letters:
        return "ja" if re.search(r"[\u3040-\u30ff]", sample) else "ko"
    if len(_HAN.findall(sample)) > 0.3 * letters:
        return "zh"
    from py3langid import classify

    return str(classify(sample)[0])


class NearDuplicates:
    """Texts that came before, by MinHash over pieces of five characters.

    Candidates come from locality-sensitive hashing, and are compared by all 128 hashes. It holds
    about 2 KB a text, whatever its length.
    """

    def __init__(self, threshold: float = 0.8) -> None:
        """`threshold` is the share of pieces that two texts must have in common (Jaccard)."""
        self._threshold = threshold
        self._index = RMinHashLSH(threshold, HASHES, BANDS)
        self._kept: list[tuple[int, RMinHash]] = []

    def seen(self, key: int, text: str) -> int | None:
        """The key of the first text that this one nearly repeats; None if it is new."""
        minhash = RMinHash(num_perm=HASHES, seed=SEED)
        minhash.update(pieces(text))
        candidates: list[int] = sorted(self._index.query(minhash))
        for candidate in candidates:
            first, kept = self._kept[candidate]
            if kept.jaccard(minhash) >= self._threshold:
                return int(first)
        self._index.insert(len(self._kept), minhash)
        self._kept.append((key, minhash))
        return None


def pieces(text: str) -> list[str]:
    """All runs of five characters of the normal text; a shorter text is one piece."""
    plain = normalised(text)
    return [plain[at : at + SHINGLE] for at in range(max(1, len(plain) - SHINGLE + 1))]
