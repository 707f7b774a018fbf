"""A CLIP tokenizer for the vocabulary of the small models, built without a download."""

from transformers import CLIPTokenizer

from darkroom_tiny.captions import WORDS

END_OF_WORD = "</w>"
BEGIN, END = "<|startoftext|>", "<|endoftext|>"
MAX_TOKENS = 32
"""CLIP allows 77. These prompts are shorter, and each token costs time in every step."""


def build_tokenizer() -> CLIPTokenizer:
    """Byte-level BPE as in CLIP: the 256 bytes, the same at the end of a word, and a chain of merges for each word."""
    letters = list(byte_letters().values())
    tokens = [*letters, *(letter + END_OF_WORD for letter in letters)]
    merges: list[tuple[str, str]] = []
    for word in (*WORDS, ","):
        for left, right in _merge_chain(word):
            if (left, right) not in merges:
                merges.append((left, right))
            if left + right not in tokens:
                tokens.append(left + right)
    tokens += [BEGIN, END]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_TOKENS, pad_token=END)


def _merge_chain(word: str) -> list[tuple[str, str]]:
    """Merges that build a word letter by letter, from the left."""
    parts = [*word[:-1], word[-1] + END_OF_WORD]
    chain = []
    left = parts[0]
    for right in parts[1:]:
        chain.append((left, right))
        left += right
    return chain


def byte_letters() -> dict[int, str]:
    """A printable character for each byte, the same as in GPT-2 (openai/gpt-2, `encoder.py`, `bytes_to_unicode`)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    letters = {byte: chr(byte) for byte in printable}
    for byte in range(256):
        if byte not in letters:
            letters[byte] = chr(256 + len(letters) - len(printable))
    return letters
