"""Find the regions of many pictures and store them; stop it at any time and start it again, and it goes on.

python examples/1_extract_regions.py --images DIR --extractor grid --setting rows=6 --out runs/regions
python examples/1_extract_regions.py --images DIR --extractor faster_rcnn --checkpoint FOLDER_OR_HUB_NAME --out STORE
torchrun --standalone --nproc_per_node 2 examples/1_extract_regions.py --images DIR --extractor components --out STORE

--out is a region store, for RegionStore(path) and datasets.load_from_disk. With another --format the store lies at
OUT.store, and OUT is made from it. Pictures that cannot be read are skipped, counted and listed in skipped.jsonl.
"""

import argparse

from accelerate import PartialState

from lxmert.detection import draw_extracted, extract_images, make_extractor, open_images
from lxmert.processing import RegionStore, check_export, export_regions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--images", required=True, help="folder, list of files (.txt), folder of a saved data set, or name of one")
    add("--extractor", required=True, help="grid, components, shapes, detector, faster_rcnn, or a class by its name")
    add("--checkpoint", help="folder, or name on the Hub, of the extractor's network")
    add("--setting", action="append", default=[], help="a keyword of the extractor, name=value; as often as wanted")
    add("--out", required=True, help="what is written")
    add("--format", choices=("store", "tsv", "safetensors", "npz"), default="store", help="default: store")
    add("--features", choices=("float16", "float32"), default="float16", help="float16, the default, rounds features")
    add("--workers", type=int, default=2, help="processes that open pictures; 0: a fatal one ends the run; default: 2")
    add("--batch-size", type=int, help="pictures in a batch; default: the extractor's own")
    add("--shard-size", type=int, default=1000, help="images in a file, lost by a kill at most; default: 1000")
    add("--ids", choices=("stem", "path"), default="stem", help="files: ids without or with suffix; default: stem")
    add("--column", help="data sets: column of the images; default: the only one")
    add("--id-column", help="data sets: column of the image ids; default: image_id or img_id, else row numbers")
    add("--split", help="data sets: which part, such as train")
    add("--repeated", choices=("raise", "first"), default="raise", help="data sets: ids that repeat; default: raise")
    add("--pictures", type=int, default=0, metavar="N", help="draw N images with regions in OUT.pictures; default: 0")
    add("--retry-skipped", action="store_true", help="try pictures again that were skipped before")
    try:
        extract(parser.parse_args())
    except KeyboardInterrupt:
        parser.exit(130, "\nStopped; run the same command again and it goes on.\n")
    except (OSError, ValueError) as error:
        parser.exit(1, f"{error}\n")


def extract(arguments: argparse.Namespace) -> None:
    """Do what the arguments say."""
    extractor = make_extractor(arguments.extractor, arguments.checkpoint, arguments.setting)
    columns = {"image_column": arguments.column, "id_column": arguments.id_column, "split": arguments.split}
    images = open_images(arguments.images, **columns, ids=arguments.ids, repeated=arguments.repeated)
    path = arguments.out if arguments.format == "store" else f"{arguments.out}.store"
    if arguments.format != "store":
        check_export(images.ids.to_pylist(), arguments.out, arguments.format, arguments.features)
    choices = {name: getattr(arguments, name) for name in ("workers", "batch_size", "shard_size", "retry_skipped")}
    report = extract_images(images, extractor, path, features_dtype=arguments.features, **choices)
    if not PartialState().is_main_process:
        return
    print(report)
    if not report.done + report.reused:
        raise SystemExit(1)
    if arguments.pictures:
        draw_extracted(images, RegionStore(path), f"{arguments.out}.pictures", arguments.pictures)
    if arguments.format != "store":
        export_regions(RegionStore(path), arguments.out, arguments.format, arguments.features)


if __name__ == "__main__":  # workers may import this file
    main()
