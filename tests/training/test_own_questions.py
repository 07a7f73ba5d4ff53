import csv
import gzip
import json
import pickle
import re
import unicodedata
from pathlib import Path

import datasets
import pytest
from PIL import Image

from lxmert.detection import ComponentRegionExtractor, ImageFolder, extract_regions
from lxmert.processing import clean_answer
from lxmert.training.own_questions import OwnData, read_own_questions
from lxmert.training.own_rows import CsvRows

HEADER = "image,question,answer\n"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "inner").mkdir(parents=True)
    for name, colour in (("a.jpg", "red"), ("b.PNG", "blue"), ("inner/c.png", "black")):
        Image.new("RGB", (8, 8), colour).save(folder / name)
    return folder


def table(tmp_path: Path, content: str | bytes, name: str = "questions.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(tmp_path: Path, content: str | bytes, name: str = "questions.csv", **choices: object) -> OwnData:
    return read_own_questions(table(tmp_path, content, name), progress=False, **choices)


def rows_of(data: OwnData) -> list[tuple]:
    return [(q.question_id, q.image_ids, q.text, dict(q.scores)) for q in data.questions]


def test_a_spreadsheet_as_excel_writes_it(tmp_path: Path, pictures: Path) -> None:
    content = (
        "\ufeffFile name;Question;Answer\r\n"
        'a.jpg;"is it ""red""; or\nblue?";Größe\r\n'
        ";;\r\n"
        "inner\\c;wie viele?;3\r\n"
        " b ;is it blue?; yes \r\n"
    )
    data = read(tmp_path, content, columns={"image": "File name"}, images=pictures)
    assert rows_of(data) == [
        ("2", ("a",), 'is it "red"; or\nblue?', {"Größe": 1.0}),
        ("4", ("inner/c",), "wie viele?", {"3": 1.0}),
        ("5", ("b",), "is it blue?", {"yes": 1.0}),
    ]
    assert data.images == {"a": f"{pictures}/a.jpg", "inner/c": f"{pictures}/inner/c.png", "b": f"{pictures}/b.PNG"}
    assert "questions: 3, images: 3" in data.report
    assert "image from 'File name', question from 'Question' (guessed), answer from 'Answer' (guessed)" in data.report
    assert "numbered by row" in data.report


@pytest.mark.parametrize(("name", "separator"), [("q.tsv", "\t"), ("q.csv", "\t"), ("q.csv", ","), ("q.csv", ";")])
def test_separators(tmp_path: Path, name: str, separator: str) -> None:
    content = "\n".join(separator.join(row) for row in (("image", "question", "answer"), ("a.jpg", "x?", "no")))
    assert rows_of(read(tmp_path, content, name)) == [("2", ("a",), "x?", {"no": 1.0})]


def test_headers_with_spaces_and_with_commas_in_quotes(tmp_path: Path) -> None:
    content = '"file, as in a, b, c"; question ; answer\na;x?;no'
    data = read(tmp_path, content, columns={"image": "file, as in a, b, c"})
    assert rows_of(data) == [("2", ("a",), "x?", {"no": 1.0})]
    assert data.report.count("(guessed)") == 2
    assert read(tmp_path, content, columns={"image": "file, as in a, b, c", "question": "question"}).questions


def test_image_ids_are_those_of_an_extraction_from_the_folder(tmp_path: Path, pictures: Path) -> None:
    content = HEADER + "inner/c,x,y\na.jpg,x,y\n./b.PNG,x,y\n" + f"{pictures}/a.jpg,x,y\n"
    data = read(tmp_path, content, images=pictures)
    assert set(data.images) == set(ImageFolder(pictures).ids.to_pylist())
    store, _ = extract_regions(data.images, ComponentRegionExtractor(crop_size=2), tmp_path / "store", progress=False)
    assert [question.image_id in store for question in data.questions] == [True] * 4
    whole = read(tmp_path, HEADER + "inner/c,x,y\n", images=pictures, ids="path")
    assert whole.questions[0].image_id == "inner/c.png"


def test_without_a_folder_names_are_ids(tmp_path: Path) -> None:
    data = read(
        tmp_path, "img_id,sent,label\n17,is it red?,no\nv1.2,x?,no\nc.JPG,x?,no\n", columns={"question": "sent"}
    )
    assert [question.image_id for question in data.questions] == ["17", "v1.2", "c"]
    assert not data.images
    assert "Where the pictures lie is not known" in data.report


def test_pictures_that_are_not_there_are_named(tmp_path: Path, pictures: Path) -> None:
    (pictures / f"{unicodedata.normalize('NFD', 'é')}.png").write_bytes(b"")
    names = ("a.png", "A.jpg", "c.png", "http://host/a.jpg", "é", "nowhere", "../a.jpg")
    problems = [
        r"row 2, column 'image': there is no picture 'a\.png' in .*pictures, but 'a\.jpg': correct the suffix",
        r"row 3, .*'A\.jpg' .*but 'a\.jpg', which differs in upper and lower case",
        r"row 4, .*'c\.png' .*but 'inner/c\.png': name it by its path",
        r"row 5, .*'http://host/a\.jpg' .*fetch the pictures first",
        r"row 6, .*'é' .*how accents are coded",
    ]
    with pytest.raises(ValueError, match=r"questions\.csv has 8 of 9 rows that cannot be used") as caught:
        read(tmp_path, HEADER + "".join(f"{name},x,y\n" for name in names) + "a,,y\na,x,y\n", images=pictures)
    lines = str(caught.value).splitlines()
    assert len(lines) == 7
    for line, problem in zip(lines[1:6], problems, strict=True):
        assert re.search(problem, line), line
    assert lines[6].strip() == "in all 'image' 7, 'question' 1"
    with pytest.raises(ValueError, match="None of the pictures is there: is it the right folder"):
        read(tmp_path, HEADER + "x,x,y\n", images=pictures)
    Image.new("RGB", (8, 8)).save(pictures / "a.png")
    with pytest.raises(ValueError, match=r'image .*/a: keep their suffixes with ids="path"|would both be image .a.'):
        read(tmp_path, HEADER + "a,x,y\n", images=pictures)
    with pytest.raises(ValueError, match=r"'a' may be a\.jpg or a\.png: write it with its suffix"):
        read(tmp_path, HEADER + "a,x,y\n", images=pictures, ids="path")
    with pytest.raises(NotADirectoryError, match="no folder"):
        read(tmp_path, HEADER + "a,x,y\n", images=tmp_path / "no")


def test_what_answers_may_be(tmp_path: Path) -> None:
    answers = [
        " Two dogs ",
        3,
        3.0,
        2.5,
        True,
        ["cat", "cat", "dog"],
        [{"answer": "no", "answer_id": 1}] * 3 + [{"answer": "yes", "answer_id": 2}] * 7,
        {"grey": 0.3, "gray": 1, "blue": 0},
    ]
    lines = [json.dumps({"image": 7, "question": "x?", "answer": answer}) for answer in answers]
    questions = read(tmp_path, "\n".join(lines), "q.jsonl").questions
    scores = [dict(question.scores) for question in questions]
    assert scores[:5] == [{"Two dogs": 1}, {"3": 1}, {"3": 1}, {"2.5": 1}, {"yes": 1}]
    assert scores[5] == {"cat": 1, "dog": 0.5}
    assert scores[6] == {"yes": 1, "no": pytest.approx(0.9)}
    assert list(scores[7].items()) == [("gray", 1), ("grey", pytest.approx(0.3))]
    assert questions[5].annotators == ("cat", "cat", "dog")
    assert questions[6].annotators == ("no",) * 3 + ("yes",) * 7
    assert questions[0].annotators == ()
    assert questions[0].image_ids == ("7",)
    cleaned = read(tmp_path, "\n".join(lines), "q.jsonl", normalize=clean_answer).questions
    assert cleaned[0].answer == "two dogs"
    assert dict(cleaned[7].scores) == {"gray": 1}
    written = read(tmp_path, HEADER + 'a,x,"[""yes"", ""no"", ""yes""]"\nb,x,"{""a"": 0.5}"\nc,x,TRUE\n').questions
    assert [dict(question.scores) for question in written] == [{"yes": 1, "no": 0.5}, {"a": 0.5}, {"TRUE": 1}]


def test_pairs_and_kinds(tmp_path: Path) -> None:
    lines = [{"left": "a.png", "right": "b.png", "text": "x", "answer": False, "type": 3}]
    data = read(tmp_path, json.dumps(lines), "q.json", columns={"image": ["left", "right"]}, kinds=["type"])
    question = data.questions[0]
    assert (question.image_ids, dict(question.scores), question.kinds) == (("a", "b"), {"false": 1.0}, {"type": "3"})


def test_withheld_answers(tmp_path: Path) -> None:
    data = read(tmp_path, "image,question\na,x\n", columns={"answer": None})
    assert data.questions[0].answer is None
    assert "Answers are withheld" in data.report
    with pytest.raises(ValueError, match=r'no column that is called as the answer .*columns=\{"answer": None\}'):
        read(tmp_path, "image,question\na,x\n")


def test_the_report_tells_spellings_apart(tmp_path: Path) -> None:
    data = read(tmp_path, HEADER + "a,x,Yes\na,y,yes\na,z,no\n")
    assert "Different answers: 3." in data.report
    assert "spelt in several ways: 1, such as 'Yes' and 'yes'" in data.report


@pytest.mark.parametrize(
    ("content", "choices", "problem"),
    [
        ("image,sentence,text,answer\na,x,x,y", {}, "several columns that may hold the question: 'sentence', 'text'"),
        ("photo,question,answer\na,x,y", {}, "no column that is called as the image.*'photo', 'question', 'answer'"),
        (HEADER + "a,x,y", {"columns": {"question": "questoin"}}, "'questoin', no column of .*; is it 'question'"),
        (HEADER + "a,x,y", {"columns": {"images": "image"}}, "columns may name image, question.* got 'images'"),
        (HEADER + "a,x,y", {"columns": {"question": None}}, r"columns\['question'\] is None: name a column"),
        (HEADER + "a,x,y", {"columns": {"image": ["image"] * 3}}, "at most 2 columns"),
        (HEADER + "a,x,y", {"kinds": ["type"]}, "kinds is 'type', no column"),
        (HEADER + "a,x,y", {"columns": {"image_id": "answer"}}, "is for pictures in a data set"),
        (HEADER + "a,x,y", {"split": "train"}, "is a file, which has no split 'train'"),
        ("image,question,answer,answer\na,x,y,z", {}, "several columns that may hold the answer"),
        ("image,question,answer,x,x\na,x,y,z,z", {"kinds": ["x"]}, "2 columns 'x': rename all but one"),
        (HEADER, {}, "holds no question: it has columns, but no row"),
        (HEADER + ",,\n ,,\n", {}, "holds no question: all its rows are blank"),
        ("", {}, "has no header"),
        (HEADER + "a,x,y\na,x,y,z\n", {}, "row 3 has 4 values, but the header names 3 columns"),
        (HEADER + 'a,x,y\na,"x,y\na,x,y\n', {}, r"row 3: unexpected end of data: close the quotes"),
        (HEADER + "a, ,y", {}, "row 2, column 'question': is empty"),
        (HEADER + "a,\u200b,y", {}, "row 2, column 'question': is empty"),
        (HEADER + "a,x\n", {}, "row 2, column 'answer': is empty: write the answer"),
        (HEADER + ",x,y\n", {}, "row 2, column 'image': is empty"),
        (HEADER + "a,x,['yes']\n", {}, "row 2, column 'answer': .* is no JSON"),
        (HEADER + "a,x,The\n", {"normalize": lambda text: text.removeprefix("The")}, "is empty once it is normalised"),
        ("image,question,answer,id\na,x,y,7\n\na,x,y,7\n", {}, "row 4, column 'id': '7' is the id of row 2 too"),
        ("image,question,answer,id\na,x,y,\n", {}, "row 2, column 'id': must be a text or a whole number"),
        (HEADER.encode() + b"a,x,y\na,\xe9,y\n", {}, r"line 3: no UTF-8 \(byte 0xe9\): save it as UTF-8"),
        (HEADER.encode("utf-16"), {}, r"no UTF-8 \(UTF-16\)"),
        (gzip.compress(HEADER.encode(), mtime=0), {}, r"questions\.csv: no UTF-8 \(gzip\): unpack it"),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, content: str | bytes, choices: dict, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read(tmp_path, content, **choices)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"image": 1}\n{"image": 2', r"q\.jsonl, line 2: broken JSON"),
        ("[1]", r"line 1 must be an object such as .* got list"),
        (
            '{"image": "a", "question": "x", "answer": "y"}\n{"image": "a", "question": 5, "answer": "y"}',
            "must be a text",
        ),
        ('{"image": "a", "question": "x", "answer": []}', "line 1, column 'answer': is an empty list"),
        ('{"image": "a", "question": "x", "answer": {"a": 2}}', "gives 'a' the score 2"),
        ('{"image": "a", "question": "x", "answer": {"a": 0}}', "no answer with a score above 0"),
        ('{"image": "a", "question": "x", "answer": [["a"]]}', "must be a text, a number"),
        ('{"image": "a", "question": "x", "answer": "\\ud800"}', "no valid Unicode"),
        ('{"image": "a", "question": "x", "answer": 1e400}', "column 'answer': must be a finite number, got inf"),
        ('{"image": "a", "question": "x", "answer": ["a", -1e400]}', "must be a finite number, got -inf"),
        ('{"image": "\\ud800", "question": "x", "answer": "a"}', "column 'image': is no valid Unicode"),
        ('{"image": "a", "question": "x", "answer": "a", "id": "\\ud800"}', "column 'id': is no valid Unicode"),
        ('{"x": ' + "9" * 5000, r"line 1: broken JSON \(a whole number of too many digits\)"),
        ('{"image": true, "question": "x", "answer": "a"}', "must be the name of a picture, got True"),
    ],
)
def test_bad_json_is_refused(tmp_path: Path, content: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read(tmp_path, content, "q.jsonl")


def test_a_kind_that_no_file_can_hold_is_refused(tmp_path: Path) -> None:
    content = '{"image": "a", "question": "x", "answer": "a", "type": "\\ud800"}'
    with pytest.raises(ValueError, match="line 1, column 'type': is no valid Unicode"):
        read(tmp_path, content, "q.jsonl", kinds=["type"])


def test_a_list_with_a_number_of_too_many_digits_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"q\.json: broken JSON \(a whole number of too many digits\)"):
        read(tmp_path, "[" + "9" * 5000 + "]", "q.json")
    with pytest.raises(ValueError, match="row 2, column 'answer': .* is no JSON"):
        read(tmp_path, HEADER + "a,x,[" + "9" * 5000 + "]\n")


def test_long_values_are_read(tmp_path: Path) -> None:
    limit = csv.field_size_limit()
    question = "x" * 200_000
    assert read(tmp_path, HEADER + f"a,{question},y\n").questions[0].text == question
    with pytest.raises(ValueError, match="close the quotes"):
        read(tmp_path, HEADER + f'a,"{question}')
    assert csv.field_size_limit() == limit, "other readers keep theirs"


def test_answers_that_may_be_gaps_are_reported(tmp_path: Path) -> None:
    report = read(tmp_path, HEADER + "a,x,nan\na,x,yes\na,x,None\na,x,nan\na,x,NULL\n").report
    assert "Answers that may be gaps: 'nan' 2, 'None' 1, 'NULL' 1. They count as answers" in report
    assert "may be gaps" not in read(tmp_path, HEADER + "a,x,nane\na,x,no\n").report


@pytest.mark.parametrize("scores", ['{"Red": 0.3, "red": 0.9}', '{"Red": 0.9, "red": 0.3}'])
def test_of_answers_that_become_one_the_higher_score_counts(tmp_path: Path, scores: str) -> None:
    content = f'{{"image": "a", "question": "x", "answer": {scores}}}'
    (question,) = read(tmp_path, content, "q.jsonl", normalize=str.lower).questions
    assert question.scores == pytest.approx({"red": 0.9})


def test_lines_of_json_end_where_lines_end_only(tmp_path: Path) -> None:
    content = (
        '{"image": "a", "question": "x\u2028y\x85", "answer": "z"}\r\n{"image": "b", "question": "x", "answer": "y"}\n'
    )
    assert [row[2] for row in rows_of(read(tmp_path, content, "q.jsonl"))] == ["x\u2028y", "x"]


def test_sources_of_other_kinds_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"must end with one of \.csv.*CSV UTF-8"):
        read(tmp_path, "x", "questions.xlsx")
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        read_own_questions("questions.csv")
    with pytest.raises(ValueError, match="is no data set by save_to_disk"):
        read_own_questions(tmp_path)
    with pytest.raises(ValueError, match="say which split to take"):
        read_own_questions("someone/questions")
    with pytest.raises(TypeError, match="source must be a path"):
        read_own_questions(5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"list\.json: broken JSON .*is the file whole"):
        read(tmp_path, "[{},", "list.json")
    asked: list[tuple] = []

    def load(*place: object, **choices: object) -> datasets.Dataset:
        asked.append((place, choices))
        return datasets.Dataset.from_dict({"image_id": [5], "question": ["x?"], "answers": [["a", "b"]]})

    monkeypatch.setattr(datasets, "load_dataset", load)
    data = read_own_questions("someone/questions", split="validation", configuration="balanced", progress=False)
    assert asked == [(("someone/questions", "balanced"), {"split": "validation"})]
    assert rows_of(data) == [("0", ("5",), "x?", {"a": 1.0, "b": 1.0})]
    assert data.report.startswith("someone/questions (validation): questions: 1")


