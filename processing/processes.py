"""The processes that torchrun or `accelerate launch` started for one piece of work."""

import atexit
import functools

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env


def process_state() -> PartialState:
    """The processes of this run, connected until the program ends.

    Without a GPU they are told so outright: those that torchrun starts stay strangers otherwise.
    """
    state = PartialState(cpu=not torch.accelerator.is_available() or parse_flag_from_env("ACCELERATE_USE_CPU"))
    if state.num_processes > 1:
        _disconnect_at_exit()
    return state


@functools.cache  # once, however often somebody asks
def _disconnect_at_exit() -> None:
    """A process that ends connected may abort in the threads that connect it."""
    atexit.register(PartialState().destroy_process_group)
