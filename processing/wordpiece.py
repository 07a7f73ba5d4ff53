"""A WordPiece vocabulary of one's own, for texts that BERT's thirty thousand pieces are too many for."""

from collections.abc import Iterable

from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import BertTokenizer

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PRIVATE_USE = 0xF0000  # Unicode's plane of characters without a meaning


def train_wordpiece_tokenizer(
    texts: Iterable[str], vocab_size: int = 30522, model_max_length: int = 512
) -> BertTokenizer:
    """A lower-casing `BertTokenizer` whose WordPiece vocabulary is learned from `texts`.

    The same texts give the same vocabulary. That is why `tokenizers`' own WordPiece trainer is not used: it numbers
    the pieces inside words in the order of a hash table, and breaks ties by these numbers. Its trainer for byte-pair
    encoding does not, and learns the same merges once characters inside a word differ from those at its start.

    Args:
        texts: sentences, for instance the training questions.
        vocab_size: largest number of wordpieces, special tokens counted; few words give fewer.
        model_max_length: largest number of wordpieces in a sentence, the model's `max_position_embeddings`.

    Raises:
        ValueError: no text, or a `vocab_size` with no room for a word.
    """
    if vocab_size <= len(SPECIAL_TOKENS):
        raise ValueError(f"vocab_size must exceed the {len(SPECIAL_TOKENS)} special tokens, got {vocab_size}.")
    words = _words(texts)
    if not words:
        raise ValueError("texts holds no text to learn wordpieces from.")
    inner = {character: chr(PRIVATE_USE + i) for i, character in enumerate(sorted(set("".join(words))))}
    outer = {private: character for character, private in inner.items()}

    trainer = BpeTrainer(vocab_size=vocab_size - len(SPECIAL_TOKENS), show_progress=False)
    pairs = Tokenizer(BPE())
    pairs.train_from_iterator((word[0] + "".join(inner[c] for c in word[1:]) for word in words), trainer)

    vocabulary = {token: i for i, token in enumerate(SPECIAL_TOKENS)}
    for piece, _ in sorted(pairs.get_vocab().items(), key=lambda item: item[1]):
        text = "".join(outer.get(c, c) for c in piece)
        vocabulary[f"##{text}" if piece[0] in outer else text] = len(vocabulary)
    return BertTokenizer(vocab=vocabulary, model_max_length=model_max_length)


def _words(texts: Iterable[str]) -> list[str]:
    """The words and punctuation marks of all texts, split and lower-cased as BERT does."""
    backend = BertTokenizer().backend_tokenizer
    return [
        word
        for text in texts
        for word, _ in backend.pre_tokenizer.pre_tokenize_str(backend.normalizer.normalize_str(text))
    ]