def dataset_with_pictures(pictures: Path, embedded: bool, **columns: list) -> datasets.Dataset:
    files = [pictures / name for name in ("a.jpg", "b.PNG", "a.jpg")]
    images = [{"bytes": file.read_bytes(), "path": None} if embedded else str(file) for file in files]
    values = {"photo": images, "question": ["x?", "y?", "z?"], "label": [1, 0, -1], **columns}
    dataset = datasets.Dataset.from_dict(values).cast_column("photo", datasets.Image())
    return dataset.cast_column("label", datasets.ClassLabel(names=["no", "yes"]))


@pytest.mark.parametrize("embedded", [True, False])
def test_pictures_in_a_data_set(tmp_path: Path, pictures: Path, embedded: bool) -> None:
    dataset = dataset_with_pictures(pictures, embedded)
    datasets.DatasetDict({"train": dataset, "test": dataset}).save_to_disk(tmp_path / "saved")
    with pytest.raises(ValueError, match="split must be one of train, test"):
        read_own_questions(tmp_path / "saved")
    data = read_own_questions(tmp_path / "saved", split="train", progress=False)
    first, second, third = data.questions
    assert first.image_ids == third.image_ids != second.image_ids
    assert [question.answer for question in data.questions] == ["yes", "no", None]
    assert "Questions without an answer (class -1): 1" in data.report
    images = pickle.loads(pickle.dumps(data.images))
    assert len(images) == len(list(images)) == 2
    assert images[second.image_id] == (pictures / "b.PNG").read_bytes()
    store, _ = extract_regions(images, ComponentRegionExtractor(crop_size=2), tmp_path / "store", progress=False)
    assert store.keys() == {first.image_id, second.image_id}
    again = read_own_questions(dataset, progress=False)
    assert [question.image_ids for question in again.questions] == [question.image_ids for question in data.questions]
    with pytest.raises(ValueError, match="holds its pictures, in 'photo': leave the folder"):
        read_own_questions(dataset, images=pictures)


def test_a_column_of_ids_names_the_pictures_of_a_data_set(pictures: Path) -> None:
    dataset = dataset_with_pictures(pictures, True, image_id=[11, 12, 11])
    data = read_own_questions(dataset, progress=False)
    assert [question.image_id for question in data.questions] == ["11", "12", "11"]
    assert data.images["12"] == (pictures / "b.PNG").read_bytes()
    by_content = read_own_questions(dataset, columns={"image_id": None}, progress=False)
    assert "11" not in by_content.images


def test_a_row_without_a_picture_is_named(pictures: Path) -> None:
    dataset = datasets.Dataset.from_dict({"image": [None], "question": ["x?"], "answer": ["y"]})
    dataset = dataset.cast_column("image", datasets.Image())
    with pytest.raises(ValueError, match=r"row 0 \(the first is 0\), column 'image': holds no picture"):
        read_own_questions(dataset, progress=False)


def test_rows_count_as_in_a_spreadsheet(tmp_path: Path) -> None:
    rows = CsvRows(table(tmp_path, 'a,b\n"1\n1",2\n\n3,4\n'))
    assert [(number, values["a"]) for number, _, values in rows.rows(["a"])] == [(2, "1\n1"), (4, "3")]
