"""Several mappings of regions as one."""

from collections.abc import Iterator, Mapping, Sequence

from lxmert.processing.regions import Regions


class JoinedRegions(Mapping[str, Regions]):
    """Region stores and bottom-up files, mixed at will, as one read-only mapping from image ids to `Regions`.

    Args:
        parts: mappings of which no two have an image in common, with features of one width.

    Raises:
        ValueError: no part, an image in two of them, or parts whose first images have features of different width.
    """

    def __init__(self, *parts: Mapping[str, Regions]):
        if not parts:
            raise ValueError("parts is empty: give at least one region store or file.")
        self.parts = parts
        _check_widths(parts)
        for number, part in enumerate(parts):
            for other in parts[:number]:
                small, large = sorted((part, other), key=len)
                if repeated := next((image_id for image_id in small if image_id in large), None):
                    raise ValueError(f"Image {repeated!r} is in two parts, {_name(other)} and {_name(part)}: keep one.")

    def __getitem__(self, image_id: str) -> Regions:
        return self._part(image_id)[image_id]

    def many(self, image_ids: Sequence[str]) -> list[Regions]:
        """The regions of several images, in the order asked for.

        Raises:
            KeyError: an image that is in no part.
        """
        regions = {image_id: self[image_id] for image_id in dict.fromkeys(image_ids)}
        return [regions[image_id] for image_id in image_ids]

    def __contains__(self, image_id: object) -> bool:
        return any(image_id in part for part in self.parts)

    def __iter__(self) -> Iterator[str]:
        return (image_id for part in self.parts for image_id in part)

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def _part(self, image_id: str) -> Mapping[str, Regions]:
        for part in self.parts:
            if image_id in part:
                return part
        names = ", ".join(map(_name, self.parts))
        raise KeyError(f"Image {image_id!r} is not among the {len(self)} images of {names}.")


def _check_widths(parts: Sequence[Mapping[str, Regions]]) -> None:
    """One image of each part tells; to look at more would take as long as reading the parts."""
    widths: dict[int, str] = {}
    for part in filter(None, parts):
        image_id, regions = next(iter(part.items()))
        widths.setdefault(regions.features.shape[1], f"{_name(part)} (image {image_id!r})")
    if len(widths) > 1:
        found = ", ".join(f"{width} in {place}" for width, place in widths.items())
        raise ValueError(f"parts have features of different width: {found}. Take regions of one detector.")


def _name(part: Mapping[str, Regions]) -> str:
    return str(getattr(part, "path", type(part).__name__))
