import pytest

from lxmert.processing import train_wordpiece_tokenizer


def test_frequent_words_become_pieces_and_rare_ones_are_split() -> None:
    tokenizer = train_wordpiece_tokenizer(["is the circle red?"] * 20 + ["zebra"], vocab_size=31, model_max_length=8)
    assert tokenizer.tokenize("The CIRCLE?") == ["the", "circle", "?"]
    assert tokenizer.tokenize("zebra") == ["z", "##e", "##b", "##r", "##a"]
    assert tokenizer.tokenize("ж") == ["[UNK]"]
    assert [tokenizer.pad_token_id, tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id] == [
        0,
        2,
        3,
        4,
    ]
    assert tokenizer.model_max_length == 8
    assert len(tokenizer) <= 31


def test_merges_by_hand() -> None:
    # "ab" three times, "abb" once: a + ##b (4 times) is merged first, then ab + ##b
    vocabulary = train_wordpiece_tokenizer(["ab ab", "ab abb"]).get_vocab()
    assert sorted(vocabulary, key=vocabulary.get) == [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "a",
        "##b",
        "ab",
        "abb",
    ]


def test_the_same_texts_give_the_same_vocabulary() -> None:
    texts = ["what color is the shape?", "is there a circle in the image?", "does it contain a rectangle?"]
    expected = train_wordpiece_tokenizer(texts).get_vocab()
    assert all(train_wordpiece_tokenizer(texts).get_vocab() == expected for _ in range(5))


def test_no_room_for_words_is_refused() -> None:
    with pytest.raises(ValueError, match="vocab_size must exceed the 5 special tokens, got 5"):
        train_wordpiece_tokenizer(["red"], vocab_size=5)


@pytest.mark.parametrize("texts", [[], ["", "  "]])
def test_no_text_is_refused(texts: list[str]) -> None:
    with pytest.raises(ValueError, match="texts holds no text"):
        train_wordpiece_tokenizer(texts)
