"""A real LXMERT with weights by hand, whose answer depends on one region and one word and on nothing else.

[CLS] looks at the *marked* region and the *key* word with its first head, which carries their values over, and at a
*loud* region and a *loud* word with its second head, which carries nothing. The answer is the pair of the two values.
"""

import torch

from lxmert import LxmertConfig, LxmertForQuestionAnswering

# Channels of the states; each of a word's or region's own is hot in its embedding.
CHANNELS = (
    *("cls", "key", "loud word", "filler", "word plus", "word minus", "answer word", "answer region", "rest"),
    *("marked", "loud region", "other", "region plus", "region minus", "unused", "unused too"),
)
HIDDEN, HEAD = len(CHANNELS), len(CHANNELS) // 2
AT = {name: place for place, name in enumerate(CHANNELS)}
WORDS = {
    "[PAD]": (),
    "[CLS]": ("cls",),
    "[SEP]": ("filler",),
    "yes": ("key", "word plus"),
    "no": ("key", "word minus"),
    "loud": ("loud word", "word minus"),
    "quiet": ("filler", "word plus"),
    "calm": ("filler", "word minus"),
}
IDS = {word: number for number, word in enumerate(WORDS)}
ANSWERS = {0: "yes plus", 1: "yes minus", 2: "no plus", 3: "no minus"}
SHARPNESS = 1.2  # of attention


def toy_model(layers: int = 1) -> LxmertForQuestionAnswering:
    """The model; of several cross-modality layers, the first does all and the others' attention carries nothing."""
    config = LxmertConfig(
        vocab_size=len(WORDS),
        hidden_size=HIDDEN,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=8,
        l_layers=1,
        r_layers=1,
        x_layers=layers,
        visual_feat_dim=HIDDEN,
        id2label=ANSWERS,
        attn_implementation="eager",
    )
    model = LxmertForQuestionAnswering(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for module in model.modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.weight.fill_(1.0)
        base, head = model.lxmert, model.answer_head.logit_fc
        for word, channels in WORDS.items():
            base.embeddings.word_embeddings.weight[IDS[word], [AT[name] for name in channels]] = 1.0
        base.encoder.visn_fc.visn_fc.weight.copy_(torch.eye(HIDDEN))
        first = base.encoder.x_layers[0]
        _look(first.visual_attention.att, first.visual_attention.output, ("marked", "loud region"), "region")
        _look(first.lang_self_att.self, first.lang_self_att.output, ("key", "loud word"), "word")
        for row, name in enumerate(("answer word", "answer region")):
            base.pooler.dense.weight[row, AT[name]] = 0.2
            base.pooler.dense.weight[row, AT["rest"]] = -0.2  # what layer normalisation shifts all channels by
        head[0].weight[:4, :2] = torch.tensor(
            [[2.0, 0.0], [-2.0, 0.0], [0.0, 2.0], [0.0, -2.0]]
        )  # yes, no, plus, minus
        head[0].bias[4] = 5.0  # so that layer normalisation leaves the sizes of the others as they are
        head[3].weight[:, :4] = 3 * torch.tensor([[1.0, 0, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0], [0, 1, 0, 1]])
    return model


def _look(attention: torch.nn.Module, output: torch.nn.Module, at: tuple[str, str], side: str) -> None:
    """[CLS] looks at the first with head 0, at the second with head 1; head 0 carries the value over."""
    for head, channel in enumerate(at):
        attention.query.weight[head * HEAD, AT["cls"]] = SHARPNESS
        attention.key.weight[head * HEAD, AT[channel]] = SHARPNESS
    attention.value.weight[1, AT[f"{side} plus"]] = 1.0
    attention.value.weight[1, AT[f"{side} minus"]] = -1.0
    output.dense.weight[AT[f"answer {side}"], 1] = 1.0


def toy_inputs(
    key: str = "yes",
    value: str = "plus",
    words: tuple[str, ...] = ("quiet", "KEY", "loud", "calm"),
    regions: tuple[tuple[str, str], ...] = (
        ("other", "minus"),
        ("loud region", "minus"),
        ("marked", "VALUE"),
        ("other", "plus"),
        ("other", "minus"),
    ),
) -> dict[str, torch.Tensor]:
    """One pair; the key word is number 2 of the wordpieces, the marked region number 2 of the regions."""
    texts = ("[CLS]", *(key if word == "KEY" else word for word in words), "[SEP]")
    features = torch.zeros(1, len(regions), HIDDEN)
    for row, (kind, own) in enumerate(regions):
        features[0, row, [AT[kind], AT[f"region {value if own == 'VALUE' else own}"]]] = 1.0
    places = torch.arange(len(regions)) / (len(regions) + 1)
    return {
        "input_ids": torch.tensor([[IDS[word] for word in texts]]),
        "visual_feats": features,
        "visual_pos": torch.stack([places, places, places + 0.1, places + 0.1], -1)[None],
    }


KEY_WORD, MARKED_REGION, LOUD_WORD, LOUD_REGION = 2, 2, 3, 1
