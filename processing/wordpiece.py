"""A WordPiece vocabulary of one's own, for texts that BERT's thirty thousand pieces are too many for."""

from collections.abc import Iterable

from transformers import BertTokenizer


def train_wordpiece_tokenizer(
    texts: Iterable[str], vocab_size: int = 30522, model_max_length: int = 512
) -> BertTokenizer:
    """A lower-casing `BertTokenizer` whose WordPiece vocabulary is learned from `texts`.

    Args:
        texts: sentences, for instance the training questions.
        vocab_size: largest number of wordpieces, special tokens counted; few words give fewer.
        model_max_length: largest number of wordpieces in a sentence, the model's `max_position_embeddings`.

    Raises:
        ValueError: no text.
    """
    texts = [text for text in texts if text.strip()]
    if not texts:
        raise ValueError("texts holds no text to learn wordpieces from.")
    tokenizer = BertTokenizer(model_max_length=model_max_length)
    return tokenizer.train_new_from_iterator(texts, vocab_size=vocab_size, show_progress=False)
