"""The small models' tokenizer."""

import pytest

from darkroom_tiny.captions import WORDS
from darkroom_tiny.tokenizer import MAX_TOKENS, build_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


def test_known_words_have_different_tokens(tokenizer):
    spelled = {word: tuple(tokenizer(word).input_ids[1:-1]) for word in WORDS}
    assert len(set(spelled.values())) == len(WORDS)
    assert all(tokenizer.unk_token_id not in ids for ids in spelled.values())


def test_an_unknown_word_becomes_letters(tokenizer):
    ids = tokenizer("zebra").input_ids
    assert tokenizer.unk_token_id not in ids[1:-1]
    assert tokenizer.decode(ids, skip_special_tokens=True).strip() == "zebra"


def test_a_long_prompt_is_truncated(tokenizer):
    ids = tokenizer("a red star " * 100, truncation=True, padding="max_length").input_ids
    assert len(ids) == MAX_TOKENS


def test_a_saved_tokenizer_is_loaded_unchanged(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    again = type(tokenizer).from_pretrained(tmp_path)
    prompt = "a photo of sks star, navy background"
    assert again(prompt).input_ids == tokenizer(prompt).input_ids
