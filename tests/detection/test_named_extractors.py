import pytest

from lxmert import ComponentRegionExtractor, GridRegionExtractor
from lxmert.detection import make_extractor


def test_names_and_settings() -> None:
    grid = make_extractor("grid", settings=["rows=2", '{"columns": 3, "mean": [0, 0, 0]}'])
    assert isinstance(grid, GridRegionExtractor)
    assert (grid.rows, grid.columns, grid.mean) == (2, 3, (0, 0, 0))
    assert isinstance(make_extractor("ComponentRegionExtractor"), ComponentRegionExtractor)


@pytest.mark.parametrize(
    ("name", "checkpoint", "settings", "message"),
    [
        ("grids", None, [], "region_extractor_type 'grids' is unknown; known are: ComponentRegionExtractor, "),
        ("grid", None, ["rows"], "setting 'rows' must be name=value, or a JSON object"),
        ("grid", None, ["rows=many"], "rows must be a whole number of at least 1, got 'many'"),
        ("grid", None, ["row=2"], r"GridRegionExtractor cannot be made from settings {'row': 2}: .*'row'"),
        ("shapes", "folder", [], "checkpoint 'folder' cannot be used: ShapeRegionExtractor has no network"),
        ("ShapeRegionExtractor", "folder", [], "ShapeRegionExtractor has no network"),
    ],
)
def test_what_cannot_be_made_is_said(name: str, checkpoint: str | None, settings: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_extractor(name, checkpoint, settings)


def test_settings_that_are_no_json_are_said() -> None:
    with pytest.raises(ValueError, match=r"setting '\{rows: 2\}' is no JSON object: "):
        make_extractor("grid", settings=["{rows: 2}"])
