"""How fast LXMERT is: ours beside transformers' LXMERT, ViLT and VisualBERT, ONNX Runtime and OpenVINO.

    python benchmarks/speed.py                                             # about half an hour on two cores
    python benchmarks/speed.py --rounds 3 --seconds 30 --retrieval 16      # about five minutes
    python benchmarks/speed.py --tiny --output runs/tiny                   # does the program run? seconds, no figures

Everybody runs in this one process, in turns. Ratios are to transformers' LXMERT as its users run it: float32, eager
attention, 20 words, torch's default AdamW. Ours has the same weights; outputs are compared before anything is timed.
OUTPUT gets speed.csv, speed.png and speed.json; works that are in speed.json already are not measured again. ONNX
Runtime and OpenVINO take part when installed: pip install -c constraints.txt ".[export]"
"""

import argparse
import gc
import sys
import tempfile
from pathlib import Path

import torch
from speed_contestants import Setting
from speed_machine import describe_machine
from speed_peers import PEERS, installed_peers
from speed_report import Report, draw, table, write_csv
from speed_rounds import LEAST_ROUNDS, measure
from speed_works import WORKS


def make_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--works", nargs="+", choices=list(WORKS), default=list(WORKS), help="default: all")
    parser.add_argument(
        "--peers", nargs="*", choices=list(PEERS), help="beside transformers' LXMERT; default: all there"
    )
    parser.add_argument("--rounds", type=int, default=15, help=f"for each work, at least {LEAST_ROUNDS}; default 15")
    parser.add_argument("--seconds", type=float, default=240, help="a work begins no round after these; default 240")
    parser.add_argument("--retrieval", type=int, default=50, help="images, and captions, of the retrieval; default 50")
    parser.add_argument("--threads", type=int, help="of all contestants on CPU; default: PyTorch's own choice")
    parser.add_argument("--device", default="cpu", help="cpu or cuda; default cpu")
    parser.add_argument("--output", type=Path, default=Path("runs/speed"), help="folder; default runs/speed")
    parser.add_argument("--tiny", action="store_true", help="a model of a few layers, to try the program")
    return parser


def main() -> None:
    """Measure what is not there yet, print the table, write and draw it."""
    parser = make_parser()
    arguments = parser.parse_args()
    for name in ("rounds", "seconds", "retrieval"):
        if getattr(arguments, name) <= 0:
            parser.error(f"--{name} must be positive, got {getattr(arguments, name)}.")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    peers = installed_peers(device) if arguments.peers is None else tuple(arguments.peers)
    settings = {name: getattr(arguments, name) for name in ("rounds", "seconds", "retrieval", "device", "tiny")}
    settings |= {"threads": torch.get_num_threads(), "peers": list(peers)}
    report = Report.open(arguments.output / "speed.json", settings, describe_machine(device))
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(arguments.tiny, device, Path(folder), arguments.retrieval, peers)
        for name in arguments.works:
            if name not in report.works:
                print(f"{name}: making models", file=sys.stderr)
                work = WORKS[name](setting)
                report.add(work, measure(work, arguments.rounds, arguments.seconds, device))
                del work
                gc.collect()  # models refer to themselves
    print(table(report))
    write_csv(report, arguments.output / "speed.csv")
    draw(report, arguments.output / "speed.png")
    print(f"\nWritten: {arguments.output}/speed.csv, speed.png, speed.json")
    if any(not row.counts for row in report.rows if row.same_model):
        sys.exit("Some outputs differ from the reference by more than the tolerance: their ratios do not count.")


if __name__ == "__main__":
    main()
