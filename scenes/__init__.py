"""Scenes of NLVR, sentences about them, and what these sentences mean."""

from lxmert.scenes.arrays import BOXES, COLOURS, NOTHING, SHAPES, SIDE, SIZES, SLOTS, Scenes, concatenate
from lxmert.scenes.random_scenes import random_scattered, random_towers
from lxmert.scenes.samples import PHRASES, REGIONS, Samples, draw_samples, given_samples, pools
from lxmert.scenes.sentences import Meant, Recombiner, kind_of, read_sentences

__all__ = [
    "BOXES",
    "COLOURS",
    "NOTHING",
    "PHRASES",
    "REGIONS",
    "SHAPES",
    "SIDE",
    "SIZES",
    "SLOTS",
    "Meant",
    "Recombiner",
    "Samples",
    "Scenes",
    "concatenate",
    "draw_samples",
    "given_samples",
    "kind_of",
    "pools",
    "random_scattered",
    "random_towers",
    "read_sentences",
]
